"""One of the named tensors of a dataset: `Column`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from . import _dlpack, _interop
from ._stored import Stored

if TYPE_CHECKING:
    from .reader import ResultDataset


class Column:
    """The tensors of one column of a `ResultDataset`, which `dataset["embedding"]` gives.

    It shows the version that the dataset shows: after a `refresh` of the dataset the newer one. It may be
    used from any number of threads, and is pickled as its dataset and its name.

    Parameters
    ----------
    dataset : ResultDataset
        The dataset.
    name : str
        The name of the column; a KeyError if there is none.

    Attributes
    ----------
    name : str
        The name of the column.
    dtype : numpy.dtype
        The dtype of its tensors.
    shape : tuple of int
        The shape of the tensor of one row; `()` for a scalar.
    """

    __slots__ = ("__weakref__", "_dataset", "_name")

    def __init__(self, dataset: ResultDataset, name: str):
        dataset._snapshot.column(name)
        self._dataset = dataset
        self._name = name

    @property
    def _stored(self) -> Stored:
        return self._dataset._snapshot.stored[self._name]

    @property
    def name(self) -> str:
        return self._name

    @property
    def dtype(self) -> np.dtype:
        return self._stored.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self._stored.shape

    def __len__(self) -> int:
        return self._stored.rows

    def __getitem__(self, index) -> np.ndarray:
        """The tensor of one row, or the tensors of many, stacked.

        Parameters
        ----------
        index : int, slice, or sequence of int or of bool
            As for `ResultDataset`.

        Returns
        -------
        numpy.ndarray
            Read-only, of `dtype`. Of one row: `shape`, the memory of the mapped file itself where the row
            is mapped. Of k rows: `(k, *shape)`, a copy.

        Raises
        ------
        IndexError
            There is no such row, or `index` is none of these.
        """
        stored = self._dataset._snapshot.stored[self._name]
        if type(index) is int:
            return stored.row(index)
        return stored.get(index)

    def __iter__(self) -> Iterator[np.ndarray]:
        stored = self._stored
        return map(stored.row, range(stored.rows))

    def __getitems__(self, rows) -> list[np.ndarray]:
        """The tensors of rows, one by one, for a `torch.utils.data.DataLoader`."""
        return list(self._stored.take(rows))

    def _getitems(self, rows) -> list:
        """As `__getitems__`: what a pipeline of Grain asks."""
        return self.__getitems__(rows)

    def take(self, rows, out=None):
        """The tensors of rows, stacked, in memory that may be written.

        Parameters
        ----------
        rows : sequence of int or of bool
            Rows in any order, also twice; or a mask of one bool per row.
        out : array, optional
            Where to put them, as for `ResultDataset.take`.

        Returns
        -------
        numpy.ndarray
            `out`, or a new array `(len(rows), *shape)` of `dtype`.

        Raises
        ------
        IndexError
            There is no such row; what `out` holds is unspecified then.
        ValueError
            `out` is of another dtype, shape or layout, or read-only.
        """
        return self._stored.take(rows, out)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """The tensors of all rows, `(len, *shape)`.

        Without `copy` the array is read-only, and the memory of the mapped file itself if all rows lie
        in one; with `copy=False` anything else is a ValueError. With `copy=True` it may be written.
        """
        return _interop.as_array(self._stored, dtype, copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        """The CPU."""
        return _dlpack.CPU

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        """The tensors of all rows, `(len, *shape)`, as a DLPack tensor; as that of a `ResultDataset`."""
        return _interop.as_dlpack(self._stored, stream, max_version, dl_device, copy)

    def __reduce__(self):
        return Column, (self._dataset, self._name)

    def __repr__(self):
        return f"<Column {self._name!r}, {len(self)} rows of {self.dtype.name} {list(self.shape)}>"
