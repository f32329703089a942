"""Which columns an Arrow export has."""

from __future__ import annotations

from ctypes import c_uint32
from typing import TypeVar

from . import _structs as c
from ._errors import InvalidArgumentError
from ._stored import Stored

Options = TypeVar("Options", c.SelectOptions, c.StreamOptions)


class Selection:
    """Ids, if it has them, and then tensors; the `whole` table has all."""

    __slots__ = ("_flags", "_numbers", "has_ids", "tensors")

    def __init__(self, has_ids: bool, tensors: list[Stored], whole: bool = False):
        if not has_ids and not tensors:
            raise InvalidArgumentError("columns names no column")
        self.has_ids = has_ids
        self.tensors = tensors
        self._numbers = None if whole else (c_uint32 * len(tensors))(*(one.number for one in tensors))
        self._flags = (0 if has_ids else c.SELECT_NO_IDS) | (0 if tensors else c.SELECT_NO_TENSORS)

    def options(self, options: Options, flags: int = 0) -> Options:
        """Puts the columns into options of librds."""
        if self._numbers:
            options.columns, options.column_count = self._numbers, len(self._numbers)
        options.flags = self._flags | flags
        return options
