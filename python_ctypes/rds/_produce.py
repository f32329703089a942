"""Streams of Arrow record batches that Python makes as they are asked for."""

from __future__ import annotations

import ctypes
import errno
import itertools
from collections.abc import Callable, Iterator
from ctypes import byref, c_void_p, memmove, sizeof
from typing import Any

from . import _structs as c

# What is exported lives here until it is released; `private_data` is its number.
_kept: dict[int, Any] = {}
_numbers = itertools.count(1)

_increase_count = ctypes.PYFUNCTYPE(None, ctypes.py_object)(("Py_IncRef", ctypes.pythonapi))


def _forever(callback):
    """Keeps a callback from being freed, even at exit: a stream may have its address longer."""
    _increase_count(callback)
    return callback


class _Producer:
    """What a stream hands out, and what went wrong."""

    def __init__(self, schema: Callable[[c.ArrowSchema], None], batches: Iterator[c.ArrowArray]):
        self.schema = schema
        self.batches = batches
        self.error: ctypes.Array | None = None

    def attempt(self, work: Callable[[], None]) -> int:
        """Zero, or the number of an error; an exception must not leave a callback."""
        try:
            work()
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
            self.error = ctypes.create_string_buffer(text.encode(errors="replace"))
            return errno.EIO
        self.error = None
        return 0


@_forever
@c.GetSchema
def _get_schema(address, out):
    producer = _kept[c.ArrowArrayStream.from_address(address).private_data]
    return producer.attempt(lambda: producer.schema(out.contents))


@_forever
@c.GetNext
def _get_next(address, out):
    producer = _kept[c.ArrowArrayStream.from_address(address).private_data]

    def work():
        # At the end of a stream the array is a released one.
        memmove(out, byref(next(producer.batches, c.ArrowArray())), sizeof(c.ArrowArray))

    return producer.attempt(work)


@_forever
@c.GetLastError
def _get_last_error(address):
    text = _kept[c.ArrowArrayStream.from_address(address).private_data].error
    return None if text is None else ctypes.addressof(text)


# What it uses is bound: at exit it may run when the names of this module are gone.
@_forever
@c.Release
def _release(address, kept=_kept, kind=c.ArrowArrayStream, nothing=c.Release(), failed=BaseException):
    try:
        stream = kind.from_address(address)
    except failed:
        # An exception was on its way as the consumer let go, and is lost: a stream that stays
        # unreleased would end the process.
        stream = kind.from_address(address)
    kept.pop(stream.private_data)
    stream.release = nothing


def stream(
    schema: Callable[[c.ArrowSchema], None], batches: Iterator[c.ArrowArray]
) -> c.ArrowArrayStream:
    """A stream of batches that are made as they are asked for; `schema` fills in a struct."""
    number = next(_numbers)
    _kept[number] = _Producer(schema, batches)
    return c.ArrowArrayStream(
        get_schema=_get_schema,
        get_next=_get_next,
        get_last_error=_get_last_error,
        release=_release,
        private_data=c_void_p(number),
    )
