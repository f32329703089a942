"""A dataset for others: NumPy, Arrow, DLPack, pylance and lancedb."""

from __future__ import annotations

from collections.abc import Iterable
from ctypes import byref
from functools import cached_property
from pathlib import Path

import numpy as np

from . import _arrow, _dlpack, _options, _select, _stream
from . import _structs as c
from ._batch import Batch
from ._errors import ExportError, InvalidArgumentError, LegacyOnlyError
from ._library import library
from ._location import table_path
from ._snapshot import Snapshot
from ._stored import Stored
from ._stream import Stream

_METADATA = (
    "{} is what results in Hyrax's earlier format have, through the dataset they were made from; a table "
    "of results has ids and tensors only. Make that dataset from the configuration of the run, and ask it."
)
_CHOOSE = "the table has the columns {}; ask one of them: dataset[{!r}]"


def as_array(stored: Stored, dtype=None, copy=None) -> np.ndarray:
    """All rows of a column, as `__array__` gives them."""
    view = None if copy else stored.view()
    if view is not None and (dtype is None or view.dtype == dtype):
        return view
    if copy is False:
        raise InvalidArgumentError(
            "without a copy there is no such array: it has another dtype, or the rows do not lie in "
            "one mapped file"
        )
    array = stored.read_range(0, stored.rows)
    if dtype is not None:
        array = array.astype(dtype, copy=False)
    if copy:
        array.setflags(write=True)
    return array


def as_dlpack(stored: Stored, stream, max_version, dl_device, copy):
    """All rows of a column, as `__dlpack__` gives them."""
    if stream is not None:
        raise InvalidArgumentError(f"stream is {stream!r}; tensors on the CPU have none")
    if dl_device not in (None, _dlpack.CPU):
        raise ExportError(f"the tensors are on the CPU, not on the device {dl_device}")
    if stored.dtype.kind in "mM":
        raise ExportError(f"DLPack has no {stored.dtype}")
    versioned = max_version is not None and max_version[0] >= 1
    if versioned and not copy:
        if copy is False and stored.view() is None:
            raise ExportError("the rows do not lie in one mapped file; they cannot be had without a copy")
        return _dlpack.capsule(stored.dlpack())
    if copy is False:
        raise ExportError("before DLPack 1.0 a tensor could not be read-only; it must be a copy")
    array = stored.read_range(0, stored.rows)
    array.setflags(write=True)
    try:
        return array.__dlpack__()
    except (BufferError, TypeError) as error:
        raise ExportError(f"a copy of {stored.dtype} needs max_version=(1, 0) and copy=None") from error


def _names(snapshot: Snapshot) -> str:
    return ", ".join(map(repr, snapshot.columns))


