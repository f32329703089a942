"""Fewer and larger data files: `compact`."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

from . import _commit
from . import _structs as c
from ._progress import Progress, reporting
from .staging import vacuum
from .writer import ResultDatasetWriter


@dataclass(frozen=True)
class Compaction:
    """What `compact` has left, and what it has removed."""

    data_files: int
    version: int
    removed_files: int
    removed_bytes: int


def compact(location: str | os.PathLike[str], progress: Progress | None = None) -> Compaction:
    """Merges the small data files of a table, whoever wrote them, and removes files that no version
    has named for seven days.

    Rows, their order and their values stay; readers keep their snapshot. Earlier versions stay too, with
    their files. What `progress` raises, and Ctrl-C, end it: files not merged until then stay as they are.
    """
    with reporting(progress) as report, ResultDatasetWriter(location, mode="append") as writer:
        tell = functools.partial(report, "merge")
        info = _commit.commit(writer, tell, c.COMMIT_MERGE_ALL)
    removed = vacuum(location, keep_versions=True)
    return Compaction(info.data_files, info.version, removed.removed_files, removed.removed_bytes)
