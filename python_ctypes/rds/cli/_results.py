"""Opening the results that a command line names."""

from __future__ import annotations

import argparse

from .. import legacy
from .._errors import MissingResultsError
from .._location import is_local, local_path
from ..reader import ResultDataset


def add_location(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "results",
        metavar="RESULTS",
        help="a result directory, the path of a table (ending in .lance), or its file:// URI",
    )


def open_results(location: str) -> ResultDataset:
    """The results, or an error that says what there is instead."""
    try:
        return ResultDataset({}, location)
    except MissingResultsError as error:
        directory = local_path(location)
        if is_local(location) and directory.is_dir() and any(True for _ in legacy.batches(directory)):
            raise MissingResultsError(
                f"{location} has batches of the earlier format; `rds convert {location} OUTPUT` makes "
                "results of them"
            ) from error
        raise


def at_least(least: int):
    """A type of argparse: an integer that is not smaller."""

    def integer(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} is less than {least}")
        return number

    return integer
