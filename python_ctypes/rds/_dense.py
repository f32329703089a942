"""Columns of Arrow, and objects, as arrays of NumPy whose rows are tensors: over the same memory, where they lie so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from ._errors import InvalidArgumentError, InvalidTypeError, SchemaMismatchError
from ._masks import has_mask

_RAY_TENSORS = ("ray.data.arrow_tensor", "ray.data.arrow_tensor_v2")
_RAGGED_TENSORS = "ray.data.arrow_variable_shaped_tensor"
_PICKLED = "ray.data.arrow_pickled_object"
NONE = "which is no tensor; say by tensors= which columns are"

_LISTS = (types.is_fixed_size_list, types.is_list, types.is_large_list, types.is_list_view, types.is_large_list_view)


class Unfit(Exception):
    """Why a column holds no tensors: of which row that is said, and the class of the error."""

    def __init__(self, why: str, row: int = 0, kind: type[Exception] = InvalidArgumentError):
        self.why, self.row, self.kind = why, row, kind


def dense(array: Any) -> np.ndarray:
    """An Arrow array as one of NumPy over the same memory, but for bool, which Arrow packs into bits."""
    kind = array.type
    refuse_nulls(array, "a tensor is expected in each row")
    if isinstance(kind, pa.BaseExtensionType):
        return _of_extension(array)
    dtype = numpy_dtype(kind)
    if dtype is not None and dtype.kind in "mM":
        # As whole numbers: a NaT would be a null.
        return array.view(pa.int64()).to_numpy().view(dtype)
    if dtype is not None:
        return array.to_numpy(zero_copy_only=not types.is_boolean(kind))
    if is_list(kind):
        return _of_lists(array)
    raise Unfit(f"is of type {kind}, {NONE}", kind=InvalidTypeError)


def column(data: Any, name: str, first: int = 0) -> np.ndarray:
    """A column of Arrow, in one array or in several. `first` is the number that messages give to the first row."""
    if not isinstance(data, (pa.Array, pa.ChunkedArray)):
        raise InvalidTypeError(f"{name} is a {type(data).__name__}; one array is expected, or a mapping of such by column")
    # What has no chunk with rows has one without.
    chunks = [data] if isinstance(data, pa.Array) else [chunk for chunk in data.chunks if len(chunk)]
    arrays: list[np.ndarray] = []
    row = 0
    try:
        for chunk in chunks or [pa.array([], data.type)]:
            arrays.append(dense(chunk))
            if arrays[-1].shape[1:] != arrays[0].shape[1:]:
                raise unequal(arrays[-1].shape[1:], arrays[0].shape[1:], 0)
            row += len(chunk)
    except Unfit as error:
        raise error.kind(f"column {name!r}, row {first + row + error.row} {error.why}") from None
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def numpy_dtype(kind: Any) -> np.dtype | None:
    """The dtype of numbers of Arrow; None if NumPy has them not as they are."""
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        return np.dtype(kind.to_pandas_dtype())
    if types.is_timestamp(kind) and kind.tz is None:
        return np.dtype(f"M8[{kind.unit}]")
    return np.dtype(f"m8[{kind.unit}]") if types.is_duration(kind) else None


def is_list(kind: Any) -> bool:
    return any(is_kind(kind) for is_kind in _LISTS)


def _of_extension(array: Any) -> np.ndarray:
    name, storage = array.type.extension_name, array.storage
    if name in _RAY_TENSORS:
        return _of_lists(storage).reshape(len(array), *array.type.shape)
    if name == "arrow.fixed_shape_tensor":
        shape, order = array.type.shape, array.type.permutation
        tensors = dense(storage).reshape(len(array), *shape)
        return tensors if order is None else tensors.transpose(0, *(axis + 1 for axis in order))
    if name == _RAGGED_TENSORS:
        shapes = _of_lists(storage.field("shape"))
        odd = np.flatnonzero((shapes != shapes[0]).any(axis=1))
        if len(odd):
            raise unequal(tuple(shapes[odd[0]].tolist()), tuple(shapes[0].tolist()), int(odd[0]))
        return _of_lists(storage.field("data")).reshape(len(array), *shapes[0])
    if name == _PICKLED:
        return stacked(array.to_pylist())
    raise Unfit(f"is of type {array.type}, {NONE}", kind=InvalidTypeError)


def _of_lists(array: Any) -> np.ndarray:
    """Lists of one length, of lists of one length and so on."""
    refuse_nulls(array, "a tensor is expected in each row")
    lengths = pc.list_value_length(array).to_numpy()
    odd = np.flatnonzero(lengths != lengths[:1])
    if len(odd):
        raise unequal((int(lengths[odd[0]]),), (int(lengths[0]),), int(odd[0]))
    width = int(lengths[0]) if len(array) else getattr(array.type, "list_size", 0)
    try:
        items = dense(array.flatten())
    except Unfit as error:
        raise Unfit(error.why, error.row // max(width, 1), error.kind) from None
    return items.reshape(len(array), width, *items.shape[1:])


def stacked(values: Any) -> np.ndarray:
    """Objects that are arrays, or lists, of one shape and dtype."""
    arrays: list[np.ndarray] = []
    for row, value in enumerate(values):
        if value is None or type(value).__name__ in ("NAType", "NaTType"):
            raise Unfit("is null; a tensor is expected in each row", row)
        if has_mask(type(value)):
            raise Unfit("is a masked array; its mask cannot be stored, fill it first", row, InvalidTypeError)
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise Unfit(f"is no tensor: {error}", row) from error
        if array.dtype.kind not in "biufcmMV":
            raise Unfit(
                f"is a {type(value).__name__}, {NONE}",
                row,
                InvalidTypeError,
            )
        if arrays and array.shape != arrays[0].shape:
            raise unequal(array.shape, arrays[0].shape, row)
        if arrays and array.dtype != arrays[0].dtype:
            raise Unfit(f"is {array.dtype}, and the rows before are {arrays[0].dtype}", row, SchemaMismatchError)
        arrays.append(array)
    return np.stack(arrays) if arrays else np.empty((0, 0))


def unequal(shape: tuple, before: tuple, row: int) -> Unfit:
    why = f"is of shape {shape}, and the rows before are of shape {before}; a column has one"
    return Unfit(why, row, SchemaMismatchError)


def refuse_nulls(array: Any, expected: str) -> None:
    if array.null_count:
        row = int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
        raise Unfit(f"is null; {expected}", row)
