"""Arrow structs of librds: as PyCapsules, owned by Python, and strings read without Arrow."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char, c_char_p, c_void_p
from itertools import pairwise

import numpy as np

from . import _dtypes
from . import _structs as c
from ._errors import NotSupportedError
from ._library import last_error

# Prototypes of our own: those on ctypes.pythonapi are shared with everyone else.
_capsule_new = ctypes.PYFUNCTYPE(ctypes.py_object, c_void_p, c_char_p, c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)
_capsule_name = ctypes.PYFUNCTYPE(c_void_p, c_void_p)(("PyCapsule_GetName", ctypes.pythonapi))
_capsule_pointer = ctypes.PYFUNCTYPE(c_void_p, c_void_p, c_void_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)

# A capsule borrows its name and its struct: both live here until its destructor runs.
_NAMES = {c.ArrowSchema: b"arrow_schema", c.ArrowArrayStream: b"arrow_array_stream"}
_owned: dict[int, ctypes.Structure] = {}


# The capsule is passed as a bare pointer: as an object its count would go up from 0 and down
# again, which would destroy it a second time.
@ctypes.PYFUNCTYPE(None, c_void_p)
def _destroy(capsule):
    struct = _owned.pop(_capsule_pointer(capsule, _capsule_name(capsule)))
    release(struct)


def capsule(struct: ctypes.Structure):
    """A PyCapsule that owns an ArrowSchema or an ArrowArrayStream."""
    address = ctypes.addressof(struct)
    _owned[address] = struct
    return _capsule_new(address, _NAMES[type(struct)], ctypes.cast(_destroy, c_void_p))


def release(struct: ctypes.Structure) -> None:
    """Releases what a struct holds, unless a consumer has moved it out."""
    if struct.release:
        struct.release(ctypes.addressof(struct))


class OwnedArray(c.ArrowArray):
    """An array that is released with its last reference."""

    def __del__(self):
        release(self)


def batches(stream: c.ArrowArrayStream):
    """The batches of a stream, which is released with the last one."""
    try:
        while True:
            batch = OwnedArray()
            # What a stream itself tells is a number and a text; the last error of the thread has the
            # status.
            if stream.get_next(ctypes.addressof(stream), byref(batch)):
                raise last_error()
            if not batch.release:
                return
            yield batch
    finally:
        release(stream)


class Strings:
    """The strings of an array of large_utf8, read where they lie."""

    __slots__ = ("_array", "_bytes", "_nulls", "_offsets")

    def __init__(self, array: OwnedArray):
        self._array = array
        count = array.length
        # An array of nothing need not have memory.
        self._offsets = _memory(array.buffers[1], 8 * array.offset, 8 * (count + 1) if count else 0).cast("q")
        self._bytes = _memory(array.buffers[2], 0, self._offsets[-1] if count else 0)
        self._nulls = _nulls(array)

    def __getitem__(self, row: int) -> str:
        if row in self._nulls:
            raise NotSupportedError(f"the id of row {row} is null")
        return str(self._bytes[self._offsets[row] : self._offsets[row + 1]], "utf-8")

    def tolist(self) -> list[str]:
        if self._nulls:
            raise NotSupportedError(f"the id of row {min(self._nulls)} is null")
        bounds = pairwise(self._offsets.tolist())
        data = bytes(self._bytes)
        if data.isascii():
            text = data.decode()
            return [text[start:end] for start, end in bounds]
        return [data[start:end].decode() for start, end in bounds]


def _memory(address: int | None, offset: int, size: int) -> memoryview:
    if not size:
        return memoryview(b"")
    return memoryview((c_char * size).from_address(address + offset)).cast("B")


def _nulls(array: c.ArrowArray) -> frozenset[int]:
    if not array.null_count or not array.buffers[0]:
        return frozenset()
    end = array.offset + array.length
    valid = np.frombuffer(_memory(array.buffers[0], 0, (end + 7) // 8), np.uint8)
    valid = np.unpackbits(valid, bitorder="little")[array.offset : end]
    return frozenset(np.flatnonzero(valid == 0).tolist())


def pyarrow_schema(dtype: np.dtype, shape: list[int]):
    """The schema of a table of such tensors, as a pyarrow object."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise ImportError("the attribute `schema` is a pyarrow object; install pyarrow") from error
    name = _dtypes.native(dtype).name
    numbers = int(np.prod(shape, dtype=np.int64))
    if name == "bfloat16":
        extension = {"ARROW:extension:name": "lance.bfloat16", "ARROW:extension:metadata": ""}
        item = pa.field("item", pa.binary(2), metadata=extension)
    elif dtype.kind == "c":
        item = pa.field("item", pa.from_numpy_dtype(f"f{dtype.itemsize // 2}"))
        numbers *= 2
    else:
        item = pa.field("item", pa.from_numpy_dtype(name))
    return pa.schema(
        [("object_id", pa.utf8()), ("data", pa.list_(item, numbers))],
        metadata={"tensor_shape": str(list(shape)), "tensor_dtype": name},
    )
