"""Rows of mapped files as memory that NumPy may keep."""

from __future__ import annotations

from ctypes import byref, c_uint32, c_void_p

import numpy as np

from . import _arrow
from . import _structs as c
from ._library import library

# More than a span can have: one batch of a stream is then one span.
_ALL_ROWS = 2**64 - 1


def find(handle: c_void_p, column: int, rows: int) -> tuple[list[int], list]:
    """The first row of each run of rows, and the runs: a span, or None for rows without memory."""
    firsts, spans = [], []
    row = 0
    while row < rows:
        span = c.Span()
        library().rds_reader_span(handle, column, row, byref(span))
        firsts.append(row)
        spans.append(span if span.data else None)
        row = span.first_row + span.row_count
    return firsts, spans


def memory(handle: c_void_p, column: int, span: c.Span) -> np.ndarray | None:
    """The bytes of a span, mapped for as long as any array over them lives."""
    options = c.StreamOptions(
        columns=(c_uint32 * 1)(column),
        column_count=1,
        flags=c.SELECT_NO_IDS,
        first_row=span.first_row,
        row_count=span.row_count,
        batch_rows=_ALL_ROWS,
    )
    stream = c.ArrowArrayStream()
    library().rds_reader_stream(handle, byref(options), byref(stream))
    batch = next(_arrow.batches(stream))
    # What the handle lends goes with the handle; a batch is the same memory, to be kept.
    values = numbers_of(batch.children[0].contents)
    if batch.length != span.row_count or values.buffers[1] != span.data:
        return None
    return np.asarray(Mapped(batch, span.data, span.row_count * span.stride))


def numbers_of(column: c.ArrowArray) -> c.ArrowArray:
    """The numbers of a column of lists; a column of scalars may be numbers itself."""
    return column.children[0].contents if column.n_children else column


class Mapped:
    """Memory that an Arrow array keeps, read-only: what NumPy makes an array of."""

    __slots__ = ("__array_interface__", "_batch")

    def __init__(self, batch: c.ArrowArray, address: int, size: int):
        self._batch = batch
        read_only = True
        self.__array_interface__ = {
            "version": 3,
            "typestr": "|u1",
            "shape": (size,),
            "data": (address, read_only),
        }
