"""Whether a table has every id and every tensor that it should, bit for bit."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from ctypes import string_at

import numpy as np

from . import _arrow, _dtypes, _utf8
from . import _structs as c
from ._batches import Batches, Piece
from ._errors import CorruptError, NotSupportedError
from ._progress import Progress, reporting
from .reader import ResultDataset

_BYTES_AT_ONCE = 8 << 20
_ROWS_AT_ONCE = 1 << 15
# Of the offsets of strings, by the format of the column: utf8, large_utf8.
_OFFSETS: dict[bytes, np.dtype] = {b"u": np.dtype(np.int32), b"U": np.dtype(np.int64)}


class MismatchError(CorruptError):
    """What was read is not what was written."""


def compare(
    batches: Batches,
    location: str | os.PathLike[str],
    progress: Progress,
    columns: Sequence[str] | None = None,
) -> None:
    """Raises a MismatchError that names the first row whose id or tensor is not that of the batches."""
    first = 0
    for group in batches.groups():
        # Opened anew for each group: what a reader maps is memory of this process until it is closed.
        with ResultDataset({}, location) as dataset:
            if len(dataset) != batches.rows:
                raise MismatchError(f"the table has {len(dataset)} rows, the batches {batches.rows}")
            first = _compare_group(dataset, group, first, columns)
        progress("verify", first, batches.rows)


def check(
    location: str | os.PathLike[str],
    progress: Progress | None = None,
    columns: Sequence[str] | None = None,
) -> int:
    """Reads every id and every tensor of the columns, those of mapped files also through Lance, and compares
    the two.

    Returns the number of rows.
    """
    with reporting(progress) as report:
        with ResultDataset({}, location) as dataset:
            rows = len(dataset)
            chosen = [dataset[name] for name in columns or dataset.columns]
            row_bytes = sum(column._stored.row_bytes for column in chosen)
            step = min(_ROWS_AT_ONCE, max(_BYTES_AT_ONCE // row_bytes, 1))
            names = [column.name for column in chosen]
            if dataset._snapshot.info.has_ids:
                dataset.ids()
        for first in range(0, rows, step):
            stop = min(first + step, rows)
            with (
                ResultDataset({}, location) as mapped,
                ResultDataset({}, location, access="lance") as lance,
            ):
                for name in names:
                    got, expected = mapped[name][first:stop], lance[name][first:stop]
                    _same_tensors(name, got, expected, first, "that Lance reads")
            report("verify", stop, rows)
    return rows


def _compare_group(
    dataset: ResultDataset, group: list[Piece], first: int, columns: Sequence[str] | None
) -> int:
    """Compares the rows of a group with those from `first` on; returns the row after them."""
    row = first
    for piece in group:
        tensors, stop = piece.columns, row + len(piece.ids)
        if set(tensors) != set(dataset.columns):
            have = f"{list(dataset.columns)}, {piece.path} {list(tensors)}"
            raise MismatchError(f"the table has the columns {have}")
        for name in columns or tensors:
            column, expected = dataset[name], tensors[name]
            dtype, shape = _dtypes.native(expected.dtype), expected.shape[1:]
            if (dtype, shape) != (column.dtype, column.shape):
                have = f"{name} of {column.dtype} {list(column.shape)}"
                raise MismatchError(f"the table has {have}, {piece.path} of {dtype} {list(shape)}")
            _same_tensors(name, column[row:stop], expected, row, f"in {piece.path}")
        row = stop
    _same_ids(dataset, [text for piece in group for text in _texts(piece.ids)], first)
    return row


def _same_tensors(name: str, got: np.ndarray, expected: np.ndarray, first: int, where: str) -> None:
    got, expected = _bits(got), _bits(expected)
    if not np.array_equal(got, expected):
        row = first + int(np.flatnonzero((got != expected).any(axis=1))[0])
        what = "the tensor" if name == "data" else f"the tensor of {name}"
        raise MismatchError(f"row {row}: {what} is not the one {where}")


def _same_ids(dataset: ResultDataset, expected: list[str], first: int) -> None:
    stop = first + len(expected)
    text, offsets = _utf8_of(expected)
    parts = list(_utf8_in(dataset, first, stop))
    lengths = np.concatenate([lengths for _, lengths in parts])
    if b"".join(part for part, _ in parts) == text and np.array_equal(lengths, np.diff(offsets)):
        return
    for row in range(first, stop):
        found = dataset.get_object_id(row)
        if found != expected[row - first]:
            break
    raise MismatchError(f"row {row}: the id is {found!r}, in the batches it is {expected[row - first]!r}")


def _utf8_of(texts: list[str]) -> tuple[bytes, np.ndarray]:
    """The bytes of all texts, and where each begins and the last one ends."""
    text = "".join(texts)
    data = text.encode()
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), out=offsets[1:])
    if len(text) != len(data):
        offsets = _utf8.byte_offsets(np.frombuffer(data, np.uint8), offsets)
    return data, offsets


def _utf8_in(dataset: ResultDataset, first: int, stop: int) -> Iterator[tuple[bytes, np.ndarray]]:
    """Ids of a table, without loading those of other rows: their bytes, and the length of each."""
    rows = dataset.stream(columns="object_id", batch_size=_ROWS_AT_ONCE, rows=slice(first, stop))
    for schema, batch in _arrow.batches_of_others(rows):
        dtype = _OFFSETS.get(schema.children[0].contents.format)
        if dtype is None:
            raise NotSupportedError("the ids of the table are of a type that cannot be compared")
        yield _utf8_column(batch.children[0].contents, dtype)


def _utf8_column(column: c.ArrowArray, dtype: np.dtype) -> tuple[bytes, np.ndarray]:
    if column.null_count:
        raise MismatchError("an id of the table is null")
    width = dtype.itemsize
    address = column.buffers[1] + width * column.offset
    offsets = np.frombuffer(string_at(address, width * (column.length + 1)), dtype)
    begin, end = int(offsets[0]), int(offsets[-1])
    text = string_at(column.buffers[2] + begin, end - begin) if end > begin else b""
    return text, np.diff(offsets)


def _texts(ids: np.ndarray) -> list[str]:
    """Ids as the table has them."""
    if ids.dtype.kind == "S":
        return np.char.decode(ids, "utf-8").tolist()
    return ids.astype(np.str_).tolist()


def _bits(array: np.ndarray) -> np.ndarray:
    """The bytes of each row, in the byte order of this machine."""
    if not array.dtype.isnative:
        array = array.byteswap()
    bits = np.ascontiguousarray(array).reshape(len(array), -1).view(np.uint8)
    return bits.view(np.uint64) if bits.shape[1] % 8 == 0 else bits
