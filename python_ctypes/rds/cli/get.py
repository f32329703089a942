"""print the tensors of ids, or save them

Of an id that several rows carry it is the first row. If one id is not there, nothing is printed or
saved."""

from __future__ import annotations

import argparse
import sys

import numpy as np

from .._errors import UnknownIdError
from .._export import new_files
from ._output import as_json, write_json
from ._results import add_location, open_results


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_location(command)
    command.add_argument("ids", metavar="ID", nargs="+")
    command.add_argument(
        "-o", "--output", metavar="FILE.npy", help="save the tensors, stacked, instead of printing them"
    )
    command.add_argument("--force", action="store_true", help="replace FILE.npy if it exists")


def run(arguments: argparse.Namespace) -> None:
    with open_results(arguments.results) as dataset:
        rows = dataset.find(arguments.ids)
        missing = [name for name, row in zip(arguments.ids, rows) if row < 0]
        if missing:
            raise UnknownIdError(f"no row carries the id {', '.join(map(repr, missing))}")
        tensors = dataset[rows]
    if arguments.output is not None:
        with new_files(arguments.output, overwrite=arguments.force) as (path,), path.open("wb") as file:
            np.save(file, tensors, allow_pickle=False)
    if arguments.json:
        found = [{"object_id": name, "row": row} for name, row in zip(arguments.ids, rows.tolist())]
        if arguments.output is None:
            found = [{**row, "data": data} for row, data in zip(found, as_json(tensors))]
        write_json(found)
    elif arguments.output is None:
        with np.printoptions(threshold=sys.maxsize, floatmode="unique"):
            for name, row, tensor in zip(arguments.ids, rows, tensors):
                print(f"{name} (row {row}):\n{tensor}")
