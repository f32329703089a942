"""write all rows to a file: .npy, .parquet or .arrow

NAME.npy has the tensors, NAME.ids.npy beside it the ids; of several columns each has a file of its own,
NAME.COLUMN.npy; bfloat16 is saved as its bits, in uint16.
Parquet and Arrow files have the columns and the metadata of the table; they need
pip install 'rds[export]'. A file appears when it is complete."""

from __future__ import annotations

import argparse

from .._export import FORMS, export
from ._output import write_json
from ._results import add_columns, add_location, open_results


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_location(command)
    command.add_argument("output", metavar="OUTPUT")
    add_columns(command, "write")
    command.add_argument("--format", choices=FORMS, help="default: what the end of OUTPUT says")
    command.add_argument("--force", action="store_true", help="replace OUTPUT if it exists")


def run(arguments: argparse.Namespace) -> None:
    with open_results(arguments.results) as dataset:
        rows = len(dataset)
        files = export(
            dataset,
            arguments.output,
            arguments.format,
            columns=arguments.columns,
            overwrite=arguments.force,
        )
    if arguments.json:
        write_json({"rows": rows, "files": [str(path) for path in files]})
    else:
        print(f"{rows:,} rows in {' and '.join(map(str, files))}")
