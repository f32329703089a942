"""The strings of an Arrow array, read where they lie."""

from __future__ import annotations

import ctypes
from ctypes import c_char

import numpy as np

from . import _structs as c
from . import _utf8
from ._errors import NotSupportedError


class Strings:
    """The strings of an array of large_utf8, which it keeps alive."""

    __slots__ = ("_array", "_bytes", "_nulls", "_offsets")

    def __init__(self, array: c.ArrowArray):
        self._array = array
        count = array.length
        # An array of nothing need not have memory.
        self._offsets = _memory(array.buffers[1], 8 * array.offset, 8 * (count + 1) if count else 0).cast("q")
        self._bytes = _memory(array.buffers[2], 0, self._offsets[-1] if count else 0)
        self._nulls = _nulls(array)

    def __getitem__(self, row: int) -> str:
        if row in self._nulls:
            raise NotSupportedError(f"the id of row {row} is null")
        return str(self._bytes[self._offsets[row] : self._offsets[row + 1]], "utf-8")

    def tolist(self) -> list[str]:
        if self._nulls:
            raise NotSupportedError(f"the id of row {min(self._nulls)} is null")
        offsets = np.frombuffer(self._offsets, np.int64)
        text = str(self._bytes, "utf-8")
        if len(text) != len(self._bytes):
            offsets = _utf8.character_offsets(np.frombuffer(self._bytes, np.uint8), offsets)
        bounds = offsets.tolist()
        return list(map(text.__getitem__, map(slice, bounds, bounds[1:])))


def _memory(address: int | None, offset: int, size: int) -> memoryview:
    if not size or address is None:
        return memoryview(b"")
    return memoryview((c_char * size).from_address(address + offset)).cast("B")


def _nulls(array: c.ArrowArray) -> frozenset[int]:
    if not array.null_count or not array.buffers[0]:
        return frozenset()
    end = array.offset + array.length
    valid = np.frombuffer(_memory(array.buffers[0], 0, (end + 7) // 8), np.uint8)
    valid = np.unpackbits(valid, bitorder="little")[array.offset : end]
    return frozenset(np.flatnonzero(valid == 0).tolist())
