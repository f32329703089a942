"""Reading results in Hyrax's earlier format: `batch_<n>.npy` files and an index."""

from __future__ import annotations

import functools
import operator
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import _select
from ._errors import CorruptError, MissingResultsError, NotResultsError, OutOfRangeError

_BATCH = re.compile(r"batch_(\d+)\.npy")
_INDEX = "batch_index.npy"
_OPEN_BATCHES = 256


def batches(directory: str | os.PathLike[str]) -> Iterator[tuple[int, Path]]:
    """The number and the path of each `batch_<n>.npy` of a directory, in numeric order."""
    named = ((_BATCH.fullmatch(path.name), path) for path in Path(directory).iterdir())
    return iter(sorted((int(match[1]), path) for match, path in named if match))


class InferenceDataset:
    """Results in Hyrax's earlier format, to be read only; rows are in the order of `batch_index.npy`.

    Deprecated: `rds convert` makes a table of them, for `ResultDataset`.

    Parameters
    ----------
    config : dict
        Kept as it is; may be empty.
    data_location : str or path
        The directory with `batch_<n>.npy` and `batch_index.npy`. Batches are mapped as they are read.

    Attributes
    ----------
    config, data_location
        As they were given.
    tensor_shape : list of int
        The shape of the tensor of one row; `[]` for a scalar.
    tensor_dtype : numpy.dtype
        Its dtype, as the files have it.

    Raises
    ------
    RuntimeError
        There is no index, which is a FileNotFoundError too, or a file is none of this format.
    """

    def __init__(self, config: Mapping[str, Any], data_location: str | os.PathLike[str]):
        warnings.warn(
            f"{data_location} holds results in an earlier format, whose support will end; "
            f"`rds convert {data_location} OUTPUT` makes a table of them",
            DeprecationWarning,
            stacklevel=2,
        )
        self.config = config
        self.data_location = data_location
        self._directory = Path(data_location).absolute()
        index = _load(self._directory / _INDEX, ("id", "batch_num"))
        self._ids = index["id"]
        self._batch_of = index["batch_num"]
        self._place_of = _ranks(self._batch_of)
        self._open = functools.lru_cache(_OPEN_BATCHES)(self._open_batch)
        self._tensor_type = self._first_tensor_type()
        self.tensor_dtype: np.dtype = self._tensor_type.base
        self.tensor_shape: list[int] = list(self._tensor_type.shape)

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index) -> np.ndarray:
        """The tensor of one row, `tensor_shape`, or of k rows, `(k, *tensor_shape)`; read-only.

        As with `ResultDataset`: rows from 0 to len - 1 in any order, a slice, or a mask.
        """
        if isinstance(index, slice):
            return self._read(np.arange(*index.indices(len(self))))
        try:
            row = operator.index(index)
        except TypeError:
            return self._read(_select.rows(np.asarray(index), len(self)))
        return self._read(np.array([row]))[0, ...]

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self.__getitem__, range(len(self)))

    def get_data(self, index) -> np.ndarray:
        """As `dataset[index]`.

        Parameters
        ----------
        index : int, slice, or sequence of int or of bool
            A row, or rows.

        Returns
        -------
        numpy.ndarray
            The tensor of a row, or those of rows, stacked; read-only.

        Raises
        ------
        IndexError
            There is no such row.
        """
        return self[index]

    def get_object_id(self, index) -> str:
        """The id of one row.

        Parameters
        ----------
        index : int
            The row, from 0 to len - 1.

        Returns
        -------
        str
            The id; an integer as its decimal text.

        Raises
        ------
        IndexError
            There is no such row.
        """
        row = operator.index(index)
        self._check(np.array([row]))
        return _text(self._ids[row : row + 1])[0]

    def ids(self) -> list[str]:
        """The ids of all rows.

        Returns
        -------
        list of str
            In row order.
        """
        return _text(self._ids)

    def __get_all__(self) -> np.ndarray:
        """The tensors of all rows, `(len, *tensor_shape)`."""
        return self[:]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """The tensors of all rows; always a copy."""
        if copy is False:
            raise ValueError("the rows lie in many files; an array of them is always a copy")
        array = self[:]
        return array.copy() if copy and dtype is None else array.astype(dtype or array.dtype, copy=bool(copy))

    def __repr__(self):
        rows = f"{len(self)} rows of {self.tensor_dtype} {self.tensor_shape}"
        return f"<InferenceDataset {str(self.data_location)!r}, {rows}>"

    def __reduce__(self):
        return _reopen, (type(self), self.config, self.data_location, self._directory)

    def _first_tensor_type(self) -> np.dtype:
        if not len(self):
            raise NotResultsError(f"{self._directory / _INDEX} has no rows")
        tensors, _ = self._open(int(self._batch_of[0]))
        return np.dtype((tensors.dtype, tensors.shape[1:]))

    def _read(self, rows: np.ndarray) -> np.ndarray:
        self._check(rows)
        array = np.empty((len(rows), *self.tensor_shape), self.tensor_dtype)
        numbers = self._batch_of[rows]
        for number in np.unique(numbers):
            wanted = np.flatnonzero(numbers == number)
            tensors, order = self._open(int(number))
            places = self._place_of[rows[wanted]]
            if places.max(initial=0) >= len(order):
                raise CorruptError(f"{_name(self._directory, number)} has fewer rows than {_INDEX} has of it")
            array[wanted] = tensors[order[places]]
        array.setflags(write=False)
        return array

    def _check(self, rows: np.ndarray) -> None:
        odd = np.flatnonzero((rows < 0) | (rows >= len(self)))
        if len(odd):
            raise OutOfRangeError(
                f"row {rows[odd[0]]} is out of range (the index has {len(self)} rows)"
            )

    def _open_batch(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The tensors of a batch, and its rows in the order of their ids, which is that of the index."""
        batch = _load(_name(self._directory, number), ("id", "tensor"))
        return batch["tensor"], np.argsort(batch["id"], kind="stable")


def _reopen(cls, config, data_location, directory):
    with warnings.catch_warnings():
        # Whoever pickled it has been told.
        warnings.simplefilter("ignore", DeprecationWarning)
        dataset = cls(config, directory)
    dataset.data_location = data_location
    return dataset


def _name(directory: Path, number: int) -> Path:
    return directory / f"batch_{number}.npy"


def _load(path: Path, fields: tuple[str, str]) -> np.ndarray:
    """The rows of a file, mapped."""
    if not path.exists():
        raise MissingResultsError(f"{path} does not exist: there are no results of the earlier format")
    try:
        rows = _map(path)
    except (ValueError, EOFError) as error:
        raise CorruptError(f"{path}: {error}") from error
    if rows.ndim != 1 or not set(fields) <= set(rows.dtype.names or ()):
        wanted = " and ".join(fields)
        raise NotResultsError(f"{path}: expected rows with the fields {wanted}, got {rows.dtype}")
    return rows


def _map(path: Path) -> np.ndarray:
    for _ in range(100):
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
        except SystemError as error:
            # Python before 3.11.8 and 3.12.2 counts the depth of what all threads parse in one place
            # (https://github.com/python/cpython/issues/106905), and NumPy parses the header of a file.
            failed = error
    raise failed


def _ranks(groups: np.ndarray) -> np.ndarray:
    """For each row, how many rows of the same group come before it."""
    order = np.argsort(groups, kind="stable")
    _, first, counts = np.unique(groups[order], return_index=True, return_counts=True)
    ranks = np.empty(len(groups), np.int64)
    ranks[order] = np.arange(len(groups)) - np.repeat(first, counts)
    return ranks


def _text(ids: np.ndarray) -> list[str]:
    if ids.dtype.kind == "S":
        return np.char.decode(ids, "utf-8").tolist()
    return ids.astype(str).tolist()
