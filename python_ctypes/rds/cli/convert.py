"""make results of the batches of Hyrax's earlier format

INPUT has batch_<n>.npy and batch_index.npy, and is only read. The table appears in OUTPUT/lance_db
when it is complete and every id and every tensor has been compared with the batches, bit for bit; if
that fails, or Ctrl-C is pressed, nothing of it stays. OUTPUT may be INPUT. If the process is killed, a
directory OUTPUT/lance_db.part-* stays, which may be removed."""

from __future__ import annotations

import argparse

from .._convert import convert
from ._output import spec_json, spec_text, write_json


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("input", metavar="INPUT", help="the directory of the batches")
    command.add_argument("output", metavar="OUTPUT", help="the result directory; it must have no lance_db")


def run(arguments: argparse.Namespace) -> None:
    done = convert(arguments.input, arguments.output)
    if arguments.json:
        write_json(
            {
                "rows": done.rows,
                "batches": done.batches,
                **spec_json(done.tensor_dtype, done.tensor_shape),
            }
        )
        return
    spec = spec_text(done.tensor_dtype, done.tensor_shape)
    print(f"{done.rows:,} rows of {spec} from {done.batches:,} batches, written and compared")
