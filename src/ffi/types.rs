//! The structs and constants of the C surface.

#![allow(non_camel_case_types)] // the names are the C names

use std::ffi::{c_char, c_int, c_void};

use crate::tensor::MAX_NDIM;

/// A writer: one run that writes one table. Opaque; made by rds_writer_open().
pub struct rds_writer(());

/// A reader: a snapshot of one table. Opaque; made by rds_reader_open().
pub struct rds_reader(());

/// The dimensions a row can have at most.
pub const RDS_MAX_NDIM: usize = 64;
const _: () = assert!(RDS_MAX_NDIM == MAX_NDIM);

/// What rds_writer_open() does with a table that exists, or does not.
#[repr(C)]
pub enum rds_write_mode {
    /// The table must not exist.
    RDS_MODE_CREATE = 0,
    /// The table must exist; rows are added after its last one. Also resumes an interrupted run.
    RDS_MODE_APPEND = 1,
    /// A table that exists is replaced by the first rds_flush(), rds_commit() or rds_writer_close(); readers of it
    /// keep their snapshot.
    RDS_MODE_OVERWRITE = 2,
    /// Nothing is committed: rows go into tokens of rds_writer_stage(), which rds_commit_staged() publishes.
    /// The durability is of no meaning then.
    RDS_MODE_STAGED = 3,
}

/// When accepted rows become durable: from then on they survive a kill of the process and a power failure.
///
/// Visible to readers that open afterwards they become by rds_flush(), rds_commit() and rds_writer_close(), and by
/// time, as visible_ms says.
#[repr(C)]
pub enum rds_durability {
    /// Within checkpoint_ms of being accepted, as far as the disk keeps up.
    RDS_DURABILITY_INTERVAL = 0,
    /// Before the call that writes them returns. If that fails the batch may be durable all the same, like any
    /// whose answer was not heard.
    RDS_DURABILITY_BATCH = 1,
    /// By rds_commit(), and not before; visible too.
    RDS_DURABILITY_COMMIT = 2,
}

/// How a writer is: rds_write_stats.state.
#[repr(C)]
pub enum rds_writer_state {
    RDS_WRITER_RUNNING = 0,
    /// Something fails that may pass (no space, no descriptors, contention): what was accepted is kept, calls
    /// that need room or wait for the disk wait, and the writer tries again.
    RDS_WRITER_RETRYING = 1,
    /// Nothing more is accepted. What was durable stays so.
    RDS_WRITER_FAILED = 2,
}

/// The form of the ids in an rds_ids.
#[repr(C)]
pub enum rds_ids_kind {
    /// data: UTF-8 bytes of all ids; offsets: count + 1 of them.
    RDS_IDS_UTF8 = 1,
    /// data: `const char *const *`, count NUL-terminated UTF-8 strings.
    RDS_IDS_CSTRINGS = 2,
    /// data: NumPy `S`: item_bytes an id, UTF-8, padded with NUL.
    RDS_IDS_NUMPY_S = 3,
    /// data: NumPy `U`: item_bytes (a multiple of 4) an id, native UTF-32, padded with NUL.
    RDS_IDS_NUMPY_U = 4,
    /// data: `const int64_t *`; the id is the decimal number.
    RDS_IDS_INT64 = 5,
    /// data: `const uint64_t *`; the id is the decimal number.
    RDS_IDS_UINT64 = 6,
}

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

/// Columns of a table, to be or-ed; 0 means all.
#[repr(C)]
pub enum rds_columns {
    RDS_COLUMN_OBJECT_ID = 1,
    RDS_COLUMN_DATA = 2,
}

/// Severity of a log message.
#[repr(C)]
pub enum rds_log_level {
    RDS_LOG_OFF = 0,
    RDS_LOG_ERROR = 1,
    RDS_LOG_WARN = 2,
    RDS_LOG_INFO = 3,
    RDS_LOG_DEBUG = 4,
    RDS_LOG_TRACE = 5,
}

/// Object ids in memory of the caller. Initialise with RDS_IDS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_ids {
    /// sizeof(rds_ids).
    pub struct_size: usize,
    /// An rds_ids_kind.
    pub kind: u32,
    /// Must be 0.
    pub flags: u32,
    /// How many ids.
    pub count: u64,
    /// As kind says. NULL only if count is 0, or if every id is empty.
    pub data: *const c_void,
    /// RDS_IDS_UTF8: count + 1 ascending offsets into data; otherwise NULL.
    pub offsets: *const i64,
    /// RDS_IDS_NUMPY_S, RDS_IDS_NUMPY_U: bytes of one id; otherwise 0.
    pub item_bytes: u64,
}

