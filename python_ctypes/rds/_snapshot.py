"""One version of a table, opened: all that a refresh exchanges at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ctypes import byref, c_size_t, c_void_p, string_at

import numpy as np

from . import _arrow, _gather, _select, _stored, _waiting
from . import _structs as c
from ._address import address
from ._errors import OutOfRangeError, SchemaMismatchError, UnknownColumnError
from ._handle import Handle
from ._library import library
from ._selection import Selection
from ._stored import Stored
from ._strings import Strings

# Fewer ids are loaded at once.
_MANY_IDS = 1 << 16
# So many ids are lent one by one before those of all rows are exported: of a table that was refreshed that is
# a copy.
_LENT_IDS = 64


class Snapshot:
    """Whoever reads takes the snapshot once, and uses nothing of another one."""

    __slots__ = (
        "_ids",
        "_lent",
        "columns",
        "handle",
        "id_name",
        "info",
        "lone",
        "look_up",
        "rows",
        "stored",
        "whole",
    )

    def __init__(self, handle: Handle, id_name: str, info: c.TableInfo, columns: Iterable[Stored]):
        self.handle = handle
        self.id_name = id_name
        self.info = info
        self.rows = info.rows
        # By name, in the order of the table.
        self.stored = {column.name: column for column in columns}
        self.columns = tuple(self.stored)
        # A row is an array if its only tensor is called so.
        self.lone = self.stored["data"] if self.columns == ("data",) else None
        # All rows of that tensor as one array, once it is known that they lie so.
        self.whole: np.ndarray | None = None
        self._ids: Strings | None = None
        self._lent = 0
        # What finds an id, once ids are loaded and indexed.
        self.look_up: Callable[..., int] | None = None

    @classmethod
    def open(cls, path: bytes, options: c.ReaderOptions) -> Snapshot:
        id_name = (options.id_column or b"object_id").decode()
        return cls._of(Handle.open(path, options), id_name)

    def newest(self) -> Snapshot | None:
        """The newest version of the table; None if this is it."""
        handle = self.handle.newest()
        return None if handle is None else self._of(handle, self.id_name)

    @classmethod
    def _of(cls, handle: Handle, id_name: str) -> Snapshot:
        info = c.TableInfo()
        library().rds_reader_info(handle, byref(info))
        if info.rows > _MANY_IDS:
            handle.unloaded.update(("ids", "index"))
        columns = (Stored(handle, number, info.rows) for number in range(info.column_count))
        return cls(handle, id_name, info, columns)

    def closed(self) -> Snapshot:
        """What is still known of the table, and no way to read it."""
        handle = Handle()
        columns = [column.closed(handle) for column in self.stored.values()]
        return Snapshot(handle, self.id_name, self.info, columns)

    def column(self, name: str) -> Stored:
        try:
            return self.stored[name]
        except KeyError:
            names = ", ".join(map(repr, self.columns))
            raise UnknownColumnError(f"no column {name!r}; the table has {names}") from None

    def get(self, index):
        """What an index selects: of the lone column an array, else a dict of arrays."""
        if self.lone is not None:
            return self.lone.get(index)
        chosen = _select.chosen(index, self.rows)
        if isinstance(chosen, np.ndarray):
            arrays = _gather.read(chosen, self.stored.values())
            for array in arrays.values():
                array.setflags(write=False)
            return arrays
        if isinstance(chosen, range):
            first, count = chosen.start, len(chosen)
            return {name: column.read_range(first, count) for name, column in self.stored.items()}
        return self.row(chosen)

    def row(self, row: int):
        """The tensors of one row, as `get` has them."""
        if self.lone is not None:
            tensor = self.lone.row(row)
            self.whole = self.lone.whole
            return tensor
        return {name: column.row(row) for name, column in self.stored.items()}

    def take_into(self, rows, names: Iterable[str] | None, out) -> dict:
        """The tensors of rows by column, in memory that may be written: that of `out`, if it is given."""
        columns = [self.column(name) for name in (self.columns if names is None else names)]
        chosen = _select.rows(np.asarray(rows), self.rows)
        if out is None:
            return _gather.read(chosen, columns)
        targets = _select.targets(out, len(chosen), columns)
        _gather.into(chosen, list(zip(columns, targets)))
        return out

    def take(self, rows: np.ndarray, selection: Selection, array: c.ArrowArray) -> None:
        """Makes `array` the record batch of these rows, contiguous 64-bit integers."""
        if selection.has_ids:
            self._load_ids()
        options = selection.options(c.SelectOptions())
        library().rds_reader_take(
            self.handle, address(rows), len(rows), byref(options), None, byref(array)
        )

    def schema(self, selection: Selection, schema: c.ArrowSchema) -> None:
        """Makes `schema` that of record batches with these columns."""
        library().rds_reader_schema(self.handle, byref(selection.options(c.SelectOptions())), byref(schema))

    def select(self, names: str | Iterable[str] | None) -> Selection:
        """Columns for Arrow by their names, None being all of them."""
        if names is None:
            return Selection(bool(self.info.has_ids), list(self.stored.values()), whole=True)
        named = dict.fromkeys([names] if isinstance(names, str) else names)
        ids = {name for name in named if name in ("object_id", self.id_name)}.difference(self.stored)
        if ids and not self.info.has_ids:
            raise SchemaMismatchError(f"no column {ids.pop()!r}: the table has no ids")
        return Selection(bool(ids), [self.column(name) for name in named if name not in ids])

    def id(self, row: int) -> str:
        """The id of a row that there is."""
        if self._ids is None:
            if self._lent < _LENT_IDS:
                self._lent += 1
                return self._lend_id(row)
            return self.ids[row]
        return self._ids[row]

    def _lend_id(self, row: int) -> str:
        self._load_ids()
        text, length = c_void_p(), c_size_t()
        library().rds_reader_id(self.handle, row, byref(text), byref(length))
        return string_at(text, length.value).decode()

    @property
    def ids(self) -> Strings:
        """The ids of all rows."""
        if self._ids is None:
            self._load_ids()
            array = _arrow.OwnedArray()
            library().rds_reader_ids(self.handle, 0, self.rows, None, byref(array))
            self._ids = Strings(array)
        return self._ids

    def _load_ids(self) -> None:
        if "ids" in self.handle.unloaded:
            array = _arrow.OwnedArray()
            _waiting.aside(lambda: library().rds_reader_ids(self.handle, 0, 0, None, byref(array)))
            self.handle.unloaded.discard("ids")

    def check(self, rows: np.ndarray) -> None:
        """Names the first of the rows that is out of range, a negative one before others."""
        _stored.check(rows, self.rows)

    def out_of_range(self, row: int) -> OutOfRangeError:
        return _stored.out_of_range(row, self.rows)
