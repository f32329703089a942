"""Rows of several columns at once, in one call of librds."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable
from ctypes import c_size_t

import numpy as np

from ._address import number_of
from ._library import unchecked
from ._stored import Stored, error_of

# An rds_rows and an rds_target, packed in a tenth of the time that a struct of ctypes takes.
_ROWS = struct.Struct("@NPQQq")
_TARGET = "NPNNII"
_TARGET_BYTES = struct.calcsize("@" + _TARGET)


@functools.cache
def _gathering() -> Callable[..., int]:
    return unchecked("rds_reader_gather")


@functools.cache
def _targets(count: int) -> Callable[..., bytes]:
    return struct.Struct("@" + count * _TARGET).pack


def into(rows: np.ndarray, targets: list[tuple[Stored, np.ndarray]]) -> None:
    """Puts the tensors of rows, contiguous 64-bit integers, into an array for each column."""
    if not targets:
        return
    count = len(rows)
    if count == 1:
        row = rows.item()
        # Rows of mapped files, as a rule.
        if all([stored.copy(row, array) for stored, array in targets]):
            return
    fields: list[int] = []
    for stored, array in targets:
        fields += _TARGET_BYTES, number_of(array), count * stored.row_bytes, 0, stored.number, 0
    wanted = _ROWS.pack(_ROWS.size, number_of(rows), count, 0, 0)
    if _gathering()(stored.handle, wanted, _targets(len(targets))(*fields), c_size_t(len(targets))):
        raise error_of(rows, stored.rows)


def read(rows: np.ndarray, columns: Iterable[Stored]) -> dict[str, np.ndarray]:
    """The tensors of rows by column, in memory that may be written."""
    count = len(rows)
    targets = [(stored, np.empty((count, *stored.shape), stored.dtype)) for stored in columns]
    into(rows, targets)
    return {stored.name: array for stored, array in targets}
