"""print the tensors of ids, or save them

Of an id that several rows carry it is the first row. If one id is not there, nothing is printed or
saved. Of several columns each is saved in a file of its own, FILE.COLUMN.npy."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from .._errors import UnknownIdError
from .._export import new_files, npy_paths
from ._output import as_json, write_json
from ._results import add_columns, add_location, columns_of, open_results
from ._rows import in_json


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_location(command)
    command.add_argument("ids", metavar="ID", nargs="+")
    add_columns(command, "print or save")
    command.add_argument(
        "-o", "--output", metavar="FILE.npy", help="save the tensors, stacked, instead of printing them"
    )
    command.add_argument("--force", action="store_true", help="replace FILE.npy if it exists")


def run(arguments: argparse.Namespace) -> None:
    with open_results(arguments.results) as dataset:
        columns = columns_of(dataset, arguments.columns)
        rows = dataset.find(arguments.ids)
        missing = [name for name, row in zip(arguments.ids, rows) if row < 0]
        if missing:
            raise UnknownIdError(f"no row carries the id {', '.join(map(repr, missing))}")
        tensors = {column.name: column[rows] for column in columns}
    if arguments.output is not None:
        _save(arguments, tensors)
    if arguments.json:
        found = [{"object_id": name, "row": row} for name, row in zip(arguments.ids, rows.tolist())]
        if arguments.output is None:
            values = {name: as_json(column) for name, column in tensors.items()}
            found = in_json(dataset, rows.tolist(), arguments.ids, values)
        write_json(found)
    elif arguments.output is None:
        with np.printoptions(threshold=sys.maxsize, floatmode="unique"):
            for number, (name, row) in enumerate(zip(arguments.ids, rows)):
                print(f"{name} (row {row}):")
                for column, stacked in tensors.items():
                    before = "" if dataset.columns == ("data",) else f"{column}:\n"
                    print(f"{before}{stacked[number]}")


def _save(arguments: argparse.Namespace, tensors: dict[str, np.ndarray]) -> None:
    names = npy_paths(Path(arguments.output), list(tensors))
    with new_files(*names, overwrite=arguments.force) as paths:
        for path, stacked in zip(paths, tensors.values()):
            with path.open("wb") as file:
                np.save(file, stacked, allow_pickle=False)
