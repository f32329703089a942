//! Of readers.

use std::ffi::{c_char, c_void};

use super::{RDS_MAX_NDIM, rds_waiting_callback};

/// A reader: a snapshot of one table. Opaque; made by rds_reader_open().
pub struct rds_reader(());

/// How a reader reads the tensors of rows. Ids are always decoded, once.
#[repr(C)]
pub enum rds_access {
    /// From mapped files where the rows lie plain, decoded by Lance where they do not or cannot be mapped.
    RDS_ACCESS_AUTO = 0,
    /// From mapped files only: a table that has other rows is not opened.
    RDS_ACCESS_MAPPED = 1,
    /// Decoded by Lance only: no file is mapped.
    RDS_ACCESS_LANCE = 2,
}

/// How a table says which of its columns are tensors: rds_table_info.form.
#[repr(C)]
pub enum rds_table_form {
    /// It has one, called `data`, and the metadata `tensor_shape` and `tensor_dtype`.
    RDS_FORM_DATA = 1,
    /// It has metadata for each, under its name.
    RDS_FORM_NAMED = 2,
    /// By types alone: each fixed-size list of numbers is a tensor, and each column of numbers, bool, timestamps or
    /// durations a scalar.
    RDS_FORM_TYPES = 3,
}

/// Options of rds_reader_open(). Zero means the default. Initialise with RDS_READER_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_reader_options {
    /// sizeof(rds_reader_options).
    pub struct_size: usize,
    /// The version of the table to read; default the newest.
    pub version: u64,
    /// An rds_access; default RDS_ACCESS_AUTO.
    pub access: u32,
    /// Or-ed RDS_READER_*, or 0.
    pub flags: u32,
    /// The column of ids, of strings or integers; NUL-terminated UTF-8; default `object_id`, if there is one. Borrowed
    /// during the call.
    pub id_column: *const c_char,
    /// The newest version that was committed then or before: nanoseconds since 1970-01-01T00:00:00 UTC; default any.
    /// Not together with version.
    pub committed_until: i64,
    /// Asked some twenty times a second by the open, and by every call on the reader that takes long: it
    /// loads or indexes ids, decodes or copies many rows. A non-zero return ends the call with RDS_ERR_CANCELLED; the
    /// reader is as it was. Default none.
    pub waiting: rds_waiting_callback,
    /// Handed to waiting as it is. Both must live as long as the reader and its clones.
    pub user_data: *mut c_void,
}

/// rds_reader_options.flags: rows of a gather that are not in memory are read from disk one after the
/// other, as they are reached, instead of all at once.
pub const RDS_READER_NO_PREFETCH: u32 = 1;

/// rds_reader_options.flags: only calls of the main thread of the process ask waiting, as with
/// RDS_WRITER_WAITING_MAIN_THREAD.
pub const RDS_READER_WAITING_MAIN_THREAD: u32 = 2;

/// What rds_reader_span() tells. Initialise with RDS_SPAN_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_span {
    /// sizeof(rds_span).
    pub struct_size: usize,
    /// The first row of the span.
    pub first_row: u64,
    /// How many rows it has, at least 1.
    pub row_count: u64,
    /// The tensor of first_row; row i is at data + (i - first_row) * stride. NULL if these rows are
    /// not mapped.
    pub data: *const c_void,
    /// Bytes from one row to the next; 0 if these rows are not mapped.
    pub stride: usize,
}

/// What rds_reader_info() tells. Initialise with RDS_TABLE_INFO_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_table_info {
    /// sizeof(rds_table_info).
    pub struct_size: usize,
    /// Rows of the snapshot.
    pub rows: u64,
    /// Version of the table that the snapshot shows.
    pub version: u64,
    /// When the version was committed: nanoseconds since 1970-01-01T00:00:00 UTC. Two tables that were
    /// at one place, one after the other, may have the same version, but not this.
    pub committed_at: i64,
    /// Tensor columns: they are numbered from 0 on.
    pub column_count: u32,
    /// An rds_table_form.
    pub form: u32,
    /// 1 if rows have ids, else 0.
    pub has_ids: u32,
    /// Keys of rds_reader_metadata_at().
    pub metadata_count: u32,
}

