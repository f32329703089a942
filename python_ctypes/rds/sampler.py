"""Numbers of rows in batches, for a DataLoader of PyTorch: `BatchSampler`."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from . import _consumer, _loading, _options, _plans, _ranks, _sources
from . import _load_structs as c
from ._errors import InvalidArgumentError, InvalidStateError
from ._loading import Native


class BatchSampler:
    """Batches of row numbers for `DataLoader(dataset, batch_sampler=...)`, with a position that says what was consumed.

    The order and the positions are those of `Loader`: a state of the one goes on with the other, if both are over the
    same dataset. A DataLoader asks for more than it has given; the position is behind what it gave.

    Parameters
    ----------
    dataset : ResultDataset or int
        The table that the DataLoader reads, or how many rows something else has. States of a table name its version,
        and are refused for another.
    batch_size : int, optional
        Rows of a step that one rank takes. This or `global_batch_size` is to be given.
    global_batch_size : int, optional
        Rows of a step over all ranks, which take even shares of it.
    seed : int
        As for `Loader`.
    rank : int, optional
        As for `Loader`.
    world_size : int, optional
        As for `Loader`.
    tail : {"short", "pad", "drop"}
        As for `Loader`; but a rank that has no share of a short step is given none.
    order : {"shuffled", "in_order"}
        As for `Loader`.
    clump : int
        As for `Loader`.
    rows : slice, range, or sequence of int or of bool, optional
        As for `Loader`.

    Attributes
    ----------
    batch_size : int
        Rows of the largest batch of this rank.
    drop_last : bool
        Whether the tail is dropped.

    Raises
    ------
    ValueError
        An option is none of those, or the dataset is closed.
    IndexError
        The table does not have all the rows asked for.

    Notes
    -----
    Accelerate and Lightning share what a sampler gives among their processes, too: leave the DataLoader out of
    `accelerator.prepare()`, or give the sampler `rank=0, world_size=1`; and give `Trainer(use_distributed_sampler=False)`.

    Iterating goes on behind what was consumed of the epoch; if that was all of it with the next epoch, unless
    `set_epoch` or a state that was loaded asked for this one. What a DataLoader has given is known as long as it asks the
    sampler itself, also within one of Accelerate; where something else stands between them, what the sampler gave counts,
    or what `state_dict` is told.
    """

    def __init__(
        self,
        dataset,
        batch_size: int | None = None,
        *,
        global_batch_size: int | None = None,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        tail: str = "short",
        order: str = "shuffled",
        clump: int = 1,
        rows: Any = None,
    ):
        options = {name: value for name, value in locals().items() if name not in ("self", "dataset")}
        # Without what a pickle has from elsewhere, and may be large.
        self._options = {**options, "rows": None}
        self._given_ranks = rank, world_size
        self._inherited: _ranks.Ranks | None = None
        sources = [] if hasattr(dataset, "__index__") else _sources.of(dataset)
        if len(sources) > 1:
            raise InvalidArgumentError("dataset is a list; a DataLoader reads the rows of one table")
        self._count = sources[0].snapshot.rows if sources else _options.whole("dataset", dataset)
        subset = _sources.subset(range(self._count) if rows is None and not sources else rows, self._count)
        flags = 0 if sources else c.LOADER_NO_TABLE
        self._plan = _plans.Plan(sources, [subset], [], options, flags)
        self.drop_last = tail == "drop"
        self._pads = tail == "pad"
        # One lock for each process: a forked child may have a copy that stays locked.
        self._turns: dict[int, Any] = {}
        # Where the next iteration begins, unless one is under way.
        self._begin = 0, 0
        self._current: Iteration | None = None
        # Whether somebody asked for this epoch, although nothing of it may be left.
        self._asked = False
        self._open(_ranks.of_process(rank, world_size))

    def __iter__(self) -> Iteration:
        """Lists of row numbers, from what was consumed on to the end of the epoch."""
        with self._turn():
            self._live()
            epoch, consumed = self._upcoming()
            # Who knows how many batches there are does not ask for more.
            if not self._asked and self._is_through(consumed):
                epoch, consumed = epoch + 1, 0
            self._begin, self._current, self._asked = (epoch, consumed), None, False
            return Iteration(self, epoch, consumed)

    def __len__(self) -> int:
        """Batches of a whole epoch that this rank is given."""
        with self._turn():
            self._live()
            return self._steps - self._is_left_out(self._epoch_rows % self._step)

    @property
    def epoch(self) -> int:
        """The epoch of the next batch."""
        return self._place()[0]

    @property
    def consumed(self) -> int:
        """Rows of the epoch that all ranks together have had."""
        return self._place()[1]

    @property
    def padded(self) -> int:
        """How many rows at the end of the last batch of the epoch fill it up, and came in the epoch before."""
        with self._turn():
            self._live()
            consumed = self._begin[1] if self._current is None else self._current.consumed
            rest = (self._epoch_rows - consumed) % self._step
            if not self._pads or not rest:
                return 0
            begin, end = self._share(self._step)
            return max(end - max(begin, rest), 0)

    def set_epoch(self, epoch: int) -> None:
        """Goes to the begin of an epoch; nothing if the sampler is in it already: a loop that was resumed goes on.

        Parameters
        ----------
        epoch : int
            The epoch. What begins next has what is left of it, be it nothing.
        """
        epoch = _options.whole("epoch", epoch)
        if _consumer.is_own_epoch(sys._getframe(1)):
            return
        with self._turn():
            current = self._current
            # What was consumed need not be known to tell the epoch.
            upcoming = self._upcoming() if current is None or current.is_known() else (current.epoch, 0)
            if upcoming[0] != epoch:
                self._begin, self._current = (epoch, 0), None
            elif current is not None and current.is_over():
                # Whoever iterates knows it, then.
                self._begin, self._current = upcoming, None
            self._asked = True

    def state_dict(self, batches: int | None = None) -> dict[str, Any]:
        """The position behind what was consumed.

        Parameters
        ----------
        batches : int, optional
            How many batches of this iteration were consumed, for who counts them itself: something that asks the
            DataLoader ahead. Default what the DataLoader has given; what the sampler gave, if no DataLoader asks it.

        Returns
        -------
        dict
            `{"rds": bytes}`, of 64 bytes, the same on all ranks.

        Raises
        ------
        ValueError
            So many batches were not given.
        """
        with self._turn():
            self._live()
            if batches is None:
                return self._state(self._told())
            batches, current = _options.whole("batches", batches), self._current
            given = 0 if current is None else current.given
            if batches > given:
                raise InvalidArgumentError(f"batches is {batches}; this iteration was given {given}")
            return self._state(self._begin if current is None else current.behind(batches))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to a position that a sampler or a loader of the same rows in the same order told.

        Parameters
        ----------
        state : dict
            As of `state_dict`. Ranks, batch size and tail may have been others.

        Raises
        ------
        ValueError
            It is none, damaged, or of another table, version, `rows`, `order` or `clump`, which is named.
        """
        with self._turn():
            self._begin, self._current, self._asked = self._restore(state), None, True

    def _turn(self) -> Any:
        """Held by whoever uses the native loader. A handler of a signal may use it while its own thread waits."""
        process = os.getpid()
        turn = self._turns.get(process)
        return self._turns.setdefault(process, threading.RLock()) if turn is None else turn

    def _open(self, ranks: _ranks.Ranks) -> None:
        self._step = self._plan.step(ranks)
        if self._step < ranks[1]:
            raise InvalidArgumentError(
                f"global_batch_size is {self._step}, and there are {ranks[1]} ranks, each of which needs a row"
            )
        self._native = self._plan.open(ranks)
        self._opened = ranks
        # Where the native loader is, of which each iteration has its own place.
        self._at: tuple[int, int] | None = None
        stats = self._native.stats()
        self._epoch_rows, self._steps, self.batch_size = stats.epoch_rows, stats.epoch_steps, stats.batch_rows

    def _live(self) -> None:
        """Opens the native loader anew if this process has become another rank."""
        ranks = _ranks.of_process(*self._given_ranks, self._inherited)
        if ranks != self._opened:
            state = self._native.state()
            self._open(ranks)
            # With its seed.
            self._native.restore(state)

    def _is_through(self, consumed: int) -> bool:
        """Whether a step was the last one of its epoch."""
        return consumed > 0 and self._plan.is_through(self._opened, self._epoch_rows, consumed)

    def _place(self) -> tuple[int, int]:
        """Where the sampler is."""
        with self._turn():
            return self._told()

    def _share(self, rows: int) -> tuple[int, int]:
        """What this rank takes of a step of so many rows."""
        rank, world_size = self._opened
        return rows * rank // world_size, rows * (rank + 1) // world_size

    def _is_left_out(self, rest: int) -> bool:
        """Whether nothing of the step with the rest of the rows is for this rank."""
        begin, end = self._share(rest)
        return 0 < rest and begin == end and not self._pads and not self.drop_last

    def _upcoming(self) -> tuple[int, int]:
        """Where an iteration begins."""
        current = self._current
        if current is None:
            return self._begin
        return (current.epoch + 1, 0) if current.is_over() else current.behind(current.consumed_batches())

    def _told(self) -> tuple[int, int]:
        """Where whoever iterates is, who may not know yet that the epoch is over."""
        current = self._current
        if current is not None and current.is_over() and current.may_go_on():
            return current.behind(current.given)
        return self._upcoming()

    def _state(self, at: tuple[int, int]) -> dict[str, Any]:
        self._go(at)
        return {"rds": self._native.state()}

    def _restore(self, state: dict[str, Any]) -> tuple[int, int]:
        self._native.restore(_loading.position(state))
        stats = self._native.stats()
        self._at = stats.epoch, stats.consumed
        return self._at

    def _go(self, at: tuple[int, int]) -> None:
        if self._at != at:
            self._native.seek(*at)
            self._at = at

    def _rows_behind(self, at: tuple[int, int]) -> list[int] | None:
        """The rows that this rank takes of the step behind a position; None if there is nothing more for it."""
        self._go(at)
        self._at = None
        try:
            given = self._native.next()
        finally:
            # Whoever iterates counts.
            self._native.handed_out()
        if given is None or not given.length:
            return None
        self._at = at[0], min(at[1] + self._step, self._epoch_rows)
        return self._native.numbers(given).tolist()

    def __reduce__(self):
        state = self.state_dict()
        options = {**self._options, "rows": self._plan.subsets[0]}
        dataset = self._plan.sources[0] if self._plan.sources else self._count
        return _again, (type(self), dataset, options, state, self._opened if _ranks.is_starting_process() else None)

    def __repr__(self):
        epoch, consumed = self._place()
        return f"<BatchSampler, epoch {epoch}, {consumed} of {self._epoch_rows} rows>"


