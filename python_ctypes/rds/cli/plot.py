"""draw results of 2 or 3 dimensions: a .png, or an .html page to move and zoom

The page is one file that needs no network: it shows the id under the mouse and finds a point by its id.
A PNG needs pip install 'rds[plot]'."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from .._errors import InvalidArgumentError
from .._export import new_files
from .._plot import MAX_POINTS, points_of, values_of, write_page, write_png
from ..reader import ResultDataset
from ._output import write_json
from ._results import add_location, at_least, open_results

_WRITERS = {".png": write_png, ".html": write_page}


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_location(command)
    command.add_argument("output", metavar="OUTPUT", help="ends in .png or .html")
    command.add_argument(
        "--column", metavar="NAME", help="the tensors to draw; default the only ones that can be"
    )
    command.add_argument(
        "--colour",
        "--color",
        metavar="BY",
        help="what to colour points by: a column of numbers (score), a column and what makes one number of "
        "its tensor (logits:argmax; also argmin, max, min, mean, norm), or FILE.npy with a number or a text "
        "for each row",
    )
    command.add_argument("--title", help="default: RESULTS")
    command.add_argument(
        "--max-points",
        type=at_least(1),
        default=MAX_POINTS,
        metavar="N",
        help=f"draw a random N of the rows if there are more (default {MAX_POINTS:,})",
    )
    command.add_argument("--force", action="store_true", help="replace OUTPUT if it exists")


def run(arguments: argparse.Namespace) -> None:
    write = _WRITERS.get(Path(arguments.output).suffix)
    if write is None:
        raise InvalidArgumentError(f"{arguments.output}: the name must end in .png or .html")
    with open_results(arguments.results) as dataset:
        points = points_of(
            dataset,
            _values(dataset, arguments.colour),
            column=arguments.column,
            max_points=arguments.max_points,
            title=arguments.title,
        )
    with new_files(arguments.output, overwrite=arguments.force) as (path,):
        write(points, path)
    if arguments.json:
        write_json({"file": arguments.output, "points": len(points.ids)})
    else:
        print(f"{points.title} in {arguments.output}")


def _values(dataset: ResultDataset, by: str | None) -> np.ndarray | None:
    if by is None:
        return None
    # No column has a dot in its name.
    return np.load(by, allow_pickle=False) if by.endswith(".npy") else values_of(dataset, by)
