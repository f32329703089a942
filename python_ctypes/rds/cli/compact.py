"""merge small data files into few large ones

Rows, their order and their values stay, and so do earlier versions with their files; files that no
version has named for seven days are removed. After Ctrl-C the results are whole, with the files not merged
until then."""

from __future__ import annotations

import argparse

from .._compact import compact
from ._output import counted, write_json
from ._results import add_location, open_results


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_location(command)


def run(arguments: argparse.Namespace) -> None:
    open_results(arguments.results).close()
    done = compact(arguments.results)
    if arguments.json:
        write_json(
            {
                "data_files": done.data_files,
                "version": done.version,
                "removed_files": done.removed_files,
                "removed_bytes": done.removed_bytes,
            }
        )
        return
    print(f"version {done.version} has {counted(done.data_files, 'data file')}")
    if done.removed_files:
        files = counted(done.removed_files, "file")
        print(f"removed {files} that no version names, {done.removed_bytes:,} bytes")
