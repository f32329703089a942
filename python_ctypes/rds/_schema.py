"""Dtypes and shapes of the columns of an Arrow schema, and the schema of dtypes and shapes."""

from __future__ import annotations

import ctypes
import json
import struct
from types import ModuleType

import numpy as np

from . import _dtypes
from . import _structs as c
from ._tensors import Spec

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


def specs(schema: c.ArrowSchema) -> dict[str, Spec]:
    """The dtype and the shape of a row by column, as librds takes them from a schema that it accepted."""
    metadata = _metadata(schema)
    children = (schema.children[number].contents for number in range(schema.n_children))
    columns = {child.name.decode(): child for child in children if child.name != b"object_id"}
    shape = _json(metadata.get("tensor_shape"))
    if isinstance(shape, list) and "tensor_dtype" in metadata:
        return {"data": (_dtypes.from_name(metadata["tensor_dtype"]), tuple(shape))}
    return {name: _spec(child, _json(metadata.get(name))) for name, child in columns.items()}


def _spec(column: c.ArrowSchema, told) -> Spec:
    if isinstance(told, dict) and {"tensor_shape", "tensor_dtype"} <= set(told):
        return _dtypes.from_name(told["tensor_dtype"]), tuple(told["tensor_shape"])
    if not column.n_children:
        return _dtype(column), ()
    dtype = _dtype(column.children[0].contents)
    metadata = _metadata(column)
    if metadata.get("ARROW:extension:name") == _FIXED_SHAPE:
        return dtype, tuple(json.loads(metadata["ARROW:extension:metadata"])["shape"])
    return dtype, (int(column.format.removeprefix(b"+w:")),)


def _dtype(numbers: c.ArrowSchema) -> np.dtype:
    # A time zone comes after the colon; what counts are the numbers.
    form = numbers.format
    return _dtypes.from_name(_FORMATS[form.partition(b":")[0] + b":" if form.startswith(b"ts") else form])


def _json(text: str | None):
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None


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


def to_pyarrow(columns: dict[str, Spec]):
    """The schema of a table with these columns, as a pyarrow object."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise ImportError("the attribute `schema` is a pyarrow object; install pyarrow") from error
    fields = [(name, _list_type(pa, dtype, shape)) for name, (dtype, shape) in columns.items()]
    metadata = {name: _told(dtype, shape) for name, (dtype, shape) in columns.items()}
    if tuple(columns) == ("data",):
        dtype, shape = columns["data"]
        metadata = {"tensor_shape": json.dumps(shape), "tensor_dtype": _dtypes.native(dtype).name}
    return pa.schema([("object_id", pa.utf8()), *fields], metadata=metadata)


def _told(dtype: np.dtype, shape: tuple[int, ...]) -> str:
    return json.dumps({"tensor_shape": shape, "tensor_dtype": _dtypes.native(dtype).name})


def _list_type(pa: ModuleType, dtype: np.dtype, shape: tuple[int, ...]):
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
    return pa.list_(item, numbers)
