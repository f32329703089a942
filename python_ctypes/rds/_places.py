"""Where librds and its headers are."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

# The library by the name that loaders look for: in the package too, so that programs linked with that find it.
NAME = "librds.so.0"

_HERE = Path(__file__).resolve().parent


def to_open() -> str:
    """What is to be opened: what the environment names, else what the package holds, else what the system has."""
    chosen = os.environ.get("RDS_LIBRARY")
    if chosen:
        return chosen
    bundled = _HERE / NAME
    return str(bundled) if bundled.exists() else NAME


def not_found(error: OSError) -> str:
    return (
        f"librds was not found: RDS_LIBRARY is not set, {_HERE / NAME} is not there, and the system has "
        f"none ({error}). Install librds, or set RDS_LIBRARY to the path of a librds.so"
    )


class _SymbolInfo(ctypes.Structure):
    """Dl_info of dlfcn.h."""

    _fields_ = [
        ("file_name", ctypes.c_char_p),
        ("file_base", ctypes.c_void_p),
        ("symbol_name", ctypes.c_char_p),
        ("symbol_address", ctypes.c_void_p),
    ]


def file_of(library: ctypes.CDLL) -> Path:
    """The file that a library was opened from."""
    dladdr = ctypes.CDLL(None).dladdr
    dladdr.argtypes = [ctypes.c_void_p, ctypes.POINTER(_SymbolInfo)]
    info = _SymbolInfo()
    dladdr(ctypes.cast(library.rds_version, ctypes.c_void_p), ctypes.byref(info))
    return Path(os.fsdecode(info.file_name)).resolve()


def headers(library: Path) -> Path:
    """The directory of rds.h: that of the package, of the clone that it is part of, or beside an installed library."""
    beside = [directory / "include" for directory in library.parents[1:3]]
    for directory in (_HERE / "include", _HERE.parent.parent / "include", *beside):
        if (directory / "rds.h").exists():
            return directory
    raise FileNotFoundError(f"rds.h is neither in the package nor beside {library}")
