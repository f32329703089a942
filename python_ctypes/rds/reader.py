"""Reading results: `ResultDataset`."""

from __future__ import annotations

import ctypes
import operator
import os
from ctypes import byref, c_size_t, c_uint64, c_void_p
from functools import cached_property

import numpy as np

from . import _arrow, _dtypes, _ids
from . import _structs as c
from ._errors import MissingResultsError, NotResultsError, OutOfRangeError, SchemaMismatchError
from ._library import library, path_bytes
from ._location import is_local, table_path


class _Handle(c_void_p):
    """A reader of librds, closed with its last reference: so `ResultDataset.close` never takes
    it from under a call on another thread."""

    def __init__(self):
        super().__init__()
        self.close = library().rds_reader_close

    def __del__(self):
        if self.value is not None:
            self.close(self)


_CLOSED = c_void_p()


class ResultDataset:
    """A snapshot of one table of results: later writes do not change it.

    Parameters
    ----------
    config
        Kept as it is; may be empty.
    data_location
        The result directory, the path of a table (ending in `.lance`), or one of these as a
        `file://` URI.

    A dataset may be used from any number of threads at once.
    """

    def __init__(self, config: dict, data_location: str | os.PathLike):
        self.config = config
        self.data_location = data_location
        self._table_path = table_path(data_location)
        self.lance_dir = self._table_path.parent
        self._handle = self._open()
        info = c.TableInfo()
        library().rds_reader_info(self._handle, byref(info))
        self.tensor_dtype = _dtypes.from_number(info.dtype, (info.dtype_name or b"?").decode())
        self.tensor_shape = list(info.shape[: info.ndim])
        self._rows = info.rows
        self._row_bytes = info.row_bytes
        self._row_buffer = ctypes.c_char * info.row_bytes

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, index) -> np.ndarray:
        """The tensor of one row, or the tensors of many stacked, as a read-only array.

        `index` is an integer, a slice, or a list, tuple or array of integers in any order, or a
        mask of one bool per row. Rows count from 0 to len - 1.
        """
        if isinstance(index, slice):
            return self._gather(np.arange(*index.indices(self._rows)))
        try:
            row = operator.index(index)
        except TypeError:
            return self._gather(self._as_rows(index))
        return self._row(row)

    def __iter__(self):
        return map(self._row, range(self._rows))

    def get_data(self, index) -> np.ndarray:
        """As `dataset[index]`."""
        return self[index]

    def get_object_id(self, index) -> str:
        """The id of one row."""
        row = self._checked(operator.index(index))
        data, length = c_void_p(), c_size_t()
        handle = self._handle
        library().rds_reader_id(handle, row, byref(data), byref(length))
        return ctypes.string_at(data, length.value).decode() if length.value else ""

    def ids(self) -> list[str]:
        """The ids of all rows, in row order."""
        stream = self._stream(c.StreamOptions(columns=c.COLUMN_OBJECT_ID))
        return _arrow.strings_of_stream(stream)

    def find(self, object_ids) -> np.ndarray:
        """The row of each id as int64, the first one if several rows carry it; -1 if none does."""
        ids = _ids.to_struct(object_ids)
        rows = np.empty(ids.count, np.uint64)
        library().rds_reader_find(self._handle, byref(ids), rows.ctypes.data, None)
        # RDS_ROW_NONE has all bits set, which is -1.
        return rows.view(np.int64)

    def index_of(self, object_id) -> int:
        """The first row that carries the id; KeyError if none does."""
        row = int(self.find([object_id])[0])
        if row < 0:
            raise KeyError(object_id)
        return row

    def __get_all__(self) -> np.ndarray:
        """The tensors of all rows, stacked."""
        return self._gather(np.arange(self._rows))

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        if copy is False:
            raise ValueError("a ResultDataset lies on disk; an array of it is always a copy")
        array = self.__get_all__()
        if dtype is not None:
            array = array.astype(dtype, copy=False)
        if copy:
            array.flags.writeable = True
        return array

    def __arrow_c_schema__(self):
        """The schema of the table, as the Arrow PyCapsule interface has it."""
        schema = c.ArrowSchema()
        library().rds_reader_schema(self._handle, byref(schema))
        return _arrow.capsule(schema)

    def __arrow_c_stream__(self, requested_schema=None):
        """All rows as record batches; the schema is the table's, whatever was requested."""
        return _arrow.capsule(self._stream(c.StreamOptions()))

    @cached_property
    def lance_dataset(self):
        """The table as pylance opens it."""
        try:
            import lance
        except ImportError as error:
            raise ImportError("the attribute `lance_dataset` needs pylance; install pylance") from error
        return lance.dataset(str(self._table_path))

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
        return self.db.open_table(self._table_path.stem)

    def close(self) -> None:
        """Frees the snapshot; arrays that were read stay valid. A second call does nothing."""
        self._handle = _CLOSED

    def __enter__(self):
        return self

    def __exit__(self, error_type, error, traceback):
        self.close()

    def __repr__(self):
        rows = f"{self._rows} rows of {self.tensor_dtype} {self.tensor_shape}"
        return f"<ResultDataset {str(self.data_location)!r}, {rows}>"

    def _open(self) -> _Handle:
        if is_local(self.data_location) and not self.lance_dir.exists():
            raise MissingResultsError(
                f"{self.lance_dir} does not exist: there are no results in {self.data_location}"
            )
        handle = _Handle()
        try:
            library().rds_reader_open(path_bytes(self.data_location), None, byref(handle))
        except SchemaMismatchError as error:
            raise NotResultsError(str(error)) from error
        return handle

    def _row(self, row: int) -> np.ndarray:
        buffer = self._row_buffer()
        library().rds_reader_read(
            self._handle, byref(c_uint64(self._checked(row))), 1, buffer, self._row_bytes
        )
        array = np.ndarray(self.tensor_shape, self.tensor_dtype, buffer)
        array.flags.writeable = False
        return array

    def _gather(self, rows: np.ndarray) -> np.ndarray:
        rows = rows.astype(np.uint64, copy=False)
        array = np.empty((len(rows), *self.tensor_shape), self.tensor_dtype)
        library().rds_reader_read(
            self._handle, rows.ctypes.data, len(rows), array.ctypes.data, array.nbytes
        )
        array.flags.writeable = False
        return array

    def _as_rows(self, index) -> np.ndarray:
        rows = np.asarray(index)
        if rows.ndim != 1:
            raise IndexError(f"rows have the shape {rows.shape}; one dimension is expected")
        if not rows.size:
            return np.empty(0, np.uint64)
        if rows.dtype.kind == "b":
            if len(rows) != self._rows:
                raise IndexError(f"the mask has {len(rows)} values, the table {self._rows} rows")
            return np.flatnonzero(rows)
        if rows.dtype.kind not in "iu":
            raise IndexError(f"rows have the dtype {rows.dtype}; integers are expected")
        if rows.dtype.kind == "i":
            self._checked(int(rows.min()))
        return np.ascontiguousarray(rows, np.uint64)

    def _checked(self, row: int) -> int:
        # librds counts in uint64, where a negative number would be another row's.
        if 0 <= row < self._rows:
            return row
        raise OutOfRangeError(f"row {row} is out of range (the table has {self._rows} rows)")

    def _stream(self, options: c.StreamOptions) -> c.ArrowArrayStream:
        stream = c.ArrowArrayStream()
        library().rds_reader_stream(self._handle, byref(options), byref(stream))
        return stream
