"""What these programs need of librds beyond the package: `rds_recover` with all its flags."""

from __future__ import annotations

import ctypes
import functools
import inspect
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint32, c_uint64
from pathlib import Path
from typing import NamedTuple

import rds
from rds._library import get_library, last_error, library, path_bytes

CONFLICT, SCHEMA_MISMATCH, UNKNOWN = 9, 6, 15

ONTO_REPLACED, DROP, TAKE_OVER, DRY_RUN = 1, 2, 4, 8


class _Options(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("run", c_char_p),
        ("flags", c_uint32),
        ("reserved", c_uint32),
    ]


class Recovered(NamedTuple):
    recovered_runs: int
    recovered_rows: int
    dropped_runs: int
    dropped_rows: int
    waiting_runs: int
    waiting_rows: int
    live_runs: int
    staged_runs: int


class _Info(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), *((name, c_uint64) for name in Recovered._fields)]


@functools.cache
def _recover():
    library()
    # An object of our own: the types of arguments are ours too.
    function = ctypes.CDLL(get_library()).rds_recover
    function.argtypes = [c_char_p, POINTER(_Options), POINTER(_Info)]
    function.restype = c_int
    return function


def recover(table: str | Path, flags: int = 0, run: str | None = None) -> Recovered:
    options = _Options(ctypes.sizeof(_Options), run.encode() if run else None, flags, 0)
    info = _Info(ctypes.sizeof(_Info))
    if _recover()(path_bytes(table), byref(options), byref(info)):
        raise last_error()
    return Recovered(*(getattr(info, name) for name in Recovered._fields))


def open_writer(table: str | Path, **options) -> rds.ResultDatasetWriter:
    """A writer; options that the package does not have are left at their defaults."""
    known = inspect.signature(rds.ResultDatasetWriter.__init__).parameters
    return rds.ResultDatasetWriter(table, **{k: v for k, v in options.items() if k in known})