/// rds_tensor.flags: the numbers in data have the byte order that is not this machine's.
pub const RDS_TENSOR_BYTE_SWAPPED: u32 = 1;

/// A stack of tensors in memory of the caller: shape[0] rows of one shape. Initialise with
/// RDS_TENSOR_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_tensor {
    /// sizeof(rds_tensor).
    pub struct_size: usize,
    /// An rds_dtype.
    pub dtype: u32,
    /// RDS_TENSOR_BYTE_SWAPPED or 0.
    pub flags: u32,
    /// Dimensions, the one over rows included: 1 for scalars, at most RDS_MAX_NDIM + 1.
    pub ndim: u64,
    /// ndim lengths.
    pub shape: *const i64,
    /// ndim distances in bytes, as NumPy has them, negative ones too; NULL means C order.
    pub strides: *const i64,
    /// The first element. NULL only if shape[0] is 0.
    pub data: *const c_void,
}

/// Options of rds_writer_open(). Zero means the default. Initialise with RDS_WRITER_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_writer_options {
    /// sizeof(rds_writer_options).
    pub struct_size: usize,
    /// An rds_write_mode; default RDS_MODE_CREATE.
    pub mode: u32,
    /// An rds_durability; default RDS_DURABILITY_INTERVAL.
    pub durability: u32,
    /// RDS_DURABILITY_INTERVAL: milliseconds; default 1000.
    pub checkpoint_ms: u64,
    /// Bytes that may wait to be written before a call that writes has to wait too; default 64 MiB.
    /// A single batch may exceed it.
    pub max_queued_bytes: u64,
    /// Milliseconds that rows may be durable and not visible, unless rds_flush() or rds_commit() is called; default
    /// 10000. It grows to a tenth of the age of the run, up to ten minutes. An overwrite becomes visible
    /// by these calls and rds_writer_close() only.
    pub visible_ms: u64,
    /// RDS_MODE_STAGED: the name of the job that the writer writes a part of; NUL-terminated UTF-8; default none.
    /// Borrowed during the call.
    pub job: *const c_char,
    /// The number of that part. Of tokens with one part of one job, the first that is published counts, and the
    /// others add nothing.
    pub part: u64,
    /// Or-ed RDS_WRITER_*, or 0.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
    /// Asked some twenty times a second by every call on the writer that waits, until the last one has returned;
    /// default none.
    pub waiting: rds_waiting_callback,
    /// Handed to waiting as it is.
    pub user_data: *mut c_void,
}

/// rds_writer_options.flags: the tensors of Arrow batches are not copied but kept, and released when they are
/// written. The caller must not change them after the call.
pub const RDS_WRITER_ALIAS_ARROW: u32 = 1;
/// rds_writer_options.flags: only calls of the main thread of the process ask waiting. It is where interpreters
/// handle signals, and the one thread that they do not end in the middle of a callback.
pub const RDS_WRITER_WAITING_MAIN_THREAD: u32 = 2;

/// Asked now and then by a call that waits, on the thread that made the call; one that does not wait asks nothing.
/// A non-zero return ends the wait: the call returns RDS_ERR_CANCELLED, and its description says what state that
/// leaves. It may call rds_writer_stats(); calls made in it do not ask. It must not unwind or throw.
pub type rds_waiting_callback = Option<unsafe extern "C" fn(user_data: *mut c_void) -> c_int>;

/// Called now and then by a long call, on the thread that made the call. `done` of `total` rows are
/// dealt with. A non-zero return asks the call to stop. It must not unwind or throw.
pub type rds_progress_callback =
    Option<unsafe extern "C" fn(user_data: *mut c_void, done: u64, total: u64) -> c_int>;

/// Options of rds_commit(). Zero means the default. Initialise with RDS_COMMIT_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_commit_options {
    /// sizeof(rds_commit_options).
    pub struct_size: usize,
    /// Told some forty times a second how many rows are durable, and how many of those that are merged
    /// have been; default none.
    pub progress: rds_progress_callback,
    /// Handed to progress as it is.
    pub user_data: *mut c_void,
    /// RDS_COMMIT_MERGE_ALL or 0.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
}

/// rds_commit_options.flags: small data files of earlier runs and of other writers are merged too, not only
/// those of this writer, from the end of the table back to the last one that must be left alone: with deleted
/// rows, say. Versions that name them stay, and so do these files.
pub const RDS_COMMIT_MERGE_ALL: u32 = 1;

