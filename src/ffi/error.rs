//! The last error of the calling thread, and the names of statuses.

use std::ffi::c_char;

use crate::error::Status;
use crate::ffi::boundary::{self, call};
use crate::ffi::options;
use crate::ffi::types::rds_error;

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
    boundary::last_error().message
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
    boundary::last_error().status
}

/// Tells all that is known of the last call that failed on this thread.
///
/// @param[out] out_error initialised with RDS_ERROR_INIT. Written on success only.
/// @return RDS_OK out_error is filled in.
/// @return RDS_ERR_INVALID_ARGUMENT out_error is NULL or malformed; it is the last error then.
/// @return RDS_ERR_PANIC a defect of librds.
///
/// Ownership: out_error stays the caller's; the message in it is borrowed, until the next call that fails on this
/// thread, or the thread ends.
/// Thread safety: any thread; each has its own.
/// Blocking: never.
/// @since 0.2
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_last_error(out_error: *mut rds_error) -> Status {
    call("rds_last_error(out_error)", |scope| {
        // SAFETY: NULL and size are checked; the struct has the bytes that its size says.
        let out = unsafe { options::required_out(scope, out_error, "out_error") }?;
        let last = boundary::last_error();
        out.set(rds_error {
            struct_size: size_of::<rds_error>(),
            message: last.message,
            status: last.status as u32,
            argument: last.argument.map_or(-1, |argument| argument as i32),
            may_pass: u32::from(last.passes),
            reserved: 0,
        });
        Ok(())
    })
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
        Some(Status::RDS_ERR_NO_ROOM) => c"RDS_ERR_NO_ROOM",
        Some(Status::RDS_ERR_STREAM) => c"RDS_ERR_STREAM",
    };
    name.as_ptr()
}
