"""The partitions of a collection of Dask or a catalogue of LSDB, as `rds.dask` hands them to tasks."""

from __future__ import annotations

import contextvars
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import dask.base
import dask.utils
import numpy as np
from dask.delayed import Delayed

from . import _dtypes, _options
from ._dask_rows import BagRows, BlockRows, FrameRows, Picks
from ._errors import InvalidArgumentError, InvalidTypeError, UnknownColumnError
from ._tensors import Spec

_KINDS = "a DataFrame, an Array or a Bag of Dask, or a catalogue of LSDB, is expected"
_ORDERS = {"pixel": 0, "partition": 1}


def is_collection(one: Any) -> bool:
    """As of Dask, which makes an object of each attribute that it asks a Delayed for."""
    return isinstance(one, Delayed) or dask.base.is_dask_collection(one)


class Partitions(NamedTuple):
    """What the task of each part is given, how it finds the rows in it, and what is known of the columns of a table,
    if they are known: None for one whose dtype or shape is not."""

    given: list[tuple[Any, ...]]
    rows: Any
    specs: dict[str, Spec | None]


def of(
    collection: Any,
    ids: Any,
    tensors: Any,
    name: str | None,
    order: str | None,
    inputs: Any = None,
    infer: bool = False,
) -> Partitions:
    """The partitions of a collection, whose tensors are to be stored, or given to a model."""
    # Without the annotations of the caller, which are for the tasks that write: Dask warns that a DataFrame has none.
    return contextvars.Context().run(_of, collection, ids, tensors, name, order, inputs, infer)


def _of(
    collection: Any, ids: Any, tensors: Any, name: str | None, order: str | None, inputs: Any, infer: bool
) -> Partitions:
    catalogue = hasattr(collection, "get_ordered_healpix_pixels")
    if order is not None:
        _options.choice("order", order, _ORDERS)
        if not catalogue and order == "pixel":
            raise InvalidArgumentError("order is 'pixel', and the collection is no catalogue; leave it out")
    if catalogue or dask.utils.is_dataframe_like(getattr(collection, "_meta", None)):
        _refuse("name", name, "a DataFrame")
        picks, alone = _inputs(inputs) if infer else (tensors, False)
        return _of_frames(collection, ids, picks, alone, order or "pixel" if catalogue else "partition", infer)
    _refuse("tensors", tensors, "no DataFrame")
    _refuse("inputs", inputs, "no DataFrame")
    if not dask.base.is_dask_collection(collection):
        raise InvalidTypeError(f"collection is a {type(collection).__name__}; {_KINDS}")
    if dask.utils.is_arraylike(collection):
        # The default is for frames.
        if isinstance(ids, str) and ids != "id":
            raise InvalidTypeError(f"ids is {ids!r}, and the collection is an Array; as many ids as rows are expected")
        return _of_array(collection, None if isinstance(ids, str) else ids, None if infer else name or "data")
    if hasattr(collection, "to_delayed") and hasattr(collection, "fold"):
        _refuse("name", name, "a Bag")
        if not isinstance(ids, str):
            raise InvalidTypeError(f"ids is {ids!r}; of a Bag of mappings the key that has the id is expected")
        return Partitions([(part,) for part in collection.to_delayed()], BagRows(ids), {})
    raise InvalidTypeError(f"collection is a {type(collection).__name__}; {_KINDS}")


def _refuse(option: str, value: Any, what: str) -> None:
    if value is not None:
        raise InvalidArgumentError(f"{option} is {value!r}, and the collection is {what}; leave it out")


def _inputs(inputs: Any) -> tuple[Picks | None, bool]:
    if inputs is None or isinstance(inputs, Mapping):
        return inputs, False
    return {"data": inputs}, True


