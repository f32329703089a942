"""tell rows, columns, version and size of results

Rows that are durable and not visible yet are told too: of runs that died, which `rds recover` finishes, and
how many runs are being written or wait with tokens that were not published."""

from __future__ import annotations

import argparse
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .._errors import NotFoundError
from .._location import table_path
from ..recovery import Recovery, recover
from .._stored import Stored
from ._output import spec_text, write_json, write_pairs
from ._results import add_location, open_results
from .recover import what_is_left

_NOTHING = Recovery(*[0] * len(Recovery._fields))


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_location(command)


def run(arguments: argparse.Namespace) -> None:
    # Before the results: a run that ends meanwhile is told twice, and never not at all.
    left = _left(arguments.results)
    table = table_path(arguments.results)
    try:
        facts, lines = _visible(arguments.results)
    except NotFoundError:
        if not what_is_left(left):
            raise
        facts, lines = _no_version()
    files, size = _files(table)
    if arguments.json:
        counts = {name: getattr(left, name) for name in left._fields if name.startswith(("wait", "live", "staged"))}
        write_json({"table": str(table), **facts, "files": files, "bytes_on_disk": size, **counts})
        return
    lines["on disk"] = f"{size:,} bytes in {files:,} files, for {facts['tensor_bytes']:,} bytes of tensors"
    if what_is_left(left):
        lines["runs"] = "; ".join(what_is_left(left))
    write_pairs({"table": str(table), **lines})


def _left(location: str) -> Recovery:
    try:
        return recover(location, dry_run=True)
    except NotFoundError:
        return _NOTHING


def _visible(location: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The newest version, for machines and for people."""
    with open_results(location) as dataset:
        info = dataset._snapshot.info
        stored = list(dataset._snapshot.stored.values())
    lone = dataset.columns == ("data",)
    committed = datetime.fromtimestamp(info.committed_at / 1e9, timezone.utc)
    mapped = min(column.mapped_rows for column in stored)
    facts = {
        "rows": info.rows,
        **({"dtype": stored[0].dtype_name, "shape": list(stored[0].shape)} if lone else {}),
        "columns": [_column(column) for column in stored],
        "has_ids": bool(info.has_ids),
        "version": info.version,
        "committed": committed.isoformat(),
        "mapped_rows": mapped,
        "tensor_bytes": info.rows * sum(column.row_bytes for column in stored),
    }
    names = ["tensor"] if lone else [f"tensor {column.name}" for column in stored]
    specs = [spec_text(column.dtype, column.shape) for column in stored]
    lines = {
        "rows": f"{info.rows:,}" if info.has_ids else f"{info.rows:,}, without ids",
        **dict(zip(names, specs)),
        "version": f"{info.version}, committed {committed:%Y-%m-%d %H:%M:%S} UTC",
        "mapped": f"{mapped:,} rows are read from mapped files, the others through Lance",
    }
    return facts, lines


def _column(column: Stored) -> dict[str, Any]:
    return {
        "name": column.name,
        "dtype": column.dtype_name,
        "shape": list(column.shape),
        "mapped_rows": column.mapped_rows,
    }


def _no_version() -> tuple[dict[str, Any], dict[str, str]]:
    facts = dict.fromkeys(("dtype", "shape", "version", "committed"))
    counts = dict.fromkeys(("rows", "mapped_rows", "tensor_bytes"), 0)
    return {**facts, **counts}, {"rows": "0", "version": "none: no rows are visible yet"}


def _files(table: Path) -> tuple[int, int]:
    """How many files, and their bytes. One that is linked at two places is on disk once."""
    sizes = {}
    # A writer may remove files meanwhile, which `os.walk` passes over too.
    for directory, _, names in os.walk(table):
        for name in names:
            try:
                found = os.stat(os.path.join(directory, name))
            except FileNotFoundError:
                continue
            sizes[found.st_dev, found.st_ino] = found.st_size
    return len(sizes), sum(sizes.values())
