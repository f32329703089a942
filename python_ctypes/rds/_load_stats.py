"""How far a loader is, and how long it was waited for."""

from __future__ import annotations

from typing import NamedTuple

from . import _load_structs as c


class LoaderStats(NamedTuple):
    """What `Loader.stats` tells.

    `epoch` and `consumed` are the position: rows of the epoch that all ranks together have had. An epoch has
    `epoch_rows` in `epoch_steps`, of which this rank takes `batch_rows` at most. `batches` were given since the loader
    was made, or since ranks or weights changed last; `stalls` of them were not ready when they were asked for, which
    took `stalled_ns`. `ready` are gathered now, of `ahead` that may be; `lent` are referred to by arrays; `bytes` is
    the memory of all.
    """

    epoch: int
    consumed: int
    epoch_rows: int
    epoch_steps: int
    batch_rows: int
    batches: int
    stalls: int
    stalled_ns: int
    ready: int
    ahead: int
    lent: int
    bytes: int

    @classmethod
    def of(cls, stats: c.LoadStats) -> LoaderStats:
        return cls(*(getattr(stats, name) for name in cls._fields))