def _of_frames(collection: Any, ids: Any, picks: Any, alone: bool, order: str, whole: bool) -> Partitions:
    from . import _frames

    meta = collection._meta if hasattr(collection, "_meta") else collection.meta
    if not meta.columns.is_unique:
        raise InvalidArgumentError(f"columns are {list(meta.columns)}; each is expected to have a name of its own")
    ids = _id_column(meta, ids)
    if picks is None and not whole:
        picks = [name for name in meta.columns if name != ids]
        if not picks:
            raise InvalidArgumentError(f"the collection has no columns but the ids {ids!r}; tensors are expected")
    if picks is not None:
        picks = _picks(picks)
        specs = {name: _frames.spec(meta, columns) for name, columns in picks.items()}
        # What reads a partition need not read the rest.
        needed = dict.fromkeys(itertools.chain([] if ids is None else [ids], *map(_listed, picks.values())))
        bases = dict.fromkeys(name if name in meta.columns else name.partition(".")[0] for name in needed)
        if len(bases) < len(meta.columns):
            collection = collection[list(bases)]
    else:
        specs = {}
    if order == "pixel":
        collection = collection.to_dask_dataframe(divisions=False)
    return Partitions([(part,) for part in collection.to_delayed()], FrameRows(ids, picks, alone), specs)


def _id_column(meta: Any, ids: Any) -> str | None:
    """The column of ids, or None if they are the index."""
    if ids is None:
        return None
    if not isinstance(ids, str):
        raise InvalidTypeError(f"ids is {ids!r}; the name of a column, or None for the index, is expected")
    if ids in meta.columns:
        dtype = meta[ids].dtype
        if getattr(dtype, "kind", "O") in "fcbmM":
            raise InvalidTypeError(f"ids names the column {ids!r}, which is {dtype}; ids are strings or integers")
        return ids
    if meta.index.name == ids:
        return None
    known = ", ".join(map(repr, meta.columns))
    raise UnknownColumnError(
        f"ids is {ids!r}, and there is no such column; name one of {known}, or give None for the index"
    )


def _picks(picks: Any) -> dict[str, str | list[str]]:
    if isinstance(picks, str):
        picks = [picks]
    if not isinstance(picks, Mapping):
        picks = {name: name for name in picks}
    made: dict[str, str | list[str]] = {}
    for name, columns in picks.items():
        if not isinstance(columns, str) and (not isinstance(columns, Sequence) or not columns):
            raise InvalidTypeError(f"tensors: {name!r} is {columns!r}; a column, or a list of columns, is expected")
        made[name] = columns if isinstance(columns, str) else list(columns)
    if not made:
        raise InvalidArgumentError("tensors is empty; at least one column is expected")
    return made


def _listed(columns: str | list[str]) -> list[str]:
    return [columns] if isinstance(columns, str) else columns


def _of_array(array: Any, ids: Any, name: str | None) -> Partitions:
    if not array.ndim:
        raise InvalidArgumentError("the array has no axes; rows along the first are expected")
    if any(count > 1 for count in array.numblocks[1:]):
        array = array.rechunk({axis: -1 for axis in range(1, array.ndim)})
    _dtypes.number_and_flags(array.dtype, "the array")
    specs: dict[str, Spec | None] = {}
    if name is not None and not any(np.isnan(size) for size in array.shape[1:]):
        specs = {name: (_dtypes.native(array.dtype), tuple(map(int, array.shape[1:])))}
    blocks = array.to_delayed().ravel()
    return Partitions(list(zip(blocks, _ids_of_blocks(array, ids))), BlockRows(name), specs)


def _ids_of_blocks(array: Any, ids: Any) -> list[Any]:
    """What the task of each block is given for ids: the number of its first row and how many it has, or an array."""
    sizes = array.chunks[0]
    known = not any(map(np.isnan, sizes))
    if dask.base.is_dask_collection(ids):
        if ids.ndim != 1 or known and len(ids) != len(array):
            raise InvalidArgumentError(f"ids is {ids!r}; one id for each of the {array.shape[0]} rows is expected")
        if known and ids.chunks[0] != sizes:
            ids = ids.rechunk((sizes,))
        elif not known and ids.numblocks[0] != len(sizes):
            raise InvalidArgumentError(_UNKNOWN)
        return list(ids.to_delayed())
    if not known:
        raise InvalidArgumentError(_UNKNOWN)
    firsts = np.cumsum([0, *sizes]).tolist()
    if ids is None:
        return list(zip(firsts, map(int, sizes)))
    if len(ids) != firsts[-1]:
        raise InvalidArgumentError(f"there are {len(ids)} ids, and the array has {firsts[-1]} rows")
    return [np.asarray(ids[first:stop]) for first, stop in itertools.pairwise(firsts)]


_UNKNOWN = "the array has chunks of unknown sizes, so its rows have no numbers; call compute_chunk_sizes() first"
