//! `handle` and `pin` of the library, and what they need.

#[path = "../../../src/ffi/handle.rs"]
pub mod handle;
#[path = "../../../src/ffi/pin.rs"]
pub mod pin;

pub mod sync {
    pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

    macro_rules! global {
        ($(#[$doc:meta])* static $name:ident: $type:ty = $value:expr;) => {
            $(#[$doc])*
            static $name: crate::statics::Static<$type> = crate::statics::Static(|| $value);
        };
    }
    pub(crate) use global;
}

/// Both halves are fences, as where the kernel knows no `membarrier`.
pub mod barrier {
    use loom::sync::atomic::{Ordering, fence};

    pub fn prepare() {}

    pub fn light() {
        fence(Ordering::SeqCst);
    }

    pub fn heavy() -> bool {
        fence(Ordering::SeqCst);
        true
    }
}

pub mod thread {
    use std::cell::Cell;
    use std::ptr::null;

    use crate::ffi::pin::Record;

    pub struct Here {
        pub record: Cell<*const Record>,
    }

    loom::thread_local! {
        pub static HERE: Here = Here { record: Cell::new(null()) };
    }
}

pub mod boundary {
    use crate::error::Result;

    pub struct Scope;

    impl Scope {
        pub fn signature(&self) -> &'static str {
            "model"
        }
    }

    pub fn name(signature: &str) -> &str {
        signature
    }

    pub fn refuse_while_logging() -> Result<()> {
        Ok(())
    }
}

pub mod fault {
    pub fn trip(_: &str) {}
}
