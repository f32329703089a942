"""Rows as an Arrow record batch."""

from __future__ import annotations

from ctypes import byref

import numpy as np

from . import _arrow, _spans
from . import _structs as c
from ._errors import InvalidArgumentError, NotSupportedError, UnknownColumnError
from ._library import library
from ._selection import Selection
from ._snapshot import Snapshot


class Batch:
    """Rows of a dataset as one Arrow record batch, for whatever speaks Arrow.

    `pyarrow.record_batch(batch)`, `polars.DataFrame(batch)` and the like read it, any number of times;
    rows that follow each other and are mapped, without a copy. `batch["embedding"]` is the tensors of a
    column, and `numpy.asarray(batch)` those of its only one: read-only, without a copy of the batch but
    for bool, which Arrow packs into bits. All stay valid whatever becomes of the batch, the dataset and
    the files.
    """

    __slots__ = ("_array", "_rows", "_selection", "_snapshot")

    def __init__(
        self,
        snapshot: Snapshot,
        selection: Selection,
        rows: range | np.ndarray,
        array: _arrow.OwnedArray | None = None,
    ):
        self._snapshot = snapshot
        self._selection = selection
        self._rows = rows
        # Made when it is first needed; consumers get others, of their own.
        self._array = array

    def __len__(self) -> int:
        return len(self._rows)

    def __arrow_c_array__(self, requested_schema=None):
        """The batch as two capsules; the schema is the table's, whatever was requested."""
        return self.__arrow_c_schema__(), _arrow.capsule(self._fill(c.ArrowArray()))

    def __arrow_c_schema__(self):
        """The schema of the batch, as the Arrow PyCapsule interface has it."""
        schema = c.ArrowSchema()
        self._snapshot.schema(self._selection, schema)
        return _arrow.capsule(schema)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """The tensors as an array `(len(batch), *tensor_shape)`."""
        tensors = self._selection.tensors
        if len(tensors) != 1:
            names = ", ".join(repr(column.name) for column in tensors) or "no tensors"
            raise InvalidArgumentError(f"the batch has {names}; one column is expected, as batch[name]")
        array = self._tensors(0)
        if dtype is not None and np.dtype(dtype) != array.dtype:
            if copy is False:
                wanted = np.dtype(dtype)
                raise InvalidArgumentError(f"tensors of {array.dtype} are no {wanted} without a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __getitem__(self, name: str) -> np.ndarray:
        """The tensors of a column, `(len(batch), *shape)`; KeyError if the batch has none of that name."""
        names = [column.name for column in self._selection.tensors]
        if name not in names:
            raise UnknownColumnError(f"no tensors {name!r}; the batch has {names}")
        return self._tensors(names.index(name))

    def __repr__(self):
        return f"<Batch of {len(self)} rows>"

    def _fill(self, array: c.ArrowArray) -> c.ArrowArray:
        """Makes `array` this batch."""
        if isinstance(self._rows, range):
            options = c.StreamOptions(
                first_row=self._rows[0],
                row_count=len(self._rows),
                batch_rows=len(self._rows),
            )
            self._selection.options(options)
            stream = _arrow.OwnedStream()
            library().rds_reader_stream(self._snapshot.handle, byref(options), byref(stream))
            _arrow.next_batch(stream, array)
        else:
            self._snapshot.take(self._rows, self._selection, array)
        return array

    def _tensors(self, number: int) -> np.ndarray:
        batch = self._array
        if batch is None:
            batch = self._array = _arrow.OwnedArray()
            self._fill(batch)
        stored = self._selection.tensors[number]
        # Ids come first.
        column = batch.children[batch.n_children - len(self._selection.tensors) + number].contents
        numbers = _spans.numbers_of(column)
        if column.null_count or numbers.null_count:
            raise NotSupportedError("a tensor of the batch is null")
        dtype, shape = stored.dtype, stored.shape
        if not len(self):
            return np.empty((0, *shape), dtype)
        # Numbers as Arrow has them: two for one complex number.
        width_of_row = int(np.prod(shape, dtype=np.int64)) * (2 if dtype.kind == "c" else 1)
        width = dtype.itemsize // 2 if dtype.kind == "c" else dtype.itemsize
        first = (batch.offset + column.offset) * width_of_row
        if numbers is not column:
            first += numbers.offset
        address, count = numbers.buffers[1], len(self) * width_of_row
        if dtype == np.bool_:
            return _bits(batch, address, first, count).reshape(-1, *shape)
        memory = np.asarray(_spans.Mapped(batch, address + first * width, count * width))
        return memory.view(dtype).reshape(-1, *shape)


def _bits(batch: _arrow.OwnedArray, address: int, first: int, count: int) -> np.ndarray:
    packed = np.asarray(_spans.Mapped(batch, address, (first + count + 7) // 8))
    array = np.unpackbits(packed, bitorder="little")[first : first + count].view(np.bool_)
    array.setflags(write=False)
    return array
