"""Tensors in the columns of a DataFrame of pandas: how they lie there, and as arrays of NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from . import _dtypes
from ._dense import Unfit, is_list, numpy_dtype
from ._dense import column as arrow_column
from ._dense import stacked as stack_objects
from ._errors import InvalidTypeError, SchemaMismatchError, UnknownColumnError
from ._tensors import Spec

_STRINGS = (
    "; Dask makes strings of objects: read or make the collection under "
    'dask.config.set({"dataframe.convert-string": False}), or have lists of Arrow'
)


def stacked(frame: pd.DataFrame, columns: str | Sequence[str], first: int = 0) -> np.ndarray:
    """The tensors of a column, `(rows, *shape)`; of several columns side by side, `(rows, columns, *shape)`.

    `first` is the number that messages give to the first row.
    """
    if isinstance(columns, str):
        return tensors(column(frame, columns), columns, first)
    arrays = [tensors(column(frame, name), name, first) for name in columns]
    _refuse_others(columns, [(array.dtype, array.shape[1:]) for array in arrays])
    return np.stack(arrays, axis=1)


def _refuse_others(columns: Sequence[str], specs: Sequence[Spec]) -> None:
    """Columns that do not go side by side."""
    for name, spec in zip(columns, specs):
        if spec != specs[0]:
            raise SchemaMismatchError(
                f"column {name!r} is {_text(spec)}, and {columns[0]!r} is {_text(specs[0])}; columns of one tensor are "
                "alike: convert them with astype, or give each a column of the table"
            )


def plain(frame: Any) -> Any:
    """The same columns without what a class of its own does for each: nested frames look through all dtypes."""
    return pd.DataFrame(frame) if isinstance(frame, pd.DataFrame) and type(frame) is not pd.DataFrame else frame


def column(frame: Any, name: str) -> Any:
    """A column, or a field of a column of structs or of nested frames, which is named "column.field"."""
    if name in frame.columns:
        return frame[name]
    outer, dot, field = name.partition(".")
    if dot and outer in frame.columns:
        inner = _field(_arrow_of(frame[outer]), field)
        if inner is not None:
            return pd.Series(pd.arrays.ArrowExtensionArray(inner))
    known = ", ".join(map(repr, frame.columns))
    raise UnknownColumnError(f"no column {name!r}; there are {known}")


def _arrow_of(series: pd.Series) -> pa.ChunkedArray | None:
    """What the series is in Arrow, without a copy; None if it is none of Arrow."""
    as_arrow = getattr(series.array, "__arrow_array__", None)
    if as_arrow is None or isinstance(series.dtype, (pd.StringDtype, pd.CategoricalDtype)):
        return None
    made = as_arrow()
    return made if isinstance(made, pa.ChunkedArray) else pa.chunked_array([made])


def _field(structs: pa.ChunkedArray | None, field: str) -> pa.ChunkedArray | None:
    """A field of structs, or of lists of structs, which is a list then."""
    if structs is None:
        return None
    inner = structs.type.value_type if is_list(structs.type) else structs.type
    if not pa.types.is_struct(inner) or inner.get_field_index(field) < 0:
        return None
    chunks = [_field_of(chunk, field) for chunk in structs.chunks]
    return pa.chunked_array(chunks, type=chunks[0].type if chunks else _field_type(structs.type, field))


def _field_type(kind: pa.DataType, field: str) -> pa.DataType:
    inner = kind.value_type if is_list(kind) else kind
    made = inner.field(field).type
    return pa.large_list(made) if is_list(kind) else made


def _field_of(chunk: pa.Array, field: str) -> pa.Array:
    if pa.types.is_struct(chunk.type):
        return pa.compute.struct_field(chunk, field)
    if pa.types.is_fixed_size_list(chunk.type):
        chunk = chunk.cast(pa.list_(chunk.type.value_type))
    offsets = chunk.offsets
    # `values` are those of all rows of the chunk that this one may be a slice of, as the offsets are.
    values = pa.compute.struct_field(chunk.values, field)
    kind = pa.LargeListArray if pa.types.is_large_list(chunk.type) else pa.ListArray
    return kind.from_arrays(offsets, values, mask=chunk.is_null() if chunk.null_count else None)


def tensors(series: pd.Series, name: str, first: int = 0) -> np.ndarray:
    """The tensors of a series, `(rows, *shape)`: without a copy where they are numbers or fixed-size lists."""
    dtype = series.dtype
    if isinstance(dtype, np.dtype) and dtype != object:
        return series.to_numpy()
    refuse(dtype, name)
    mask = getattr(series.array, "_mask", None)
    try:
        if dtype == object:
            return stack_objects(series.to_numpy()) if len(series) else np.empty(0)
        if mask is not None:
            if mask.any():
                raise Unfit("is null; a tensor is expected in each row", int(mask.argmax()))
            return series.to_numpy(dtype.numpy_dtype)
        arrow = _arrow_of(series)
        if arrow is None:
            raise _no_tensor(name, dtype)
        return arrow_column(arrow, name, first)
    except Unfit as error:
        raise error.kind(f"column {name!r}, row {first + error.row} {error.why}") from None


def spec(frame: Any, columns: str | Sequence[str]) -> Spec | None:
    """Dtype and shape of the tensors, as the dtypes of the columns say; None if they do not.

    What is no tensor for sure is an error.
    """
    names = [columns] if isinstance(columns, str) else list(columns)
    specs = [_spec(column(frame, name), name) for name in names]
    if isinstance(columns, str):
        return specs[0]
    known = [spec for spec in specs if spec is not None]
    if len(known) < len(specs):
        return None
    _refuse_others(names, known)
    return known[0][0], (len(names), *known[0][1])


def _spec(series: Any, name: str) -> Spec | None:
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        if dtype == object:
            return None
        _dtypes.number_and_flags(dtype, f"column {name!r}")
        return _dtypes.native(dtype), ()
    refuse(dtype, name)
    if hasattr(dtype, "numpy_dtype") and not isinstance(dtype, pd.ArrowDtype):
        return dtype.numpy_dtype, ()
    if not isinstance(dtype, pd.ArrowDtype):
        raise _no_tensor(name, dtype)
    kind, shape = dtype.pyarrow_dtype, []
    if isinstance(kind, pa.FixedShapeTensorType):
        kind, shape = kind.value_type, list(kind.shape)
    while pa.types.is_fixed_size_list(kind):
        shape.append(kind.list_size)
        kind = kind.value_type
    inner = kind
    while is_list(inner):
        inner = inner.value_type
    found = numpy_dtype(inner)
    if found is None:
        raise _no_tensor(name, kind)
    return (found, tuple(shape)) if inner is kind else None


def refuse(dtype: Any, name: str) -> None:
    """Refuses text and what else can be told to be no tensor, whatever its values are."""
    if isinstance(dtype, (pd.StringDtype, pd.CategoricalDtype, pd.DatetimeTZDtype)):
        raise _no_tensor(name, dtype, _STRINGS if isinstance(dtype, pd.StringDtype) else "")


def _text(spec: Spec) -> str:
    return f"{spec[0].name} of shape {list(spec[1])}"


def _no_tensor(name: str, dtype: Any, advice: str = "") -> InvalidTypeError:
    return InvalidTypeError(
        f"column {name!r} is {dtype}, which is no tensor; say with tensors= which columns are{advice}"
    )