class Interop:
    """Rows of a `ResultDataset` as Arrow, and its protocols."""

    _place: str
    _snapshot: Snapshot
    _version: int | None

    def batch(self, rows, columns: str | Iterable[str] | None = None) -> Batch:
        """Rows as one Arrow record batch.

        Parameters
        ----------
        rows : sequence of int or of bool
            Rows in any order, also twice; or a mask of one bool per row.
        columns : str or sequence of str, optional
            Names of columns, and "object_id" for the ids, which come first; default all.

        Returns
        -------
        Batch
            For whatever speaks Arrow; it outlives the dataset.

        Raises
        ------
        IndexError
            There is no such row.
        KeyError
            There is no such column.
        """
        snapshot = self._snapshot
        chosen = _select.rows(np.asarray(rows), snapshot.rows)
        snapshot.check(chosen)
        return Batch(snapshot, snapshot.select(columns), chosen)

    def stream(
        self, columns: str | Iterable[str] | None = None, batch_size: int | None = None, rows=None
    ) -> Stream:
        """Rows as a stream of Arrow record batches, to be read any number of times.

        Parameters
        ----------
        columns : str or sequence of str, optional
            Names of columns, and "object_id" for the ids, which come first; default all.
        batch_size : int, optional
            Rows in a batch at most; default 8192. Batches of mapped rows end with their file.
        rows : slice, range, or sequence of int or of bool, optional
            Which rows, in which order; default all. Rows that follow each other and are mapped are
            passed on without a copy.

        Returns
        -------
        Stream
            For whatever speaks Arrow; iteration gives one `Batch` after the other.

        Raises
        ------
        IndexError
            There is no such row.
        KeyError
            There is no such column.
        ValueError
            `batch_size` is below 1.
        """
        snapshot = self._snapshot
        size = _options.positive("batch_size", batch_size) or _stream.BATCH_ROWS
        if rows is None:
            rows = slice(None)
        run = _select.run(rows, snapshot.rows) if isinstance(rows, (slice, range)) else None
        if run is None:
            if isinstance(rows, slice):
                rows = range(*rows.indices(snapshot.rows))
            chosen = _select.rows(np.asarray(rows), snapshot.rows)
            snapshot.check(chosen)
            return Stream(snapshot, snapshot.select(columns), size, chosen)
        if run:
            snapshot.check(np.array([run[0], run[-1]]))
        return Stream(snapshot, snapshot.select(columns), size, run)

    def __get_all__(self) -> np.ndarray:
        """The tensors `data` of all rows, `(len, *tensor_shape)`, read into memory; a ValueError that names the
        columns if none is called so."""
        snapshot = self._snapshot
        if "data" not in snapshot.stored:
            raise InvalidArgumentError(f"there is no column 'data'; the table has {_names(snapshot)}")
        return snapshot.stored["data"].read_range(0, snapshot.rows)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """The tensors of all rows, `(len, *tensor_shape)`, of a table that has one column of them.

        Without `copy` the array is read-only, and the memory of the mapped file itself if all rows lie
        in one; with `copy=False` anything else is a ValueError. With `copy=True` it may be written.
        """
        snapshot = self._snapshot
        if len(snapshot.stored) != 1:
            raise InvalidArgumentError(_CHOOSE.format(_names(snapshot), snapshot.columns[0]))
        return as_array(next(iter(snapshot.stored.values())), dtype, copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        """The CPU."""
        return _dlpack.CPU

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        """The tensors of all rows, `(len, *tensor_shape)`, as a DLPack tensor, of a table that has one column of
        them.

        A consumer of version 1.0 or later gets the memory of the mapped file itself, marked as
        read-only, if all rows lie in one. Any other, and `copy=True`, gets a copy. A BufferError if
        that cannot be: another device, `copy=False` where a copy is needed, or a dtype that DLPack
        does not have (datetime64, timedelta64).
        """
        snapshot = self._snapshot
        if len(snapshot.stored) != 1:
            raise ExportError(_CHOOSE.format(_names(snapshot), snapshot.columns[0]))
        return as_dlpack(next(iter(snapshot.stored.values())), stream, max_version, dl_device, copy)

    def __arrow_c_schema__(self):
        """The schema of the table, as the Arrow PyCapsule interface has it."""
        schema = c.ArrowSchema()
        library().rds_reader_schema(self._snapshot.handle, None, byref(schema))
        return _arrow.capsule(schema)

    def __arrow_c_stream__(self, requested_schema=None):
        """All rows as record batches; the schema is the table's, whatever was requested."""
        stream = c.ArrowArrayStream()
        library().rds_reader_stream(self._snapshot.handle, byref(c.StreamOptions()), byref(stream))
        return _arrow.capsule(stream)

    @cached_property
    def lance_dataset(self):
        """The table as pylance opens it."""
        try:
            import lance
        except ImportError as error:
            raise ImportError("the attribute `lance_dataset` needs pylance; install pylance") from error
        return lance.dataset(str(self._table_path), version=self._version)

    @cached_property
    def db(self):
        """The directory of the table as lancedb opens it."""
        try:
            import lancedb
        except ImportError as error:
            raise ImportError("the attributes `db` and `table` need lancedb; install lancedb") from error
        return lancedb.connect(str(self._table_path.parent))

    @cached_property
    def table(self):
        """The table as lancedb opens it."""
        table = self.db.open_table(self._table_path.stem)
        if self._version is not None:
            table.checkout(self._version)
        return table

    @property
    def original_config(self):
        """Not to be had of a table: an AttributeError that says where it is."""
        raise LegacyOnlyError(_METADATA.format("original_config"))

    def metadata(self, idxs, fields):
        """Not to be had of a table: an error that says where it is.

        Parameters
        ----------
        idxs, fields : object
            What Hyrax asks for; not looked at.

        Raises
        ------
        AttributeError
            Always.
        """
        raise LegacyOnlyError(_METADATA.format("metadata"))

    @property
    def _table_path(self) -> Path:
        return table_path(self._place)
