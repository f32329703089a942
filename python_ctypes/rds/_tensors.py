"""Stacks of equal tensors, as an `rds_tensor`."""

from __future__ import annotations

from ctypes import c_int64

import numpy as np

from . import _dtypes, _masks
from . import _structs as c
from ._errors import InvalidArgumentError, SchemaMismatchError

Spec = tuple[np.dtype, tuple[int, ...]]


def stack(data, expected: Spec | None) -> np.ndarray:
    """All tensors as one array, whose first dimension is over tensors.

    `expected` is the dtype and shape of the tensors of earlier batches.
    """
    _masks.refuse_masked_tensors(data)
    if isinstance(data, (list, tuple)) and data:
        stacked = _stack_list(data, expected)
    else:
        stacked = np.asarray(data)
    if stacked.ndim == 0:
        raise InvalidArgumentError("data is one scalar; a sequence of tensors is expected")
    if not len(stacked):
        return stacked
    _dtypes.number_and_flags(stacked.dtype)
    if not stacked.size:
        shape = list(stacked.shape[1:])
        raise InvalidArgumentError(f"tensors of shape {shape} have no elements; they cannot be stored")
    if expected is not None and spec(stacked) != expected:
        raise _mismatch(0, spec(stacked), expected)
    return stacked


def spec(stacked: np.ndarray) -> Spec:
    """Dtype and shape of one tensor, as a table has them."""
    return _dtypes.native(stacked.dtype), stacked.shape[1:]


def to_struct(stacked: np.ndarray) -> c.Tensor:
    """The struct for a stack of tensors; it keeps the memory it points to alive."""
    number, flags = _dtypes.number_and_flags(stacked.dtype)
    dims = c_int64 * stacked.ndim
    tensor = c.Tensor(
        dtype=number,
        flags=flags,
        ndim=stacked.ndim,
        shape=dims(*stacked.shape),
        strides=None if stacked.flags.c_contiguous else dims(*stacked.strides),
        data=stacked.ctypes.data,
    )
    tensor.memory = stacked
    return tensor


def _stack_list(tensors, expected: Spec | None) -> np.ndarray:
    dtype = _dtype_of_first(tensors)
    try:
        # "equiv" refuses to convert: a table holds the values that were given, or none.
        return np.stack(tensors, dtype=dtype, casting="equiv")
    except (TypeError, ValueError):
        _find_odd_one(tensors, expected)
        raise


def _dtype_of_first(tensors) -> np.dtype:
    dtype = np.asarray(tensors[0]).dtype
    _dtypes.number_and_flags(dtype)
    return dtype


def _find_odd_one(tensors, expected: Spec | None) -> None:
    for index, tensor in enumerate(map(np.asarray, tensors)):
        found = _dtypes.native(tensor.dtype), tensor.shape
        if expected is None:
            expected = found
        if found != expected:
            raise _mismatch(index, found, expected) from None


def _mismatch(index: int, found: Spec, expected: Spec) -> SchemaMismatchError:
    def text(spec: Spec) -> str:
        return f"{spec[0].name} of shape {list(spec[1])}"

    return SchemaMismatchError(f"data: tensor {index} is {text(found)}, expected {text(expected)}")
