"""Blocks of Ray Data as ids and arrays: Arrow tables and pandas frames, with Ray's tensors in their columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import types

from ._dense import Unfit, dense, refuse_nulls, stacked
from ._errors import InvalidArgumentError, InvalidTypeError, UnknownColumnError

_TEXTS = (types.is_string, types.is_large_string, types.is_string_view)

# What the tensors of a table are made of: a column of the dataset, or several with a number each.
Sources = Mapping[str, "str | list[str]"]


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
        except Unfit as error:
            raise error.kind(f"{where}: column {ids!r} of the ids, row {first + error.row} {error.why}") from None
        data = {}
        for name, source in wanted.items():
            try:
                data[name] = _column(part, source)
            except Unfit as error:
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
        except (Unfit, KeyError):
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
    arrays = [_tensors(block, name) for name in source]
    for name, array in zip(source, arrays):
        if array.ndim != 1:
            raise Unfit(f"is of shape {array.shape[1:]} in {name!r}; of several columns each must be a number")
        if array.dtype != arrays[0].dtype:
            raise Unfit(
                f"is {array.dtype} in {name!r} and {arrays[0].dtype} in {source[0]!r}; cast the columns to one dtype"
            )
    return np.stack(arrays, axis=1)


def _tensors(block: Any, name: str) -> np.ndarray:
    """A column as one array over the rows: the memory of the block, where that lies so."""
    if not _is_frame(block):
        return dense(_arrow(block, name))
    series = block[name]
    if isinstance(series.dtype, np.dtype):
        return stacked(series.to_numpy()) if series.dtype == np.object_ else series.to_numpy()
    if type(series.dtype).__name__ == "TensorDtype":
        array = series.array.to_numpy()
        return stacked(array) if array.dtype == np.object_ else array
    return dense(_arrow(block, name))


def _arrow(block: Any, name: str) -> Any:
    """A column as one Arrow array."""
    try:
        array = pa.array(block[name], from_pandas=True) if _is_frame(block) else block.column(name)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise Unfit(f"is one of a column that Arrow cannot have: {error}", kind=InvalidTypeError) from error
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _ids(array: Any) -> np.ndarray:
    kind = array.type
    if types.is_dictionary(kind):
        return _ids(array.dictionary_decode())
    refuse_nulls(array, "an id is expected in each row")
    if not (types.is_integer(kind) or any(is_text(kind) for is_text in _TEXTS)):
        raise Unfit(f"is of type {kind}; strings or integers are expected", kind=InvalidTypeError)
    return array.to_numpy(zero_copy_only=False)
