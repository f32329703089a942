"""One tensor column of a snapshot: where its rows lie, and how they are read."""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Callable
from ctypes import byref, c_size_t, c_uint32, c_uint64, c_void_p, string_at

import numpy as np

from . import _dtypes, _select, _spans
from . import _structs as c
from ._address import address, begin
from ._errors import OutOfRangeError
from ._handle import Handle
from ._library import last_error, library, unchecked


@functools.cache
def _reading() -> Callable[..., int]:
    return unchecked("rds_reader_read")


class Stored:
    """A column with `number`, `name`, and the `dtype` and `shape` of a row."""

    __slots__ = (
        "_number",
        "_read",
        "_spans",
        "dtype",
        "dtype_name",
        "handle",
        "mapped_rows",
        "name",
        "number",
        "row_bytes",
        "rows",
        "shape",
        "whole",
    )

    def __init__(self, handle: Handle, number: int, rows: int):
        info = c.ColumnInfo()
        library().rds_reader_column_info(handle, number, byref(info))
        self.handle = handle
        self.number = number
        self.rows = rows
        self.name = string_at(info.name, info.name_length).decode()
        self.dtype_name = (info.dtype_name or b"?").decode()
        self.dtype = _dtypes.from_number(info.dtype, self.dtype_name)
        self.shape = tuple(info.shape[: info.ndim])
        self.row_bytes = info.row_bytes
        self.mapped_rows = info.mapped_rows
        # All rows as one array, once it is known that they lie so.
        self.whole: np.ndarray | None = None
        self._read = _reading()
        self._number = c_uint32(number)
        self._spans: tuple[list[int], list] | None = None

    def closed(self, handle: Handle) -> Stored:
        """What is still known of the column, and no way to read it."""
        other = object.__new__(Stored)
        for name in Stored.__slots__:
            setattr(other, name, getattr(self, name))
        other.handle, other.whole, other._spans = handle, None, None
        return other

    def get(self, index) -> np.ndarray:
        """The tensor of the row, or the tensors of the rows, that an index selects."""
        if type(index) is slice:
            first, stop, step = index.indices(self.rows)
            if step == 1:
                return self.read_range(first, max(stop - first, 0))
        if isinstance(index, np.ndarray) and index.ndim:
            return self.read(_select.rows(index, self.rows))
        if isinstance(index, np.integer):
            return self.row(int(index))
        chosen = _select.chosen(index, self.rows)
        if isinstance(chosen, np.ndarray):
            return self.read(chosen)
        if isinstance(chosen, range):
            return self.read_range(chosen.start, len(chosen))
        return self.row(chosen)

    def row(self, row: int) -> np.ndarray:
        """The tensor of one row: memory of the mapped file, or a copy if the row is not mapped."""
        if not 0 <= row < self.rows:
            raise out_of_range(row, self.rows)
        if self.whole is not None:
            return self.whole[row]
        view = self._view(row)
        return self.read(np.array([row]))[0, ...] if view is None else view

    def _view(self, row: int) -> np.ndarray | None:
        """The memory of a row, if there is such a row and it is mapped."""
        if not 0 <= row < self.rows:
            return None
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
            spans = self._spans = _spans.find(self.handle, self.number, self.rows)
        return spans

    def _run(self, stacks: list, number: int) -> np.ndarray | None:
        stack = stacks[number]
        if type(stack) is c.Span:
            stack = stacks[number] = self._stack(stack)
        return stack

    def _stack(self, span: c.Span) -> np.ndarray | None:
        memory = _spans.memory(self.handle, self.number, span)
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
        if self._read(self.handle, self._number, begin(rows), c_uint64(count), address(array), size):
            raise error_of(rows, self.rows)

    def copy(self, row: int, array: np.ndarray) -> bool:
        """As `read_into`, of one row, in less time than a call of librds takes; false if that cannot be."""
        whole = self.whole
        if whole is not None and 0 <= row < self.rows:
            array[0] = whole[row]
            return True
        view = self._view(row)
        if view is None:
            return False
        array[0] = view
        return True

    def take(self, rows, out=None):
        """The tensors of rows in memory that may be written: that of `out`, if it is given."""
        if out is not None and type(rows) is list and len(rows) == 1 and type(rows[0]) is int:
            # An array of one row would take as long as the row.
            target = _select.target(out, (1, *self.shape), self.dtype)
            if self.copy(rows[0], target):
                return out
        chosen = _select.rows(np.asarray(rows), self.rows)
        shape = (len(chosen), *self.shape)
        if out is None:
            target = out = np.empty(shape, self.dtype)
        else:
            target = _select.target(out, shape, self.dtype)
        self.read_into(chosen, target)
        return out

    def read_range(self, first: int, count: int) -> np.ndarray:
        """The tensors of `count` rows from `first` on."""
        view = self.view() if self.whole is None else self.whole
        if view is not None:
            array = view[first : first + count].copy()
        else:
            array = np.empty((count, *self.shape), self.dtype)
            size = array.nbytes
            library().rds_reader_read_range(self.handle, self.number, first, count, address(array), size)
        array.setflags(write=False)
        return array

    def dlpack(self) -> c_void_p:
        """All rows as a DLManagedTensorVersioned."""
        tensor = c_void_p()
        library().rds_reader_dlpack(self.handle, self.number, 0, self.rows, byref(tensor))
        return tensor


def error_of(rows: np.ndarray, count: int) -> Exception:
    """The last error of librds, which was asked for rows of a table of `count` rows."""
    error = last_error()
    # To librds a negative number is one beyond all rows.
    if isinstance(error, OutOfRangeError) and rows.min() < 0:
        check(rows, count)
    return error


def check(rows: np.ndarray, count: int) -> None:
    """Names the first of the rows that is out of range, a negative one before others."""
    odd = np.flatnonzero(rows < 0)
    if not len(odd):
        odd = np.flatnonzero(rows >= count)
    if len(odd):
        raise out_of_range(int(rows[odd[0]]), count)


def out_of_range(row: int, count: int) -> OutOfRangeError:
    return OutOfRangeError(f"row {row} is out of range (the table has {count} rows)")
