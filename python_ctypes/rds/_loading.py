"""A loader of librds, owned, and the memory that it lends."""

from __future__ import annotations

import ctypes
import functools
import reprlib
import struct
import weakref
from collections.abc import Callable
from ctypes import byref, c_char, c_int, c_uint64, c_void_p
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _load_structs as c
from ._errors import CancelledError, InvalidArgumentError
from ._library import last_error, library, unchecked
from ._stored import Stored
from ._waiting import Waiting

if TYPE_CHECKING:
    from ._to_torch import Pinned

# An rds_loader_batch, read in a fifth of the time that its fields take.
_BATCH = struct.Struct("@NPPPNQQQQQQ")

# Stands for rows consumed, where nothing was given.
_NONE = (1 << 64) - 1


@functools.cache
def _functions() -> tuple[Callable[..., int], Callable[..., int]]:
    # To give memory back takes less time than to give the lock of Python away, and is done wherever an array ends.
    return unchecked("rds_loader_next"), unchecked("rds_loader_release", keeps_lock=True)


class Lent:
    """Memory of a batch, given back when nothing refers to it any more."""

    __slots__ = ("__weakref__", "_number", "native")

    def __init__(self, native: Native, number: int):
        self.native = native
        self._number = number
        native.out[number] = weakref.ref(self)

    def __del__(self):
        self.native.give_back(self._number)


class Numbered(NamedTuple):
    """Which rows a batch has, in memory of their own."""

    rows: np.ndarray
    # None without a mixture.
    tables: np.ndarray | None
    padded: int


_INT64, _UINT32 = np.dtype(np.int64), np.dtype(np.uint32)
NOTHING = Numbered(np.empty(0, _INT64), None, 0)


class Given(NamedTuple):
    """A batch: the memory it lies in, and what is where."""

    lent: Lent | None
    rows: int
    tables: int
    columns: int
    length: int
    padded: int


def _view(memory_type: Any, lent: Lent, address: int, shape: Any, dtype: np.dtype) -> np.ndarray:
    """An array over lent memory, which keeps it."""
    memory = memory_type.from_address(address)
    memory.lent = lent
    return np.ndarray(shape, dtype, memory)


@functools.lru_cache(maxsize=64)
def _memory(size: int) -> Any:
    """A type of so many bytes of memory that keeps the batch which it is of."""
    return type("Memory", (c_char * size,), {"__slots__": ("lent",)})


