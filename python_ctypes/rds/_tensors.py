"""Stacks of equal tensors, each as an `rds_tensor`."""

from __future__ import annotations

from ctypes import c_int64, sizeof

import numpy as np

from . import _dtypes, _masks, _options
from . import _structs as c
from ._errors import InvalidArgumentError, SchemaMismatchError

Spec = tuple[np.dtype, tuple[int, ...]]


def stack(name: str, data, expected: Spec | None) -> np.ndarray:
    """All tensors of a column as one array, whose first dimension is over tensors.

    `expected` is the dtype and shape of the tensors of earlier batches.
    """
    data = _of_others(name, data)
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


def _of_others(name: str, data):
    """What Arrow and pandas have, of which NumPy would make NaN of a null, and round integers beside it."""
    package = type(data).__module__.partition(".")[0]
    if package == "pyarrow":
        from . import _dense

        return _dense.column(data, name)
    if package == "pandas" and not isinstance(getattr(data, "dtype", None), np.dtype) and hasattr(data, "dtype"):
        import pandas

        from . import _frames

        return _frames.tensors(pandas.Series(data), name)
    return data


def spec(stacked: np.ndarray) -> Spec:
    """Dtype and shape of one tensor, as a table has them."""
    return _dtypes.native(stacked.dtype), stacked.shape[1:]


class Structs:
    """An rds_tensor for each column of a batch, and the memory they point to.

    To make them takes longer than to copy a small batch, so the next batch of the same columns fills them anew.
    """

    __slots__ = ("_columns", "array", "memory")

    def __init__(self, stacks: dict[str, np.ndarray]):
        self.array = (c.Tensor * len(stacks))()
        self.memory: object = stacks
        self._columns = [
            (name, stacked.dtype, stacked.shape[1:], struct, _fill(struct, name, stacked))
            for struct, (name, stacked) in zip(self.array, stacks.items())
        ]

    def specs(self) -> dict[str, Spec]:
        return {name: (_dtypes.native(dtype), shape) for name, dtype, shape, _, _ in self._columns}

    def refill(self, rows: int, data) -> bool:
        """Points them at other tensors, if these are arrays of the same columns, without gaps."""
        if type(data) is np.ndarray:
            data = {"data": data}
        if type(data) is not dict or len(data) != len(self._columns) or not rows:
            return False
        for name, dtype, shape, struct, dims in self._columns:
            values = data.get(name)
            if type(values) is not np.ndarray or values.shape != (rows, *shape):
                return False
            if values.dtype != dtype or not values.flags.c_contiguous:
                return False
            dims[0] = rows
            struct.strides = None
            struct.data = values.ctypes.data
        self.memory = data
        return True


def _fill(struct: c.Tensor, name: str, stacked: np.ndarray):
    """Makes a struct say what an array is; its shape, which may be changed."""
    dims = c_int64 * stacked.ndim
    shape = dims(*stacked.shape)
    struct.struct_size = sizeof(struct)
    struct.name = None if name == "data" else _options.text("the name of a column", name)
    struct.dtype, struct.flags = _dtypes.number_and_flags(stacked.dtype, name)
    struct.ndim = stacked.ndim
    struct.shape = shape
    struct.strides = None if stacked.flags.c_contiguous else dims(*stacked.strides)
    struct.data = stacked.ctypes.data
    return shape


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
