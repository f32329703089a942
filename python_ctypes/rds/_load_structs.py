"""The structs and constants of loaders in `rds.h`, field by field."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_size_t, c_ubyte, c_uint32, c_uint64, c_void_p

from ._structs import Target, WaitingCallback, _Sized

ORDERS = {"shuffled": 0, "in_order": 1}
TAILS = {"short": 0, "pad": 1, "drop": 2}

LOADER_NO_TABLE = 1
LOADER_NO_THREADS = 2
LOADER_WHOLE_STEPS = 4
LOADER_WAITING_MAIN_THREAD = 8
POSITION_BYTES = 64


class LoaderTable(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("reader", c_void_p),
        ("rows", c_void_p),
        ("first_row", c_uint64),
        ("row_count", c_uint64),
    ]


class LoaderWeights(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("epoch", c_uint64),
        ("consumed", c_uint64),
        ("weights", POINTER(c_uint64)),
        ("weight_count", c_size_t),
    ]


class LoaderOptions(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("batch_rows", c_uint64),
        ("global_batch_rows", c_uint64),
        ("rank", c_uint32),
        ("world_size", c_uint32),
        ("worker", c_uint32),
        ("worker_count", c_uint32),
        ("order", c_uint32),
        ("tail", c_uint32),
        ("clump_rows", c_uint64),
        ("seed", c_uint64),
        ("epoch", c_uint64),
        ("rows", c_void_p),
        ("first_row", c_uint64),
        ("row_count", c_uint64),
        ("columns", POINTER(c_uint32)),
        ("column_count", c_size_t),
        ("others", POINTER(LoaderTable)),
        ("other_count", c_size_t),
        ("weights", POINTER(LoaderWeights)),
        ("weights_count", c_size_t),
        ("epoch_rows", c_uint64),
        ("targets", POINTER(Target)),
        ("target_count", c_size_t),
        ("max_bytes", c_uint64),
        ("ahead", c_uint32),
        ("threads", c_uint32),
        ("flags", c_uint32),
        ("reserved", c_uint32),
        ("waiting", WaitingCallback),
        ("user_data", c_void_p),
    ]


class LoaderBatch(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("rows", c_void_p),
        ("tables", c_void_p),
        ("columns", c_void_p),
        ("column_count", c_size_t),
        ("row_count", c_uint64),
        ("pad_rows", c_uint64),
        ("step_rows", c_uint64),
        ("epoch", c_uint64),
        ("consumed", c_uint64),
        ("buffer", c_uint64),
    ]


class Position(ctypes.Structure):
    _fields_ = [("bytes", c_ubyte * POSITION_BYTES)]


class LoadStats(_Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("epoch", c_uint64),
        ("consumed", c_uint64),
        ("epoch_rows", c_uint64),
        ("epoch_steps", c_uint64),
        ("batch_rows", c_uint64),
        ("batches", c_uint64),
        ("stalls", c_uint64),
        ("stalled_ns", c_uint64),
        ("ready", c_uint64),
        ("ahead", c_uint64),
        ("lent", c_uint64),
        ("bytes", c_uint64),
    ]
