"""A dataset by the ids of its rows."""

from __future__ import annotations

import operator

import numpy as np

from . import _ids
from ._errors import UnknownIdError
from ._snapshot import Snapshot


class ById:
    """The ids of a `ResultDataset`, and the rows that carry them."""

    _snapshot: Snapshot

    def get_object_id(self, index) -> str:
        """The id of one row; IndexError if there is no such row."""
        snapshot = self._snapshot
        row = operator.index(index)
        if 0 <= row < snapshot.rows:
            return snapshot.id(row)
        raise snapshot.out_of_range(row)

    def ids(self) -> list[str]:
        """The ids of all rows, in row order."""
        return self._snapshot.ids.tolist()

    def find(self, object_ids) -> np.ndarray:
        """The rows that carry ids.

        Parameters
        ----------
        object_ids : sequence of str, bytes or int
            A list, or an array of NumPy of kind `U`, `S`, `i`, `u`, `O` or `T`.

        Returns
        -------
        numpy.ndarray
            int64, one row per id: the first one that carries it, -1 if none does.
        """
        return _ids.find(self._snapshot, object_ids)

    def index_of(self, object_ids):
        """The first row that carries an id, or the rows of many; KeyError if none carries one of them.

        Parameters
        ----------
        object_ids : str, bytes, int, or a sequence of these
            As for `find`.

        Returns
        -------
        int or numpy.ndarray
            The row of a single id; the rows of a sequence, int64.
        """
        snapshot = self._snapshot
        if isinstance(object_ids, str):
            row = _ids.find_one(snapshot, object_ids)
        elif _ids.is_one(object_ids):
            row = int(_ids.find(snapshot, [object_ids])[0])
        else:
            return _ids.rows_of(snapshot, object_ids)
        if row < 0:
            raise UnknownIdError(f"no row carries the id {object_ids!r}")
        return row

    def find_all(self, object_id) -> np.ndarray:
        """All rows that carry an id, a str, bytes or int: int64, in order; none if no row does."""
        return _ids.find_all(self._snapshot, object_id)
