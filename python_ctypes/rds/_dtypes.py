"""NumPy dtypes and the numbers of `rds_dtype`."""

from __future__ import annotations

import functools

import numpy as np

from . import _structs as c
from ._errors import UnsupportedDtypeError

# In the order of rds_dtype, which starts at 1.
NAMES = (
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "bfloat16",
    "complex64",
    "complex128",
    "datetime64[s]",
    "datetime64[ms]",
    "datetime64[us]",
    "datetime64[ns]",
    "timedelta64[s]",
    "timedelta64[ms]",
    "timedelta64[us]",
    "timedelta64[ns]",
)
_NUMBERS = {name: number for number, name in enumerate(NAMES, start=1)}


def native(dtype: np.dtype) -> np.dtype:
    """The dtype in the byte order of this machine, as a table has it."""
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def number_and_flags(dtype: np.dtype, column: str = "data") -> tuple[int, int]:
    """What `rds_tensor.dtype` and `rds_tensor.flags` are for an array of this dtype."""
    number = _number(dtype)
    if number is None:
        what = f"{column}: tensors of dtype {_describe(dtype)}"
        raise UnsupportedDtypeError(f"{what} cannot be stored{_advice(dtype)}")
    return number, 0 if dtype.isnative else c.TENSOR_BYTE_SWAPPED


@functools.lru_cache
def _number(dtype: np.dtype) -> int | None:
    return _NUMBERS.get(native(dtype).name) if dtype.fields is None else None


def declared(dtype) -> np.dtype:
    """The dtype that somebody names, in the byte order of this machine."""
    return from_name(dtype) if dtype == "bfloat16" else native(np.dtype(dtype))


def from_number(number: int, name: str) -> np.dtype:
    """The dtype of arrays read from a table."""
    if not 1 <= number <= len(NAMES):
        raise UnsupportedDtypeError(f"this version of rds does not know the dtype {name}")
    return from_name(NAMES[number - 1])


def from_name(name: str) -> np.dtype:
    """The dtype of arrays read from a table, by the name that its metadata has."""
    return _bfloat16() if name == "bfloat16" else np.dtype(name)


def _bfloat16() -> np.dtype:
    # NumPy has no such dtype of its own; without ml_dtypes the bits are still exact.
    try:
        import ml_dtypes
    except ImportError:
        return np.dtype(np.uint16)
    return np.dtype(ml_dtypes.bfloat16)


def _describe(dtype: np.dtype) -> str:
    if dtype.fields is not None:
        return f"structured {dtype}"
    if dtype.kind in "USTa":
        return f"string ({dtype})"
    return dtype.name


def _advice(dtype: np.dtype) -> str:
    if dtype.kind == "O":
        return "; give every tensor the same shape and a numeric dtype"
    if dtype.kind in "mM":
        return "; convert it to one of the units s, ms, us, ns"
    return ""
