//! Of writers.

use std::ffi::{c_char, c_void};

use super::{rds_progress_callback, rds_waiting_callback};

/// A writer: one run that writes one table. Opaque; made by rds_writer_open().
pub struct rds_writer(());

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
    /// data: `const rds_string *`, count strings, UTF-8.
    RDS_IDS_STRINGS = 7,
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
    pub item_bytes: usize,
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
    /// The column that they go to; NUL-terminated UTF-8; NULL means `data`.
    pub name: *const c_char,
    /// An rds_dtype.
    pub dtype: u32,
    /// Dimensions, the one over rows included: 1 for scalars, at most RDS_MAX_NDIM + 1.
    pub ndim: u32,
    /// ndim lengths.
    pub shape: *const i64,
    /// ndim distances in bytes, as NumPy has them, negative ones too; NULL means C order.
    pub strides: *const i64,
    /// The first element. NULL only if shape[0] is 0.
    pub data: *const c_void,
    /// RDS_TENSOR_BYTE_SWAPPED or 0.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
}

/// A text under a key, both NUL-terminated UTF-8.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_metadata {
    /// What it is about; not empty, and given once.
    pub key: *const c_char,
    /// What is said.
    pub value: *const c_char,
}

/// A tensor column of a table to be made. Initialise with RDS_COLUMN_SPEC_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_column_spec {
    /// sizeof(rds_column_spec).
    pub struct_size: usize,
    /// Its name; NUL-terminated UTF-8; NULL means `data`.
    pub name: *const c_char,
    /// An rds_dtype.
    pub dtype: u32,
    /// Dimensions of a row: 0 for a scalar, at most RDS_MAX_NDIM.
    pub ndim: u32,
    /// ndim lengths.
    pub shape: *const i64,
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
    /// Borrowed during the call. Such a writer has neither queue nor threads: a call that writes a batch has written it
    /// to the file of the part when it returns, on the thread of its caller, and a failed one has accepted nothing of
    /// it.
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
    /// The tensor columns of the table, in its order; default those of the first batch. With them the table is made
    /// even if no row is written. Borrowed during the call.
    pub columns: *const rds_column_spec,
    /// How many.
    pub column_count: usize,
    /// Milliseconds that a call which writes waits for room in the queue at most, then RDS_ERR_NO_ROOM; default as long
    /// as it takes.
    pub room_ms: u64,
    /// What the table is to say of this run: the model, its checkpoint, the configuration. It is visible with the first
    /// version of the run, and rds_reader_metadata() reads it back; of several runs of a table the last one that gave a
    /// key counts. Not for RDS_MODE_STAGED. Borrowed during the call.
    pub metadata: *const rds_metadata,
    /// How many.
    pub metadata_count: usize,
}

/// rds_writer_options.flags: the tensors of Arrow batches are not copied but kept, and released when they are
/// written. The caller must not change them after the call. A release callback may run on any thread, as the rows are
/// written: a call on the same writer that would wait for that is RDS_ERR_INVALID_STATE there, and one that closes the
/// writer RDS_ERR_CANCELLED, by which it is closed in the background.
pub const RDS_WRITER_ALIAS_ARROW: u32 = 1;

/// rds_writer_options.flags: only calls of the main thread of the process ask waiting. It is where interpreters
/// handle signals, and the one thread that they do not end in the middle of a callback.
pub const RDS_WRITER_WAITING_MAIN_THREAD: u32 = 2;

/// rds_writer_options.flags: a call that writes never waits for room in the queue: where there is none it is
/// RDS_ERR_NO_ROOM, and may be tried again.
pub const RDS_WRITER_NO_WAIT: u32 = 4;

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
