"""The structs and constants of `rds.h`, field by field."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p

ABI_VERSION = 1000
MAX_NDIM = 64
FAILURE_BYTES = 512

MODES = {"create": 0, "append": 1, "overwrite": 2, "staged": 3}
DURABILITIES = {"interval": 0, "batch": 1, "commit": 2}
ACCESSES = {"auto": 0, "mapped": 1, "lance": 2}
WRITER_STATES = ("running", "retrying", "failed")

IDS_UTF8 = 1
IDS_NUMPY_S = 3
IDS_NUMPY_U = 4
IDS_INT64 = 5
IDS_UINT64 = 6

TENSOR_BYTE_SWAPPED = 1
READER_NO_PREFETCH = 1
WRITER_ALIAS_ARROW = 1
WRITER_WAITING_MAIN_THREAD = 2
WRITER_NO_WAIT = 4
COMMIT_MERGE_ALL = 1
SELECT_NO_IDS = 1
SELECT_NO_TENSORS = 2
STREAM_ROWS = 256
FORM_DATA = 1
FORM_NAMED = 2
FORM_TYPES = 3
PACK_PARTS_MORE = 1
VACUUM_DRY_RUN = 1
VACUUM_KEEP_VERSIONS = 2
RECOVER_ONTO_REPLACED = 1
RECOVER_DROP = 2
RECOVER_TAKE_OVER = 4
RECOVER_DRY_RUN = 8

WaitingCallback = ctypes.CFUNCTYPE(c_int, c_void_p)
ProgressCallback = ctypes.CFUNCTYPE(c_int, c_void_p, c_uint64, c_uint64)
LogCallback = ctypes.CFUNCTYPE(None, c_void_p, c_uint32, c_char_p, c_char_p)


class _Sized(ctypes.Structure):
    """A struct whose first field is its own size."""

    def __init__(self, **fields):
        super().__init__(struct_size=ctypes.sizeof(self), **fields)


class Ids(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("kind", c_uint32),
        ("flags", c_uint32),
        ("count", c_uint64),
        ("data", c_void_p),
        ("offsets", c_void_p),
        ("item_bytes", c_size_t),
    ]


class Tensor(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("name", c_char_p),
        ("dtype", c_uint32),
        ("ndim", c_uint32),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("data", c_void_p),
        ("flags", c_uint32),
        ("reserved", c_uint32),
    ]


class ColumnSpec(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("name", c_char_p),
        ("dtype", c_uint32),
        ("ndim", c_uint32),
        ("shape", POINTER(c_int64)),
    ]


class Metadata(ctypes.Structure):
    _fields_ = [("key", c_char_p), ("value", c_char_p)]


class WriterOptions(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("mode", c_uint32),
        ("durability", c_uint32),
        ("checkpoint_ms", c_uint64),
        ("max_queued_bytes", c_uint64),
        ("visible_ms", c_uint64),
        ("job", c_char_p),
        ("part", c_uint64),
        ("flags", c_uint32),
        ("reserved", c_uint32),
        ("waiting", WaitingCallback),
        ("user_data", c_void_p),
        ("columns", POINTER(ColumnSpec)),
        ("column_count", c_size_t),
        ("room_ms", c_uint64),
        ("metadata", POINTER(Metadata)),
        ("metadata_count", c_size_t),
    ]


class CommitOptions(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("progress", ProgressCallback),
        ("user_data", c_void_p),
        ("flags", c_uint32),
        ("reserved", c_uint32),
    ]


class CommitInfo(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("rows", c_uint64),
        ("tensor_bytes", c_uint64),
        ("version", c_uint64),
        ("data_files", c_uint64),
    ]


class WriteStreamOptions(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("progress", ProgressCallback),
        ("user_data", c_void_p),
    ]


class WriteStats(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("accepted_rows", c_uint64),
        ("accepted_bytes", c_uint64),
        ("durable_rows", c_uint64),
        ("durable_bytes", c_uint64),
        ("queued_rows", c_uint64),
        ("queued_bytes", c_uint64),
        ("checkpoints", c_uint64),
        ("blocked_ns", c_uint64),
        ("visible_rows", c_uint64),
        ("versions", c_uint64),
        ("state", c_uint32),
        ("failure", c_uint32),
        ("failure_message", c_char * FAILURE_BYTES),
        ("merged_rows", c_uint64),
        ("to_merge_rows", c_uint64),
    ]


class Token(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("length", c_size_t)]


class CommitStagedOptions(_Sized):
    _fields_ = [("struct_size", c_size_t), ("mode", c_uint32), ("flags", c_uint32), ("job", c_char_p)]


class PackPartsOptions(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("mode", c_uint32),
        ("flags", c_uint32),
        ("share", c_uint64),
        ("shares", c_uint64),
        ("first_row", c_uint64),
    ]


# User data, job, the first and the last part, a token.
PartCallback = ctypes.CFUNCTYPE(c_int, c_void_p, c_char_p, c_uint64, c_uint64, POINTER(Token))


class VacuumOptions(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("older_than_ms", c_uint64),
        ("flags", c_uint32),
        ("reserved", c_uint32),
    ]


class VacuumInfo(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("removed_files", c_uint64),
        ("removed_bytes", c_uint64),
        ("kept_files", c_uint64),
        ("removed_versions", c_uint64),
    ]


class RecoverOptions(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("run", c_char_p),
        ("flags", c_uint32),
        ("reserved", c_uint32),
    ]


class RecoverInfo(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("recovered_runs", c_uint64),
        ("recovered_rows", c_uint64),
        ("dropped_runs", c_uint64),
        ("dropped_rows", c_uint64),
        ("waiting_runs", c_uint64),
        ("waiting_rows", c_uint64),
        ("live_runs", c_uint64),
        ("staged_runs", c_uint64),
    ]


class ReaderOptions(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("version", c_uint64),
        ("access", c_uint32),
        ("flags", c_uint32),
        ("id_column", c_char_p),
        ("committed_until", c_int64),
        ("waiting", WaitingCallback),
        ("user_data", c_void_p),
    ]


class TableInfo(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("rows", c_uint64),
        ("version", c_uint64),
        ("committed_at", c_int64),
        ("column_count", c_uint32),
        ("form", c_uint32),
        ("has_ids", c_uint32),
        ("metadata_count", c_uint32),
    ]


class String(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("length", c_size_t)]


class VersionInfo(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("version", c_uint64),
        ("committed_at", c_int64),
        ("rows", c_uint64),
    ]


class Error(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("message", c_char_p),
        ("status", c_uint32),
        ("argument", c_int32),
        ("may_pass", c_uint32),
        ("reserved", c_uint32),
    ]


class ColumnInfo(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        # Not a string: it is lent, and has a length.
        ("name", c_void_p),
        ("name_length", c_size_t),
        ("dtype_name", c_char_p),
        ("dtype", c_uint32),
        ("ndim", c_uint32),
        ("shape", c_int64 * MAX_NDIM),
        ("row_bytes", c_size_t),
        ("mapped_rows", c_uint64),
    ]


class Span(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("first_row", c_uint64),
        ("row_count", c_uint64),
        ("data", c_void_p),
        ("stride", c_size_t),
    ]


class Rows(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("rows", c_void_p),
        ("count", c_uint64),
        ("first_row", c_uint64),
        ("step", c_int64),
    ]


class Target(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("data", c_void_p),
        ("bytes", c_size_t),
        ("stride", c_size_t),
        ("column", c_uint32),
        ("flags", c_uint32),
    ]


class SelectOptions(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("columns", POINTER(c_uint32)),
        ("column_count", c_size_t),
        ("flags", c_uint32),
        ("reserved", c_uint32),
    ]


class StreamOptions(_Sized):
    _fields_ = [
        *SelectOptions._fields_,
        ("first_row", c_uint64),
        ("row_count", c_uint64),
        ("batch_rows", c_uint64),
        ("rows", c_void_p),
    ]


class RuntimeOptions(_Sized):
    _fields_ = [("struct_size", c_size_t), ("worker_threads", c_uint64)]


Release = ctypes.CFUNCTYPE(None, c_void_p)


class ArrowSchema(ctypes.Structure):
    pass


ArrowSchema._fields_ = [
    ("format", c_char_p),
    ("name", c_char_p),
    ("metadata", c_void_p),
    ("flags", c_int64),
    ("n_children", c_int64),
    ("children", POINTER(POINTER(ArrowSchema))),
    ("dictionary", c_void_p),
    ("release", Release),
    ("private_data", c_void_p),
]


class ArrowArray(ctypes.Structure):
    pass


ArrowArray._fields_ = [
    ("length", c_int64),
    ("null_count", c_int64),
    ("offset", c_int64),
    ("n_buffers", c_int64),
    ("n_children", c_int64),
    ("buffers", POINTER(c_void_p)),
    ("children", POINTER(POINTER(ArrowArray))),
    ("dictionary", c_void_p),
    ("release", Release),
    ("private_data", c_void_p),
]


GetSchema = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(ArrowSchema))
GetNext = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(ArrowArray))
# An address, not bytes: a callback in Python cannot return those.
GetLastError = ctypes.CFUNCTYPE(c_void_p, c_void_p)


class ArrowArrayStream(ctypes.Structure):
    _fields_ = [
        ("get_schema", GetSchema),
        ("get_next", GetNext),
        ("get_last_error", GetLastError),
        ("release", Release),
        ("private_data", c_void_p),
    ]
