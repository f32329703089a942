"""The method `get_data`, where there is data."""

from __future__ import annotations

from types import MethodType


class DataGetter:
    """A method that only datasets with a column `data` have: Hyrax looks whether one has it. Unlike a property it
    can be hidden by an attribute of the instance."""

    def __init__(self, function):
        self._function = function
        self.__doc__ = function.__doc__

    def __get__(self, dataset, _cls=None):
        if dataset is None:
            return self._function
        snapshot = dataset._snapshot
        if "data" in snapshot.stored:
            return MethodType(self._function, dataset)
        name = type(dataset).__name__
        raise AttributeError(f"{name!r} object has no attribute 'get_data'; its columns are {snapshot.columns}")