class Native(c_void_p):
    """Closed with its last reference, of which every array has one."""

    def __init__(
        self,
        reader: c_void_p | None,
        options: c.LoaderOptions,
        columns: list[Stored],
        most_lent: int,
        waiting: Waiting,
        pinned: Pinned | None = None,
        skipped: int = 0,
    ):
        super().__init__()
        self.close = library().rds_loader_close
        self._next, self._release = _functions()
        self._waiting = waiting
        self._pinned = pinned
        # Beyond that batches are copied.
        self._most_lent = most_lent
        # The batches that are lent, by their numbers.
        self.out: dict[int, weakref.ref[Lent]] = {}
        self._batch = c.LoaderBatch(consumed=_NONE)
        self._to_batch = byref(self._batch)
        # Rows of the steps of other workers, between the position of this one and its step.
        self._skipped = skipped
        library().rds_loader_open(reader, byref(options), byref(self))
        # A batch of fewer rows lies in a buffer for as many as the largest has.
        most = self.stats().batch_rows
        self._numbers = _memory(most * _INT64.itemsize)
        self._addresses = c_void_p * len(columns)
        self._columns = [(_memory(most * column.row_bytes), (most, *column.shape), column.dtype) for column in columns]

    def __del__(self):
        if self.value is not None:
            self.close(self)

    def next(self) -> Given | None:
        """The next batch, or None at the end of an epoch; not for two threads at once."""
        if self._pinned is not None:
            self._pinned.settle(self)
        if self._next(self, self._to_batch):
            error = last_error()
            raise self._waiting.cause(error) if isinstance(error, CancelledError) else error
        _, rows, tables, columns, _, count, padded, step, _, _, number = _BATCH.unpack_from(self._batch)
        if not step:
            return None
        return Given(Lent(self, number) if number else None, rows, tables, columns, count, padded)

    def handed_out(self) -> None:
        """What was given last has reached who asked for it."""
        self._batch.consumed = _NONE

    def take_back(self) -> None:
        """Gives again what was given last, if it has reached nobody: a signal came in between."""
        if self._batch.consumed != _NONE:
            self._go_back()
            self._batch.consumed = _NONE
            if self._batch.buffer not in self.out:
                self.release(self._batch.buffer)

    def _go_back(self) -> None:
        batch = self._batch
        self.seek(batch.epoch, batch.consumed - (self._skipped if batch.step_rows else 0))

    @property
    def is_pinned(self) -> bool:
        return self._pinned is not None

    def is_crowded(self) -> bool:
        """Whether what was given last is to be copied, so that there is a buffer for what comes."""
        return self._lent() > self._most_lent and self._find_lost() > self._most_lent

    def _lent(self) -> int:
        """How many batches something refers to."""
        return len(self.out) - (0 if self._pinned is None else len(self._pinned.read))

    def _find_lost(self) -> int:
        """As `_lent`, when those are given back whose end a signal came into."""
        read = () if self._pinned is None else {number for _, number in self._pinned.read}
        for number, lent in list(self.out.items()):
            if lent() is None and number not in read:
                self.give_back(number)
        return self._lent()

    def give_back(self, number: int) -> None:
        """The memory of a batch that nothing refers to any more."""
        if self._pinned is None:
            self.release(number)
        else:
            self._pinned.give_back(self, number)

    def release(self, number: int) -> None:
        # What a parent of this process was lent is its own to give back: librds tells them apart.
        self._release(self, c_uint64(number))
        self.out.pop(number, None)

    def arrays(self, given: Given) -> list[np.ndarray]:
        """The columns of a batch, in its memory; without any the numbers of its rows."""
        lent, length = given.lent, given.length
        if lent is None:
            return [np.empty((0, *shape[1:]), dtype) for _, shape, dtype in self._columns] or [NOTHING.rows]
        if not self._columns:
            return [self.numbers(given)]
        return [
            _view(memory, lent, address, shape if length == shape[0] else (length, *shape[1:]), dtype)
            for address, (memory, shape, dtype) in zip(self._addresses.from_address(given.columns), self._columns)
        ]

    def numbers(self, given: Given) -> np.ndarray:
        """Of the rows of a batch, in its memory."""
        lent = given.lent
        return NOTHING.rows if lent is None else _view(self._numbers, lent, given.rows, given.length, _INT64)

    def numbered(self, given: Given) -> Numbered:
        lent = given.lent
        if lent is None:
            return NOTHING
        tables = None
        if given.tables:
            # They take half of what numbers do.
            tables = _view(self._numbers, lent, given.tables, given.length, _UINT32).copy()
        return Numbered(self.numbers(given).copy(), tables, given.padded)

    def state(self) -> bytes:
        """The position, behind what has reached who asked for it."""
        state = self._state()
        if self._batch.consumed == _NONE:
            return state
        # The handler of a signal asks, while a batch is on its way.
        self._go_back()
        before = self._state()
        self.restore(state)
        return before

    def _state(self) -> bytes:
        position = c.Position()
        library().rds_loader_state(self, byref(position))
        return bytes(position.bytes)

    def restore(self, state: bytes) -> None:
        position = c.Position.from_buffer_copy(state)
        library().rds_loader_seek(self, byref(position), 0, 0)

    def seek(self, epoch: int, consumed: int) -> None:
        library().rds_loader_seek(self, None, epoch, consumed)

    def fileno(self) -> int:
        descriptor = c_int()
        library().rds_loader_fd(self, byref(descriptor))
        return descriptor.value

    def stats(self) -> c.LoadStats:
        stats = c.LoadStats()
        library().rds_loader_stats(self, byref(stats))
        return stats


def position(state) -> bytes:
    """The bytes of a position, which somebody has stored."""
    found = state.get("rds") if isinstance(state, dict) else None
    if not isinstance(found, (bytes, bytearray)) or len(found) != c.POSITION_BYTES:
        raise InvalidArgumentError(
            f"load_state_dict: the state is {reprlib.repr(state)}; a dict with {c.POSITION_BYTES} bytes as 'rds' is expected"
        )
    return bytes(found)
