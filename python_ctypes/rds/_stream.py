"""Rows as a stream of Arrow record batches."""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import byref

import numpy as np

from . import _arrow
from . import _structs as c
from ._batch import Batch
from ._library import library
from ._selection import Selection
from ._snapshot import Snapshot

BATCH_ROWS = 8192


class Stream:
    """Rows of a dataset, batch after batch, for whatever speaks Arrow; it may be read again.

    `pyarrow.table(stream)`, `polars.DataFrame(stream)` and the like read all of it, iteration gives
    one `Batch` after the other. Batches are made as they are asked for: memory holds those that
    somebody keeps.
    """

    __slots__ = ("_batch_rows", "_rows", "_selection", "_snapshot")

    def __init__(
        self, snapshot: Snapshot, selection: Selection, batch_rows: int, rows: range | np.ndarray
    ):
        self._snapshot = snapshot
        self._selection = selection
        self._batch_rows = batch_rows
        self._rows = rows

    def __iter__(self) -> Iterator[Batch]:
        if not isinstance(self._rows, range):
            return (Batch(self._snapshot, self._selection, part) for part in self._parts())
        return self._batches_of_range() if self._rows else iter(())

    def __arrow_c_stream__(self, requested_schema=None):
        """The batches as one capsule; the schema is the table's, whatever was requested."""
        return _arrow.capsule(self._exported())

    def __arrow_c_schema__(self):
        """The schema of the batches, as the Arrow PyCapsule interface has it."""
        schema = c.ArrowSchema()
        self._make_schema(schema)
        return _arrow.capsule(schema)

    def __repr__(self):
        return f"<Stream of {len(self._rows)} rows>"

    def _make_schema(self, schema: c.ArrowSchema) -> None:
        self._snapshot.schema(self._selection, schema)

    def _exported(self) -> c.ArrowArrayStream:
        options = c.StreamOptions(row_count=len(self._rows), batch_rows=self._batch_rows)
        if isinstance(self._rows, range) and self._rows:
            self._selection.options(options)
            options.first_row = self._rows[0]
        else:
            self._selection.options(options, c.STREAM_ROWS)
            rows = np.asarray(self._rows)
            options.rows = rows.ctypes.data
        stream = c.ArrowArrayStream()
        library().rds_reader_stream(self._snapshot.handle, byref(options), byref(stream))
        return stream

    def _batches_of_range(self) -> Iterator[Batch]:
        first = self._rows[0]
        for array in _arrow.batches(self._exported()):
            rows = range(first, first + array.length)
            yield Batch(self._snapshot, self._selection, rows, array)
            first = rows.stop

    def _parts(self) -> Iterator[np.ndarray]:
        rows, step = np.asarray(self._rows), self._batch_rows
        return (rows[start : start + step] for start in range(0, len(rows), step))
