//! The line between C and Rust: no panic crosses it, every failure becomes a status and a message.

use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Result, Status, panic_text};
use crate::ffi::thread::HERE;

/// What is known of the last call that failed.
#[derive(Clone, Copy)]
pub struct LastError {
    pub status: Status,
    pub message: *const c_char,
    /// The number of the argument that is to blame.
    pub argument: Option<usize>,
    pub passes: bool,
}

struct Kept {
    status: Status,
    message: CString,
    argument: Option<usize>,
    passes: bool,
}

thread_local! {
    static LAST_ERROR: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

/// One call from C. Everything borrowed from the caller's memory is borrowed through the scope and
/// cannot outlive it, so it cannot reach a task of the runtime.
pub struct Scope {
    signature: &'static str,
}

impl Scope {
    /// The C name of the function called, and its parameters.
    pub fn signature(&self) -> &'static str {
        self.signature
    }
}

/// The C name of a function.
pub fn name(signature: &str) -> &str {
    signature.split('(').next().unwrap_or_default()
}

/// Runs `body` and reports what became of it. `signature` is the C name and the names of the parameters, for messages:
/// `rds_flush(writer)`.
#[inline]
pub fn call(signature: &'static str, body: impl FnOnce(&Scope) -> Result<()>) -> Status {
    match catch(|| body(&Scope { signature })) {
        Ok(Ok(())) => Status::RDS_OK,
        Ok(Err(error)) | Err(error) => failed(signature, error),
    }
}

#[cold]
fn failed(signature: &str, error: Error) -> Status {
    let status = error.status;
    set_last_error(signature, error);
    status
}

/// The number of the argument that an error is about: what refuses one says its name first.
fn argument(signature: &str, error: &Error) -> Option<usize> {
    let parameters = signature.split_once('(')?.1.trim_end_matches(')');
    let mut parameters = parameters.split(", ");
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let first = error.message.split(|c: char| !is_name(c)).next().unwrap_or_default();
    match error.status {
        // That of options, if they are named.
        Status::RDS_ERR_INVALID_HANDLE => {
            parameters.position(|parameter| parameter == first).or(Some(0))
        }
        Status::RDS_ERR_INVALID_ARGUMENT | Status::RDS_ERR_NOT_SUPPORTED => {
            // One of several: `token 3`, or one that options say.
            let plural = format!("{first}s");
            parameters.position(|parameter| parameter == first || parameter == plural)
        }
        Status::RDS_ERR_OUT_OF_RANGE => {
            let said = ["row", "rows", "first_row", "index"];
            let at = parameters.clone().position(|parameter| said.contains(&parameter));
            at.or_else(|| parameters.position(|parameter| parameter == "options"))
        }
        _ => None,
    }
}

/// Runs `body`; a panic becomes an error that carries its text.
#[inline]
pub fn catch<T>(body: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        Error::panic(format!("a defect in librds was caught: {}", panic_text(payload)))
    })
}

/// What is caught is reported as an error; a library does not write to its host's stderr too. The hook
/// is that of the shared library, which shares it with no other. To be called once, before all calls.
pub fn log_panics() {
    #[cfg(not(test))]
    std::panic::set_hook(Box::new(|info| log::error!("{info}")));
}

/// Runs the caller's log callback, if this thread is not inside it already: what a call inside it would log
/// is not told.
pub fn while_logging(callback: impl FnOnce()) {
    if !HERE.with(|here| here.logging.replace(true)) {
        callback();
        HERE.with(|here| here.logging.set(false));
    }
}

/// A message may be logged while a value is made or a lock is held, for which a call inside the callback
/// would wait for ever. Looking a handle up refuses too; a function without one does this, after it has
/// emptied its outputs.
#[inline]
pub fn refuse_while_logging() -> Result<()> {
    if !HERE.with(|here| here.logging.get()) {
        return Ok(());
    }
    Err(Error::invalid_state("called from inside a log callback, which must not call the library"))
}

/// Makes `error` the last one of this thread; returns its text.
pub fn set_last_error(signature: &str, error: Error) -> String {
    // A NUL would end the text early in C.
    let text = format!("{}: {}", name(signature), error.message).replace('\0', "\\0");
    let kept = Kept {
        status: error.status,
        message: CString::new(text.as_str()).unwrap_or_default(),
        argument: argument(signature, &error),
        passes: error.passes || error.status == Status::RDS_ERR_NO_ROOM,
    };
    // At the end of a thread it may be gone: then only the status tells.
    let _ = LAST_ERROR.try_with(|last| *last.borrow_mut() = Some(kept));
    text
}

/// The last failed call on this thread; its message is valid until the next one fails.
pub fn last_error() -> LastError {
    let none =
        LastError { status: Status::RDS_OK, message: c"".as_ptr(), argument: None, passes: false };
    let last = LAST_ERROR.try_with(|last| {
        last.borrow().as_ref().map(|kept| LastError {
            status: kept.status,
            message: kept.message.as_ptr(),
            argument: kept.argument,
            passes: kept.passes,
        })
    });
    last.ok().flatten().unwrap_or(none)
}
