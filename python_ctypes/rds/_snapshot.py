"""One version of a table, opened: all that a refresh exchanges at once."""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Callable
from ctypes import byref, c_size_t, c_void_p

import numpy as np

from . import _arrow, _dtypes, _spans, _waiting
from . import _structs as c
from ._address import address, begin
from ._errors import OutOfRangeError
from ._library import last_error, library, unchecked
from ._strings import Strings


# Fewer ids are loaded at once.
_MANY_IDS = 1 << 16


class _Handle(c_void_p):
    """A reader of librds, closed with its last reference: so no call on another thread loses it."""

    def __init__(self):
        super().__init__()
        # Of what librds loads on first use, that which takes long: "ids", "index".
        self.unloaded: set[str] = set()
        self.close = library().rds_reader_close

    def __del__(self):
        if self.value is not None:
            self.close(self)


@functools.cache
def _reading() -> Callable[..., int]:
    return unchecked("rds_reader_read")


class Snapshot:
    """Whoever reads takes the snapshot once, and uses nothing of another one."""

    __slots__ = ("_ids", "_read", "_spans", "dtype", "handle", "info", "look_up", "rows", "shape", "whole")

    def __init__(self, handle: _Handle, info: c.TableInfo):
        self.handle = handle
        self.info = info
        self.rows = info.rows
        self.dtype = _dtypes.from_number(info.dtype, (info.dtype_name or b"?").decode())
        self.shape = tuple(info.shape[: info.ndim])
        # All rows as one array, once it is known that they lie so.
        self.whole: np.ndarray | None = None
        self._read = _reading()
        self._spans: tuple[list[int], list] | None = None
        self._ids: Strings | None = None
        # What finds an id, once ids are loaded and indexed.
        self.look_up: Callable[..., int] | None = None

    @classmethod
    def open(cls, path: bytes, options: c.ReaderOptions) -> Snapshot:
        handle = _Handle()
        library().rds_reader_open(path, byref(options), byref(handle))
        info = c.TableInfo()
        library().rds_reader_info(handle, byref(info))
        if info.rows > _MANY_IDS:
            handle.unloaded.update(("ids", "index"))
        return cls(handle, info)

    @property
    def spec(self) -> tuple[int, tuple[int, ...]]:
        """The rds_dtype and the shape of a row."""
        return self.info.dtype, self.shape

    def is_same(self, other: Snapshot) -> bool:
        """Whether both show the same version of the same table. One that was removed and written anew
        may have the number of the old one, but not its time."""
        mine, others = self.info, other.info
        return (mine.version, mine.committed_at) == (others.version, others.committed_at)

    def closed(self) -> Snapshot:
        """What is still known of the table, and no way to read it."""
        return Snapshot(_Handle(), self.info)

    def row(self, row: int) -> np.ndarray:
        """The tensor of one row: memory of the mapped file, or a copy if the row is not mapped."""
        if not 0 <= row < self.rows:
            raise self.out_of_range(row)
        view = self._view(row)
        return self.read(np.array([row]))[0, ...] if view is None else view

    def _view(self, row: int) -> np.ndarray | None:
        """The memory of a row, if there is such a row and it is mapped."""
        if not 0 <= row < self.rows:
            return None
        if self.whole is not None:
            return self.whole[row]
        firsts, stacks = self._runs()
        number = bisect_right(firsts, row) - 1
        stack = self._run(stacks, number)
        # With the dots a number, too, is an array.
        return None if stack is None else stack[row - firsts[number], ...]

    def view(self) -> np.ndarray | None:
        """The tensors of all rows without a copy, if they lie in one run of a mapped file."""
        _, stacks = self._runs()
        return self._run(stacks, 0) if len(stacks) == 1 else None

    def _runs(self) -> tuple[list[int], list]:
        # Threads that come here at once make the same, and either may stay.
        spans = self._spans
        if spans is None:
            spans = self._spans = _spans.find(self.handle, self.rows)
        return spans

    def _run(self, stacks: list, number: int) -> np.ndarray | None:
        stack = stacks[number]
        if type(stack) is c.Span:
            stack = stacks[number] = self._stack(stack)
        return stack

    def _stack(self, span: c.Span) -> np.ndarray | None:
        memory = _spans.memory(self.handle, span)
        if memory is None:
            return None
        stack = memory.view(self.dtype).reshape(span.row_count, *self.shape)
        if self.shape and span.row_count == self.rows:
            self.whole = stack
        return stack

    def read(self, rows: np.ndarray) -> np.ndarray:
        """The tensors of rows, which are contiguous 64-bit integers in memory that may be written."""
        array = np.empty((len(rows), *self.shape), self.dtype)
        self.read_into(rows, array)
        array.setflags(write=False)
        return array

    def read_into(self, rows: np.ndarray, array: np.ndarray) -> None:
        """As `read`, into the memory of an array that has the shape and the dtype."""
        count = len(rows)
        if count == 1 and self.copy(rows.item(), array):
            return
        size = c_size_t(array.nbytes)
        if self._read(self.handle, begin(rows), c_size_t(count), address(array), size):
            error = last_error()
            # To librds a negative number is one beyond all rows.
            if isinstance(error, OutOfRangeError) and rows.min() < 0:
                self.check(rows)
            raise error

    def copy(self, row: int, array: np.ndarray) -> bool:
        """As `read_into`, of one row, in less time than a call of librds takes; false if that cannot be."""
        view = self._view(row)
        if view is None:
            return False
        array[0] = view
        return True

    def take(self, rows: np.ndarray, columns: int, array: c.ArrowArray) -> None:
        """Makes `array` the record batch of these rows, contiguous 64-bit integers."""
        if columns & c.COLUMN_OBJECT_ID:
            self._load_ids()
        library().rds_reader_take(self.handle, address(rows), len(rows), columns, None, byref(array))

    def schema(self, columns: int, schema: c.ArrowSchema) -> None:
        """Makes `schema` that of record batches with these columns."""
        nothing = _arrow.OwnedArray()
        library().rds_reader_take(self.handle, None, 0, columns, byref(schema), byref(nothing))

    def read_range(self, first: int, count: int) -> np.ndarray:
        """The tensors of `count` rows from `first` on."""
        view = self.view()
        if view is not None:
            array = view[first : first + count].copy()
        else:
            array = np.empty((count, *self.shape), self.dtype)
            library().rds_reader_read_range(self.handle, first, count, address(array), array.nbytes)
        array.setflags(write=False)
        return array

    @property
    def ids(self) -> Strings:
        """The ids of all rows."""
        if self._ids is None:
            self._load_ids()
            array = _arrow.OwnedArray()
            library().rds_reader_ids(self.handle, 0, self.rows, None, byref(array))
            self._ids = Strings(array)
        return self._ids

    def _load_ids(self) -> None:
        if "ids" in self.handle.unloaded:
            array = _arrow.OwnedArray()
            _waiting.aside(lambda: library().rds_reader_ids(self.handle, 0, 0, None, byref(array)))
            self.handle.unloaded.discard("ids")

    def check(self, rows: np.ndarray) -> None:
        """Names the first of the rows that is out of range, a negative one before others."""
        odd = np.flatnonzero(rows < 0)
        if not len(odd):
            odd = np.flatnonzero(rows >= self.rows)
        if len(odd):
            raise self.out_of_range(int(rows[odd[0]]))

    def out_of_range(self, row: int) -> OutOfRangeError:
        return OutOfRangeError(f"row {row} is out of range (the table has {self.rows} rows)")
