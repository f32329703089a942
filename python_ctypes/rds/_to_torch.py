"""Batches as tensors of torch, which is loaded when they are asked for."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _options, _structs
from ._errors import InvalidArgumentError, NotSupportedError
from ._stored import Stored

if TYPE_CHECKING:
    from ._loading import Native

Convert = Callable[[np.ndarray], Any]

_FORMATS = {"numpy": 0, "torch": 1}

# Buffers of pinned memory beside those that are ready: of the batch that is worked on, and of what a device reads.
_BESIDE = 4


@functools.cache
def torch() -> Any:
    try:
        # The one of PyTorch, not of this package.
        import torch as module
    except ImportError as error:
        raise ImportError("tensors of torch need PyTorch; install torch, or leave out format='torch'") from error
    return module


def converters(columns: list[Stored], format: str, pin_memory: bool) -> list[Convert] | None:
    """What makes of the array of each column what a batch has; None if it has arrays."""
    if _options.choice("format", format, _FORMATS) == _FORMATS["numpy"]:
        if pin_memory:
            raise InvalidArgumentError("pin_memory is given, and format is 'numpy'; tensors of torch can be pinned")
        return None
    # Without columns there are numbers of rows.
    return [_converter(column) for column in columns] or [torch().from_numpy]


def _converter(column: Stored) -> Convert:
    from_numpy = torch().from_numpy
    if column.dtype_name == "bfloat16":
        bfloat16 = torch().bfloat16
        return lambda array: from_numpy(array.view(np.int16)).view(bfloat16)
    try:
        from_numpy(np.empty(0, column.dtype))
    except TypeError:
        raise NotSupportedError(
            f"column {column.name!r}: torch {torch().__version__} has no dtype for {column.dtype.name}; choose other "
            "columns, or leave out format='torch'"
        ) from None
    return from_numpy


class Pinned:
    """Buffers in memory that is pinned, which a device copies from while the program goes on.

    A batch may be forgotten before a device has copied it: so its memory is free again when what was asked of the
    device until then is done.
    """

    def __init__(self, columns: list[Stored], rows: int, buffers: int):
        self.count = buffers
        self._tensors = [
            torch().empty(rows * column.row_bytes, dtype=torch().uint8, pin_memory=True)
            for _ in range(buffers)
            for column in columns
        ]
        targets = [
            _structs.Target(data=tensor.data_ptr(), bytes=tensor.numel(), column=columns[index % len(columns)].number)
            for index, tensor in enumerate(self._tensors)
        ]
        self.targets = (_structs.Target * len(targets))(*targets)
        # What devices may still read from, and what tells that they do not.
        self.read: deque[tuple[Any, int]] = deque()

    def give_back(self, native: Native, number: int) -> None:
        """The memory of a batch that nothing refers to any more."""
        if not torch().cuda.is_initialized():
            native.release(number)
            return
        event = torch().cuda.Event()
        event.record()
        self.read.append((event, number))

    def settle(self, native: Native) -> None:
        """Gives back what was copied; waits for that if there is nothing else."""
        while self.read:
            event, number = self.read[0]
            if not event.query():
                if len(native.out) < self.count:
                    return
                event.synchronize()
            self.read.popleft()
            native.release(number)


def pinned(columns: list[Stored], rows: int, buffers: int, ahead: int) -> Pinned | None:
    """None where nothing can be pinned, because there is no device."""
    if not columns or not torch().cuda.is_available():
        return None
    return Pinned(columns, rows, max(min(buffers, ahead + _BESIDE), 1))
