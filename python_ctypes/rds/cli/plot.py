"""draw results of 2 or 3 dimensions: a .png, or an .html page to move and zoom

The page is one file that needs no network: it shows the id under the mouse and finds a point by its id.
A PNG needs pip install 'rds[plot]'."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from .._errors import InvalidArgumentError
from .._export import new_files
from .._plot import MAX_POINTS, points_of, write_page, write_png
from ._output import write_json
from ._results import add_location, at_least, open_results

_WRITERS = {".png": write_png, ".html": write_page}


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_location(command)
    command.add_argument("output", metavar="OUTPUT", help="ends in .png or .html")
    command.add_argument(
        "--color", metavar="FILE.npy", help="a number or a text for each row, to colour its point by"
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
    values = None
    if arguments.color is not None:
        values = np.load(arguments.color, allow_pickle=False)
    with open_results(arguments.results) as dataset:
        points = points_of(dataset, values, max_points=arguments.max_points, title=arguments.title)
    with new_files(arguments.output, overwrite=arguments.force) as (path,):
        write(points, path)
    if arguments.json:
        write_json({"file": arguments.output, "points": len(points.ids)})
    else:
        print(f"{points.title} in {arguments.output}")
