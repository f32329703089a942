"""A reader of librds, owned."""

from __future__ import annotations

from ctypes import byref, c_uint32, c_uint64, c_void_p, string_at
from typing import NamedTuple

from . import _structs as c
from ._library import library


class Version(NamedTuple):
    """A version of a table: when it was committed, in nanoseconds since 1970 (UTC), and its rows, None if it does
    not say."""

    version: int
    committed_at: int
    rows: int | None


_NO_ROWS = 2**64 - 1


def _text(string: c.String) -> str:
    return string_at(string.data, string.length).decode() if string.length else ""


class Handle(c_void_p):
    """Closed with its last reference: so no call on another thread loses it."""

    def __init__(self):
        super().__init__()
        # Of what librds loads on first use, that which takes long: "ids", "index".
        self.unloaded: set[str] = set()
        self.close = library().rds_reader_close

    def __del__(self):
        if self.value is not None:
            self.close(self)

    @classmethod
    def open(cls, path: bytes, options: c.ReaderOptions) -> Handle:
        handle = cls()
        library().rds_reader_open(path, byref(options), byref(handle))
        return handle

    def newest(self) -> Handle | None:
        """Another reader, of the newest version; None if this one shows it."""
        handle, changed = Handle(), c_uint32()
        # A clone, because other threads are in the middle of this one.
        library().rds_reader_clone(self, byref(handle))
        library().rds_reader_refresh(handle, byref(changed))
        return handle if changed.value else None

    def metadata(self) -> dict[str, str]:
        """What runs said of themselves."""
        info, said = c.TableInfo(), {}
        library().rds_reader_info(self, byref(info))
        for number in range(info.metadata_count):
            key, value = c.String(), c.String()
            library().rds_reader_metadata_at(self, number, byref(key), byref(value))
            said[_text(key)] = _text(value)
        return said

    def versions(self) -> list[Version]:
        """Those of the table, oldest first."""
        count = c_uint64()
        library().rds_reader_versions(self, None, 0, byref(count))
        # There may be more by then.
        infos = (c.VersionInfo * (count.value + 16))(*(c.VersionInfo() for _ in range(count.value + 16)))
        library().rds_reader_versions(self, infos, len(infos), byref(count))
        return [
            Version(info.version, info.committed_at, None if info.rows == _NO_ROWS else info.rows)
            for info in infos[: min(count.value, len(infos))]
        ]
