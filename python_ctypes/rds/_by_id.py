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
        ValueError
            The table has no ids.
        """
        snapshot = self._snapshot
        row = operator.index(index)
        if 0 <= row < snapshot.rows:
            return snapshot.id(row)
        raise snapshot.out_of_range(row)

    def ids(self) -> list[str]:
        """The ids of all rows.

        Returns
        -------
        list of str
            In row order.

        Raises
        ------
        ValueError
            The table has no ids.
        """
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

        Raises
        ------
        TypeError, ValueError
            As for `find_all`.
        """
        return _ids.find(self._snapshot, object_ids)

    def index_of(self, object_ids):
        """The first row that carries an id, or the rows of many.

        Parameters
        ----------
        object_ids : str, bytes, int, or a sequence of these
            As for `find`.

        Returns
        -------
        int or numpy.ndarray
            The row of a single id; the rows of a sequence, int64.

        Raises
        ------
        KeyError
            No row carries one of them.
        TypeError, ValueError
            As for `find_all`.
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
        """All rows that carry an id.

        Parameters
        ----------
        object_id : str, bytes or int
            One id; bytes are decoded as UTF-8, an integer becomes decimal.

        Returns
        -------
        numpy.ndarray
            int64, in order; empty if no row carries it.

        Raises
        ------
        TypeError
            `object_id` is none of these.
        ValueError
            It is not UTF-8, or the table has no ids.
        """
        return _ids.find_all(self._snapshot, object_id)
