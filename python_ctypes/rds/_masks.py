"""Arrays with a mask, as numpy.ma and astropy have them: a table has no place for what is missing."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ._errors import InvalidTypeError


def has_mask(kind: type) -> bool:
    """Whether arrays of this class have a mask."""
    # To import it here would hold a lock that a fork may find held; without it there are no arrays of it.
    masked = getattr(sys.modules.get("numpy.ma"), "MaskedArray", None)
    return masked is not None and issubclass(kind, masked) or issubclass(kind, np.ndarray) and hasattr(kind, "mask")


def refuse_masked_ids(ids: Any) -> None:
    """Refuses an array, or a list, with an id that is masked."""
    if isinstance(ids, (list, tuple)):
        if not any(map(has_mask, set(map(type, ids)))):
            return
        masked = np.array([has_mask(type(one)) and bool(np.any(one.mask)) for one in ids])
    elif has_mask(type(ids)):
        masked = np.broadcast_to(ids.mask, np.shape(ids))
    else:
        return
    for index in np.flatnonzero(masked):
        raise InvalidTypeError(f"object_ids: the id at index {index} is masked; a string or an integer is expected")


def refuse_masked_tensors(data: Any, name: str = "data") -> None:
    """Refuses an array with a mask, and a list of such arrays, or of lists with one in them."""
    if has_mask(type(data)):
        raise InvalidTypeError(f"{name} is a masked array; its mask cannot be stored, fill it first")
    if not isinstance(data, (list, tuple)):
        return
    kinds = set(map(type, data))
    if any(map(has_mask, kinds)):
        index = next(index for index, one in enumerate(data) if has_mask(type(one)))
        raise InvalidTypeError(
            f"{name}: item {index} is a masked array; its mask cannot be stored, fill it first"
        )
    if not kinds.isdisjoint((list, tuple)):
        for one in data:
            refuse_masked_tensors(one, name)
