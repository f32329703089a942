"""Rows as the datasets and writers of Hyrax have them: one tensor until 0.12, a dict of them since 0.13."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import _gather, _select
from . import _structs as c
from ._errors import InvalidIndexError, NotResultsError
from ._stored import Stored
from .column import Column
from .reader import ResultDataset
from .writer import ResultDatasetWriter

_GETTER = "get_"


class Rows(ResultDataset):
    """A row is an array if its only tensor is `data`, as everywhere."""

    def __init__(self, config, data_location, **options):
        super().__init__(config, data_location, **options)
        # What `rds.ResultDataset` reads all the same, Hyrax takes for no results.
        if self._snapshot.info.form == c.FORM_TYPES:
            raise NotResultsError(
                f"{data_location}: the schema of the table is missing the metadata of its tensors"
            )


class NamedRows(Rows):
    """A row is a dict of tensors, those without dimensions numbers of NumPy; rows are a list of them."""

    def keys(self) -> list[str]:
        """The names of the tensors of a row, in the order of the table."""
        return list(self._snapshot.columns)

    @property
    def tensor_dtype(self) -> dict[str, np.dtype]:
        return {name: column.dtype for name, column in self._snapshot.stored.items()}

    @property
    def tensor_shape(self) -> dict[str, list[int]]:
        return {name: list(column.shape) for name, column in self._snapshot.stored.items()}

    def __getitem__(self, index) -> Any:
        """The tensors of one row as a dict, those of many as a list of dicts; or a column by its name."""
        snapshot = self._snapshot
        if isinstance(index, str):
            return Column(self, index)
        if isinstance(index, bool):
            raise InvalidIndexError(f"{index} is no row")
        chosen = _select.chosen(index, snapshot.rows)
        if isinstance(chosen, int):
            row = _row(snapshot.stored, chosen)
            # An array without dimensions is a list of one, if not to NumPy.
            return [row] if isinstance(index, np.ndarray) else row
        if isinstance(chosen, range):
            chosen = np.arange(chosen.start, chosen.stop)
        tensors = _gather.read(chosen, snapshot.stored.values())
        for array in tensors.values():
            array.setflags(write=False)
        return _select.each(tensors)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        snapshot = self._snapshot
        return (_row(snapshot.stored, row) for row in range(snapshot.rows))

    def __getitems__(self, rows) -> list[dict[str, Any]]:
        """The rows, for a `torch.utils.data.DataLoader`, in memory that may be written."""
        return _select.each(self.take(rows, self._snapshot.columns))

    def __getattr__(self, name: str):
        # Hyrax takes each `get_` for a field of a row.
        field = name.removeprefix(_GETTER)
        # Of an instance that is not made yet there is nothing to be asked.
        if field != name and field in getattr(vars(self).get("_snapshot"), "stored", ()):
            return functools.partial(_field, self, field)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __dir__(self):
        return sorted({*super().__dir__(), *(_GETTER + name for name in self._snapshot.columns)})


def _row(stored: dict[str, Stored], row: int) -> dict[str, Any]:
    return {name: _scalar(column.row(row)) for name, column in stored.items()}


def _scalar(tensor: np.ndarray):
    return tensor if tensor.ndim else tensor[()]


def _field(dataset: ResultDataset, name: str, index):
    """The tensor of one row, or those of many, stacked, of one column."""
    return _scalar(dataset._snapshot.stored[name].get(index))


class NamedWriter(ResultDatasetWriter):
    """Tells dtypes and shapes by column, whatever the columns are."""

    __doc__ = ResultDatasetWriter.__doc__

    def _told(self, part) -> Any:
        return None if self._specs is None else {name: part(spec) for name, spec in self._specs.items()}
