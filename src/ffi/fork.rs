//! Tells `process` of forks, and calls what dependencies want to be called in a child.
//!
//! glibc calls in a child what was registered when the fork began. A fork that waits in our handler until
//! something is initialised would not call what that registered meanwhile, and the child would take threads
//! of its parent for its own. So registrations of this library come here instead: a `pthread_atfork` of its own, hidden
//! from everybody else, comes before that of libc.

#[cfg(target_os = "linux")]
use std::ffi::c_int;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::process;

type AtFork = Option<unsafe extern "C" fn()>;

/// What dependencies want to be called in a child.
static IN_CHILD: [AtomicPtr<()>; 16] = [const { AtomicPtr::new(null_mut()) }; 16];

/// To be called once, when the library is loaded.
pub fn watch() {
    // SAFETY: the handlers live as long as the library, which is never unloaded.
    // It fails for want of memory only: then forks are not seen. A registration with a handler before the fork is passed
    // on to libc.
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
    for handler in &IN_CHILD {
        let handler = handler.load(Ordering::Acquire);
        if handler.is_null() {
            return;
        }
        // SAFETY: nothing but handlers is in the list.
        unsafe { std::mem::transmute::<*mut (), unsafe extern "C" fn()>(handler)() };
    }
}

#[cfg(all(target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod instead {
    use super::{AtFork, AtomicPtr, IN_CHILD, Ordering, c_int, null_mut};

    unsafe extern "C" {
        fn __register_atfork(
            prepare: AtFork,
            parent: AtFork,
            child: AtFork,
            library: *mut (),
        ) -> c_int;
    }

    /// `pthread_atfork` for the code of this library.
    unsafe extern "C" fn register(prepare: AtFork, parent: AtFork, child: AtFork) -> c_int {
        let take = |place: &AtomicPtr<()>| {
            let child = child.map_or(null_mut(), |child| child as *mut ());
            place.compare_exchange(null_mut(), child, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        if prepare.is_none() && parent.is_none() && IN_CHILD.iter().any(take) {
            return 0;
        }
        // SAFETY: as its caller promises; without a library the handlers are never taken out.
        unsafe { __register_atfork(prepare, parent, child, null_mut()) }
    }

    // Hidden, which a function of Rust that the linker knows by name cannot be.
    #[cfg(target_arch = "x86_64")]
    std::arch::global_asm!(
        ".globl pthread_atfork",
        ".hidden pthread_atfork",
        "pthread_atfork: jmp {register}",
        register = sym register,
    );
    #[cfg(target_arch = "aarch64")]
    std::arch::global_asm!(
        ".globl pthread_atfork",
        ".hidden pthread_atfork",
        "pthread_atfork: b {register}",
        register = sym register,
    );
}
