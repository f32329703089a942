//! Test-only: makes a chosen exported function panic, to show what the boundary does then. In
//! any other build nothing of it is left.

#[cfg(not(test))]
#[inline(always)]
pub fn trip(_function: &str) {}

#[cfg(test)]
pub use armed::{arm, trip};

#[cfg(test)]
mod armed {
    use std::cell::Cell;

    thread_local! {
        static ARMED: Cell<Option<&'static str>> = const { Cell::new(None) };
    }

    /// Makes `function` panic on this thread once it has its handle, until armed otherwise.
    pub fn arm(function: Option<&'static str>) {
        ARMED.set(function);
    }

    pub fn trip(function: &str) {
        if ARMED.get() == Some(crate::ffi::boundary::name(function)) {
            panic!("injected into {}", crate::ffi::boundary::name(function));
        }
    }
}
