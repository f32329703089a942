"""Arrow structs of librds as PyCapsules, and the few columns that are read without Arrow."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int32, c_int64, c_void_p
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
_OFFSET_TYPES = {b"u": c_int32, b"U": c_int64}
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


def strings_of_stream(stream: c.ArrowArrayStream) -> list[str]:
    """The only column of a stream, which holds strings; the stream is released."""
    strings: list[str] = []
    try:
        offset_type = _offset_type(stream)
        for array in _batches(stream):
            strings += _strings_of_array(array.children[0].contents, offset_type)
    finally:
        release(stream)
    return strings


def _offset_type(stream: c.ArrowArrayStream):
    schema = c.ArrowSchema()
    _check(stream.get_schema(ctypes.addressof(stream), byref(schema)))
    try:
        string_format = schema.children[0].contents.format
    finally:
        release(schema)
    if string_format not in _OFFSET_TYPES:
        raise NotSupportedError(f"column \"object_id\": strings of Arrow format {string_format.decode()!r}")
    return _OFFSET_TYPES[string_format]


def _batches(stream: c.ArrowArrayStream):
    while True:
        array = c.ArrowArray()
        _check(stream.get_next(ctypes.addressof(stream), byref(array)))
        if not array.release:
            return
        try:
            yield array
        finally:
            release(array)


def _check(code: int) -> None:
    # What a stream itself tells is a number and a text; the last error of the thread has the status.
    if code:
        raise last_error()


def _strings_of_array(array: c.ArrowArray, offset_type) -> list[str]:
    if not array.length:
        return []
    if array.null_count:
        raise NotSupportedError('column "object_id": the id of a row is null')
    # The first offset need not be 0: the array may be a slice.
    base = ctypes.cast(array.buffers[1], POINTER(offset_type))
    offsets = np.array(base[array.offset : array.offset + array.length + 1])
    begin, size = int(offsets[0]), int(offsets[-1] - offsets[0])
    data = ctypes.string_at(array.buffers[2] + begin, size) if size else b""
    spans = pairwise((offsets - begin).tolist())
    if data.isascii():
        text = data.decode()
        return [text[start:end] for start, end in spans]
    return [data[start:end].decode() for start, end in spans]


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
