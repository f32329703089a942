"""print the first rows: number, id, and the ends of the tensor"""

from __future__ import annotations

import argparse

from ._output import as_json, preview, spec_text, write_json, write_table
from ._results import add_location, at_least, open_results


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_location(command)
    command.add_argument("-n", "--rows", type=at_least(0), default=10, help="how many (default 10)")
    command.add_argument("--first", type=at_least(0), default=0, help="the row to begin with (default 0)")


def run(arguments: argparse.Namespace) -> None:
    with open_results(arguments.results) as dataset:
        stop = min(arguments.first + arguments.rows, len(dataset))
        rows = range(arguments.first, stop)
        tensors = dataset[arguments.first : stop]
        ids = [dataset.get_object_id(row) for row in rows]
        if arguments.json:
            values = as_json(tensors)
            lines = [{"row": row, "object_id": i, "data": v} for row, i, v in zip(rows, ids, values)]
            write_json(lines)
            return
        heading = ("row", "object_id", f"data: {spec_text(dataset.tensor_dtype, dataset.tensor_shape)}")
        write_table([heading, *((str(r), i, preview(t)) for r, i, t in zip(rows, ids, tensors))])