def _again(cls: type[BatchSampler], dataset, options, state, inherited) -> BatchSampler:
    """What a pickled sampler is read as."""
    sampler = cls(dataset, **options)
    sampler._inherited = inherited
    sampler.load_state_dict(state)
    return sampler


class Iteration(Iterator[list[int]]):
    """The batches of a sampler from a position on, to the end of the epoch.

    Its own position is behind what it gave: a StatefulDataLoader takes that down with each batch.
    """

    def __init__(self, sampler: BatchSampler, epoch: int, consumed: int):
        self._sampler = sampler
        self._go(epoch, consumed)

    def _go(self, epoch: int, consumed: int) -> None:
        self.epoch, self.consumed = epoch, consumed
        # Rows of a step, though ranks may change meanwhile; and batches.
        self._step = self._sampler._step
        self.given = 0
        self._exhausted = False
        self._started = False
        self._consumer: _consumer.Consumer | None = None

    def __next__(self) -> list[int]:
        sampler = self._sampler
        with sampler._turn():
            if not self._started:
                _consumer.check_shared_once(sys._getframe(1), sampler._opened[1])
                self._started = True
                self._consumer = _consumer.of(sys._getframe(1))
                sampler._current = self
            rows = None if self._exhausted else sampler._rows_behind(self.behind(self.given))
            if rows is None:
                self._exhausted = True
                raise StopIteration
            self.given += 1
            return rows

    def behind(self, batches: int) -> tuple[int, int]:
        """The position behind so many batches."""
        return self.epoch, min(self.consumed + batches * self._step, self._sampler._epoch_rows)

    def consumed_batches(self) -> int:
        """How many whoever iterates has had."""
        if self._consumer is None:
            return self.given
        if not self.is_known():
            raise InvalidStateError(
                "the DataLoader has in_order=False: which of the batches that it asked for it has given is not known; give "
                "in_order=True, or go somewhere by set_epoch or load_state_dict"
            )
        return self._consumer.given()

    def is_known(self) -> bool:
        """Whether it is known which batches whoever iterates has had."""
        consumer = self._consumer
        return consumer is None or consumer.is_ordered or consumer.given() in (0, self.given)

    def is_over(self) -> bool:
        """Whether all batches were consumed, and there are no more."""
        return self._exhausted and self.consumed_batches() >= self.given

    def may_go_on(self) -> bool:
        """Whether whoever iterates may not know that yet."""
        return self._consumer is not None and self._consumer.may_go_on()

    def state_dict(self) -> dict[str, Any]:
        """The position behind what was given."""
        sampler = self._sampler
        with sampler._turn():
            return sampler._state((self.epoch + 1, 0) if self._exhausted else self.behind(self.given))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to a position."""
        with self._sampler._turn():
            self._go(*self._sampler._restore(state))
