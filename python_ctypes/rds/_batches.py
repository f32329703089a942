"""The batches of Hyrax's earlier format, read in pieces that fit into memory whatever their size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import legacy
from ._errors import CorruptError, MissingResultsError, NotFoundError, SchemaMismatchError

PIECE_BYTES = 8 << 20
_INDEX = "batch_index.npy"
_INDEX_ROWS_AT_ONCE = 1 << 17


class Piece(NamedTuple):
    """Consecutive rows of one batch file, mapped."""

    path: Path
    ids: np.ndarray
    tensors: np.ndarray

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """The tensors by column: `data`, or those of a `tensor` that has fields."""
        names = self.tensors.dtype.names
        return {"data": self.tensors} if names is None else {name: self.tensors[name] for name in names}

    @property
    def size(self) -> int:
        return self.ids.nbytes + self.tensors.nbytes


class Batches:
    """The batch files of a directory in numeric order, each with as many rows as the index says.

    `rows` is the number of rows of the index. The errors name the file that does not fit.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        if not directory.is_dir():
            raise MissingResultsError(f"{directory} is no directory")
        self.files: dict[int, Path] = dict(legacy.batches(directory))
        if not self.files:
            raise MissingResultsError(f"{directory} has no batch_<n>.npy: there is nothing to convert")
        self._counts = _count_rows(directory / _INDEX, max(self.files))
        self.rows = int(self._counts.sum())
        for number in np.flatnonzero(self._counts):
            if int(number) not in self.files:
                rows = self._counts[number]
                missing = directory / f"batch_{number}.npy"
                raise CorruptError(f"{missing} is missing: {_INDEX} has {rows} rows of it")

    def pieces(self) -> Iterator[Piece]:
        """All rows, in order."""
        for number, path in self.files.items():
            batch = open_batch(path)
            if len(batch) != self._counts[number]:
                raise CorruptError(
                    f"{path} has {len(batch)} rows, {_INDEX} has {self._counts[number]} of them"
                )
            step = max(PIECE_BYTES // batch.dtype.itemsize, 1)
            for start in range(0, len(batch), step):
                part = batch[start : start + step]
                yield Piece(path, part["id"], part["tensor"])

    def groups(self) -> Iterator[list[Piece]]:
        """All rows, in order, as many pieces at once as fit into memory."""
        group: list[Piece] = []
        size = 0
        for piece in self.pieces():
            if group and size + piece.size > PIECE_BYTES:
                yield group
                group, size = [], 0
            group.append(piece)
            size += piece.size
        if group:
            yield group


def open_batch(path: Path) -> np.ndarray:
    """The rows of one batch file, mapped."""
    batch = _open(path)
    names = batch.dtype.names or ()
    if batch.ndim != 1 or "id" not in names or "tensor" not in names:
        raise SchemaMismatchError(
            f"{path}: expected rows with the fields id and tensor, got {batch.dtype} {list(batch.shape)}"
        )
    return batch


def _count_rows(path: Path, last: int) -> np.ndarray:
    """How many rows the index has of each batch."""
    if not path.exists():
        raise NotFoundError(f"{path} is missing: the run that wrote these batches did not end")
    index = _open(path)
    if index.ndim != 1 or "batch_num" not in (index.dtype.names or ()):
        raise SchemaMismatchError(f"{path}: expected rows with the field batch_num, got {index.dtype}")
    counts = np.zeros(last + 1, np.int64)
    for start in range(0, len(index), _INDEX_ROWS_AT_ONCE):
        # Mapped anew, so that the ids beside the numbers do not add up in memory.
        numbers = _open(path)["batch_num"][start : start + _INDEX_ROWS_AT_ONCE]
        odd = numbers[(numbers < 0) | (numbers > last)]
        if len(odd):
            missing = path.with_name(f"batch_{odd[0]}.npy")
            raise CorruptError(f"{missing} is missing: {_INDEX} has rows of it")
        counts += np.bincount(numbers, minlength=last + 1)
    return counts


def _open(path: Path) -> np.ndarray:
    try:
        # Not as the subclass that NumPy makes of it, whose every slice takes several times as long.
        return np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    except (ValueError, EOFError) as error:
        raise CorruptError(f"{path}: {error}") from error
