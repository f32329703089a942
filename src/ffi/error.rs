//! The last error of the calling thread, and the names of statuses.

use std::ffi::c_char;

use crate::error::Status;
use crate::ffi::boundary;

/// Returns the message of the last call that failed on this thread: the function, what, and why,
/// with names and values.
///
/// Reading does not consume it, and a call that succeeds does not clear it.
///
/// @return a NUL-terminated UTF-8 string, never NULL; empty if no call failed on this thread.
///
/// Ownership: borrowed, until the next call that fails on this thread, or the thread ends.
/// Thread safety: any thread; each has its own.
/// Blocking: never.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn rds_last_error_message() -> *const c_char {
    boundary::last_error().1
}

/// Returns the status of the last call that failed on this thread.
///
/// @return that status; RDS_OK if no call failed on this thread.
///
/// Ownership: nothing is passed.
/// Thread safety: any thread; each has its own.
/// Blocking: never.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn rds_last_error_status() -> Status {
    boundary::last_error().0
}

/// Returns the name of a status, `RDS_ERR_IO`.
///
/// @param[in] status an rds_status, or any other number.
/// @return a static string, never NULL; `RDS_ERR_UNKNOWN` for a number that is no status.
///
/// Ownership: static; do not free.
/// Thread safety: any thread.
/// Blocking: never.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn rds_status_name(status: u32) -> *const c_char {
    let name = match Status::ALL.get(status as usize) {
        None => c"RDS_ERR_UNKNOWN",
        Some(Status::RDS_OK) => c"RDS_OK",
        Some(Status::RDS_ERR_INVALID_ARGUMENT) => c"RDS_ERR_INVALID_ARGUMENT",
        Some(Status::RDS_ERR_INVALID_HANDLE) => c"RDS_ERR_INVALID_HANDLE",
        Some(Status::RDS_ERR_INVALID_STATE) => c"RDS_ERR_INVALID_STATE",
        Some(Status::RDS_ERR_NOT_FOUND) => c"RDS_ERR_NOT_FOUND",
        Some(Status::RDS_ERR_ALREADY_EXISTS) => c"RDS_ERR_ALREADY_EXISTS",
        Some(Status::RDS_ERR_SCHEMA_MISMATCH) => c"RDS_ERR_SCHEMA_MISMATCH",
        Some(Status::RDS_ERR_OUT_OF_RANGE) => c"RDS_ERR_OUT_OF_RANGE",
        Some(Status::RDS_ERR_IO) => c"RDS_ERR_IO",
        Some(Status::RDS_ERR_COMMIT_CONFLICT) => c"RDS_ERR_COMMIT_CONFLICT",
        Some(Status::RDS_ERR_NOT_SUPPORTED) => c"RDS_ERR_NOT_SUPPORTED",
        Some(Status::RDS_ERR_CORRUPT) => c"RDS_ERR_CORRUPT",
        Some(Status::RDS_ERR_CANCELLED) => c"RDS_ERR_CANCELLED",
        Some(Status::RDS_ERR_PANIC) => c"RDS_ERR_PANIC",
        Some(Status::RDS_ERR_INTERNAL) => c"RDS_ERR_INTERNAL",
        Some(Status::RDS_ERR_COMMIT_UNKNOWN) => c"RDS_ERR_COMMIT_UNKNOWN",
    };
    name.as_ptr()
}