/// What rds_commit() reports. Initialise with RDS_COMMIT_INFO_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_commit_info {
    /// sizeof(rds_commit_info).
    pub struct_size: usize,
    /// Rows this writer has made durable since it was opened.
    pub rows: u64,
    /// Bytes of tensors in these rows, as in the caller's memory.
    pub tensor_bytes: u64,
    /// Version of the table that holds them; 0 if nothing was ever written.
    pub version: u64,
    /// Data files of that version.
    pub data_files: u64,
}

/// Options of rds_write_stream(). Zero means the default. Initialise with RDS_WRITE_STREAM_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_write_stream_options {
    /// sizeof(rds_write_stream_options).
    pub struct_size: usize,
    /// Told after each batch how many rows of the stream are accepted; done and total are the same, as a
    /// stream does not tell its length; default none.
    pub progress: rds_progress_callback,
    /// Handed to progress as it is.
    pub user_data: *mut c_void,
}

/// What rds_writer_stats() tells. Initialise with RDS_WRITE_STATS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_write_stats {
    /// sizeof(rds_write_stats).
    pub struct_size: usize,
    /// Rows accepted since the writer was opened.
    pub accepted_rows: u64,
    /// Bytes of their tensors, as in the caller's memory.
    pub accepted_bytes: u64,
    /// Those of the accepted rows that are durable.
    pub durable_rows: u64,
    /// Bytes of their tensors.
    pub durable_bytes: u64,
    /// Those that still wait to be written.
    pub queued_rows: u64,
    /// Bytes of their tensors and ids: what max_queued_bytes bounds.
    pub queued_bytes: u64,
    /// How often rows were made durable.
    pub checkpoints: u64,
    /// Nanoseconds that calls waited because the queue was full, all together.
    pub blocked_ns: u64,
    /// Those of the accepted rows that a version of the table shows.
    pub visible_rows: u64,
    /// Versions of the table that this writer made to show rows.
    pub versions: u64,
    /// An rds_writer_state.
    pub state: u32,
    /// The rds_status of what fails, or has failed; RDS_OK if nothing does.
    pub failure: u32,
    /// What fails, as in rds_last_error_message(), cut to fit; NUL-terminated.
    pub failure_message: [c_char; RDS_FAILURE_BYTES],
    /// Of a commit or a close that merges: rows that are merged already.
    pub merged_rows: u64,
    /// Rows that it merges; 0 if none does.
    pub to_merge_rows: u64,
}

/// Bytes of rds_write_stats.failure_message.
pub const RDS_FAILURE_BYTES: usize = 512;

/// A token of rds_writer_stage().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_token {
    /// Its bytes. Borrowed during the call.
    pub data: *const u8,
    /// How many.
    pub length: usize,
}

/// Options of rds_commit_staged(). Zero means the default. Initialise with
/// RDS_COMMIT_STAGED_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_commit_staged_options {
    /// sizeof(rds_commit_staged_options).
    pub struct_size: usize,
    /// An rds_write_mode but RDS_MODE_STAGED; default RDS_MODE_CREATE.
    pub mode: u32,
    /// Must be 0.
    pub flags: u32,
}

/// Options of rds_vacuum(). Zero means the default. Initialise with RDS_VACUUM_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_vacuum_options {
    /// sizeof(rds_vacuum_options).
    pub struct_size: usize,
    /// The age in milliseconds from which versions that were replaced, and files that no version names, are
    /// removed; default 7 days. Whoever opened the table longer ago, and commits on top of what it read,
    /// may do so without seeing what came in between. What a commit under way needs is kept for a minute at least.
    pub older_than_ms: u64,
    /// Or-ed RDS_VACUUM_*, or 0.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
}

/// rds_vacuum_options.flags: nothing is removed, only counted.
pub const RDS_VACUUM_DRY_RUN: u32 = 1;
/// rds_vacuum_options.flags: all versions stay, and what they name.
pub const RDS_VACUUM_KEEP_VERSIONS: u32 = 2;

/// What rds_vacuum() reports. Initialise with RDS_VACUUM_INFO_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_vacuum_info {
    /// sizeof(rds_vacuum_info).
    pub struct_size: usize,
    /// Files removed, or that would be; manifests of versions too.
    pub removed_files: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Files that no version names and that were left, because they are too young.
    pub kept_files: u64,
    /// Versions removed, or that would be.
    pub removed_versions: u64,
}

/// Options of rds_recover(). Zero means the default. Initialise with RDS_RECOVER_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_recover_options {
    /// sizeof(rds_recover_options).
    pub struct_size: usize,
    /// One run, by its name in the directory `_rds` of the table; NUL-terminated; default all.
    pub run: *const c_char,
    /// Or-ed RDS_RECOVER_*, or 0.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
}

