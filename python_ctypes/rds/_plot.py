"""Results of two or three dimensions as a picture, or as a page that can be moved and zoomed."""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ._errors import InvalidArgumentError, SchemaMismatchError
from .column import Column
from .reader import ResultDataset

MAX_POINTS = 200_000

_PLAIN = "#1f77b4"
# Ten colours that are told apart easily, and a scale from dark to bright.
_CATEGORIES = "#1f77b4 #ff7f0e #2ca02c #d62728 #9467bd #8c564b #e377c2 #7f7f7f #bcbd22 #17becf".split()
_SCALE = "#440154 #472d7b #3b528b #2c728e #21918c #28ae80 #5ec962 #addc30 #fde725".split()
_REDUCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "argmax": lambda values: values.argmax(axis=1),
    "argmin": lambda values: values.argmin(axis=1),
    "max": lambda values: values.max(axis=1),
    "min": lambda values: values.min(axis=1),
    "mean": lambda values: values.mean(axis=1),
    "norm": lambda values: np.linalg.norm(values, axis=1),
}
_PAGE = Path(__file__).with_name("_plot_page.html")


@dataclass(frozen=True)
class Points:
    """What is drawn: `xyz` as (n, 2) or (n, 3) float32, a colour and an id for each point."""

    title: str
    xyz: np.ndarray
    ids: list[str]
    colours: np.ndarray
    # A text and its colour for each category; or the ends of the scale.
    legend: list[tuple[str, str]]
    scale: tuple[float, float] | None


def points_of(
    dataset: ResultDataset,
    values: np.ndarray | None = None,
    *,
    column: str | None = None,
    max_points: int = MAX_POINTS,
    title: str | None = None,
) -> Points:
    """The points of a column of 2 or 3 real numbers: the one of that name, or the only such one.

    `values` has one number or text for each row, to colour its point by. Rows that are not finite as
    float32 are left out; of more rows than `max_points` as many are drawn, chosen at random but always the
    same ones. The title says how many.
    """
    drawn, rows = _drawn(dataset, column), len(dataset)
    if values is not None and values.shape != (rows,):
        raise InvalidArgumentError(
            f"the values to colour by have the shape {list(values.shape)}, not [{rows}]"
        )
    chosen = np.arange(rows)
    if rows > max_points:
        chosen = np.sort(np.random.default_rng(0).choice(rows, max_points, replace=False))
    with np.errstate(over="ignore"):
        xyz = drawn[chosen].astype(np.float32)
    finite = np.isfinite(xyz).all(axis=1)
    chosen, xyz = chosen[finite], xyz[finite]
    # The ids of all rows may be many more than those of the rows to be drawn.
    whole = len(chosen) == rows
    if not dataset._snapshot.info.has_ids:
        ids = list(map(str, chosen.tolist()))
    else:
        ids = dataset.ids() if whole else [dataset.get_object_id(row) for row in chosen.tolist()]
    colours, legend, scale = _colour(None if values is None else values[chosen], len(chosen))
    shown = f"{rows:,} rows" if whole else f"{len(chosen):,} of {rows:,} rows"
    name = title or os.fspath(dataset.data_location)
    return Points(f"{name}: {shown}", xyz, ids, colours, legend, scale)


