"""print the first rows: number, id, and the ends of the tensors"""

from __future__ import annotations

import argparse

from ._output import as_json, preview, spec_text, write_json, write_table
from ._results import add_columns, add_location, at_least, columns_of, has_ids, open_results
from ._rows import in_json


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_location(command)
    add_columns(command, "print")
    command.add_argument("-n", "--rows", type=at_least(0), default=10, help="how many (default 10)")
    command.add_argument("--first", type=at_least(0), default=0, help="the row to begin with (default 0)")


def run(arguments: argparse.Namespace) -> None:
    with open_results(arguments.results) as dataset:
        columns = columns_of(dataset, arguments.columns)
        stop = min(arguments.first + arguments.rows, len(dataset))
        rows = range(arguments.first, stop)
        tensors = [column[arguments.first : stop] for column in columns]
        ids = [dataset.get_object_id(row) for row in rows] if has_ids(dataset) else None
        if arguments.json:
            values = {column.name: as_json(one) for column, one in zip(columns, tensors)}
            write_json(in_json(dataset, rows, ids, values))
            return
        specs = [f"{column.name}: {spec_text(column.dtype, column.shape)}" for column in columns]
        cells: list[list[str]] = [[preview(tensor) for tensor in one] for one in tensors]
        named = [] if ids is None else [("object_id", ids)]
        shown = [("row", list(map(str, rows))), *named, *zip(specs, cells)]
        write_table(list(zip(*([heading, *texts] for heading, texts in shown))))
