"""read all of the results, and compare

Every id and every tensor is read; tensors of mapped files also through Lance, which must give the same
bits. With --against they are compared with the batches they were converted from."""

from __future__ import annotations

import argparse

from .._batches import Batches
from .._location import local_path
from .._progress import reporting
from .._verify import check, compare
from ._output import write_json
from ._results import add_columns, add_location, columns_of, open_results


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_location(command)
    command.add_argument(
        "--against", metavar="DIRECTORY", help="a directory with batches of the earlier format"
    )
    add_columns(command, "compare")


def run(arguments: argparse.Namespace) -> None:
    with open_results(arguments.results) as dataset:
        columns = [column.name for column in columns_of(dataset, arguments.columns)]
    if arguments.against is None:
        rows = check(arguments.results, columns=columns)
    else:
        batches = Batches(local_path(arguments.against))
        with reporting(None) as report:
            compare(batches, arguments.results, report, columns)
        rows = batches.rows
    if arguments.json:
        write_json({"rows": rows, "against": arguments.against})
    else:
        print(f"{rows:,} rows, all the same")
