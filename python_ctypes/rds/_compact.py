"""Fewer and larger data files: `compact`."""

from __future__ import annotations

import os
from ctypes import byref
from dataclasses import dataclass

from . import _structs as c
from ._errors import CancelledError
from ._library import library, path_bytes
from ._progress import Progress, reporting
from .writer import ResultDatasetWriter

_COMMIT_MERGE_ALL = 1


@dataclass(frozen=True)
class Compaction:
    """What `compact` has left, and what it has removed."""

    data_files: int
    version: int
    removed_files: int
    removed_bytes: int


def compact(location: str | os.PathLike[str], progress: Progress | None = None) -> Compaction:
    """Merges the small data files of a table, whoever wrote them, and removes files that no version
    names.

    Rows, their order and their values stay; readers keep their snapshot. Earlier versions stay too, with
    their files. What `progress` raises, and Ctrl-C, end it: files not merged until then stay as they are.
    """
    with reporting(progress) as report, ResultDatasetWriter(location, mode="append") as writer:
        info = _merge(writer, report)
    removed = c.VacuumInfo()
    library().rds_vacuum(path_bytes(location), byref(c.VacuumOptions()), byref(removed))
    return Compaction(info.data_files, info.version, removed.removed_files, removed.removed_bytes)


def _merge(writer: ResultDatasetWriter, report: Progress) -> c.CommitInfo:
    raised: list[BaseException] = []

    @c.ProgressCallback
    def tell(_user_data, done, total):
        try:
            report("merge", done, total)
        except BaseException as error:  # pylint: disable=broad-exception-caught
            raised.append(error)
            return 1
        return 0

    info = c.CommitInfo()
    options = c.CommitOptions(progress=tell, flags=_COMMIT_MERGE_ALL)
    try:
        library().rds_commit(writer._handle, byref(options), byref(info))
    except CancelledError:
        if raised:
            raise raised[0] from None
        raise
    return info
