"""make rows visible that were durable when their process died

They come behind the rows that are there, in order, each once; appending to the results does the same. Runs
that go on are left alone, and so are rows in tokens that were not published."""

from __future__ import annotations

import argparse

from ..recovery import Recovery, recover
from ._output import counted, write_json
from ._results import add_location


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_location(command)
    # Not `run`: under that name the parser keeps the function below.
    command.add_argument(
        "--run", dest="one", metavar="NAME", help="one run, by its name in the directory _rds of the table"
    )
    command.add_argument("--dry-run", action="store_true", help="only count")
    command.add_argument(
        "--take-over",
        action="store_true",
        help="take the process of a run for dead whatever it seems; if it goes on, its writes fail",
    )
    what = command.add_mutually_exclusive_group()
    what.add_argument("--drop", action="store_true", help="give the rows up; with --run its tokens too")
    what.add_argument(
        "--onto-replaced",
        action="store_true",
        help="add rows whose table was replaced meanwhile to the one that took its place",
    )


def run(arguments: argparse.Namespace) -> None:
    done = recover(
        arguments.results,
        run=arguments.one,
        onto_replaced=arguments.onto_replaced,
        drop=arguments.drop,
        take_over=arguments.take_over,
        dry_run=arguments.dry_run,
    )
    if arguments.json:
        write_json(done._asdict())
        return
    print("\n".join(_lines(done)) or "nothing waits")


def _lines(done: Recovery) -> list[str]:
    lines = []
    if done.recovered_runs:
        lines.append(f"{rows_of(done.recovered_rows, done.recovered_runs)} became visible")
    if done.dropped_runs:
        lines.append(f"{rows_of(done.dropped_rows, done.dropped_runs)} were given up")
    return lines + what_is_left(done)


def what_is_left(done: Recovery) -> list[str]:
    """What waits, goes on, or is staged."""
    lines = []
    if done.waiting_runs:
        lines.append(f"{rows_of(done.waiting_rows, done.waiting_runs)} wait for `rds recover`")
    if done.live_runs:
        lines.append(f"{counted(done.live_runs, 'run')} being written")
    if done.staged_runs:
        lines.append(f"{counted(done.staged_runs, 'run')} with tokens that were not published")
    return lines


def rows_of(rows: int, runs: int) -> str:
    return f"{counted(rows, 'row')} of {counted(runs, 'run')}"
