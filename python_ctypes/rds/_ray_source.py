"""What `rds.ray.Datasource` is, but for the class of Ray that it derives from."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from . import _options
from ._errors import InvalidArgumentError, InvalidTypeError, UnsupportedDtypeError
from .reader import ResultDataset

# What is looked at to tell how large a row becomes.
_SAMPLE_ROWS = 1024
_SAMPLE_BYTES = 1 << 23

# What Ray takes for rows without columns.
_NO_COLUMN = "__bsp_stub"


class Source:
    """A table as a dataset of Ray: `ray.data.read_datasource(rds.ray.Datasource("results"))`.

    Each task reads a range of rows, from files that it opens and maps itself: nothing but the range passes the
    driver. All of them read the version that was the newest when the source was made, whatever is written meanwhile.

    Parameters
    ----------
    path : str or path
        The directory of the results, as for `ResultDataset`; all machines of the cluster must see it there.
    columns : str or sequence of str, optional
        The tensors to read; default all. `select_columns` of the dataset does the same, and leaves out ids too: what
        nobody selects is not read.
    rows_per_block : int, optional
        Rows of a task; the last has fewer. Default: as many tasks as Ray asks for, which `override_num_blocks` of
        `read_datasource` sets, with blocks of the size that Ray prefers.
    version : int, optional
        The version of the table to read; default the newest.
    ids : str or None
        What the column of ids is to be called in the dataset, as strings; None for none. A table without ids has no
        such column.

    Raises
    ------
    FileNotFoundError
        There is no table, or no such version.
    KeyError
        There is no such column.
    TypeError
        A column is of complex numbers or bfloat16, which Ray's tensors cannot be; `columns` can leave it out.
    ValueError
        `rows_per_block` is below 1, a column of tensors has the name that ids are to have, or nothing is to be read.

    Notes
    -----
    A tensor with a shape is a tensor column of Ray, `(rows, *shape)` in a batch of NumPy; one without is a column of
    numbers. Dtypes are kept. Blocks are the mapped files themselves until Ray puts them into its store, but for
    bool, and for rows that are not mapped. Rows come in the order of the table if Ray is told to keep that
    (`execution_options.preserve_order`); each block has its own in order.
    """

    # Of Ray's interface: what was selected, by name; None is all.
    _projection_map: dict[str, str] | None

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        columns: str | Iterable[str] | None = None,
        rows_per_block: int | None = None,
        version: int | None = None,
        ids: str | None = "id",
    ):
        super().__init__()
        if ids is not None and not isinstance(ids, str):
            raise InvalidTypeError(f"ids is {ids!r}; the name of a column, or None, is expected")
        self._rows_per_block = _options.positive("rows_per_block", rows_per_block)
        # It is pickled as its place and version, and opened anew by whoever reads.
        self._table = ResultDataset({}, path, version=version)
        named = [columns] if isinstance(columns, str) else self._table.columns if columns is None else columns
        self._columns = tuple(dict.fromkeys(named))
        self._ids = ids if self._table._snapshot.info.has_ids else None
        self._projection_map = None
        for name in self._columns:
            dtype = self._table[name].dtype
            if dtype.kind in "cV" or self._table._snapshot.stored[name].dtype_name == "bfloat16":
                raise UnsupportedDtypeError(
                    f"Datasource: column {name!r} is {self._table._snapshot.stored[name].dtype_name}, which Ray's "
                    "tensors cannot be; leave it out by columns="
                )
        if self._ids in self._columns:
            raise InvalidArgumentError(f"Datasource: the table has tensors {ids!r}; call the ids otherwise by ids=")
        if not (self._columns or self._ids):
            raise InvalidArgumentError("Datasource: columns names no column, and there are no ids")

    def get_name(self) -> str:
        """What Ray calls the read in its progress.

        Returns
        -------
        str
            "rds".
        """
        return "rds"

    def supports_projection_pushdown(self) -> bool:
        """Whether columns that nobody selects are not read.

        Returns
        -------
        bool
            True.
        """
        return True

    def estimate_inmemory_data_size(self) -> int:
        """How large the blocks become.

        Returns
        -------
        int
            Bytes, of all rows and the selected columns; that of ids from the first of them.
        """
        return round(len(self._table) * self._row_bytes())

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list:
        """Ranges of rows to read.

        Parameters
        ----------
        parallelism : int
            How many are wanted.
        per_task_row_limit : int, optional
            How many rows of each are needed.
        data_context : DataContext, optional
            Whose `target_max_block_size` a block has at most.

        Returns
        -------
        list of ReadTask
            In the order of the rows.
        """
        from ray.data import ReadTask
        from ray.data.block import BlockMetadata

        rows, row_bytes = len(self._table), self._row_bytes()
        count = -(-rows // self._rows_per_block) if self._rows_per_block else min(max(parallelism, 1), rows)
        # Of a table without rows one block says the columns.
        count = max(count, 1)
        step = self._rows_per_block or rows / count
        bounds = [min(round(number * step), rows) for number in range(count)] + [rows]
        most = getattr(data_context, "target_max_block_size", None) or 1 << 27
        block_rows = min(max(int(most // max(row_bytes, 1)), 1), rows or 1)
        schema = self._sample().schema
        tasks = []
        for first, stop in zip(bounds, bounds[1:]):
            size = round((stop - first) * row_bytes)
            metadata = BlockMetadata(num_rows=stop - first, size_bytes=size, input_files=None, exec_stats=None)
            read = functools.partial(_blocks, self._table, self._selected(), self._ids, range(first, stop), block_rows)
            tasks.append(ReadTask(read, metadata, schema=schema, per_task_row_limit=per_task_row_limit))
        return tasks

    def _selected(self) -> list[str]:
        """Names in the dataset of what is read, in its order: ids first."""
        names = [*([] if self._ids is None else [self._ids]), *self._columns]
        return names if self._projection_map is None else [name for name in names if name in self._projection_map]

    def _sample(self) -> pa.Table:
        widest = max((self._table._snapshot.stored[name].row_bytes for name in self._columns), default=1)
        rows = range(min(len(self._table), _SAMPLE_ROWS, max(_SAMPLE_BYTES // max(widest, 1), 1)))
        return next(_blocks(self._table, self._selected(), self._ids, rows, len(rows) or 1))

    def _row_bytes(self) -> float:
        sample = self._sample()
        return sample.nbytes / max(len(sample), 1)


def _blocks(
    table: ResultDataset, names: list[str], ids: str | None, rows: range, block_rows: int
) -> Iterator[pa.Table]:
    """Columns of rows, as a task reads them wherever it runs."""
    if not names:
        # As many rows as there are: Ray counts them, or adds columns to them.
        yield pa.table({_NO_COLUMN: pa.nulls(len(rows))})
        return
    if not rows:
        yield pa.table({name: pa.array([], pa.string()) if name == ids else _column(table[name][:0]) for name in names})
        return
    wanted = ["object_id" if name == ids else name for name in names]
    for batch in table.stream(wanted, batch_size=block_rows, rows=rows):
        columns = {name: _column(batch[name]) for name in names if name != ids}
        if ids in names:
            columns[ids] = pa.record_batch(batch).column(0).cast(pa.string())
        yield pa.table({name: columns[name] for name in names})


def _column(tensors: np.ndarray) -> pa.Array:
    """Tensors as a column of Ray over the same memory, but for bool."""
    from ray.data.extensions import ArrowTensorArray

    return pa.array(tensors) if tensors.ndim == 1 else ArrowTensorArray.from_numpy(tensors)
