"""Tables as collections of Dask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ._errors import InvalidArgumentError
from ._stream import Stream
from .reader import ResultDataset

_BYTES = 64 << 20


class Table:
    """One version of a table, and some of its columns; pickled it is the path and the version.

    It is opened for each range of rows: what is mapped counts as memory of the process, and goes with the last array of
    it.
    """

    def __init__(self, dataset: ResultDataset, names: Sequence[str], ids: str | None):
        self._reopen, self._shown = dataset.__reduce__()
        self.names = list(names)
        # What the frame calls the ids, and the table.
        self.ids = ids
        self._id_name = dataset._snapshot.id_name
        self.rows = len(dataset)
        snapshot = dataset._snapshot
        columns = [snapshot.column(name) for name in self.names]
        self.specs = {column.name: (column.dtype, column.shape) for column in columns}
        self._row_bytes = sum(column.row_bytes for column in columns)

    @classmethod
    def open(
        cls, path: str, columns: Any, alone: bool, ids: str | None, version: int | None, id_column: str | None
    ) -> Table:
        with ResultDataset({}, path, version=version, id_column=id_column) as dataset:
            names = _names(dataset, columns, alone)
            if not alone and ids in names:
                raise InvalidArgumentError(f"ids is {ids!r}, and a column is called so; give another name, or None")
            return cls(dataset, names, None if alone else ids)

    def __dask_tokenize__(self):
        return self._shown[2:], self.names, self.ids

    @contextmanager
    def stream(self, first: int, stop: int, names: Sequence[str]) -> Iterator[Stream]:
        """A range of rows, of which ids come first, in as few batches as files allow; to be read while it is open."""
        columns = [self._id_name if name == self.ids else name for name in names]
        with self._reopen(*self._shown) as dataset:
            yield dataset.stream(columns, batch_size=max(stop - first, 1), rows=slice(first, stop))

    def _ranges(self, rows: int) -> list[tuple[int, int]]:
        step = rows or max(_BYTES // self._row_bytes, 1)
        return [(first, min(first + step, self.rows)) for first in range(0, max(self.rows, 1), step)]

    def array(self, first: int, stop: int) -> np.ndarray:
        """The tensors of a range of rows, read-only; a copy if they lie in several files."""
        (name,) = self.names
        dtype, shape = self.specs[name]
        with self.stream(first, stop, [name]) as stream:
            found = [batch[name] for batch in stream]
        if len(found) == 1:
            return found[0]
        return np.concatenate(found) if found else np.empty((0, *shape), dtype)

    def to_array(self, rows: int) -> Any:
        import dask.array
        from dask.base import tokenize
        from dask.highlevelgraph import HighLevelGraph
        from dask.task_spec import Task

        dtype, shape = self.specs[self.names[0]]
        ranges = self._ranges(rows)
        name = f"rds-read-{tokenize(self, ranges)}"
        blocks = {}
        for number, (first, stop) in enumerate(ranges):
            key = (name, number, *(0 for _ in shape))
            blocks[key] = Task(key, self.array, first, stop)
        chunks = (tuple(stop - first for first, stop in ranges), *((size,) for size in shape))
        graph = HighLevelGraph.from_collections(name, blocks, dependencies=())
        return dask.array.Array(graph, name, chunks, dtype=dtype)

    def to_frame(self, rows: int) -> Any:
        import dask.dataframe

        from ._dask_frame import Ranges

        ranges = self._ranges(rows)
        divisions = [first for first, _ in ranges] + [max(self.rows - 1, 0)]
        read = Ranges(self)
        # Objects that are arrays stay such.
        with dask.config.set({"dataframe.convert-string": False}):
            return dask.dataframe.from_map(read, ranges, meta=read((0, 0)), divisions=divisions, label="rds-read")


def _names(dataset: ResultDataset, columns: Any, alone: bool) -> list[str]:
    if columns is None:
        names = list(dataset.columns)
        if alone and len(names) > 1 and "data" in names:
            names = ["data"]
    else:
        names = [columns] if isinstance(columns, str) else list(columns)
    if alone and len(names) != 1:
        raise InvalidArgumentError(f"columns are {names}, and kind is 'array'; name the one that it is made of")
    if len(set(names)) < len(names):
        raise InvalidArgumentError(f"columns are {names}; each can be named once")
    return names
