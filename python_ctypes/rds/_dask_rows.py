"""What the tasks of `rds.dask` take from a partition: its ids, and the tensors beside them, some rows at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from . import _masks, _tensors
from ._errors import InvalidArgumentError, InvalidTypeError


class Slice(NamedTuple):
    """Consecutive rows: their ids, and what a table is to have of them, or a model is given."""

    ids: Any
    value: Any


Picks = Mapping[str, Any]  # a column or a list of columns of a frame, by the name that they get


class FrameRows:
    """Rows of a frame of pandas.

    `ids` names a column, or is None for the index. A slice has the tensors of `picks` by name, those of the only one if
    that is `alone`, or, without picks, the frame itself.
    """

    def __init__(self, ids: str | None, picks: Picks | None, alone: bool = False):
        self.ids = ids
        self.picks = picks
        self.alone = alone

    def __call__(self, size: int | None, frame: Any) -> Iterator[Slice]:
        from . import _frames

        if self.picks is not None:
            frame = _frames.plain(frame)
        size = size or max(len(frame), 1)
        for first in range(0, len(frame), size):
            # To cut a frame takes longer than to look at it.
            part = frame if len(frame) <= size else frame.iloc[first : first + size]
            ids = self._ids(part, first)
            if self.picks is None:
                yield Slice(ids, part)
                continue
            made = {name: _frames.stacked(part, columns, first) for name, columns in self.picks.items()}
            yield Slice(ids, next(iter(made.values())) if self.alone else made)

    def _ids(self, frame: Any, first: int) -> np.ndarray:
        ids = frame.index if self.ids is None else frame[self.ids]
        # Whole numbers of NumPy have none, and need not be looked at.
        of_numpy = isinstance(ids.dtype, np.dtype) and ids.dtype.kind in "iu"
        nulls = np.asarray(False if of_numpy else ids.isna())
        if nulls.any():
            name = "the index" if self.ids is None else f"column {self.ids!r}"
            raise InvalidTypeError(
                f"{name}, row {first + int(nulls.argmax())} is null; an id is a string or an integer"
            )
        return _plain(ids)


def _plain(ids: Any) -> np.ndarray:
    """Ids as NumPy has them: integers, or objects that are strings."""
    numbers = getattr(ids.dtype, "numpy_dtype", ids.dtype)
    return ids.to_numpy(numbers) if getattr(numbers, "kind", "O") in "iu" else ids.to_numpy(object)


class BlockRows:
    """Rows of a block of an array. A slice has them as they are, or by `name`."""

    def __init__(self, name: str | None):
        self.name = name

    def __call__(self, size: int | None, block: Any, ids: Any) -> Iterator[Slice]:
        # The number of the first row and how many there are is given where there are no ids.
        if isinstance(ids, tuple):
            ids = np.arange(ids[0], ids[0] + ids[1])
        if len(ids) != len(block):
            raise InvalidArgumentError(f"the block has {len(block)} rows, and there are {len(ids)} ids of it")
        size = size or max(len(block), 1)
        for first in range(0, len(block), size):
            part = slice(first, first + size)
            yield Slice(ids[part], block[part] if self.name is None else {self.name: block[part]})


class BagRows:
    """Rows of a partition of a bag: pairs of an id and a tensor, or tensors by name; or mappings with a key of ids."""

    def __init__(self, ids: str):
        self.ids = ids

    def __call__(self, size: int | None, elements: Any) -> Iterator[Slice]:
        numbered = enumerate(elements)
        while taken := list(itertools.islice(numbered, size)):
            pairs = [self._pair(number, element) for number, element in taken]
            ids, tensors = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            first = taken[0][0]
            if not isinstance(tensors[0], Mapping):
                yield Slice(ids, _stack("data", tensors, first))
                continue
            for number, tensor in enumerate(tensors):
                if not isinstance(tensor, Mapping) or tensor.keys() != tensors[0].keys():
                    keys = list(tensor) if isinstance(tensor, Mapping) else type(tensor).__name__
                    raise InvalidArgumentError(
                        f"element {first + number} has {keys}, and those before {list(tensors[0])}"
                    )
            yield Slice(ids, {name: _stack(name, [tensor[name] for tensor in tensors], first) for name in tensors[0]})

    def _pair(self, number: int, element: Any) -> tuple[Any, Any]:
        if isinstance(element, Mapping):
            if self.ids not in element:
                raise InvalidArgumentError(
                    f"element {number} has no {self.ids!r}, of which ids= says that it is the id"
                )
            return element[self.ids], {name: tensor for name, tensor in element.items() if name != self.ids}
        if not isinstance(element, tuple) or len(element) != 2:
            raise InvalidTypeError(
                f"element {number} is a {type(element).__name__}; (id, tensor), (id, {{name: tensor}}) or a mapping "
                "with the id is expected"
            )
        return element


def _stack(name: str, tensors: list, first: int) -> np.ndarray:
    _masks.refuse_masked_tensors(tensors, name)
    arrays = [np.asarray(tensor) for tensor in tensors]
    for number, array in enumerate(arrays):
        if array.dtype != arrays[0].dtype or array.shape != arrays[0].shape:
            raise InvalidArgumentError(
                f"element {first + number}, {name!r}: {array.dtype} of shape {list(array.shape)}, and those before are "
                f"{arrays[0].dtype} of shape {list(arrays[0].shape)}"
            )
    return np.stack(arrays)


class Inferred:
    """What a model makes of the slices of others, as many rows as it is given."""

    def __init__(self, rows: Any):
        self.rows = rows

    def __call__(self, size: int | None, model: Any, *given: Any) -> Iterator[Slice]:
        for ids, value in self.rows(size, *given):
            made = model(value)
            named = made if isinstance(made, Mapping) else {"data": made}
            arrays = {name: _tensors.stack(name, values, None) for name, values in named.items()}
            if not arrays:
                raise InvalidArgumentError("the model gave no columns; an array, or arrays by name, are expected")
            for name, array in arrays.items():
                if len(array) != len(ids):
                    raise InvalidArgumentError(
                        f"the model was given {len(ids)} rows, and of {name!r} it gave {len(array)}"
                    )
            yield Slice(ids, arrays)


def checked(slices: Iterator[Slice], specs: Mapping[str, _tensors.Spec]) -> Iterator[Slice]:
    """The slices, of whose tensors something is known before they come."""
    for ids, value in slices:
        named: Mapping[str, Any] = value if isinstance(value, Mapping) else {"data": value}
        for name, expected in specs.items():
            if name in named and _tensors.spec(named[name]) != expected:
                found = _tensors.spec(named[name])
                raise InvalidArgumentError(
                    f"column {name!r} is {found[0].name} of shape {list(found[1])}, and {expected[0].name} of shape "
                    f"{list(expected[1])} by columns= or the metadata of the collection; one of them is to be corrected"
                )
        yield Slice(ids, value)
