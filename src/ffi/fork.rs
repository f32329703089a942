//! Tells `process` of forks.

use crate::process;

/// To be called once, when the library is loaded.
pub fn watch() {
    // SAFETY: the handlers live as long as the library, which is never unloaded.
    // It fails for want of memory only: then forks are not seen.
    unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
}

unsafe extern "C" fn before() {
    process::before_fork();
}

unsafe extern "C" fn in_parent() {
    process::after_fork_in_parent();
}

unsafe extern "C" fn in_child() {
    process::after_fork_in_child();
}
