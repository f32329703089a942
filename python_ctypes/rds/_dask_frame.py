"""Ranges of rows of a table as frames of pandas, without a copy."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

if TYPE_CHECKING:
    from ._batch import Batch
    from ._dask_read import Table
    from ._stream import Stream


class Ranges:
    """What a task of a DataFrame calls with the first row and the one behind the last."""

    def __init__(self, table: Table):
        self._table = table

    def __dask_tokenize__(self):
        return self._table.__dask_tokenize__()

    def __call__(self, rows: tuple[int, int], columns: Sequence[str] | None = None) -> pd.DataFrame:
        # Dask names the columns, if it needs but some of them.
        table = self._table
        if columns is None:
            columns = [*([] if table.ids is None else [table.ids]), *table.names]
        with table.stream(*rows, columns) as stream:
            batches = list(stream)
            made = {
                name: _ids(stream, batches) if name == table.ids else _tensors(batches, name, *table.specs[name])
                for name in columns
            }
        return pd.DataFrame(made, pd.RangeIndex(*rows), copy=False)


def _ids(stream: Stream, batches: list[Batch]) -> Any:
    kind = pa.schema(stream).field(0).type
    chunks = pa.chunked_array([pa.record_batch(batch).column(0) for batch in batches], kind)
    if pa.types.is_integer(kind):
        return chunks.to_numpy()
    return pd.StringDtype("pyarrow").__from_arrow__(chunks)


def _tensors(batches: list[Batch], name: str, dtype: np.dtype, shape: tuple[int, ...]) -> Any:
    """Numbers of NumPy, lists of Arrow, or objects where Arrow has no such numbers."""
    arrays = [batch[name] for batch in batches]
    if dtype.kind not in ("?biufcmM" if not shape else "?biufmM"):
        objects = np.empty(sum(map(len, arrays)), object)
        for number, tensor in enumerate(itertools.chain.from_iterable(arrays)):
            objects[number] = tensor
        return objects
    if not shape:
        return arrays[0] if len(arrays) == 1 else np.concatenate([np.empty(0, dtype), *arrays])
    lists = [_lists(array) for array in arrays or [np.empty((0, *shape), dtype)]]
    return pd.arrays.ArrowExtensionArray(pa.chunked_array(lists))


def _lists(array: np.ndarray) -> pa.Array:
    flat = array.reshape(-1)
    if array.dtype.kind in "mM":
        # By way of whole numbers: Arrow takes a NaT for a null.
        made = pa.array(flat.view(np.int64)).view(pa.from_numpy_dtype(array.dtype))
    else:
        made = pa.array(flat)
    for size in reversed(array.shape[1:]):
        made = pa.FixedSizeListArray.from_arrays(made, size)
    return made
