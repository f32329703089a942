"""print the ids of all rows, one a line, in row order"""

from __future__ import annotations

import argparse
import sys

from ._output import write_json
from ._results import add_location, open_results


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_location(command)


def run(arguments: argparse.Namespace) -> None:
    with open_results(arguments.results) as dataset:
        ids = dataset.ids()
    if arguments.json:
        write_json(ids)
    else:
        sys.stdout.writelines(f"{name}\n" for name in ids)
