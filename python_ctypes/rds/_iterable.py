"""What `rds.torch.IterableDataset` is, but for the class of torch that it derives from."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable, Iterator, Sequence
from ctypes import c_ubyte, c_uint64
from typing import Any

from . import _load_structs as c
from . import _consumer, _plans, _ranks, _to_torch
from ._errors import InvalidArgumentError
from .loader import Loader

# Of a DataLoader; each has a place in memory that they share.
_MOST_WORKERS = 1024


class Shared(ctypes.Structure):
    """What the program and the workers of a DataLoader, which are processes, know of each other."""

    _fields_ = [
        # How often the position was changed in the program, and what it is since.
        ("changes", c_uint64),
        ("position", c_ubyte * c.POSITION_BYTES),
        # Whether somebody asked for the epoch, although nothing of it may be left.
        ("asked", c_uint64),
        # The epoch that each worker is in, and one more; 0 for one that was not at work.
        ("epochs", c_uint64 * _MOST_WORKERS),
    ]


class Steps:
    """Whole batches for a DataLoader of PyTorch: `DataLoader(dataset, batch_size=None, num_workers=2)`.

    Workers take whole steps in turn, so that the DataLoader gives the batches of a `Loader`, in the same order. Its
    state with workers is that of a StatefulDataLoader of torchdata; a plain DataLoader has none.

    Parameters
    ----------
    dataset : ResultDataset, or list of ResultDataset
        As for `Loader`.
    batch_size : int, optional
        As for `Loader`.
    global_batch_size : int, optional
        As for `Loader`.
    columns : str or sequence of str, optional
        As for `Loader`.
    seed : int
        As for `Loader`.
    rank : int, optional
        As for `Loader`.
    world_size : int, optional
        As for `Loader`.
    tail : {"short", "pad", "drop"}
        As for `Loader`.
    order : {"shuffled", "in_order"}
        As for `Loader`.
    clump : int
        As for `Loader`.
    rows : slice, range, or sequence of int or of bool, optional
        As for `Loader`.
    weights : sequence of float, or list of (int, int, sequence of float), optional
        As for `Loader`.
    epoch_rows : int, optional
        As for `Loader`.
    format : {"torch", "numpy"}
        What batches are made of. A DataLoader makes tensors of arrays, too.
    threads : int, optional
        As for `Loader`, of each worker; default 1.
    ahead : int, optional
        As for `Loader`, of each worker.
    max_bytes : int, optional
        As for `Loader`, of each worker.

    Raises
    ------
    ValueError
        An option is none of those, a dataset is closed, or they have not the same columns.
    IndexError
        A table does not have all the rows asked for.
    KeyError
        There is no such column.
    NotImplementedError
        torch has no such dtype.

    Notes
    -----
    Without workers it goes on as a `Loader` does. With workers an iteration begins with the epoch that all of them have
    come to, or where `set_epoch`, `seek` or `load_state_dict` went. What the DataLoader has given is not known here: an
    iteration that was broken off begins again, or if the workers were through already, the next epoch begins. For a loop
    that is broken off and goes on there are `BatchSampler` and `Loader`.
    """

    def __init__(
        self,
        dataset,
        batch_size: int | None = None,
        *,
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
        format: str = "torch",
        threads: int | None = None,
        ahead: int | None = None,
        max_bytes: int | None = None,
    ):
        options = {name: value for name, value in locals().items() if name not in ("self", "dataset", "__class__")}
        self._loader = Loader(dataset, **options)
        self._shared = _new_shared()
        # Of a worker: where the program was when it began, and how often that was changed before.
        self._begin: dict[str, Any] | None = None
        self._changes = 0

    def __iter__(self) -> Iteration:
        """Batches, to the end of the epoch."""
        _consumer.check_shared_once(sys._getframe(1), self._loader._place()[0][1])
        worker = _worker()
        if worker is None:
            self._catch_up()
            return Iteration(self._loader, None)
        loader, shared = self._loader, self._shared
        if worker.of > _MOST_WORKERS:
            raise InvalidArgumentError(f"num_workers is {worker.of}; at most {_MOST_WORKERS} are possible")
        if self._begin is None:
            self._begin = loader.state_dict()
        if self._changes != shared.changes:
            begin = {**loader.state_dict(), "rds": bytes(shared.position)}
            self._begin, self._changes = begin, shared.changes
        loader._worker = worker
        loader.load_state_dict(self._begin)
        self._catch_up(worker.of)
        loader._asked = bool(shared.asked)
        loader._pass_end()
        return Iteration(loader, (shared, worker.number))

    def __len__(self) -> int:
        """Batches of a whole epoch, of all workers together."""
        return len(self._loader)

    @property
    def epoch(self) -> int:
        """The epoch of the next batch."""
        self._catch_up()
        return self._loader.epoch

    def set_epoch(self, epoch: int) -> None:
        """Goes to the begin of an epoch; nothing if it is in it already, so that a loop that was resumed goes on.

        Parameters
        ----------
        epoch : int
            The epoch.
        """
        if _consumer.is_own_epoch(sys._getframe(1)):
            return
        if self.epoch != epoch:
            self.seek(epoch)
        self._loader.set_epoch(epoch)
        self._shared.asked = True

    def seek(self, epoch: int, consumed: int = 0) -> None:
        """Goes to a position, from which the next iteration begins.

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
        self._loader.seek(epoch, consumed)
        self._tell_workers(True)

    def state_dict(self) -> dict[str, Any]:
        """The position: without workers behind the last batch, with workers that of the begin of an iteration.

        Returns
        -------
        dict
            As of `Loader.state_dict`.
        """
        if _worker() is not None and self._begin is not None:
            return self._begin
        self._catch_up()
        return self._loader.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to a position that something of the same rows in the same order told.

        Parameters
        ----------
        state : dict
            As of `state_dict`, or of a `Loader` or a `BatchSampler`.

        Raises
        ------
        ValueError
            It is none, damaged, or of another table, version, `rows`, `order`, `clump` or weights, which is named.
        """
        self._loader.load_state_dict(state)
        if _worker() is None:
            self._tell_workers(True)
        else:
            self._begin = state

    def _tell_workers(self, asked: bool) -> None:
        """Has them begin from the position of the program."""
        shared = self._shared
        shared.asked = asked
        ctypes.memset(shared.epochs, 0, ctypes.sizeof(shared.epochs))
        shared.position[:] = self._loader.state_dict()["rds"]
        shared.changes += 1

    def _catch_up(self, workers: int | None = None) -> None:
        """Goes to the epoch that all workers have come to, of so many, or those that were at work."""
        epochs = self._shared.epochs[:workers]
        if workers is None:
            epochs = [epoch for epoch in epochs if epoch]
        reached = min(epochs, default=0) - 1
        if reached > self._loader.epoch:
            self._loader.seek(reached)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        # Memory is shared with a worker that is started, and with nobody else.
        if not _ranks.is_starting_process():
            state["_shared"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._shared is None:
            self._shared = _new_shared()


class Iteration(Iterator[Any]):
    """Batches to the end of an epoch; with a state, as a StatefulDataLoader asks for it."""

    def __init__(self, loader: Loader, place: tuple[Any, int] | None):
        self._loader = loader
        self._place = place
        self._begin()

    def _begin(self) -> None:
        # The position of a worker is behind the last step also where others have steps, and the other way round.
        if self._place is not None:
            self._loader._asked = True
        self._batches = iter(self._loader)
        self._tell()

    def _tell(self) -> None:
        """Tells the others in which epoch this worker is: the next one, if it has given all of this one."""
        if self._place is not None:
            shared, index = self._place
            stats = self._loader._stats()
            shared.epochs[index] = stats.epoch + 1 + self._loader._is_through(stats, index)

    def __next__(self) -> Any:
        try:
            return next(self._batches)
        finally:
            self._tell()

    def state_dict(self) -> dict[str, Any]:
        """The position behind the last batch; of a worker that before the round of steps in which its next one is."""
        return self._loader.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to a position."""
        self._loader.load_state_dict(state)
        self._loader._asked = True
        self._begin()


def _new_shared() -> Any:
    from multiprocessing.sharedctypes import RawValue

    return RawValue(Shared)


def _worker() -> _plans.Worker | None:
    """Which worker of a DataLoader this process is, if it is one."""
    info = _to_torch.torch().utils.data.get_worker_info()
    return None if info is None else _plans.Worker(info.id, info.num_workers)
