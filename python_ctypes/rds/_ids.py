"""Object ids in every form callers have them, as an `rds_ids`."""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Callable, KeysView, ValuesView
from ctypes import byref, c_char_p, c_int64, c_uint64, c_void_p

import numpy as np

from . import _structs as c
from . import _masks, _utf8, _waiting
from ._errors import InvalidArgumentError, InvalidTypeError, UnknownIdError
from ._library import last_error, library, unchecked
from ._snapshot import Snapshot


class _One(ctypes.Structure):
    """An `rds_ids` of one string, and behind it what it points to and room for the row."""

    _fields_ = [
        *((field[0], c_char_p if field[0] == "data" else field[1]) for field in c.Ids._fields_),
        ("begin", c_int64),
        ("end", c_int64),
        ("row", c_int64),
    ]

    def __init__(self):
        super().__init__(struct_size=ctypes.sizeof(c.Ids), kind=c.IDS_UTF8, count=1)
        here = ctypes.addressof(self)
        self.offsets = here + _One.begin.offset
        self.here = c_void_p(here)
        self.out_rows = c_void_p(here + _One.row.offset)


_IDS_AT_ONCE = 1 << 20
# Few rows carry one id.
_ROWS_OF_AN_ID = 16

# To make one takes as long as to find its id. Whoever takes one out has it alone, on whatever thread.
_spare: list[_One] = []


@functools.cache
def _find(loaded: bool) -> Callable[..., int]:
    """`rds_reader_find`: other threads run while ids are loaded, but not for the time of a look-up."""
    return unchecked("rds_reader_find", keeps_lock=loaded)


def find(snapshot: Snapshot, object_ids) -> np.ndarray:
    """The first row of each id, -1 for those that no row carries."""
    if type(object_ids) is list and len(object_ids) == 1 and isinstance(object_ids[0], str):
        return np.array([find_one(snapshot, object_ids[0])])
    ids = to_struct(object_ids)
    _load_index(snapshot.handle)
    rows = np.empty(ids.count, np.int64)
    count, width = ids.count, ids.item_bytes or 8
    moving = "offsets" if ids.kind == c.IDS_UTF8 else "data"
    begin, out = getattr(ids, moving), rows.ctypes.data
    # In parts, so that signals are handled in between.
    for start in range(0, max(count, 1), _IDS_AT_ONCE):
        ids.count = min(_IDS_AT_ONCE, count - start)
        setattr(ids, moving, begin + start * width)
        # RDS_ROW_NONE has all bits set, which is -1.
        library().rds_reader_find(snapshot.handle, byref(ids), out + 8 * start, None)
    return rows


def find_all(snapshot: Snapshot, object_id) -> np.ndarray:
    """All rows that carry an id, in order."""
    if not is_one(object_id):
        raise InvalidTypeError(f"object_id is {object_id!r}; one id is expected")
    text = object_id if isinstance(object_id, str) else _as_text(0, object_id)
    data, count = _encoded(text), c_uint64()
    _load_index(snapshot.handle)
    rows = np.empty(_ROWS_OF_AN_ID, np.int64)
    while True:
        room = len(rows)
        library().rds_reader_find_all(snapshot.handle, data, len(data), rows.ctypes.data, room, byref(count))
        if count.value <= room:
            return rows[: count.value].copy()
        rows = np.empty(count.value, np.int64)


def is_one(object_ids) -> bool:
    """Whether this is a single id, not a sequence of them."""
    if isinstance(object_ids, (str, bytes)) or not hasattr(object_ids, "__iter__"):
        return True
    return getattr(object_ids, "ndim", None) == 0


def rows_of(snapshot: Snapshot, object_ids) -> np.ndarray:
    """As `find`, of ids that are all there."""
    rows = find(snapshot, object_ids)
    absent = np.flatnonzero(rows < 0)
    if len(absent):
        one = next(itertools.islice(object_ids, int(absent[0]), None))
        raise UnknownIdError(f"no row carries the id {one!r}: {len(absent)} of {len(rows)} ids are absent")
    return rows


def find_one(snapshot: Snapshot, text: str) -> int:
    """As `find`, for one string, without the time that arrays take."""
    data = _encoded(text)
    look_up = snapshot.look_up
    if look_up is None:
        _load_index(snapshot.handle)
    try:
        one = _spare.pop()
    except IndexError:
        one = _One()
    one.data = data
    one.end = len(data)
    if (look_up or _find(loaded=False))(snapshot.handle, one.here, one.out_rows, None):
        raise last_error()
    if look_up is None:
        snapshot.look_up = _find(loaded=True)
    row = one.row
    _spare.append(one)
    return row


