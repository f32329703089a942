"""Rows in batches, for training: `Loader`."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from . import _load_structs as c
from . import _consumer, _loading, _options, _plans, _ranks, _sources, _to_torch
from ._errors import InvalidArgumentError, InvalidHandleError
from ._iteration import Iteration
from ._load_stats import LoaderStats
from ._loading import Given, Native


class Loader:
    """Goes through the rows of a dataset in batches, epoch after epoch, each row of an epoch once.

    Native threads gather batches ahead. The order of an epoch follows from seed and epoch alone. A position is the
    same on all ranks, and goes on with any number of ranks, batch size and tail: the rows that are left come once.

    Parameters
    ----------
    dataset : ResultDataset, or list of ResultDataset
        The table, or tables whose rows are mixed. What the datasets show now is what the loader goes through, whatever
        becomes of them.
    batch_size : int, optional
        Rows of a step that one rank takes. This or `global_batch_size` is to be given.
    global_batch_size : int, optional
        Rows of a step over all ranks, which take even shares of it.
    columns : str or sequence of str, optional
        As for `ResultDataset.take`: default all. An empty sequence: batches are numbers of rows.
    seed : int
        Says with the epoch what the shuffled order is.
    rank : int, optional
        Which rank this is, of `world_size`. Default what torch.distributed says if it is initialised, else RANK and
        WORLD_SIZE of the environment, else what jax.distributed says, else 0 of 1; asked when an iteration begins.
    world_size : int, optional
        Ranks that share each step.
    tail : {"short", "pad", "drop"}
        What becomes of the rows at the end of an epoch that fill no step: "short" shares them evenly in a smaller one,
        of which a rank may have none; "pad" fills the step up with the first rows of the epoch (`padded`); "drop"
        leaves them out.
    order : {"shuffled", "in_order"}
        In which order rows come.
    clump : int
        Rows that follow each other and stay together in a shuffled order, for disks that are slow at single rows.
    rows : slice, range, or sequence of int or of bool, optional
        The rows of which an epoch consists; default all. Of a list of datasets a list with those of each, or None.
    weights : sequence of float, or list of (int, int, sequence of float), optional
        How often rows of each dataset come; default as often as each has rows. Or from several positions on: epoch,
        rows consumed of it, weights.
    epoch_rows : int, optional
        Rows of an epoch of several datasets; default those of all together. A table that is through begins anew.
    format : {"numpy", "torch"}
        What batches are made of.
    pin_memory : bool
        Whether tensors of torch lie in pinned memory, if there is a CUDA device.
    threads : int, optional
        Threads that gather; default half of the cores, 1 to 4.
    ahead : int, optional
        Batches that are gathered before they are asked for; default 8.
    max_bytes : int, optional
        Memory of batches at most, those that are lent too; default 256 MiB, or two batches if that is more.

    Raises
    ------
    ValueError
        An option is out of range, a dataset is closed, or they have not the same columns.
    IndexError
        A table does not have all the rows asked for.
    KeyError
        There is no such column.
    NotImplementedError
        tail, order or format are none of those, or torch has no such dtype.

    Notes
    -----
    Iterating goes on from the position to the end of the epoch; behind the last batch of an epoch the next iteration is
    the next epoch, unless `set_epoch`, `seek` or a state that was loaded asked for this one. A batch is what `dataset.take(rows, columns)` gives: an array,
    or a dict of arrays by column. It lies in memory of the loader, may be written, and is the loader's again when
    nothing refers to it any more; if too many batches are kept, the next ones are copies.

    A loader may be used from any number of threads: iterations share the batches of an epoch that are left when they
    begin, so make them before the first of them may be through. It may be used in forked processes, where it goes on from where it was. It is pickled as its datasets, its options and its position.
    """

    def __init__(
        self,
        dataset,
        *,
        batch_size: int | None = None,
        global_batch_size: int | None = None,
        columns: str | Iterable[str] | None = None,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        tail: str = "short",
        order: str = "shuffled",
        clump: int = 1,
        rows: Any = None,
        weights: Sequence[Any] | None = None,
        epoch_rows: int | None = None,
        format: str = "numpy",
        pin_memory: bool = False,
        threads: int | None = None,
        ahead: int | None = None,
        max_bytes: int | None = None,
    ):
        if columns is not None and not isinstance(columns, str):
            columns = list(columns)
        options = {name: value for name, value in locals().items() if name not in ("self", "dataset")}
        sources = _sources.of(dataset)
        subsets = _sources.subsets(
            rows, [source.snapshot.rows for source in sources], isinstance(dataset, (list, tuple))
        )
        snapshot = sources[0].snapshot
        if columns is None:
            columns = "data" if snapshot.lone is not None else snapshot.columns
        names = [columns] if isinstance(columns, str) else columns
        chosen = [snapshot.column(name) for name in names]
        if len(set(names)) < len(names):
            raise InvalidArgumentError(f"columns are {names}; each can be named once")
        # By which a batch is a dict; None if it is one array.
        self._names = None if isinstance(columns, str) or not chosen else names
        self._convert = _to_torch.converters(chosen, format, pin_memory)
        self._plan = _plans.Plan(sources, subsets, chosen, options)
        self._plan.schedule = _sources.schedule(weights, len(sources))
        self._first_weights = self._plan.schedule
        # Without what a pickle has from elsewhere, and may be large.
        self._options = {**options, "rows": None, "weights": None}
        self._given_ranks = rank, world_size
        self._inherited: _ranks.Ranks | None = None
        self._worker = _plans.ALONE
        # One lock for each process: a forked child may have a copy that stays locked.
        self._turns: dict[int, Any] = {}
        # How often the end of an epoch was told, or passed.
        self._ends = 0
        # Who set the position: True asked for this epoch, although nothing of it may be left; False is Lightning.
        self._asked: bool | None = None
        self._last = _loading.NOTHING
        self._opened = self._place()
        self._native: Native | None = self._plan.open(*self._opened)

    def __iter__(self) -> Iteration:
        """The batches from the position on, to the end of the epoch."""
        with self._turn():
            self._live()
            self._pass_end()
            return Iteration(self)

    def __len__(self) -> int:
        """Steps of a whole epoch."""
        return self._stats().epoch_steps

    @property
    def epoch(self) -> int:
        """The epoch of the next batch."""
        return self._told()[0]

    @property
    def consumed(self) -> int:
        """Rows of the epoch that all ranks together have had."""
        return self._told()[1]

    @property
    def rows(self) -> np.ndarray:
        """Numbers of the rows of the batch that was given last, int64."""
        return self._last.rows

    @property
    def tables(self) -> np.ndarray:
        """Which dataset each row of the batch that was given last is of, uint32."""
        rows, tables, _ = self._last
        return np.zeros(len(rows), np.uint32) if tables is None else tables

    @property
    def padded(self) -> int:
        """How many rows at the end of the batch that was given last fill it up, and came in the epoch before."""
        return self._last.padded

    def set_epoch(self, epoch: int) -> None:
        """Goes to the begin of an epoch; nothing if the loader is in it already: a loop that was resumed goes on.

        Parameters
        ----------
        epoch : int
            The epoch. What begins next has what is left of it, be it nothing.
        """
        epoch = _options.whole("epoch", epoch)
        with self._turn():
            native = self._live()
            if native.stats().epoch != epoch:
                native.seek(epoch, 0)
            self._asked = True

    def seek(self, epoch: int, consumed: int = 0) -> None:
        """Goes to a position.

        Parameters
        ----------
        epoch : int
            The epoch.
        consumed : int
            Rows of it that all ranks together have had.

        Raises
        ------
        ValueError
            An epoch has fewer rows.
        """
        epoch, consumed = _options.whole("epoch", epoch), _options.whole("consumed", consumed)
        with self._turn():
            self._live().seek(epoch, consumed)
            self._asked = True

    def state_dict(self) -> dict[str, Any]:
        """The position behind the last batch that was given.

        Returns
        -------
        dict
            `{"rds": bytes}`, of 64 bytes, the same on all ranks; and "weights", if `set_weights` has changed them.
        """
        with self._turn():
            return self._state(self._live())

    def _state(self, native: Native) -> dict[str, Any]:
        state: dict[str, Any] = {"rds": native.state()}
        if self._plan.schedule != self._first_weights:
            state["weights"] = [tuple(weights) for weights in self._plan.schedule]
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to a position that a loader of the same rows in the same order told.

        Parameters
        ----------
        state : dict
            As of `state_dict`. Ranks, batch size and tail of that loader may have been others.

        Raises
        ------
        ValueError
            It is none, damaged, or of another table, version, `rows`, `order`, `clump` or weights, which is named.
        """
        position, caller = _loading.position(state), sys._getframe(1)
        with self._turn():
            native, weights = self._live(), state.get("weights")
            # Of a state without any those that the loader was made with.
            schedule = self._first_weights if weights is None else _sources.schedule(weights, len(self._plan.sources))
            if schedule == self._plan.schedule:
                native.restore(position)
            else:
                self._reopen(schedule, position)
            # Lightning stores a position after exactly as many batches as an epoch has, and goes on with the next one.
            self._asked = not _consumer.is_lightning(caller)

    def set_weights(self, weights: Sequence[float]) -> None:
        """Changes how often rows of each dataset come, from the position on.

        Parameters
        ----------
        weights : sequence of float
            One for each dataset. All ranks are to change them at the same position.

        Raises
        ------
        ValueError
            There is one dataset only, or the numbers are none.
        """
        numbers = _sources.whole(weights, len(self._plan.sources))
        with self._turn():
            native = self._live()
            stats = native.stats()
            at = stats.epoch, stats.consumed
            # Of earlier epochs the last ones are enough.
            before = [entry for entry in self._plan.schedule if entry[:2] < at]
            earlier = [entry for entry in before if entry[0] < stats.epoch]
            self._reopen([*before[max(len(earlier) - 1, 0) :], (*at, numbers)], native.state())

    def _reopen(self, schedule: list[_sources.Weights], state: bytes) -> None:
        """Opens it with other weights."""
        before, self._plan.schedule = self._plan.schedule, schedule
        try:
            native = self._plan.open(*self._opened)
            native.restore(state)
        except BaseException:
            self._plan.schedule = before
            raise
        self._native = native

    def fileno(self) -> int:
        """A file descriptor that is readable while a batch is ready, for `select` or an event loop.

        Returns
        -------
        int
            The loader's own, until it is closed, or opened anew for another rank or other weights. It is to be waited for,
            and neither read nor closed.

        Raises
        ------
        RuntimeError
            Batches are numbers of rows, which nothing gathers ahead.
        """
        with self._turn():
            return self._live().fileno()

    def stats(self) -> LoaderStats:
        """How far the loader is, and how long it was waited for.

        Returns
        -------
        LoaderStats
            Numbers of rows, steps, batches and bytes.
        """
        return LoaderStats.of(self._stats())

    def _told(self) -> tuple[int, int]:
        """Where the loader is; Lightning has it behind the last step of an epoch at the begin of the next one."""
        with self._turn():
            stats = self._live().stats()
            if self._asked is False and stats.consumed and self._is_through(stats):
                return stats.epoch + 1, 0
            return stats.epoch, stats.consumed

    def _stats(self) -> c.LoadStats:
        with self._turn():
            return self._live().stats()

    def close(self) -> None:
        """Frees the loader; arrays stay valid. A second call does nothing."""
        with self._turn():
            self._native = None

    def __enter__(self):
        return self

    def __exit__(self, error_type, error, traceback):
        self.close()

    def _turn(self) -> Any:
        """Held by whoever uses the native loader. A handler of a signal may use it while its own thread waits."""
        process = os.getpid()
        turn = self._turns.get(process)
        return self._turns.setdefault(process, threading.RLock()) if turn is None else turn

    def _place(self) -> tuple[_ranks.Ranks, _plans.Worker]:
        return _ranks.of_process(*self._given_ranks, self._inherited), self._worker

    def _live(self) -> Native:
        """The native loader, for the rank that this process is now."""
        native, place = self._opened_one(), self._place()
        if place != self._opened:
            state = native.state()
            native = self._plan.open(*place)
            native.restore(state)
            self._native, self._opened = native, place
        return native

    def _pass_end(self) -> None:
        """Goes to the next epoch behind the last step of one: who knows how many there are does not ask for more."""
        stats = self._opened_one().stats()
        if stats.consumed and not self._asked and self._is_through(stats):
            self._opened_one().seek(stats.epoch + 1, 0)
            self._ends += 1
        self._asked = None

    def _is_through(self, stats: c.LoadStats, others: int = 0) -> bool:
        """Whether there is no further step, or none behind those of so many other workers."""
        ranks = self._opened[0]
        return self._plan.is_through(ranks, stats.epoch_rows, stats.consumed + others * self._plan.step(ranks))

    def _opened_one(self) -> Native:
        if self._native is None:
            raise InvalidHandleError("the loader is closed; make another one")
        return self._native

    def _next(self) -> Any:
        """The next batch; None at the end of an epoch. For who has the turn."""
        native = self._opened_one()
        try:
            given = native.next()
            batch, last = (None, self._last) if given is None else (self._batch(native, given), native.numbered(given))
        except BaseException:
            native.take_back()
            raise
        native.handed_out()
        self._last = last
        self._ends += batch is None
        return batch

    def _batch(self, native: Native, given: Given) -> Any:
        arrays: list[Any] = native.arrays(given)
        crowded = native.is_crowded()
        if crowded:
            arrays = [array.copy() for array in arrays]
        if self._convert is not None:
            arrays = [convert(array) for convert, array in zip(self._convert, arrays)]
            if crowded and native.is_pinned:
                arrays = [tensor.pin_memory() for tensor in arrays]
        return arrays[0] if self._names is None else dict(zip(self._names, arrays))

    def __reduce__(self):
        with self._turn():
            state = self._state(self._live())
        options = {**self._options, "rows": self._plan.subsets, "weights": self._first_weights or None}
        ranks = self._opened[0] if _ranks.is_starting_process() else None
        return _again, (type(self), self._plan.sources, options, state, ranks)

    def __repr__(self):
        if self._native is None:
            return "<Loader, closed>"
        stats = self.stats()
        return f"<Loader, epoch {stats.epoch}, {stats.consumed} of {stats.epoch_rows} rows>"


def _again(cls: type[Loader], sources, options, state, inherited) -> Loader:
    """What a pickled loader is read as."""
    loader = cls(sources, **options)
    loader._inherited = inherited
    loader.load_state_dict(state)
    return loader