/// What rds_reader_versions() tells of each. Initialise with RDS_VERSION_INFO_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_version_info {
    /// sizeof(rds_version_info).
    pub struct_size: usize,
    /// Its number.
    pub version: u64,
    /// When it was committed: nanoseconds since 1970-01-01T00:00:00 UTC.
    pub committed_at: i64,
    /// Its rows; RDS_ROW_NONE if it does not say.
    pub rows: u64,
}

/// What rds_reader_column_info() tells. Initialise with RDS_COLUMN_INFO_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_column_info {
    /// sizeof(rds_column_info).
    pub struct_size: usize,
    /// Its name, NUL-terminated UTF-8. Borrowed, until the reader is closed or refreshed.
    pub name: *const c_char,
    /// Its bytes, without the NUL.
    pub name_length: usize,
    /// NumPy's name of the dtype, `float32`. Static: valid forever.
    pub dtype_name: *const c_char,
    /// An rds_dtype.
    pub dtype: u32,
    /// Dimensions of a row; 0 for a scalar.
    pub ndim: u32,
    /// ndim lengths; the rest is 0.
    pub shape: [i64; RDS_MAX_NDIM],
    /// Bytes of one row in the caller's memory: the product of shape times the bytes of an element.
    pub row_bytes: usize,
    /// Rows that are read through a mapped file, without a call into Lance; also those of bool, which
    /// have no span.
    pub mapped_rows: u64,
}

/// Which rows to gather. Initialise with RDS_ROWS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_rows {
    /// sizeof(rds_rows).
    pub struct_size: usize,
    /// count rows, in any order, also twice; NULL if they are first_row, first_row + step, and so on.
    pub rows: *const u64,
    /// How many.
    pub count: u64,
    /// Without rows: the first one. With rows 0.
    pub first_row: u64,
    /// Without rows: from one to the next; 0 means 1. With rows 0.
    pub step: i64,
}

/// Where rows of one column are put: row i of those gathered at data + i * stride. Initialise with RDS_TARGET_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_target {
    /// sizeof(rds_target).
    pub struct_size: usize,
    /// Memory of the caller, of any alignment.
    pub data: *mut c_void,
    /// How many bytes there are. The last row needs its own bytes only.
    pub bytes: usize,
    /// Bytes from one row to the next; 0 means those of a row.
    pub stride: usize,
    /// The number of the column.
    pub column: u32,
    /// Must be 0.
    pub flags: u32,
}

/// Which columns an Arrow export has: ids first, then tensors. Zero means the default: all. Initialise with
/// RDS_SELECT_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_select_options {
    /// sizeof(rds_select_options).
    pub struct_size: usize,
    /// Numbers of tensor columns, in the order wanted, each once; NULL means all in the order of their numbers; with
    /// column_count 0 and not NULL, none.
    pub columns: *const u32,
    /// How many.
    pub column_count: usize,
    /// Or-ed RDS_SELECT_*, or 0.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
}

/// rds_select_options.flags: without ids. A table that has none is exported without them anyway.
pub const RDS_SELECT_NO_IDS: u32 = 1;

/// rds_select_options.flags: ids alone.
pub const RDS_SELECT_NO_TENSORS: u32 = 2;

/// rds_select_options.flags: tensors carry the extension type `arrow.fixed_shape_tensor`, which tells
/// the shape of a row. A complex number adds a dimension, of its two floats.
pub const RDS_SELECT_FIXED_SHAPE_TENSOR: u32 = 4;

/// Options of rds_reader_stream(). Zero means the default. Initialise with RDS_STREAM_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_stream_options {
    /// sizeof(rds_stream_options).
    pub struct_size: usize,
    /// As in rds_select_options.
    pub columns: *const u32,
    /// How many.
    pub column_count: usize,
    /// Or-ed RDS_SELECT_* and RDS_STREAM_*, or 0.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
    /// First row; default 0.
    pub first_row: u64,
    /// How many rows; default all that follow, with RDS_STREAM_ROWS none.
    pub row_count: u64,
    /// Rows in a batch at most; default 8192.
    pub batch_rows: u64,
    /// RDS_STREAM_ROWS: row_count rows, each from 0 to the table's rows - 1; otherwise NULL. Copied.
    pub rows: *const u64,
}

/// rds_stream_options.flags: not a range of rows but those that rows names, in that order; a row may be named
/// twice. first_row must be 0. Each batch is a copy, as of rds_reader_take().
pub const RDS_STREAM_ROWS: u32 = 256;
