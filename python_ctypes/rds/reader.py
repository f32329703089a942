"""Reading results: `ResultDataset`."""

from __future__ import annotations

import operator
import os
import threading
from ctypes import byref
from functools import cached_property

import numpy as np

from . import _arrow, _ids, _options
from . import _structs as c
from ._errors import (
    InvalidHandleError,
    MissingResultsError,
    NotResultsError,
    SchemaMismatchError,
)
from ._library import library, path_bytes
from ._location import is_local, table_path
from ._snapshot import Snapshot


class ResultDataset:
    """A snapshot of one table of results: later writes do not change it, `refresh` moves it on.

    Parameters
    ----------
    config
        Kept as it is; may be empty.
    data_location
        The result directory, the path of a table (ending in `.lance`), or one of these as a
        `file://` URI.
    version
        The version of the table to read; default the newest.
    access
        How tensors are read: "auto" from mapped files where they lie plain and through Lance where
        they do not, "mapped" from mapped files only, which a table with other rows refuses, "lance"
        through Lance only.
    prefetch
        Whether rows of a gather that are not in memory are read from disk all at once; without, one
        after the other as they are reached.

    A dataset may be used from any number of threads at once, and in forked processes.
    """

    def __init__(
        self,
        config: dict,
        data_location: str | os.PathLike,
        *,
        version: int | None = None,
        access: str = "auto",
        prefetch: bool = True,
    ):
        self.config = config
        self.data_location = data_location
        self._table_path = table_path(data_location)
        self.lance_dir = self._table_path.parent
        self._version = version
        self._options = {
            "access": _options.choice("access", access, c.ACCESSES),
            "flags": 0 if prefetch else c.READER_NO_PREFETCH,
        }
        # One lock for each process: a forked child may have a copy that stays locked.
        self._turns: dict[int, threading.Lock] = {}
        self._snapshot = self._open(_options.positive("version", version))
        self.tensor_dtype = self._snapshot.dtype
        self.tensor_shape = list(self._snapshot.shape)

    def __len__(self) -> int:
        return self._snapshot.rows

    def __getitem__(self, index) -> np.ndarray:
        """The tensor of one row, or the tensors of many stacked, as a read-only array.

        `index` is an integer, a slice, or a list, tuple or array of integers in any order, or a
        mask of one bool per row. Rows count from 0 to len - 1. The tensor of one row is the memory
        of the mapped file itself where the row is mapped, all else is a copy; both stay valid
        whatever becomes of the dataset and of the files.
        """
        snapshot = self._snapshot
        if type(index) is int:
            # What is called most takes the shortest way.
            if index >= 0 and snapshot.whole is not None:
                try:
                    return snapshot.whole[index]
                except (IndexError, OverflowError):
                    raise snapshot.out_of_range(index) from None
            return snapshot.row(index)
        if isinstance(index, (np.ndarray, list)):
            rows = np.asarray(index)
            if rows.ndim:
                return snapshot.read(_rows(rows, snapshot.rows))
        elif isinstance(index, slice):
            start, stop, step = index.indices(snapshot.rows)
            if step == 1:
                return snapshot.read_range(start, max(stop - start, 0))
            return snapshot.read(np.arange(start, stop, step))
        try:
            row = operator.index(index)
        except TypeError:
            return snapshot.read(_rows(np.asarray(index), snapshot.rows))
        return snapshot.row(row)

    def __iter__(self):
        snapshot = self._snapshot
        return map(snapshot.row, range(snapshot.rows))

    def get_data(self, index) -> np.ndarray:
        """As `dataset[index]`."""
        return self[index]

    def get_object_id(self, index) -> str:
        """The id of one row."""
        snapshot = self._snapshot
        row = operator.index(index)
        if 0 <= row < snapshot.rows:
            return snapshot.ids[row]
        raise snapshot.out_of_range(row)

    def ids(self) -> list[str]:
        """The ids of all rows, in row order."""
        return self._snapshot.ids.tolist()

    def find(self, object_ids) -> np.ndarray:
        """The row of each id as int64, the first one if several rows carry it; -1 if none does."""
        return _ids.find(self._snapshot.handle, object_ids)

    def index_of(self, object_id) -> int:
        """The first row that carries the id; KeyError if none does."""
        handle = self._snapshot.handle
        if type(object_id) is str:
            row = _ids.find_one(handle, object_id)
        else:
            row = int(_ids.find(handle, [object_id])[0])
        if row < 0:
            raise KeyError(object_id)
        return row

    def refresh(self) -> bool:
        """Moves to the newest version of the table, and tells whether that is another one.

        Arrays that were read stay as they are. If the newest version has tensors of another dtype or
        shape, or is no table of results, the error is a SchemaMismatchError; after any error the
        dataset shows what it showed.
        """
        with self._turn():
            shown = self._snapshot
            if not shown.handle:
                raise InvalidHandleError("the dataset is closed; open another one")
            # Another reader, not `rds_reader_refresh`: other threads are in the middle of this one.
            newest = self._open(version=0)
            if newest.is_same(shown):
                return False
            if newest.spec != shown.spec:
                raise SchemaMismatchError(
                    f"version {newest.info.version} of the table has tensors of {newest.dtype} "
                    f"{list(newest.shape)}, this dataset has {self.tensor_dtype} {self.tensor_shape}; "
                    "open another one"
                )
            self._snapshot, self._version = newest, None
            for name in ("lance_dataset", "table"):
                self.__dict__.pop(name, None)
            return True

    def __get_all__(self) -> np.ndarray:
        """The tensors of all rows, stacked."""
        snapshot = self._snapshot
        return snapshot.read_range(0, snapshot.rows)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        if copy is False:
            raise ValueError("a ResultDataset lies on disk; an array of it is always a copy")
        array = self.__get_all__()
        if dtype is not None:
            array = array.astype(dtype, copy=False)
        if copy:
            array.setflags(write=True)
        return array

    def __arrow_c_schema__(self):
        """The schema of the table, as the Arrow PyCapsule interface has it."""
        schema = c.ArrowSchema()
        library().rds_reader_schema(self._snapshot.handle, byref(schema))
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
        return lancedb.connect(str(self.lance_dir))

    @cached_property
    def table(self):
        """The table as lancedb opens it."""
        table = self.db.open_table(self._table_path.stem)
        if self._version is not None:
            table.checkout(self._version)
        return table

    def close(self) -> None:
        """Frees the snapshot; arrays that were read stay valid. A second call does nothing."""
        with self._turn():
            self._snapshot = self._snapshot.closed()

    def __enter__(self):
        return self

    def __exit__(self, error_type, error, traceback):
        self.close()

    def __repr__(self):
        rows = f"{len(self)} rows of {self.tensor_dtype} {self.tensor_shape}"
        return f"<ResultDataset {str(self.data_location)!r}, {rows}>"

    def _open(self, version: int) -> Snapshot:
        if is_local(self.data_location) and not self.lance_dir.exists():
            raise MissingResultsError(
                f"{self.lance_dir} does not exist: there are no results in {self.data_location}"
            )
        options = c.ReaderOptions(version=version, **self._options)
        try:
            return Snapshot.open(path_bytes(self.data_location), options)
        except SchemaMismatchError as error:
            raise NotResultsError(str(error)) from error

    def _turn(self) -> threading.Lock:
        """Held by whoever exchanges the snapshot; reading needs no lock."""
        return self._turns.setdefault(os.getpid(), threading.Lock())


def _rows(index: np.ndarray, count: int) -> np.ndarray:
    """The rows that an array selects of `count`, as contiguous 64-bit integers."""
    if index.ndim != 1:
        raise IndexError(f"rows have the shape {index.shape}; one dimension is expected")
    kind = index.dtype.kind
    if kind == "i":
        return np.ascontiguousarray(index, np.int64)
    if kind == "u":
        return np.ascontiguousarray(index, np.uint64)
    if not index.size:
        return np.empty(0, np.int64)
    if kind != "b":
        raise IndexError(f"rows have the dtype {index.dtype}; integers are expected")
    if len(index) != count:
        raise IndexError(f"the mask has {len(index)} values, the table {count} rows")
    return np.flatnonzero(index)
