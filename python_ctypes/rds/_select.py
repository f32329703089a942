"""What selects rows, and where they are put: integers, masks, slices; arrays."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ._errors import InvalidArgumentError, InvalidIndexError, InvalidTypeError

if TYPE_CHECKING:
    from ._stored import Stored

_INT64 = np.dtype(np.int64)


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


def chosen(index, count: int) -> int | range | np.ndarray:
    """What an index selects of `count` rows: one row, rows that follow each other, or rows as of `rows`."""
    if isinstance(index, (np.ndarray, list)):
        wanted = index if isinstance(index, np.ndarray) else np.asarray(index)
        if wanted.ndim:
            return rows(wanted, count)
    elif isinstance(index, slice):
        found = run(index, count)
        return found if found is not None else np.arange(*index.indices(count))
    try:
        return operator.index(index)
    except TypeError:
        return rows(np.asarray(index), count)


def each(tensors: dict[str, np.ndarray]) -> list[dict]:
    """Stacked tensors by column as a dict for each row."""
    names = tuple(tensors)
    return [dict(zip(names, row)) for row in zip(*tensors.values())]


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


def targets(out, count: int, columns: Sequence[Stored]) -> list[np.ndarray]:
    """As `target`, of a dict of arrays, one for each column."""
    if not isinstance(out, Mapping):
        raise InvalidTypeError(f"out is {type(out).__name__}; a dict with an array for each column is expected")
    names = [column.name for column in columns]
    if set(out) != set(names):
        raise InvalidArgumentError(f"out has the columns {list(out)}; {names} are expected")
    arrays = []
    for column in columns:
        try:
            arrays.append(target(out[column.name], (count, *column.shape), column.dtype))
        except (InvalidArgumentError, InvalidTypeError) as error:
            raise type(error)(f"column {column.name!r}: {error}") from None
    return arrays
