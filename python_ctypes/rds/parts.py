"""One table from the parts of a job that many workers write, on one machine or on many: what `rds.dask` and `rds.ray`
stand on, and any other engine that hands out tasks. ::

    token = rds.parts.write_part("results", "job-1", 17, [(ids, vectors)])      # a task, wherever it runs
    rds.parts.commit_parts("results", "job-1", tokens)                          # once, when all are done

Whoever is finished first, rows come in the order of the parts. A task that ran twice counts once, and one that was
killed leaves nothing in the table. All of it becomes visible in one version, in as few files as if one process had
written it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from ctypes import byref, c_uint64, string_at
from typing import Any

from . import _options, _waiting
from . import _structs as c
from ._errors import InvalidTypeError, NotFoundError
from ._library import library, path_bytes
from .staging import MODES, Commit, Tokens, publish
from .writer import ResultDatasetWriter

__all__ = ["commit_parts", "finished", "pack_parts", "token", "unfinished", "write_part"]


def write_part(
    path: str | os.PathLike[str],
    job: str,
    part: int,
    batches: Iterable[Any],
    *,
    columns: Mapping[str, tuple[Any, Any]] | None = None,
    durable: bool = False,
) -> bytes:
    """Writes one part of a job beside the table. Nobody sees it before `commit_parts`.

    It is there whole or not at all: a task that is killed leaves nothing that counts. Several tasks, in any process
    that sees the directory, may write the same part at the same time; one of them counts, so they should write the
    same rows.

    Parameters
    ----------
    path : str or path
        The results, as for `ResultDatasetWriter`. There need not be a table yet.
    job : str
        The name of the job, which no other job of this table has.
    part : int
        The number of the part, from 0 on: its rows come behind those of the parts of smaller numbers.
    batches : iterable, or an Arrow table, batch or stream
        Rows as `ResultDatasetWriter.write_batch` takes them: `(ids, data)`, or what speaks Arrow. They are taken one
        after the other, so that a part may be larger than the memory. None at all makes a part without rows.
    columns : mapping, optional
        As for `ResultDatasetWriter`: `{"embedding": ("float32", (512,))}`. Needed only for a table that may come to
        have no row.
    durable : bool
        Whether the part is on disk when this returns. Without it survives the death of its process, as whatever
        a process has written does, and a power failure once the system has written it, on Linux within half a
        minute. What a power failure damaged is found by its checksum, and has to be written again.

    Returns
    -------
    bytes
        The token for `commit_parts`: some hundred bytes, for any process. It lies beside the table too:
        `unfinished` finds it.

    Raises
    ------
    ValueError, TypeError
        A batch is refused, as by `write_batch`; nothing of the part is left.
    FileNotFoundError
        The part was removed while it was written: its job was committed meanwhile, or a `vacuum` took it.
    OSError
        The operating system refused; nothing of the part is left. So it is too after what `batches` raises.
    """
    _job(job)
    durability = "batch" if durable else "interval"
    with ResultDatasetWriter(
        path, mode="staged", job=job, part=part, columns=columns, durability=durability
    ) as writer:
        for batch in [batches] if _speaks_arrow(batches) else batches:
            if _speaks_arrow(batch):
                writer.write_batch(batch)
            else:
                writer.write_batch(*_pair(batch))
        return writer.stage()


def _speaks_arrow(batch) -> bool:
    return hasattr(batch, "__arrow_c_stream__") or hasattr(batch, "__arrow_c_array__")


def _pair(batch) -> tuple[Any, Any]:
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise InvalidTypeError(
            f"batches gave {type(batch).__name__}; pairs of ids and data, or what speaks Arrow, are expected"
        )
    return batch[0], batch[1]


def commit_parts(
    path: str | os.PathLike[str], job: str, tokens: Sequence[bytes], mode: str = "create"
) -> Commit:
    """Publishes a job: its parts become one version of the table, and what tasks that ran twice or were killed have left
    of them goes. A part of which no token is given stays, and `unfinished` tells of it.

    Ctrl-C ends the wait; the commit goes on in the background. The rows are copied into files of 2^20 rows or a
    gibibyte, a processor making one at a time; how they lie there depends on the rows alone, not on how they were
    split. The checksums of parts are looked at on the way.

    Parameters
    ----------
    path : str or path
        As for `write_part`.
    job : str
        The name of the job.
    tokens : sequence of bytes
        What `write_part` gave for all parts of the job, in any order. Of tokens for the same part the first counts.
    mode : {"create", "append", "overwrite"}
        What becomes of a table that is already there.

    Returns
    -------
    Commit
        What the version has of the job. If it has landed before, because a process died in this call, `rows` is 0.

    Raises
    ------
    FileExistsError
        The mode is "create", and there is a table; or a token is given twice.
    FileNotFoundError
        A part was removed, or the mode is "append" and there is no table.
    ValueError
        One of `tokens` is no token of a part of this job, or parts differ in dtype or shape.
    RuntimeError
        Another writer replaced the table meanwhile. With the `status` 15: the disk failed when the version had got
        its name; the same call again finds out.
    OSError
        A part is damaged: its file is named, and has to be removed and written again. Or the operating system
        refused. After all errors nothing is published and all parts are as they were.
    """
    return publish(path, tokens, mode, _job(job))


def pack_parts(
    path: str | os.PathLike[str],
    job: str,
    tokens: Sequence[bytes],
    share: int = 0,
    shares: int = 1,
    mode: str = "create",
    *,
    first_row: int = 0,
    more: bool = False,
) -> int:
    """Makes a share of the files of a job, so that `commit_parts` has only to name them.

    Packing copies every row once more. With this it is done by many processes, each with a call for a share of its
    own, when all parts are written. Or while parts are still written: `tokens` are those of parts that follow each
    other then, and with `more` the files are made that they fill, and the next one is begun with what is left, unless
    another call works on that; the next call is given all parts of a file that is not full once more. `commit_parts`
    with all tokens and the same mode makes what it does not find. A call that is made twice, or dies, is no harm. It
    uses one thread.

    Parameters
    ----------
    path, job, mode
        As for `commit_parts`.
    tokens : sequence of bytes
        Those of all parts, or of some that follow each other.
    share, shares : int
        The number of this share, from 0 on, and how many there are.
    first_row : int
        How many rows of the first parts are in files of other calls, before which there are whole files only.
    more : bool
        Whether other parts follow these.

    Returns
    -------
    int
        How many rows the whole files of the share have; 0 if there are fewer files than shares.

    Raises
    ------
    FileNotFoundError
        A part was removed.
    ValueError
        `share` is not below `shares`, one of `tokens` is no token of a part of this job, or parts differ in dtype or
        shape.
    OSError
        A part is damaged, or the operating system refused. After all errors the parts are as they were.
    """
    given = Tokens(tokens)
    options = c.PackPartsOptions(
        mode=_options.choice("mode", mode, MODES),
        share=_options.whole("share", share),
        shares=_options.positive("shares", shares),
        first_row=_options.whole("first_row", first_row),
        flags=c.PACK_PARTS_MORE if more else 0,
    )
    rows, where, name = c_uint64(), path_bytes(path), _job(job)
    _waiting.aside(
        lambda: library().rds_pack_parts(
            where, name, given.structs, given.count, byref(options), byref(rows)
        )
    )
    return rows.value


def token(path: str | os.PathLike[str], job: str, part: int) -> bytes | None:
    """The token of one part that waits to be published: a task that runs again need not do its work again.

    Parameters
    ----------
    path : str or path
        As for `write_part`.
    job : str
        The name of the job.
    part : int
        The number of the part.

    Returns
    -------
    bytes or None
        None, if there is no such part, or it is published.

    Raises
    ------
    OSError
        The operating system refused, or the table cannot be read.
    """
    waiting = _list(path, _job(job), part)[1]
    return waiting.get(job, {}).get(part)


def unfinished(path: str | os.PathLike[str]) -> dict[str, dict[int, bytes]]:
    """The parts that wait to be published, by the names of their jobs.

    Parameters
    ----------
    path : str or path
        As for `write_part`.

    Returns
    -------
    dict
        For each job the tokens of its parts by their numbers, in order. A driver that died goes on with the parts
        that are missing; `rds.vacuum` removes a job that nobody has added to for some time.

    Raises
    ------
    OSError
        The operating system refused, or the table cannot be read.
    """
    return _list(path)[1]


def finished(path: str | os.PathLike[str]) -> dict[str, list[range]]:
    """The parts of jobs that the newest version of the table has.

    Parameters
    ----------
    path : str or path
        As for `write_part`.

    Returns
    -------
    dict
        For each job ranges of the numbers of its parts, in order. What replaces a table has none of its jobs.

    Raises
    ------
    OSError
        The operating system refused, or the table cannot be read.
    """
    return _list(path)[0]


def _job(job: str) -> bytes:
    name = _options.text("job", job)
    if name is None:
        raise InvalidTypeError("job is None; a str is expected")
    return name


def _list(
    path, job: bytes | None = None, part: int | None = None
) -> tuple[dict[str, list[range]], dict[str, dict[int, bytes]]]:
    """What the newest version has, and what waits, of one job or of all."""
    shown: dict[str, list[range]] = {}
    waiting: dict[str, dict[int, bytes]] = {}
    raised: list[BaseException] = []

    def each(_, job, first, last, found):
        try:
            if found:
                of_job = waiting.setdefault(job.decode(), {})
                of_job[first] = string_at(found.contents.data, found.contents.length)
            else:
                shown.setdefault(job.decode(), []).append(range(first, last + 1))
        except BaseException as error:  # pylint: disable=broad-exception-caught
            raised.append(error)
            return 1
        return 0

    callback, where = c.PartCallback(each), path_bytes(path)
    number = None if part is None else byref(c_uint64(_options.number("part", part)))
    try:
        _waiting.aside(lambda: library().rds_list_parts(where, job, number, callback, None))
    except NotFoundError:
        return {}, {}
    if raised:
        raise raised.pop()
    return shown, waiting
