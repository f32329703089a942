//! Structs of the C surface to and from those of the core.

mod batches;
mod loader;
mod reader;
mod writer;

use std::ffi::{CString, c_char, c_void};

use crate::error::{Error, Result};
use crate::ffi::args;
use crate::ffi::boundary::Scope;
use crate::ffi::options::{self, SizedStruct};
use crate::ffi::types::*;
use crate::writer::ListedParts;

pub use batches::*;
pub use loader::*;
pub use reader::*;
pub use writer::*;

/// Reads a struct that must be there, unlike options.
///
/// # Safety
/// As `options::read`.
pub(super) unsafe fn required<T: SizedStruct>(
    scope: &Scope,
    pointer: *const T,
    name: &str,
) -> Result<T> {
    // SAFETY: as this function's own contract, for both.
    unsafe {
        args::borrowed(scope, pointer.cast::<usize>(), name)?;
        options::read(scope, pointer, name)
    }
}

pub(super) fn count(value: u64, name: &str) -> Result<usize> {
    usize::try_from(value)
        .ok()
        .filter(|count| *count <= isize::MAX as usize)
        .ok_or_else(|| Error::invalid_argument(format!("{name} is {value}, which is too large")))
}

pub(super) fn no_flags(flags: u32, known: u32, name: &str) -> Result<()> {
    if flags & !known == 0 {
        return Ok(());
    }
    Err(Error::not_supported(format!("{name} is {flags:#x}; this version knows {known:#x}")))
}

pub fn string(text: &str) -> rds_string {
    rds_string { data: text.as_ptr().cast(), length: text.len() }
}

pub const NO_STRING: rds_string = rds_string { data: std::ptr::null(), length: 0 };

/// # Safety
/// `pointer` must be NULL or NUL-terminated.
pub unsafe fn optional_text<'a>(
    scope: &'a Scope,
    pointer: *const c_char,
    name: &str,
) -> Result<Option<&'a str>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: as this function's own contract.
    unsafe { args::text(scope, pointer, name) }.map(Some)
}

/// Tells the caller's callback of parts; false asks to stop.
pub fn part_callback(
    callback: rds_part_callback,
    user_data: *mut c_void,
) -> Result<impl FnMut(&ListedParts) -> bool> {
    let callback =
        callback.ok_or_else(|| Error::invalid_argument("each is NULL; it is called with parts"))?;
    Ok(move |parts: &ListedParts| {
        // Anybody may have written the configuration of a table; no call gives a job such a name.
        let Ok(job) = CString::new(parts.job) else { return true };
        let token =
            parts.token.map(|token| rds_token { data: token.as_ptr(), length: token.len() });
        let token = token.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the contract of the header; called on the thread of the caller, during its call.
        unsafe { callback(user_data, job.as_ptr(), parts.first, parts.last, token) == 0 }
    })
}

/// Tells the caller's callback how far a call is; false asks to stop.
pub fn progress(
    callback: rds_progress_callback,
    user_data: *mut c_void,
) -> impl FnMut(u64, u64) -> bool {
    move |done, total| match callback {
        None => true,
        // SAFETY: the contract of the header; called on the thread of the caller, during its call.
        Some(callback) => unsafe { callback(user_data, done, total) == 0 },
    }
}
