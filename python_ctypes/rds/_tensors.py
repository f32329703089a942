"""Stacks of equal tensors, each as an `rds_tensor`."""

from __future__ import annotations

from ctypes import c_int64

import numpy as np

from . import _dtypes, _masks, _options
from . import _structs as c
from ._errors import InvalidArgumentError, SchemaMismatchError

Spec = tuple[np.dtype, tuple[int, ...]]


def stack(name: str, data, expected: Spec | None) -> np.ndarray:
    """All tensors of a column as one array, whose first dimension is over tensors.

    `expected` is the dtype and shape of the tensors of earlier batches.
    """
    _masks.refuse_masked_tensors(data, name)
    if isinstance(data, (list, tuple)) and data:
        stacked = _stack_list(name, data, expected)
    else:
        stacked = np.asarray(data)
    if stacked.ndim == 0:
        raise InvalidArgumentError(f"{name} is one scalar; a sequence of tensors is expected")
    if not len(stacked):
        return stacked
    _dtypes.number_and_flags(stacked.dtype, name)
    if not stacked.size:
        shape = list(stacked.shape[1:])
        raise InvalidArgumentError(f"{name}: tensors of shape {shape} have no elements; they cannot be stored")
    if expected is not None and spec(stacked) != expected:
        raise _mismatch(name, 0, spec(stacked), expected)
    return stacked


def spec(stacked: np.ndarray) -> Spec:
    """Dtype and shape of one tensor, as a table has them."""
    return _dtypes.native(stacked.dtype), stacked.shape[1:]


def to_structs(stacks: dict[str, np.ndarray]):
    """A struct for each column, which keep its shape alive, and not the memory of its tensors."""
    return (c.Tensor * len(stacks))(*(_to_struct(name, stacked) for name, stacked in stacks.items()))


def _to_struct(name: str, stacked: np.ndarray) -> c.Tensor:
    number, flags = _dtypes.number_and_flags(stacked.dtype, name)
    dims = c_int64 * stacked.ndim
    return c.Tensor(
        name=None if name == "data" else _options.text("the name of a column", name),
        dtype=number,
        ndim=stacked.ndim,
        shape=dims(*stacked.shape),
        strides=None if stacked.flags.c_contiguous else dims(*stacked.strides),
        data=stacked.ctypes.data,
        flags=flags,
    )


def _stack_list(name: str, tensors, expected: Spec | None) -> np.ndarray:
    dtype = np.asarray(tensors[0]).dtype
    _dtypes.number_and_flags(dtype, name)
    try:
        # "equiv" refuses to convert: a table holds the values that were given, or none.
        return np.stack(tensors, dtype=dtype, casting="equiv")
    except (TypeError, ValueError):
        _find_odd_one(name, tensors, expected)
        raise


def _find_odd_one(name: str, tensors, expected: Spec | None) -> None:
    for index, tensor in enumerate(map(np.asarray, tensors)):
        found = _dtypes.native(tensor.dtype), tensor.shape
        if expected is None:
            expected = found
        if found != expected:
            raise _mismatch(name, index, found, expected) from None


def _mismatch(name: str, index: int, found: Spec, expected: Spec) -> SchemaMismatchError:
    def text(spec: Spec) -> str:
        return f"{spec[0].name} of shape {list(spec[1])}"

    return SchemaMismatchError(f"{name}: tensor {index} is {text(found)}, expected {text(expected)}")
