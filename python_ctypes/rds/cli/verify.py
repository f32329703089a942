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
from ._results import add_location, open_results


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_location(command)
    command.add_argument(
        "--against", metavar="DIRECTORY", help="a directory with batches of the earlier format"
    )


def run(arguments: argparse.Namespace) -> None:
    open_results(arguments.results).close()
    if arguments.against is None:
        rows = check(arguments.results)
    else:
        batches = Batches(local_path(arguments.against))
        with reporting(None) as report:
            compare(batches, arguments.results, report)
        rows = batches.rows
    if arguments.json:
        write_json({"rows": rows, "against": arguments.against})
    else:
        print(f"{rows:,} rows, all the same")
