"""One table from many writers: their tokens are published at once, and what nobody needs is removed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from ctypes import POINTER, byref
from typing import NamedTuple

import numpy as np

from . import _options, _waiting
from . import _structs as c
from ._errors import InvalidTypeError
from ._library import library, path_bytes

MODES = {name: number for name, number in c.MODES.items() if name != "staged"}


class Commit(NamedTuple):
    """What `commit_staged` has published."""

    rows: int
    tensor_bytes: int
    version: int
    data_files: int


class Vacuum(NamedTuple):
    """What `vacuum` has removed, or would, and how many files it left that no version names.

    Manifests of the versions are among the files.
    """

    removed_files: int
    removed_bytes: int
    kept_files: int
    removed_versions: int


def commit_staged(
    result_dir: str | os.PathLike[str], tokens: Sequence[bytes], mode: str = "create"
) -> Commit:
    """Publishes what writers in the mode "staged" have written: one version, or nothing at all.

    Ctrl-C ends the wait; the commit goes on in the background.

    Parameters
    ----------
    result_dir : str or path
        The directory that the writers were opened with.
    tokens : sequence of bytes
        What their `stage` gave; rows come in the order of the tokens, those of a job in that of its parts.
        Of tokens with the same part of a job the first counts, also if it was published earlier.
    mode : {"create", "append", "overwrite"}
        What becomes of a table that is already there, as for `ResultDatasetWriter`.

    Returns
    -------
    Commit
        What the version has from these tokens.

    Raises
    ------
    FileExistsError
        A token was published before or is given twice, or the mode is "create" and there is a table.
    FileNotFoundError
        A token is of another table, its files are gone, or the mode is "append" and there is no table.
    ValueError
        One of `tokens` is no token, or they differ in dtype or shape.
    RuntimeError
        Another writer replaced the table meanwhile. With the `status` 15: the disk failed when the version had
        got its name, so all rows are visible, or none; publishing the tokens again is a FileExistsError in the
        first case.
    OSError
        A token or a file is damaged, or the operating system refused. After all errors but the one of
        status 15 nothing is published, and the tokens may be published still.
    """
    return publish(result_dir, tokens, mode, None)


def publish(
    result_dir: str | os.PathLike[str], tokens: Sequence[bytes], mode: str, job: bytes | None
) -> Commit:
    """`job`: that which the tokens are all of."""
    given = Tokens(tokens)
    options = c.CommitStagedOptions(mode=_options.choice("mode", mode, MODES), job=job)
    info = c.CommitInfo()
    path = path_bytes(result_dir)
    _waiting.aside(
        lambda: library().rds_commit_staged(path, given.structs, given.count, byref(options), byref(info))
    )
    return Commit(*(getattr(info, name) for name in Commit._fields))


class Tokens:
    """Tokens as rds_token, one after the other in memory: a million of them are no million objects of ctypes."""

    def __init__(self, tokens: Sequence[bytes]):
        if isinstance(tokens, bytes) or not all(isinstance(token, bytes) for token in tokens):
            raise InvalidTypeError("tokens is no sequence of bytes, as `stage` gives them")
        self.count = len(tokens)
        self._bytes = np.frombuffer(b"".join(tokens), np.uint8)
        lengths = np.fromiter(map(len, tokens), np.uintp, self.count)
        self._structs = np.empty((self.count, 2), np.uintp)
        self._structs[:, 0] = self._bytes.ctypes.data + np.cumsum(lengths) - lengths
        self._structs[:, 1] = lengths

    @property
    def structs(self):
        return self._structs.ctypes.data_as(POINTER(c.Token))


def vacuum(
    result_dir: str | os.PathLike[str],
    *,
    older_than_ms: int | None = None,
    keep_versions: bool = False,
    dry_run: bool = False,
) -> Vacuum:
    """Removes versions of a table that were replaced, and files that no version names, from an age on.

    The newest version stays, and so do those that tags or branches refer to, with what they name. Rows of runs
    that died and tokens without a job that were not published stay at any age: `recover` deals with them. Parts of
    jobs that were not published go, if nobody has added to their job for that age. Ctrl-C ends the wait; what was
    begun goes on in the background.

    Parameters
    ----------
    result_dir : str or path
        As for `ResultDataset`.
    older_than_ms : int, optional
        The age in milliseconds, default 7 days: of a file, and of the version that replaced another one.
        Whoever opened the table longer ago, and commits on top of what it read, may do so without seeing what
        came in between.
    keep_versions : bool
        Whether all versions stay, with what they name.
    dry_run : bool
        Whether files and versions are only counted.

    Returns
    -------
    Vacuum
        What was removed, or would be, and what stays.

    Raises
    ------
    FileNotFoundError
        There is nothing at `result_dir`.
    OSError
        A version of the table cannot be read, or the operating system refused.
    """
    options = c.VacuumOptions(
        older_than_ms=_options.positive("older_than_ms", older_than_ms),
        flags=(c.VACUUM_DRY_RUN if dry_run else 0) | (c.VACUUM_KEEP_VERSIONS if keep_versions else 0),
    )
    info = c.VacuumInfo()
    path = path_bytes(result_dir)
    _waiting.aside(lambda: library().rds_vacuum(path, byref(options), byref(info)))
    return Vacuum(*(getattr(info, name) for name in Vacuum._fields))
