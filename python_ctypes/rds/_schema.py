"""Dtype and shape of the tensors of an Arrow schema, and the schema of a dtype and a shape."""

from __future__ import annotations

import ctypes
import json
import struct

import numpy as np

from . import _dtypes
from . import _structs as c

_FORMATS = {
    b"b": "bool",
    b"c": "int8",
    b"s": "int16",
    b"i": "int32",
    b"l": "int64",
    b"C": "uint8",
    b"S": "uint16",
    b"I": "uint32",
    b"L": "uint64",
    b"e": "float16",
    b"f": "float32",
    b"g": "float64",
    b"w:2": "bfloat16",
    b"tDs": "timedelta64[s]",
    b"tDm": "timedelta64[ms]",
    b"tDu": "timedelta64[us]",
    b"tDn": "timedelta64[ns]",
    b"tss:": "datetime64[s]",
    b"tsm:": "datetime64[ms]",
    b"tsu:": "datetime64[us]",
    b"tsn:": "datetime64[ns]",
}
_FIXED_SHAPE = "arrow.fixed_shape_tensor"


def spec(schema: c.ArrowSchema) -> tuple[np.dtype, list[int]]:
    """The dtype and the shape of a row, as librds takes them from a schema that it accepted."""
    metadata = _metadata(schema)
    if "tensor_shape" in metadata and "tensor_dtype" in metadata:
        return _dtypes.from_name(metadata["tensor_dtype"]), json.loads(metadata["tensor_shape"])
    children = (schema.children[number].contents for number in range(schema.n_children))
    data = next(child for child in children if child.name == b"data")
    dtype = _dtypes.from_name(_FORMATS[data.children[0].contents.format])
    metadata = _metadata(data)
    if metadata.get("ARROW:extension:name") == _FIXED_SHAPE:
        return dtype, json.loads(metadata["ARROW:extension:metadata"])["shape"]
    return dtype, [int(data.format.removeprefix(b"+w:"))]


def _metadata(schema: c.ArrowSchema) -> dict[str, str]:
    """Keys and values: a count, then each with its length before it, all int32."""
    address = schema.metadata
    if not address:
        return {}

    def number() -> int:
        nonlocal address
        address += 4
        return struct.unpack("=i", ctypes.string_at(address - 4, 4))[0]

    def text() -> str:
        nonlocal address
        length = number()
        address += length
        return ctypes.string_at(address - length, length).decode(errors="replace")

    return {text(): text() for _ in range(number())}


def to_pyarrow(dtype: np.dtype, shape: list[int]):
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
