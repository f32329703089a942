//! The callback that calls on a writer or a reader ask while they wait.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::fmt;
use std::sync::Arc;

use crate::ffi::types::rds_waiting_callback;
use crate::patience::Patience;

struct Waiting {
    callback: unsafe extern "C" fn(*mut c_void) -> c_int,
    user_data: *mut c_void,
    main_thread_only: bool,
}

// SAFETY: the header says that the callback is called on every thread that waits.
unsafe impl Send for Waiting {}
// SAFETY: as above.
unsafe impl Sync for Waiting {}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("main_thread_only", &self.main_thread_only).finish()
    }
}

thread_local! {
    /// Whether this thread is in such a callback.
    static ASKED: Cell<bool> = const { Cell::new(false) };
}

impl Patience for Waiting {
    fn applies(&self) -> bool {
        // At the end of a thread it may be gone: then nothing is asked any more.
        let is_asked = ASKED.try_with(Cell::get).unwrap_or(true);
        !is_asked && (!self.main_thread_only || is_main_thread())
    }

    fn is_asking(&self) -> bool {
        ASKED.try_with(Cell::get).unwrap_or(false)
    }

    fn lasts(&self) -> bool {
        let _ = ASKED.try_with(|asked| asked.set(true));
        // SAFETY: the contract of the header; called on the thread of the caller, during its call.
        let answer = unsafe { (self.callback)(self.user_data) };
        let _ = ASKED.try_with(|asked| asked.set(false));
        answer == 0
    }
}

#[cfg(target_os = "linux")]
fn is_main_thread() -> bool {
    // SAFETY: neither has any requirement.
    unsafe { libc::gettid() == libc::getpid() }
}

#[cfg(not(target_os = "linux"))]
fn is_main_thread() -> bool {
    // SAFETY: it has no requirement.
    unsafe { libc::pthread_main_np() == 1 }
}

/// What the options ask for.
pub fn patience(
    callback: rds_waiting_callback,
    user_data: *mut c_void,
    main_thread_only: bool,
) -> Option<Arc<dyn Patience>> {
    Some(Arc::new(Waiting { callback: callback?, user_data, main_thread_only }))
}
