"""The commit of a writer, and what is told of it meanwhile."""

from __future__ import annotations

from ctypes import byref
from typing import TYPE_CHECKING

from . import _structs as c
from . import _waiting
from ._errors import CancelledError
from ._library import library

if TYPE_CHECKING:
    from .writer import ResultDatasetWriter


def commit(writer: ResultDatasetWriter, progress=None, flags=0) -> c.CommitInfo:
    """`ResultDatasetWriter.commit`, with flags, and what librds tells of it."""
    options, info = c.CommitOptions(flags=flags), c.CommitInfo()
    if progress is None:
        writer._call(library().rds_commit, byref(options), byref(info))
    elif _waiting.on_main_thread():
        last = (0, 0)

        def tell(rows=0):
            nonlocal last
            done, total = _rows_done(writer)
            last = max(last[0], done, rows), max(last[1], total, rows)
            progress(*last)

        tell()
        with writer._waiting.telling(tell):
            writer._call(library().rds_commit, byref(options), byref(info))
        tell(max(last[1], info.rows))
    else:
        _commit_of_thread(writer, progress, options, info)
    return info


def _commit_of_thread(
    writer: ResultDatasetWriter, progress, options: c.CommitOptions, info: c.CommitInfo
) -> None:
    raised: list[BaseException] = []
    try:
        with _waiting.progress_of_thread(progress, raised) as options.progress:
            library().rds_commit(writer._live(), byref(options), byref(info))
    except CancelledError:
        if raised:
            raise raised.pop() from None
        # The interpreter ends, and this thread with it, once it comes back.
        options.progress = c.ProgressCallback()
        library().rds_commit(writer._live(), byref(options), byref(info))
    if raised:
        raise raised.pop()


def _rows_done(writer: ResultDatasetWriter) -> tuple[int, int]:
    """How many rows a commit is done with, and of how many."""
    stats = c.WriteStats()
    library().rds_writer_stats(writer._live(), byref(stats))
    return stats.durable_rows + stats.merged_rows, stats.accepted_rows + stats.to_merge_rows
