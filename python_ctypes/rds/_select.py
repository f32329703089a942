"""What selects rows and columns: integers, masks, slices; names."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from . import _structs as c
from ._errors import InvalidArgumentError, InvalidIndexError, InvalidTypeError

_INT64 = np.dtype(np.int64)
_COLUMNS = {"object_id": c.COLUMN_OBJECT_ID, "data": c.COLUMN_DATA}


def rows(index: np.ndarray, count: int) -> np.ndarray:
    """The rows that an array selects of `count`, as contiguous 64-bit integers in memory that may be
    written: ctypes tells the address of such memory at once."""
    dtype = index.dtype
    if index.ndim != 1:
        raise InvalidIndexError(f"rows have the shape {index.shape}; one dimension is expected")
    if dtype == _INT64 and index.flags.carray:
        return index
    kind = dtype.kind
    if kind in "iu":
        return np.array(index, _INT64 if kind == "i" else np.uint64)
    if not index.size:
        return np.empty(0, np.int64)
    if kind != "b":
        raise InvalidIndexError(f"rows have the dtype {index.dtype}; integers are expected")
    if len(index) != count:
        raise InvalidIndexError(f"the mask has {len(index)} values, the table {count} rows")
    return np.flatnonzero(index)


def run(index: slice | range, count: int) -> range | None:
    """The rows of a slice or a range if they follow each other, of a slice those that are there."""
    if isinstance(index, slice):
        index = range(*index.indices(count))
    if not index:
        return range(0)
    return index if index.step == 1 else None


def columns(names: str | Iterable[str] | None) -> int:
    """The number of rds_columns for names of columns, None being all of them."""
    if names is None:
        return c.COLUMN_OBJECT_ID | c.COLUMN_DATA
    chosen = 0
    for name in [names] if isinstance(names, str) else names:
        if name not in _COLUMNS:
            raise InvalidArgumentError(f"no column {name!r}; {', '.join(map(repr, _COLUMNS))} are possible")
        chosen |= _COLUMNS[name]
    if not chosen:
        raise InvalidArgumentError("columns names no column")
    return chosen


def target(out, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The array over the memory of `out`, if tensors of this dtype and shape fit into it."""
    if type(out) is np.ndarray and out.dtype == dtype and out.shape == shape and out.flags.carray:
        return out
    if not isinstance(out, np.ndarray) and not hasattr(out, "__dlpack__"):
        raise InvalidTypeError(f"out is {type(out).__name__}; an array is expected")
    array = np.asarray(out)
    if array.dtype != dtype or array.shape != shape:
        raise InvalidArgumentError(
            f"out is {array.dtype} {list(array.shape)}; {dtype} {list(shape)} is expected"
        )
    if not array.flags.c_contiguous or not array.flags.writeable:
        raise InvalidArgumentError("out is read-only, or not in C order")
    return array
