"""Opening the results that a command line names."""

from __future__ import annotations

import argparse

from .. import legacy
from .._errors import MissingResultsError
from .._location import is_local, local_path
from ..column import Column
from ..reader import ResultDataset


def add_location(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "results",
        metavar="RESULTS",
        help="a result directory, the path of a table (ending in .lance), or its file:// URI",
    )


def add_columns(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument(
        "--column",
        dest="columns",
        action="append",
        metavar="NAME",
        help=f"{what} these tensors only; may be given several times",
    )


def columns_of(dataset: ResultDataset, names: list[str] | None) -> list[Column]:
    """The columns that were asked for, each once; default all."""
    return [dataset[name] for name in (dataset.columns if names is None else dict.fromkeys(names))]


def has_ids(dataset: ResultDataset) -> bool:
    return bool(dataset._snapshot.info.has_ids)


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
