"""A loop over the batches of a loader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .loader import Loader


class Iteration(Iterator[Any]):
    """The batches of a loader from its position on, to the end of the epoch that was begun."""

    __slots__ = ("_ends", "_loader")

    def __init__(self, loader: Loader):
        self._loader = loader
        self._ends = loader._ends

    def __next__(self) -> Any:
        loader = self._loader
        with loader._turn():
            # Another iteration may have been told of the end.
            batch = loader._next() if loader._ends == self._ends else None
        if batch is None:
            raise StopIteration
        return batch