def _load_index(handle) -> None:
    if getattr(handle, "unloaded", None):
        nothing = c.Ids(kind=c.IDS_INT64)
        _waiting.aside(lambda: library().rds_reader_find(handle, byref(nothing), None, None))
        handle.unloaded.clear()


def to_struct(ids) -> c.Ids:
    """The struct for `ids`; it keeps the memory it points to alive."""
    if isinstance(ids, (str, bytes)):
        raise InvalidTypeError(f"object_ids is the single id {ids!r}; a sequence of ids is expected")
    if isinstance(ids, (KeysView, ValuesView)):
        ids = list(ids)
    _masks.refuse_masked_ids(ids)
    if isinstance(ids, (list, tuple)):
        return _from_list(ids)
    return _from_array(np.asarray(ids))


def _from_list(ids) -> c.Ids:
    kinds = set(map(type, ids))
    if all(issubclass(kind, str) for kind in kinds):
        return _from_strings(ids)
    if all(issubclass(kind, bytes) for kind in kinds):
        return _from_bytes(ids)
    if not any(issubclass(kind, (str, bytes)) for kind in kinds):
        array = np.asarray(ids)
        if array.ndim != 1 or array.dtype.kind in "iu":
            return _from_array(array)
    # A mix: NumPy would turn a None or a NaN among strings into text, and large integers into floats.
    return _from_strings([_as_text(index, value) for index, value in enumerate(ids)])


def _from_array(array: np.ndarray) -> c.Ids:
    if array.ndim != 1:
        raise InvalidArgumentError(f"object_ids has the shape {array.shape}; one dimension is expected")
    kind = array.dtype.kind
    if kind in "OT":
        return _from_list(array.tolist())
    if kind == "U":
        return _from_numpy(array, c.IDS_NUMPY_U, array.dtype.newbyteorder("="))
    if kind == "S":
        return _from_numpy(array, c.IDS_NUMPY_S, array.dtype)
    if kind == "i":
        return _from_numpy(array, c.IDS_INT64, np.dtype(np.int64))
    if kind == "u":
        return _from_numpy(array, c.IDS_UINT64, np.dtype(np.uint64))
    if not array.size:
        return _from_strings([])
    raise InvalidTypeError(f"object_ids has the dtype {array.dtype}; strings or integers are expected")


def _from_numpy(array: np.ndarray, kind: int, dtype: np.dtype) -> c.Ids:
    values = np.ascontiguousarray(array, dtype=dtype)
    width = dtype.itemsize if kind in (c.IDS_NUMPY_S, c.IDS_NUMPY_U) else 0
    ids = c.Ids(kind=kind, count=len(values), data=values.ctypes.data, item_bytes=width)
    ids.memory = values
    return ids


def _from_strings(strings) -> c.Ids:
    text = "".join(strings)
    data = _encoded(text)
    offsets = _offsets(strings)
    if len(data) != len(text):
        offsets = _utf8.byte_offsets(np.frombuffer(data, np.uint8), offsets)
    return _from_parts(data, offsets)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"object_ids: {error}") from error


def _from_bytes(parts) -> c.Ids:
    data, offsets = b"".join(parts), _offsets(parts)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        index = int(np.searchsorted(offsets, error.start, "right")) - 1
        raise InvalidArgumentError(f"object_ids: the id at index {index} is not UTF-8: {error}") from error
    return _from_parts(data, offsets)


def _offsets(parts) -> np.ndarray:
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)), out=offsets[1:])
    return offsets


def _from_parts(data: bytes, offsets: np.ndarray) -> c.Ids:
    buffer = np.frombuffer(data, np.uint8)
    ids = c.Ids(
        kind=c.IDS_UTF8,
        count=len(offsets) - 1,
        data=buffer.ctypes.data,
        offsets=offsets.ctypes.data,
    )
    ids.memory = (buffer, offsets)
    return ids


def _as_text(index: int, value) -> str:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise InvalidArgumentError(f"object_ids: the id at index {index}: {error}") from error
    if isinstance(value, (str, int, np.integer)):
        return str(value)
    raise InvalidTypeError(
        f"object_ids: the id at index {index} is {value!r} of type {type(value).__name__}; "
        "a string or an integer is expected"
    )
