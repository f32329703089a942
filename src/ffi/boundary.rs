//! The line between C and Rust: no panic crosses it, every failure becomes a status and a message.

use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Result, Status, panic_text};
use crate::ffi::thread::HERE;

thread_local! {
    static LAST_ERROR: RefCell<(Status, CString)> =
        RefCell::new((Status::RDS_OK, CString::default()));
}

/// One call from C. Everything borrowed from the caller's memory is borrowed through the scope and
/// cannot outlive it, so it cannot reach a task of the runtime.
pub struct Scope {
    function: &'static str,
}

impl Scope {
    /// The C name of the function called.
    pub fn function(&self) -> &'static str {
        self.function
    }
}

/// Runs `body` and reports what became of it. `function` is the C name, for messages.
#[inline]
pub fn call(function: &'static str, body: impl FnOnce(&Scope) -> Result<()>) -> Status {
    match catch(|| body(&Scope { function })) {
        Ok(Ok(())) => Status::RDS_OK,
        Ok(Err(error)) | Err(error) => failed(function, error),
    }
}

#[cold]
fn failed(function: &str, error: Error) -> Status {
    let status = error.status;
    set_last_error(function, error);
    status
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
pub fn set_last_error(function: &str, error: Error) -> String {
    // A NUL would end the text early in C.
    let text = format!("{function}: {}", error.message).replace('\0', "\\0");
    let c_text = CString::new(text.as_str()).unwrap_or_default();
    // At the end of a thread it may be gone: then only the status tells.
    let _ = LAST_ERROR.try_with(|last| *last.borrow_mut() = (error.status, c_text));
    text
}

/// Status of the last failed call on this thread, and its message, valid until the next one fails.
pub fn last_error() -> (Status, *const c_char) {
    let last = LAST_ERROR.try_with(|last| {
        let last = last.borrow();
        (last.0, last.1.as_ptr())
    });
    last.unwrap_or((Status::RDS_OK, c"".as_ptr()))
}
