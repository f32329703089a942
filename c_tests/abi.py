"""Layouts and values that programs were compiled with: for x86_64, and never changed, only added to."""

# Struct -> its size, and the offset of each field.
STRUCTS = {
    "rds_reader_options": (24, {"struct_size": 0, "version": 8, "access": 16, "flags": 20}),
    "rds_span": (
        40,
        {"struct_size": 0, "first_row": 8, "row_count": 16, "data": 24, "stride": 32},
    ),
    "rds_table_info": (
        576,
        {
            "struct_size": 0,
            "rows": 8,
            "version": 16,
            "row_bytes": 24,
            "dtype_name": 32,
            "dtype": 40,
            "ndim": 44,
            "shape": 48,
            "mapped_rows": 560,
            "committed_at": 568,
        },
    ),
    "rds_ids": (
        48,
        {
            "struct_size": 0,
            "kind": 8,
            "flags": 12,
            "count": 16,
            "data": 24,
            "offsets": 32,
            "item_bytes": 40,
        },
    ),
    "rds_stream_options": (
        40,
        {
            "struct_size": 0,
            "columns": 8,
            "flags": 12,
            "first_row": 16,
            "row_count": 24,
            "batch_rows": 32,
        },
    ),
    "rds_runtime_options": (16, {"struct_size": 0, "worker_threads": 8}),
    "rds_writer_options": (
        32,
        {
            "struct_size": 0,
            "mode": 8,
            "durability": 12,
            "checkpoint_ms": 16,
            "max_queued_bytes": 24,
        },
    ),
    "rds_tensor": (
        48,
        {
            "struct_size": 0,
            "dtype": 8,
            "flags": 12,
            "ndim": 16,
            "shape": 24,
            "strides": 32,
            "data": 40,
        },
    ),
    "rds_commit_options": (
        32,
        {"struct_size": 0, "progress": 8, "user_data": 16, "flags": 24, "reserved": 28},
    ),
    "rds_commit_info": (
        40,
        {"struct_size": 0, "rows": 8, "tensor_bytes": 16, "version": 24, "data_files": 32},
    ),
    "rds_write_stream_options": (24, {"struct_size": 0, "progress": 8, "user_data": 16}),
    "rds_write_stats": (
        72,
        {
            "struct_size": 0,
            "accepted_rows": 8,
            "accepted_bytes": 16,
            "durable_rows": 24,
            "durable_bytes": 32,
            "queued_rows": 40,
            "queued_bytes": 48,
            "checkpoints": 56,
            "blocked_ns": 64,
        },
    ),
    "rds_token": (16, {"data": 0, "length": 8}),
    "rds_commit_staged_options": (16, {"struct_size": 0, "mode": 8, "flags": 12}),
    "rds_vacuum_options": (
        24,
        {"struct_size": 0, "older_than_ms": 8, "flags": 16, "reserved": 20},
    ),
    "rds_vacuum_info": (
        32,
        {"struct_size": 0, "removed_files": 8, "removed_bytes": 16, "kept_files": 24},
    ),
}

# What macros stand for, but for those that initialise.
MACROS = {
    "RDS_ABI_VERSION": "1",
    "RDS_ROW_NONE": "UINT64_MAX",
    "RDS_MAX_NDIM": "64",
    "RDS_TENSOR_BYTE_SWAPPED": "1",
    "RDS_COMMIT_MERGE_ALL": "1",
    "RDS_VACUUM_DRY_RUN": "1",
    "RDS_READER_NO_PREFETCH": "1",
    "RDS_STREAM_FIXED_SHAPE_TENSOR": "1",
}

# As the Arrow C data and stream interfaces have them.
ARROW_SIZES = {"struct ArrowSchema": 72, "struct ArrowArray": 80, "struct ArrowArrayStream": 40}

ENUMS = {
    "rds_status": {
        "RDS_OK": 0,
        "RDS_ERR_INVALID_ARGUMENT": 1,
        "RDS_ERR_INVALID_HANDLE": 2,
        "RDS_ERR_INVALID_STATE": 3,
        "RDS_ERR_NOT_FOUND": 4,
        "RDS_ERR_ALREADY_EXISTS": 5,
        "RDS_ERR_SCHEMA_MISMATCH": 6,
        "RDS_ERR_OUT_OF_RANGE": 7,
        "RDS_ERR_IO": 8,
        "RDS_ERR_COMMIT_CONFLICT": 9,
        "RDS_ERR_NOT_SUPPORTED": 10,
        "RDS_ERR_CORRUPT": 11,
        "RDS_ERR_CANCELLED": 12,
        "RDS_ERR_PANIC": 13,
        "RDS_ERR_INTERNAL": 14,
    },
    "rds_dtype": {
        "RDS_DTYPE_BOOL": 1,
        "RDS_DTYPE_INT8": 2,
        "RDS_DTYPE_INT16": 3,
        "RDS_DTYPE_INT32": 4,
        "RDS_DTYPE_INT64": 5,
        "RDS_DTYPE_UINT8": 6,
        "RDS_DTYPE_UINT16": 7,
        "RDS_DTYPE_UINT32": 8,
        "RDS_DTYPE_UINT64": 9,
        "RDS_DTYPE_FLOAT16": 10,
        "RDS_DTYPE_FLOAT32": 11,
        "RDS_DTYPE_FLOAT64": 12,
        "RDS_DTYPE_BFLOAT16": 13,
        "RDS_DTYPE_COMPLEX64": 14,
        "RDS_DTYPE_COMPLEX128": 15,
        "RDS_DTYPE_DATETIME64_S": 16,
        "RDS_DTYPE_DATETIME64_MS": 17,
        "RDS_DTYPE_DATETIME64_US": 18,
        "RDS_DTYPE_DATETIME64_NS": 19,
        "RDS_DTYPE_TIMEDELTA64_S": 20,
        "RDS_DTYPE_TIMEDELTA64_MS": 21,
        "RDS_DTYPE_TIMEDELTA64_US": 22,
        "RDS_DTYPE_TIMEDELTA64_NS": 23,
    },
    "rds_write_mode": {
        "RDS_MODE_CREATE": 0,
        "RDS_MODE_APPEND": 1,
        "RDS_MODE_OVERWRITE": 2,
        "RDS_MODE_STAGED": 3,
    },
    "rds_durability": {
        "RDS_DURABILITY_INTERVAL": 0,
        "RDS_DURABILITY_BATCH": 1,
        "RDS_DURABILITY_COMMIT": 2,
    },
    "rds_ids_kind": {
        "RDS_IDS_UTF8": 1,
        "RDS_IDS_CSTRINGS": 2,
        "RDS_IDS_NUMPY_S": 3,
        "RDS_IDS_NUMPY_U": 4,
        "RDS_IDS_INT64": 5,
        "RDS_IDS_UINT64": 6,
    },
    "rds_access": {"RDS_ACCESS_AUTO": 0, "RDS_ACCESS_MAPPED": 1, "RDS_ACCESS_LANCE": 2},
    "rds_columns": {"RDS_COLUMN_OBJECT_ID": 1, "RDS_COLUMN_DATA": 2},
    "rds_log_level": {
        "RDS_LOG_OFF": 0,
        "RDS_LOG_ERROR": 1,
        "RDS_LOG_WARN": 2,
        "RDS_LOG_INFO": 3,
        "RDS_LOG_DEBUG": 4,
        "RDS_LOG_TRACE": 5,
    },
}
