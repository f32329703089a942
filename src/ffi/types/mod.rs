//! The structs and constants of the C surface: those of writers, of tables that no writer has open, of readers, of
//! loaders, and here those of all.

#![allow(non_camel_case_types)] // the names are the C names

mod loader;
mod reader;
mod table;
mod writer;

use std::ffi::{c_char, c_int, c_void};

use crate::tensor::MAX_NDIM;

pub use loader::*;
pub use reader::*;
pub use table::*;
pub use writer::*;

/// The dimensions a row can have at most.
pub const RDS_MAX_NDIM: usize = 64;

const _: () = assert!(RDS_MAX_NDIM == MAX_NDIM);

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

/// What rds_last_error() tells. Initialise with RDS_ERROR_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_error {
    /// sizeof(rds_error).
    pub struct_size: usize,
    /// As of rds_last_error_message().
    pub message: *const c_char,
    /// An rds_status; RDS_OK if no call failed on this thread.
    pub status: u32,
    /// Which argument of the call is to blame, counted from 0; -1 if none is, or the status does not say.
    pub argument: i32,
    /// 1 if the same call may succeed later: space, descriptors, memory or room in the queue were short, or others were
    /// faster; else 0.
    pub may_pass: u32,
    /// 0.
    pub reserved: u32,
}

/// Bytes of a text, UTF-8, not NUL-terminated.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_string {
    /// NULL only if length is 0.
    pub data: *const c_char,
    /// How many bytes.
    pub length: usize,
}

/// Asked now and then by a call that waits, on the thread that made the call; one that does not wait asks nothing.
/// A non-zero return ends the wait: the call returns RDS_ERR_NO_ROOM if it waited for room in the queue of a
/// writer, else RDS_ERR_CANCELLED, and its description says what state that leaves. It may call rds_writer_stats(), and read rows; calls made in it do not ask,
/// and are refused by RDS_ERR_INVALID_STATE if they need ids that are being loaded or indexed. It must not unwind or throw.
pub type rds_waiting_callback = Option<unsafe extern "C" fn(user_data: *mut c_void) -> c_int>;

/// Called now and then by a long call, on the thread that made the call. `done` of `total` rows are
/// dealt with. A non-zero return asks the call to stop. It must not unwind or throw.
pub type rds_progress_callback =
    Option<unsafe extern "C" fn(user_data: *mut c_void, done: u64, total: u64) -> c_int>;

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

/// Receives a log message. `level` is an rds_log_level, `target` names the part that logs, `message` is the text; both are
/// NUL-terminated UTF-8 and valid during the call only. Called from any thread, from several at
/// once. It must not unwind or throw, nor call into librds: such a call is refused by RDS_ERR_INVALID_STATE.
pub type rds_log_callback = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        level: u32,
        target: *const c_char,
        message: *const c_char,
    ),
>;