def write_png(points: Points, path: str | os.PathLike[str]) -> None:
    """Draws the points with matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LinearSegmentedColormap, Normalize
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
    except ImportError as error:
        raise ImportError("a PNG needs matplotlib: pip install 'rds[plot]'") from error
    # Without pyplot, which would take over a window or the figures of a notebook.
    figure = Figure(figsize=(8, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    solid = points.xyz.shape[1] == 3
    axes = figure.add_subplot(projection="3d" if solid else None)
    size = float(np.clip(20_000 / max(len(points.xyz), 1), 1, 16))
    look: dict[str, Any] = {"s": size, "c": points.colours / 255, "linewidths": 0, "alpha": 0.8}
    if solid:
        # A colour means the same near and far.
        look["depthshade"] = False
    axes.scatter(*points.xyz.T, **look)
    axes.set_title(points.title, parse_math=False)
    if points.legend:
        handles = [Line2D([], [], ls="", marker="o", color=colour) for _, colour in points.legend]
        labels = [text for text, _ in points.legend]
        legend = axes.legend(handles, labels, loc="center left", bbox_to_anchor=(1, 0.5))
        for text in legend.get_texts():
            text.set_parse_math(False)
    elif points.scale is not None:
        colormap = LinearSegmentedColormap.from_list("scale", _SCALE)
        figure.colorbar(ScalarMappable(Normalize(*points.scale), colormap), ax=axes)
    figure.savefig(path, format="png", dpi=150)


def write_page(points: Points, path: str | os.PathLike[str]) -> None:
    """Writes one HTML page that needs nothing else: no network, no other file."""
    data = {
        "dimensions": points.xyz.shape[1],
        "xyz": base64.b64encode(np.ascontiguousarray(points.xyz, "<f4").tobytes()).decode(),
        "colours": base64.b64encode(points.colours.tobytes()).decode(),
        "ids": points.ids,
        "legend": points.legend,
        "scale": points.scale and {"ends": [f"{end:.4g}" for end in points.scale], "colours": _SCALE},
    }
    # An id must not be able to end the script element that it stands in.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    parts = {"$TITLE": html.escape(points.title), "$DATA": text}
    # Both at once: a title may have the name of a part in it.
    page = re.sub(r"\$(TITLE|DATA)", lambda part: parts[part[0]], _PAGE.read_text(encoding="utf-8"))
    Path(path).write_text(page, encoding="utf-8")


def _drawn(dataset: ResultDataset, name: str | None) -> Column:
    columns = [dataset[one] for one in (dataset.columns if name is None else [name])]
    fit = [one for one in columns if one.shape in ((2,), (3,)) and one.dtype.kind in "biuf"]
    if len(fit) == 1:
        return fit[0]
    if len(fit) > 1:
        names = ", ".join(repr(one.name) for one in fit)
        raise InvalidArgumentError(f"{names} can be drawn; choose one column")
    found = ", ".join(f"{one.name} is {one.dtype.name} {list(one.shape)}" for one in columns)
    raise SchemaMismatchError(f"{found}; tensors of 2 or 3 real numbers can be drawn")


def values_of(dataset: ResultDataset, text: str) -> np.ndarray:
    """A number for each row to colour it by: a column of scalars, "score", or a column and what makes a number
    of its tensor, "logits:argmax"."""
    name, _, reduction = text.rpartition(":")
    if text in dataset.columns or not name:
        name, reduction = text, ""
    column = dataset[name]
    values = np.asarray(column).reshape(len(column), -1)
    if not reduction:
        if values.shape[1] != 1:
            raise InvalidArgumentError(
                f"{name} is {column.dtype.name} {list(column.shape)}; one number is needed, as of "
                + " or ".join(f"{name}:{one}" for one in _REDUCTIONS)
            )
        return values[:, 0]
    if reduction not in _REDUCTIONS:
        raise InvalidArgumentError(f"{text}: {reduction!r} is not known; {', '.join(_REDUCTIONS)} are")
    return _REDUCTIONS[reduction](values)


def _colour(
    values: np.ndarray | None, count: int
) -> tuple[np.ndarray, list[tuple[str, str]], tuple[float, float] | None]:
    """A colour for each value, as (n, 3) uint8, with what explains them."""
    if values is None:
        return np.tile(_rgb([_PLAIN]), (count, 1)), [], None
    if values.dtype.kind not in "biufUS":
        raise InvalidArgumentError(f"values of the dtype {values.dtype} cannot be shown as colours")
    if values.dtype.kind != "f":
        kinds, numbers = np.unique(values, return_inverse=True)
        if len(kinds) <= len(_CATEGORIES):
            texts = [kind.decode() if isinstance(kind, bytes) else str(kind) for kind in kinds.tolist()]
            return _rgb(_CATEGORIES)[numbers], list(zip(texts, _CATEGORIES)), None
        if values.dtype.kind in "US":
            most = len(_CATEGORIES)
            raise InvalidArgumentError(
                f"there are {len(kinds)} different texts; colours are for {most} at most"
            )
    numbers = values.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    share = np.nan_to_num((numbers - low) / (high - low or 1), nan=0, posinf=1, neginf=0).clip(0, 1)
    stops = np.linspace(0, 1, len(_SCALE))
    parts = [np.interp(share, stops, part) for part in _rgb(_SCALE).T]
    return np.stack(parts, axis=1).round().astype(np.uint8), [], (low, high)


def _rgb(colours: list[str]) -> np.ndarray:
    return np.array([list(bytes.fromhex(colour[1:])) for colour in colours], np.uint8)
