"""Arrow structs: passed on as PyCapsules, taken over from capsules of others, released once."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from ctypes import byref, c_char_p, c_void_p
from typing import Any

from . import _capsules
from . import _structs as c
from ._errors import InvalidTypeError, StorageError
from ._library import last_error

_NAMES: dict[Any, bytes] = {
    c.ArrowSchema: b"arrow_schema",
    c.ArrowArray: b"arrow_array",
    c.ArrowArrayStream: b"arrow_array_stream",
}

# A prototype of our own: that on ctypes.pythonapi is shared with everyone else.
_pointer_of = ctypes.PYFUNCTYPE(c_void_p, ctypes.py_object, c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


# Bound, because at exit the names of this module may be gone.
def release(struct, addressof=ctypes.addressof) -> None:
    """Releases what a struct holds, unless a consumer has moved it out."""
    if struct.release:
        struct.release(addressof(struct))


def capsule(struct):
    """A PyCapsule that owns an ArrowSchema, an ArrowArray or an ArrowArrayStream."""
    kind = next(kind for kind in _NAMES if isinstance(struct, kind))
    return _capsules.make(ctypes.addressof(struct), _NAMES[kind], lambda _: release(struct))


class OwnedArray(c.ArrowArray):
    """An array that is released with its last reference."""

    def __del__(self, release=release):
        release(self)


class OwnedSchema(c.ArrowSchema):
    """A schema that is released with its last reference."""

    def __del__(self, release=release):
        release(self)


class OwnedStream(c.ArrowArrayStream):
    """A stream that is released with its last reference."""

    def __del__(self, release=release):
        release(self)


def take_over(capsule, struct: ctypes.Structure) -> None:
    """Moves what a capsule of somebody else holds into `struct`."""
    kind = next(kind for kind in _NAMES if isinstance(struct, kind))
    try:
        address = _pointer_of(capsule, _NAMES[kind])
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(f"{capsule!r} is no capsule of {_NAMES[kind].decode()}") from error
    source = kind.from_address(address)
    if not source.release:
        raise InvalidTypeError(f"what {capsule!r} held has been taken by somebody else")
    ctypes.memmove(byref(struct), address, ctypes.sizeof(kind))
    source.release = c.Release()


def batches(stream: c.ArrowArrayStream) -> Iterator[OwnedArray]:
    """The batches of a stream of librds, which is released with the last one."""
    try:
        while True:
            batch = OwnedArray()
            next_batch(stream, batch)
            if not batch.release:
                return
            yield batch
    finally:
        release(stream)


def next_batch(stream: c.ArrowArrayStream, array: c.ArrowArray) -> None:
    """Makes `array` the next batch of a stream of librds, or a released one at its end."""
    if stream.get_next(ctypes.addressof(stream), byref(array)):
        # What a stream itself tells is a number and a text; the last error of the thread has the status.
        raise last_error()


def batches_of_others(data) -> Iterator[tuple[c.ArrowSchema, OwnedArray]]:
    """What an object with `__arrow_c_stream__` or `__arrow_c_array__` holds: batches and their schema."""
    if not hasattr(data, "__arrow_c_stream__"):
        schema, array = OwnedSchema(), OwnedArray()
        for capsule, struct in zip(data.__arrow_c_array__(), (schema, array)):
            take_over(capsule, struct)
        yield schema, array
        return
    schema, stream = OwnedSchema(), OwnedStream()
    take_over(data.__arrow_c_stream__(), stream)
    _check(stream, stream.get_schema(ctypes.addressof(stream), byref(schema)))
    while True:
        array = OwnedArray()
        _check(stream, stream.get_next(ctypes.addressof(stream), byref(array)))
        if not array.release:
            return
        yield schema, array


def _check(stream: c.ArrowArrayStream, failed: int) -> None:
    if failed:
        text = stream.get_last_error(ctypes.addressof(stream))
        message = ctypes.string_at(text).decode(errors="replace") if text else f"error {failed}"
        raise StorageError(f"the Arrow stream failed: {message}")
