//! What is kept of a thread on the way of every row, in one place: to find a thread local of a shared
//! library costs a call.

use std::cell::Cell;
use std::ptr::null;

use crate::ffi::pin::Record;

pub struct Here {
    /// Its record of what it uses, once it has one.
    pub record: Cell<*const Record>,
    /// Whether it is inside the caller's log callback.
    pub logging: Cell<bool>,
}

thread_local! {
    // Without a destructor: also there while those of others run.
    pub static HERE: Here =
        const { Here { record: Cell::new(null()), logging: Cell::new(false) } };
}
