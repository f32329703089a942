"""librds itself: found and opened on first use, every function with its C types."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path

from . import _load_structs as load
from . import _places
from . import _structs as c
from ._errors import InvalidArgumentError, RdsError, from_status

# Marks a function whose result is an rds_status: any but RDS_OK is raised.
STATUS = object()

FUNCTIONS = {
    "rds_version": (c_char_p, []),
    "rds_abi_version": (c_uint32, []),
    "rds_check_abi": (STATUS, [c_uint32]),
    "rds_build_info": (c_char_p, []),
    "rds_last_error_message": (c_char_p, []),
    "rds_last_error_status": (c_int, []),
    "rds_last_error": (STATUS, [POINTER(c.Error)]),
    "rds_status_name": (c_char_p, [c_uint32]),
    "rds_set_log_callback": (STATUS, [c_uint32, c.LogCallback, c_void_p]),
    "rds_runtime_configure": (STATUS, [POINTER(c.RuntimeOptions)]),
    "rds_writer_open": (STATUS, [c_char_p, POINTER(c.WriterOptions), POINTER(c_void_p)]),
    "rds_write_batch": (STATUS, [c_void_p, POINTER(c.ArrowSchema), POINTER(c.ArrowArray)]),
    "rds_write_tensors": (STATUS, [c_void_p, POINTER(c.Ids), POINTER(c.Tensor), c_size_t]),
    "rds_write_stream": (
        STATUS,
        [c_void_p, POINTER(c.ArrowArrayStream), POINTER(c.WriteStreamOptions), POINTER(c_uint64)],
    ),
    "rds_flush": (STATUS, [c_void_p]),
    "rds_commit": (STATUS, [c_void_p, POINTER(c.CommitOptions), POINTER(c.CommitInfo)]),
    "rds_writer_stats": (STATUS, [c_void_p, POINTER(c.WriteStats)]),
    "rds_writer_stage": (STATUS, [c_void_p, POINTER(c.Token)]),
    "rds_writer_close": (STATUS, [c_void_p]),
    "rds_writer_abort": (STATUS, [c_void_p]),
    "rds_pack_parts": (
        STATUS,
        [
            c_char_p,
            c_char_p,
            POINTER(c.Token),
            c_size_t,
            POINTER(c.PackPartsOptions),
            POINTER(c_uint64),
        ],
    ),
    "rds_list_parts": (STATUS, [c_char_p, c_char_p, POINTER(c_uint64), c.PartCallback, c_void_p]),
    "rds_commit_staged": (
        STATUS,
        [
            c_char_p,
            POINTER(c.Token),
            c_size_t,
            POINTER(c.CommitStagedOptions),
            POINTER(c.CommitInfo),
        ],
    ),
    "rds_recover": (STATUS, [c_char_p, POINTER(c.RecoverOptions), POINTER(c.RecoverInfo)]),
    "rds_vacuum": (STATUS, [c_char_p, POINTER(c.VacuumOptions), POINTER(c.VacuumInfo)]),
    "rds_reader_open": (STATUS, [c_char_p, POINTER(c.ReaderOptions), POINTER(c_void_p)]),
    "rds_reader_close": (STATUS, [c_void_p]),
    "rds_reader_refresh": (STATUS, [c_void_p, POINTER(c_uint32)]),
    "rds_reader_clone": (STATUS, [c_void_p, POINTER(c_void_p)]),
    "rds_reader_info": (STATUS, [c_void_p, POINTER(c.TableInfo)]),
    "rds_reader_column": (STATUS, [c_void_p, c_char_p, POINTER(c_uint32)]),
    "rds_reader_column_info": (STATUS, [c_void_p, c_uint32, POINTER(c.ColumnInfo)]),
    "rds_reader_metadata": (STATUS, [c_void_p, c_char_p, POINTER(c.String)]),
    "rds_reader_metadata_at": (STATUS, [c_void_p, c_uint64, POINTER(c.String), POINTER(c.String)]),
    "rds_reader_versions": (STATUS, [c_void_p, POINTER(c.VersionInfo), c_uint64, POINTER(c_uint64)]),
    "rds_reader_schema": (STATUS, [c_void_p, POINTER(c.SelectOptions), POINTER(c.ArrowSchema)]),
    "rds_reader_get": (STATUS, [c_void_p, c_uint32, c_uint64, POINTER(c.ArrowArray)]),
    "rds_reader_take": (
        STATUS,
        [
            c_void_p,
            c_void_p,
            c_uint64,
            POINTER(c.SelectOptions),
            POINTER(c.ArrowSchema),
            POINTER(c.ArrowArray),
        ],
    ),
    "rds_reader_read": (STATUS, [c_void_p, c_uint32, c_void_p, c_uint64, c_void_p, c_size_t]),
    "rds_reader_gather": (STATUS, [c_void_p, POINTER(c.Rows), POINTER(c.Target), c_size_t]),
    "rds_reader_read_range": (STATUS, [c_void_p, c_uint32, c_uint64, c_uint64, c_void_p, c_size_t]),
    "rds_reader_span": (STATUS, [c_void_p, c_uint32, c_uint64, POINTER(c.Span)]),
    "rds_reader_dlpack": (STATUS, [c_void_p, c_uint32, c_uint64, c_uint64, POINTER(c_void_p)]),
    "rds_reader_id": (STATUS, [c_void_p, c_uint64, POINTER(c_void_p), POINTER(c_size_t)]),
    "rds_reader_ids": (
        STATUS,
        [c_void_p, c_uint64, c_uint64, POINTER(c.ArrowSchema), POINTER(c.ArrowArray)],
    ),
    # The ids as they are, or as `_ids.find_one` has them.
    "rds_reader_find": (STATUS, [c_void_p, c_void_p, c_void_p, c_void_p]),
    "rds_reader_find_all": (
        STATUS,
        [c_void_p, c_char_p, c_size_t, c_void_p, c_uint64, POINTER(c_uint64)],
    ),
    "rds_reader_stream": (
        STATUS,
        [c_void_p, POINTER(c.StreamOptions), POINTER(c.ArrowArrayStream)],
    ),
    "rds_loader_open": (STATUS, [c_void_p, POINTER(load.LoaderOptions), POINTER(c_void_p)]),
    "rds_loader_next": (STATUS, [c_void_p, POINTER(load.LoaderBatch)]),
    "rds_loader_release": (STATUS, [c_void_p, c_uint64]),
    "rds_loader_state": (STATUS, [c_void_p, POINTER(load.Position)]),
    "rds_loader_seek": (STATUS, [c_void_p, POINTER(load.Position), c_uint64, c_uint64]),
    "rds_loader_stats": (STATUS, [c_void_p, POINTER(load.LoadStats)]),
    "rds_loader_fd": (STATUS, [c_void_p, POINTER(c_int)]),
    "rds_loader_close": (STATUS, [c_void_p]),
}


@functools.cache
def library() -> ctypes.CDLL:
    """The opened library, checked to fit this package."""
    lib = _open(_places.to_open())

    def raise_on_error(status, _function, _arguments):
        if status:
            raise _last_error(lib)

    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(lib, name)
        function.argtypes = arguments
        function.restype = c_int if result is STATUS else result
        if result is STATUS:
            function.errcheck = raise_on_error
    lib.rds_check_abi(c.ABI_VERSION)
    return lib


def unchecked(name: str, keeps_lock: bool = False) -> Callable[..., int]:
    """A function of librds for who looks at its status and gives it objects of ctypes of the right
    types, None for NULL: that halves the time of a call.

    With `keeps_lock` no other thread runs Python meanwhile: for calls that end before the lock could be
    given away and had again.
    """
    lib = library()
    return ctypes.PyDLL(None, handle=lib._handle)[name] if keeps_lock else lib[name]


def last_error() -> RdsError:
    """The last error of the calling thread as an exception."""
    return _last_error(library())


def _last_error(lib: ctypes.CDLL) -> RdsError:
    message = lib.rds_last_error_message().decode("utf-8", "replace")
    return from_status(lib.rds_last_error_status(), message)


def build_info() -> dict[str, str]:
    """Versions of librds and of what it was built from.

    Returns
    -------
    dict of str to str
        The versions of `librds`, `lance`, `arrow` and `rustc`.
    """
    text = library().rds_build_info().decode()
    return dict(line.split(" ", 1) for line in text.splitlines())


def path_bytes(location: str | os.PathLike) -> bytes:
    """A location as the C interface takes it."""
    path = os.fsencode(location)
    if b"\0" in path:
        raise InvalidArgumentError(f"path {os.fspath(location)!r} has a NUL character")
    return path


def get_library() -> str:
    """The library that this package uses, to link programs with: by its path, and with its directory as their rpath.

    Returns
    -------
    str
        Its path. In a wheel and in a system it ends in a name that loaders look for.
    """
    return str(_places.file_of(library()))


def get_include() -> str:
    """The directory of rds.h and rds.hpp.

    Returns
    -------
    str
        Its path.

    Raises
    ------
    FileNotFoundError
        The library is used from a place that has no headers beside it.
    """
    return str(_places.headers(Path(get_library())))


def _open(path: str) -> ctypes.CDLL:
    try:
        lib = ctypes.CDLL(path)
        lib.rds_check_abi
    except OSError as error:
        if path == _places.NAME:
            raise OSError(_places.not_found(error)) from error
        raise OSError(f"cannot open librds: {error}; check RDS_LIBRARY") from error
    except AttributeError as error:
        raise OSError(f"{path} is not librds: {error}; check RDS_LIBRARY") from error
    return lib
