"""How many of the batches that a DataLoader of PyTorch asked for it has given."""

from __future__ import annotations

import weakref
from types import FrameType
from typing import Any


class Consumer:
    """An iterator of a DataLoader, which asks a sampler for more than it has given: it counts itself.

    Its count outlives it: a loop that is broken off forgets the iterator.
    """

    __slots__ = ("_before", "_counts", "_given", "_iterator", "__weakref__")

    def __init__(self, iterator: Any):
        # Not the iterator itself, which would keep its workers.
        self._counts: dict[str, Any] | None = vars(iterator)
        self._before: int = self._counts["_num_yielded"]
        self._given = 0
        self._iterator = weakref.ref(iterator, self._end)

    def _end(self, _iterator) -> None:
        self._given = self.given()
        self._counts = None

    def given(self) -> int:
        """Batches that it has given, of those it asked for."""
        counts = self._counts
        return self._given if counts is None else counts["_num_yielded"] - self._before

    def may_go_on(self) -> bool:
        """Whether whoever iterates may not know yet that there is nothing more.

        One without workers asks for a batch when it is asked for it itself.
        """
        counts = self._counts
        return counts is not None and not counts.get("_shutdown", True)


def of(caller: FrameType) -> Consumer | None:
    """The iterator of a DataLoader that asks, by the frame which called `next`; None if it is something else."""
    if caller.f_code.co_name != "_next_index":
        return None
    iterator = caller.f_locals.get("self")
    return Consumer(iterator) if hasattr(iterator, "_num_yielded") else None
