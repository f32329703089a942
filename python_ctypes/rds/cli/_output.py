"""What commands print: aligned text for people, JSON for machines."""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO

import numpy as np

# More numbers of a tensor than these are not worth a line in a list.
_PREVIEW = 8


def write_json(document: Any, stream: TextIO | None = None) -> None:
    """One document, on one line. There is no NaN in it, which JSON does not have."""
    stream = stream or sys.stdout
    json.dump(document, stream, allow_nan=False, ensure_ascii=False)
    stream.write("\n")


def write_pairs(pairs: dict[str, str]) -> None:
    """Names and values, one pair a line."""
    width = max(map(len, pairs))
    for name, value in pairs.items():
        print(f"{name:<{width}}  {value}")


def write_table(lines: list[tuple[str, ...]]) -> None:
    """Columns, as wide as they need to be."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def message_of(error: Exception) -> str:
    """An error in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def spec_text(dtype: Any, shape: Any) -> str:
    """Dtype and shape of a row; of several columns each with its name."""
    if isinstance(dtype, dict):
        return ", ".join(f"{name} {spec_text(dtype[name], shape[name])}" for name in dtype)
    return f"{dtype.name} {list(shape)}"


def spec_json(dtype: Any, shape: Any) -> dict[str, Any]:
    """As `spec_text`, for machines."""
    if isinstance(dtype, dict):
        return {"columns": [{"name": name, **spec_json(dtype[name], shape[name])} for name in dtype]}
    return {"dtype": dtype.name, "shape": list(shape)}


def preview(tensor: np.ndarray) -> str:
    """The first and the last numbers of a tensor."""
    with np.printoptions(threshold=_PREVIEW, edgeitems=_PREVIEW // 2, linewidth=sys.maxsize):
        return str(tensor.reshape(-1))


def as_json(array: np.ndarray) -> Any:
    """Nested lists of numbers that give the same array again.

    A complex number is a list of two, a date its ISO text, a duration the number of its units; what
    JSON has no number for is "NaN", "Infinity", "-Infinity" or "NaT".
    """
    kind = array.dtype.kind
    if kind == "M":
        return array.astype(str).tolist()
    if kind == "m":
        return np.where(np.isnat(array), "NaT", array.astype(np.int64).astype(object)).tolist()
    if kind == "c":
        parts = np.stack([array.real, array.imag], axis=-1)
        return as_json(parts)
    if kind in "biu":
        return array.tolist()
    # float16 and bfloat16 too: a float64 has each of their numbers.
    numbers = array.astype(np.float64)
    if np.isfinite(numbers).all():
        return numbers.tolist()
    values = numbers.astype(object)
    for test, name in ((np.isnan, "NaN"), (np.isposinf, "Infinity"), (np.isneginf, "-Infinity")):
        values = np.where(test(numbers), name, values)
    return values.tolist()