/// rds_recover_options.flags: rows whose table was replaced meanwhile go behind the rows of the one that took its
/// place, if its tensors are of the same kind.
pub const RDS_RECOVER_ONTO_REPLACED: u32 = 1;
/// rds_recover_options.flags: the rows that wait are given up. With a run named, its tokens too.
pub const RDS_RECOVER_DROP: u32 = 2;
/// rds_recover_options.flags: the owner of a run is taken for dead whatever it seems; if it goes on, it is told
/// RDS_ERR_COMMIT_CONFLICT before it acknowledges anything.
pub const RDS_RECOVER_TAKE_OVER: u32 = 4;
/// rds_recover_options.flags: nothing is done, only counted.
pub const RDS_RECOVER_DRY_RUN: u32 = 8;

/// What rds_recover() reports. Initialise with RDS_RECOVER_INFO_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_recover_info {
    /// sizeof(rds_recover_info).
    pub struct_size: usize,
    /// Runs whose rows became visible.
    pub recovered_runs: u64,
    /// These rows.
    pub recovered_rows: u64,
    /// Runs that were given up.
    pub dropped_runs: u64,
    /// Their rows.
    pub dropped_rows: u64,
    /// Runs that died and whose rows still wait.
    pub waiting_runs: u64,
    /// These rows.
    pub waiting_rows: u64,
    /// Runs that go on.
    pub live_runs: u64,
    /// Runs with tokens that were not published.
    pub staged_runs: u64,
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
    /// RDS_READER_NO_PREFETCH or 0.
    pub flags: u32,
}

/// rds_reader_options.flags: rows of a gather that are not in memory are read from disk one after the
/// other, as they are reached, instead of all at once.
pub const RDS_READER_NO_PREFETCH: u32 = 1;

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
    pub stride: u64,
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
    /// Bytes of one row in the caller's memory: the product of shape times the bytes of an element.
    pub row_bytes: u64,
    /// NumPy's name of the dtype, `float32`. Static: valid forever.
    pub dtype_name: *const c_char,
    /// An rds_dtype.
    pub dtype: u32,
    /// Dimensions of a row; 0 for a scalar.
    pub ndim: u32,
    /// ndim lengths; the rest is 0.
    pub shape: [i64; RDS_MAX_NDIM],
    /// Rows that are read through a mapped file, without a call into Lance; also those of bool, which
    /// have no span.
    pub mapped_rows: u64,
    /// When the version was committed: nanoseconds since 1970-01-01T00:00:00 UTC. Two tables that were
    /// at one place, one after the other, may have the same version, but not this.
    pub committed_at: i64,
}

/// Options of rds_reader_stream(). Zero means the default. Initialise with RDS_STREAM_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_stream_options {
    /// sizeof(rds_stream_options).
    pub struct_size: usize,
    /// Or-ed rds_columns; default all.
    pub columns: u32,
    /// Or-ed RDS_STREAM_*, or 0.
    pub flags: u32,
    /// First row; default 0.
    pub first_row: u64,
    /// How many rows; default all that follow, with RDS_STREAM_ROWS none.
    pub row_count: u64,
    /// Rows in a batch at most; default 8192.
    pub batch_rows: u64,
    /// RDS_STREAM_ROWS: row_count rows, each from 0 to the table's rows - 1; otherwise NULL. Copied.
    pub rows: *const u64,
}

/// rds_stream_options.flags: `data` carries the extension type `arrow.fixed_shape_tensor`, which tells
/// the shape of a row. A complex number adds a dimension, of its two floats.
pub const RDS_STREAM_FIXED_SHAPE_TENSOR: u32 = 1;
/// rds_stream_options.flags: not a range of rows but those that rows names, in that order; a row may be named
/// twice. first_row must be 0. Each batch is a copy, as of rds_reader_take().
pub const RDS_STREAM_ROWS: u32 = 2;

/// Options of rds_runtime_configure(). Zero means the default. Initialise with
/// RDS_RUNTIME_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_runtime_options {
    /// sizeof(rds_runtime_options).
    pub struct_size: usize,
    /// Worker threads, and how many threads one call uses at most; default the environment variable
    /// RDS_THREADS, else the number of cores, at least 2 and at most 8.
    pub worker_threads: u64,
}

/// Receives a log message. `target` names the part that logs, `message` is the text; both are
/// NUL-terminated UTF-8 and valid during the call only. Called from any thread, from several at
/// once. It must not unwind or throw, nor call into librds: such a call is refused by RDS_ERR_INVALID_STATE.
pub type rds_log_callback = Option<
    unsafe extern "C" fn(
        level: c_int,
        target: *const c_char,
        message: *const c_char,
        user_data: *mut c_void,
    ),
>;
