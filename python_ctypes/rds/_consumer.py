"""How many of the batches that a DataLoader of PyTorch asked for it has given."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from types import FrameType
from typing import Any

from ._errors import InvalidStateError


class Consumer:
    """An iterator of a DataLoader, which asks a sampler for more than it has given: it counts itself.

    Its count outlives it: a loop that is broken off forgets the iterator.
    """

    __slots__ = ("__weakref__", "_before", "_counts", "_given", "_iterator", "_round", "_wrapper", "is_ordered")

    def __init__(self, iterator: Any, wrapper: Any = None):
        # Not the iterator itself, which would keep its workers.
        self._counts: dict[str, Any] | None = vars(iterator)
        self._before: int = self._counts["_num_yielded"]
        self._given = 0
        # What asks the iterator one batch ahead of what it gives itself.
        self._wrapper = wrapper
        self._round = getattr(wrapper, "iteration", None)
        # Whether batches come as they were asked for.
        self.is_ordered: bool = self._counts.get("_in_order", True)
        self._iterator = weakref.ref(iterator, self._end)

    def _end(self, _iterator) -> None:
        self._given = self.given()
        self._counts = None

    def given(self) -> int:
        """Batches that it has given, of those it asked for."""
        if self._counts is None:
            return self._given
        given = self._counts["_num_yielded"] - self._before
        return given - 1 if given and self._is_ahead() else given

    def _is_ahead(self) -> bool:
        """Whether what asks ahead has a batch that it has not given: behind the last one there is none."""
        wrapper = self._wrapper
        return wrapper is not None and not wrapper.end_of_dataloader and wrapper.iteration == self._round

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
    return Consumer(iterator, _wrapper(caller)) if hasattr(iterator, "_num_yielded") else None


# So many calls lie between a sampler and the loop over what wraps a DataLoader.
_DEPTH = 10


def _callers(caller: FrameType | None) -> Iterator[tuple[str, Any]]:
    """The methods that are being called, the innermost first, and of what."""
    for _ in range(_DEPTH):
        if caller is None:
            return
        yield caller.f_code.co_name, caller.f_locals.get("self")
        caller = caller.f_back


def _wrapper(caller: FrameType) -> Any:
    """The DataLoader of Accelerate around the one that asks."""
    for name, owner in _callers(caller):
        if name == "__iter__" and hasattr(owner, "end_of_dataloader") and hasattr(owner, "base_dataloader"):
            return owner
    return None


# Classes of Accelerate that share among processes what something gives.
_SHARING = ("BatchSamplerShard", "DataLoaderDispatcher", "IterableDatasetShard")


def check_shared_once(caller: FrameType, world_size: int) -> None:
    """Refuses that something shares what this rank takes among all ranks once more, which would lose the rest."""
    if world_size == 1:
        return
    for name, owner in _callers(caller):
        kind = type(owner).__name__
        if kind not in _SHARING or name != "_fetch_batches" and not name.startswith(("__iter__", "_iter_")):
            continue
        # A dispatcher has it from its state.
        processes = getattr(owner, "state", owner).num_processes
        if processes > 1:
            raise InvalidStateError(
                f"{kind} of Accelerate shares batches among {processes} processes, and so do the {world_size} ranks here: "
                "rows would be lost; leave this DataLoader out of accelerator.prepare()"
            )


def is_lightning(caller: FrameType) -> bool:
    return caller.f_globals.get("__name__", "").split(".")[0] in ("lightning", "pytorch_lightning")


def is_own_epoch(caller: FrameType) -> bool:
    """Whether the DataLoader of Accelerate sets an epoch that it has counted itself, from 0 on in each process."""
    return any(name == "__iter__" and hasattr(owner, "base_dataloader") for name, owner in _callers(caller))
