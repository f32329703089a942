"""Blocks of Ray Data as ids and arrays: Arrow tables and pandas frames, with Ray's tensors in their columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from ._errors import InvalidArgumentError, InvalidTypeError, SchemaMismatchError, UnknownColumnError

_RAY_TENSORS = ("ray.data.arrow_tensor", "ray.data.arrow_tensor_v2")
_RAGGED_TENSORS = "ray.data.arrow_variable_shaped_tensor"
_PICKLED = "ray.data.arrow_pickled_object"
_NONE = "which is no tensor; say by tensors= which columns are"

_LISTS = (types.is_fixed_size_list, types.is_list, types.is_large_list, types.is_list_view, types.is_large_list_view)
_TEXTS = (types.is_string, types.is_large_string, types.is_string_view)

# What the tensors of a table are made of: a column of the dataset, or several with a number each.
Sources = Mapping[str, "str | list[str]"]


class _Unfit(Exception):
    """Why a column holds no tensors: of which row that is said, and the class of the error."""

    def __init__(self, why: str, row: int = 0, kind: type[Exception] = InvalidArgumentError):
        self.why, self.row, self.kind = why, row, kind


def sources(tensors: Mapping[str, Any] | None) -> Sources | None:
    """`tensors` as somebody gives them, checked."""
    if tensors is None:
        return None
    if not isinstance(tensors, Mapping) or not tensors:
        raise InvalidArgumentError(f"tensors is {tensors!r}; names of columns with what they are made of are expected")
    made: dict[str, str | list[str]] = {}
    for name, source in tensors.items():
        several = isinstance(source, (list, tuple)) and source and all(isinstance(one, str) for one in source)
        if not isinstance(name, str) or not (isinstance(source, str) or several):
            raise InvalidTypeError(
                f"tensors: {name!r} is {source!r}; the name of a column of the dataset, or a list of names, is expected"
            )
        made[name] = source if isinstance(source, str) else list(source)
    return made


def batches(block: Any, ids: str, tensors: Sources | None, where: str, first: int) -> Iterator[tuple]:
    """Ids and arrays by column, for `write_batch`; none of a block without rows.

    `where` and `first`, the number of its first row, are for errors.
    """
    if not len(block):
        return
    for part in _parts(block):
        rows = len(part)
        names = _names(part)
        wanted = _wanted(names, ids, tensors, where)
        try:
            given = _ids(_arrow(part, ids))
        except _Unfit as error:
            raise error.kind(f"{where}: column {ids!r} of the ids, row {first + error.row} {error.why}") from None
        data = {}
        for name, source in wanted.items():
            try:
                data[name] = _column(part, source)
            except _Unfit as error:
                row = f"row {first + error.row} (id {given[error.row]!r})"
                raise error.kind(f"{where}: column {name!r}, {row} {error.why}") from None
        yield given, data
        first += rows


def specs(block: Any, ids: str, tensors: Sources | None) -> dict[str, tuple[np.dtype, tuple[int, ...]]] | None:
    """What a block without rows says of the columns; None if that is not all of them."""
    names = _names(block)
    if ids not in names:
        return None
    made = {}
    for name, source in (tensors or {name: name for name in names if name != ids}).items():
        try:
            array = _column(block, source)
        except (_Unfit, KeyError):
            return None
        # Lists without rows say nothing of their length.
        if 0 in array.shape[1:]:
            return None
        made[name] = array.dtype, array.shape[1:]
    return made or None


def _parts(block: Any) -> Iterator[Any]:
    """The block in pieces whose columns are one array each."""
    return iter([block] if _is_frame(block) else block.to_batches())


def _is_frame(block: Any) -> bool:
    """Whether this is a frame of pandas, which need not be installed."""
    return not isinstance(block, (pa.Table, pa.RecordBatch))


def _names(block: Any) -> list[str]:
    return list(block.columns if _is_frame(block) else block.schema.names)


def _wanted(names: list[str], ids: str, tensors: Sources | None, where: str) -> Sources:
    """What each column of the table is made of, all of which the block has."""
    listed = ", ".join(map(repr, names))
    if ids not in names:
        raise UnknownColumnError(f"{where}: ids is {ids!r}, and the dataset has the columns {listed}")
    if tensors is None:
        return {name: name for name in names if name != ids}
    for name, source in tensors.items():
        for one in [source] if isinstance(source, str) else source:
            if one not in names:
                raise UnknownColumnError(
                    f"{where}: tensors: {name!r} is made of {one!r}, and the dataset has the columns {listed}"
                )
    return tensors


def _column(block: Any, source: str | list[str]) -> np.ndarray:
    if isinstance(source, str):
        return _tensors(block, source)
    stacked = [_tensors(block, name) for name in source]
    for name, array in zip(source, stacked):
        if array.ndim != 1:
            raise _Unfit(f"is of shape {array.shape[1:]} in {name!r}; of several columns each must be a number")
        if array.dtype != stacked[0].dtype:
            raise _Unfit(
                f"is {array.dtype} in {name!r} and {stacked[0].dtype} in {source[0]!r}; cast the columns to one dtype"
            )
    return np.stack(stacked, axis=1)


def _tensors(block: Any, name: str) -> np.ndarray:
    """A column as one array over the rows: the memory of the block, where that lies so."""
    if not _is_frame(block):
        return _dense(_arrow(block, name))
    series = block[name]
    if isinstance(series.dtype, np.dtype):
        return _stacked(series.to_numpy()) if series.dtype == np.object_ else series.to_numpy()
    if type(series.dtype).__name__ == "TensorDtype":
        array = series.array.to_numpy()
        return _stacked(array) if array.dtype == np.object_ else array
    return _dense(_arrow(block, name))


def _arrow(block: Any, name: str) -> Any:
    """A column as one Arrow array."""
    try:
        array = pa.array(block[name], from_pandas=True) if _is_frame(block) else block.column(name)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise _Unfit(f"is one of a column that Arrow cannot have: {error}", kind=InvalidTypeError) from error
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _ids(array: Any) -> np.ndarray:
    kind = array.type
    if types.is_dictionary(kind):
        return _ids(array.dictionary_decode())
    _refuse_nulls(array, "an id is expected in each row")
    if not (types.is_integer(kind) or any(is_text(kind) for is_text in _TEXTS)):
        raise _Unfit(f"is of type {kind}; strings or integers are expected", kind=InvalidTypeError)
    return array.to_numpy(zero_copy_only=False)


def _dense(array: Any) -> np.ndarray:
    """An Arrow array as one of NumPy over the same memory, but for bool, which Arrow packs into bits."""
    kind = array.type
    _refuse_nulls(array, "a tensor is expected in each row")
    if isinstance(kind, pa.BaseExtensionType):
        return _of_extension(array)
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        return array.to_numpy(zero_copy_only=not types.is_boolean(kind))
    if types.is_timestamp(kind) and kind.tz is None or types.is_duration(kind):
        return array.to_numpy()
    if any(is_list(kind) for is_list in _LISTS):
        return _of_lists(array)
    raise _Unfit(f"is of type {kind}, {_NONE}", kind=InvalidTypeError)


def _of_extension(array: Any) -> np.ndarray:
    name, storage = array.type.extension_name, array.storage
    if name in _RAY_TENSORS:
        return _of_lists(storage).reshape(len(array), *array.type.shape)
    if name == "arrow.fixed_shape_tensor":
        shape, order = array.type.shape, array.type.permutation
        tensors = _dense(storage).reshape(len(array), *shape)
        return tensors if order is None else tensors.transpose(0, *(axis + 1 for axis in order))
    if name == _RAGGED_TENSORS:
        shapes = _of_lists(storage.field("shape"))
        odd = np.flatnonzero((shapes != shapes[0]).any(axis=1))
        if len(odd):
            raise _unequal(tuple(shapes[odd[0]].tolist()), tuple(shapes[0].tolist()), int(odd[0]))
        return _of_lists(storage.field("data")).reshape(len(array), *shapes[0])
    if name == _PICKLED:
        return _stacked(array.to_pylist())
    raise _Unfit(f"is of type {array.type}, {_NONE}", kind=InvalidTypeError)


def _of_lists(array: Any) -> np.ndarray:
    """Lists of one length, of lists of one length and so on."""
    _refuse_nulls(array, "a tensor is expected in each row")
    lengths = pc.list_value_length(array).to_numpy()
    odd = np.flatnonzero(lengths != lengths[:1])
    if len(odd):
        raise _unequal((int(lengths[odd[0]]),), (int(lengths[0]),), int(odd[0]))
    width = int(lengths[0]) if len(array) else getattr(array.type, "list_size", 0)
    try:
        items = _dense(array.flatten())
    except _Unfit as error:
        raise _Unfit(error.why, error.row // max(width, 1), error.kind) from None
    return items.reshape(len(array), width, *items.shape[1:])


def _stacked(values: Any) -> np.ndarray:
    """Objects that are arrays, or lists, of one shape and dtype."""
    arrays: list[np.ndarray] = []
    for row, value in enumerate(values):
        if value is None:
            raise _Unfit("is null; a tensor is expected in each row", row)
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise _Unfit(f"is no tensor: {error}", row) from error
        if array.dtype.kind not in "biufcmMV":
            raise _Unfit(
                f"is a {type(value).__name__}, {_NONE}",
                row,
                InvalidTypeError,
            )
        if arrays and array.shape != arrays[0].shape:
            raise _unequal(array.shape, arrays[0].shape, row)
        if arrays and array.dtype != arrays[0].dtype:
            raise _Unfit(f"is {array.dtype}, and the rows before are {arrays[0].dtype}", row, SchemaMismatchError)
        arrays.append(array)
    return np.stack(arrays) if arrays else np.empty((0, 0))


def _unequal(shape: tuple, before: tuple, row: int) -> _Unfit:
    why = f"is of shape {shape}, and the rows before are of shape {before}; a column has one"
    return _Unfit(why, row, SchemaMismatchError)


def _refuse_nulls(array: Any, expected: str) -> None:
    if array.null_count:
        row = int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
        raise _Unfit(f"is null; {expected}", row)
