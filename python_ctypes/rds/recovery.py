"""Runs that died: what of them was durable becomes visible, or is given up."""

from __future__ import annotations

import os
from ctypes import byref
from typing import NamedTuple

from . import _options, _waiting
from . import _structs as c
from ._errors import InvalidArgumentError
from ._library import library, path_bytes


class Recovery(NamedTuple):
    """What `recover` has done, and what is left.

    Rows that wait are durable, and their run died. `live_runs` go on, `staged_runs` have tokens that were not
    published.
    """

    recovered_runs: int
    recovered_rows: int
    dropped_runs: int
    dropped_rows: int
    waiting_runs: int
    waiting_rows: int
    live_runs: int
    staged_runs: int


def recover(
    result_dir: str | os.PathLike[str],
    *,
    run: str | None = None,
    onto_replaced: bool = False,
    drop: bool = False,
    take_over: bool = False,
    dry_run: bool = False,
) -> Recovery:
    """Makes rows visible that were durable when their process died, in order, each once.

    A writer that appends does the same. A run is dead if its process is gone; if that ran on another host or in
    another container, after thirty seconds without a sign of it. Ctrl-C ends the wait; the recovery goes on in the
    background.

    Parameters
    ----------
    result_dir : str or path
        As for `ResultDatasetWriter`.
    run : str, optional
        One run, by its name in the directory `_rds` of the table; default all.
    onto_replaced : bool
        Whether rows whose table was replaced meanwhile go behind those of the table that took its place.
    drop : bool
        Whether the rows are given up instead; of a run that is named, its tokens too.
    take_over : bool
        Whether the owner of a run is taken for dead whatever it seems; if it goes on, it is told so before it
        acknowledges anything.
    dry_run : bool
        Whether runs and rows are only counted.

    Returns
    -------
    Recovery
        How many runs and rows were recovered or dropped, and how many wait still.

    Raises
    ------
    FileNotFoundError
        There is nothing at `result_dir`, or no such run.
    ValueError
        Both `drop` and `onto_replaced` are given, or the columns of the table changed so that the rows do not
        fit.
    RuntimeError
        The table of a run was replaced; or, with the `status` 15, whether a version of it landed cannot be
        known. This and what follows is told of the first run that failed: its rows wait as before, and all
        other runs are dealt with.
    FileExistsError
        A run was to make a table that another one made.
    OSError
        What a run left is damaged, or the operating system refused.
    """
    if drop and onto_replaced:
        raise InvalidArgumentError("drop and onto_replaced are given; rows are either dropped or kept")
    flags = (
        (c.RECOVER_ONTO_REPLACED if onto_replaced else 0)
        | (c.RECOVER_DROP if drop else 0)
        | (c.RECOVER_TAKE_OVER if take_over else 0)
        | (c.RECOVER_DRY_RUN if dry_run else 0)
    )
    options = c.RecoverOptions(run=_options.text("run", run), flags=flags)
    info = c.RecoverInfo()
    path = path_bytes(result_dir)
    _waiting.aside(lambda: library().rds_recover(path, byref(options), byref(info)))
    return Recovery(*(getattr(info, name) for name in Recovery._fields))
