"""Rows in JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..reader import ResultDataset


def in_json(
    dataset: ResultDataset, rows: Iterable[int], ids: list[str] | None, values: dict[str, list]
) -> list[dict[str, Any]]:
    """An object for each row. Tensors have one of their own, as a column may be called `row`; but a lone
    `data` needs none."""
    lines: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        line: dict[str, Any] = {"row": row}
        if ids is not None:
            line["object_id"] = ids[number]
        tensors = {name: column[number] for name, column in values.items()}
        line.update(tensors if dataset.columns == ("data",) else {"tensors": tensors})
        lines.append(line)
    return lines
