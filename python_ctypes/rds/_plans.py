"""What a loader of librds is opened with."""

from __future__ import annotations

from ctypes import c_uint32, c_uint64
from typing import Any, NamedTuple

from . import _load_structs as c
from . import _options, _to_torch
from ._errors import InvalidArgumentError
from ._loading import Native
from ._ranks import Ranks
from ._sources import Source, Subset, Weights
from ._stored import Stored
from ._waiting import Waiting

_MAX_BYTES = 256 << 20
_AHEAD = 8
_ALIGNMENT = 64


class Worker(NamedTuple):
    """A worker of a rank, of so many; they take whole steps in turn."""

    number: int
    of: int


ALONE = Worker(0, 1)


class Plan:
    """All but the rank: that may change. Without sources batches are numbers of rows."""

    def __init__(
        self,
        sources: list[Source],
        subsets: list[Subset],
        columns: list[Stored],
        options: dict[str, Any],
        flags: int = 0,
    ):
        self.sources = sources
        self.subsets = subsets
        self.columns = columns
        self.schedule: list[Weights] = []
        if (options["batch_size"] is None) == (options["global_batch_size"] is None):
            raise InvalidArgumentError(
                f"batch_size is {options['batch_size']}, global_batch_size {options['global_batch_size']}; one of both "
                "is to be given"
            )
        self._fields: dict[str, int] = {
            "batch_rows": _positive("batch_size", options["batch_size"]),
            "global_batch_rows": _positive("global_batch_size", options["global_batch_size"]),
            "order": _options.choice("order", options["order"], c.ORDERS),
            "tail": _options.choice("tail", options["tail"], c.TAILS),
            "clump_rows": _positive("clump", options["clump"]),
            "seed": _options.whole("seed", options["seed"]),
            "epoch_rows": _positive("epoch_rows", options.get("epoch_rows")),
            "max_bytes": _positive("max_bytes", options.get("max_bytes")),
            "ahead": _positive("ahead", options.get("ahead"), 1 << 16),
            "threads": _positive("threads", options.get("threads"), 1 << 8),
        }
        self._pin_memory = bool(options.get("pin_memory"))
        self._flags = flags | c.LOADER_WAITING_MAIN_THREAD

    def _bytes(self, rows: int) -> int:
        """Of a buffer for so many rows, as librds counts."""
        columns = sum(-(-rows * column.row_bytes // _ALIGNMENT) * _ALIGNMENT for column in self.columns)
        return columns + (_ALIGNMENT if self.columns else 0) + 8 * rows

    def is_through(self, ranks: Ranks, epoch_rows: int, consumed: int) -> bool:
        """Whether a step was the last one of its epoch."""
        left = epoch_rows - consumed
        return left <= 0 or left < self.step(ranks) and self._fields["tail"] == c.TAILS["drop"]

    def step(self, ranks: Ranks) -> int:
        """Rows of a step over all ranks."""
        return self._fields["global_batch_rows"] or self._fields["batch_rows"] * ranks[1]

    def _room(self, ranks: Ranks) -> tuple[int, int]:
        """Rows of the largest batch of a rank, and how many buffers there may be."""
        rows = -(-self.step(ranks) // ranks[1])
        size = self._bytes(rows)
        return rows, (self._fields["max_bytes"] or max(_MAX_BYTES, 2 * size)) // size

    def open(self, ranks: Ranks, worker: Worker = ALONE) -> Native:
        """Opens it for one rank."""
        options = c.LoaderOptions(**self._fields)
        options.rank, options.world_size = ranks
        options.worker, options.worker_count = worker
        if worker.of > 1:
            # The other workers are threads enough.
            options.threads = options.threads or 1
        options.flags = self._flags | (c.LOADER_WHOLE_STEPS if worker.of > 1 else 0)
        # An array without items has an address, too.
        numbers = (c_uint32 * max(len(self.columns), 1))(*(column.number for column in self.columns))
        if self.sources:
            options.columns, options.column_count = numbers, len(self.columns)
        first, *others = self.subsets
        options.rows, options.first_row, options.row_count = _rows(first)
        tables = (c.LoaderTable * len(others))(*map(_table, self.sources[1:], others))
        options.others, options.other_count = tables, len(tables)
        weights = (c.LoaderWeights * len(self.schedule))(*map(_weights, self.schedule))
        options.weights, options.weights_count = weights, len(weights)
        rows, buffers = self._room(ranks)
        pinned = None
        if self._pin_memory:
            ahead = options.ahead or _AHEAD
            pinned = _to_torch.pinned(self.columns, rows, buffers, ahead)
        if pinned is not None:
            options.targets, options.target_count, options.max_bytes = pinned.targets, len(pinned.targets), 0
            buffers = pinned.count
        # As many as can be, but some to be filled meanwhile.
        most_lent = max(buffers - 1 - (options.ahead or _AHEAD), buffers // 2)
        waiting = Waiting()
        options.waiting = waiting.callback
        reader = self.sources[0].snapshot.handle if self.sources else None
        return Native(reader, options, self.columns, most_lent, waiting, pinned, worker.number * self.step(ranks))


def _rows(subset: Subset) -> tuple[int | None, int, int]:
    return None if subset.rows is None else subset.rows.ctypes.data, subset.first, subset.length


def _table(source: Source, subset: Subset) -> c.LoaderTable:
    rows, first, count = _rows(subset)
    return c.LoaderTable(reader=source.snapshot.handle.value, rows=rows, first_row=first, row_count=count)


def _weights(weights: Weights) -> c.LoaderWeights:
    epoch, consumed, numbers = weights
    array = (c_uint64 * len(numbers))(*numbers)
    return c.LoaderWeights(epoch=epoch, consumed=consumed, weights=array, weight_count=len(numbers))


def _positive(name: str, value, most: int = (1 << 64) - 1) -> int:
    if value is None:
        return 0
    number = _options.positive(name, _options.whole(name, value))
    if number > most:
        raise InvalidArgumentError(f"{name} is {number}; it must be at most {most}")
    return number
