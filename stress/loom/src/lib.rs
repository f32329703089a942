//! The files of the handle registry as they are, with loom's atomics under them, and as little of the rest of
//! the library as they name.

#![allow(dead_code)]

pub mod error {
    pub type Result<T> = std::result::Result<T, Error>;

    #[derive(Debug)]
    pub struct Error;

    impl Error {
        pub fn invalid_handle(_: impl Into<String>) -> Self {
            Self
        }

        pub fn invalid_state(_: impl Into<String>) -> Self {
            Self
        }

        pub fn panic(_: impl Into<String>) -> Self {
            Self
        }
    }
}

pub mod ffi;

/// Statics that begin anew with each run of a model, and are never freed: those of `loom::lazy_static` were, while
/// a thread of the model still used them.
pub mod statics {
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::ops::Deref;

    pub struct Static<T>(pub fn() -> T);

    thread_local! {
        /// By address. All threads of a model are one of the system's.
        static VALUES: RefCell<HashMap<usize, usize>> = RefCell::default();
    }

    /// To be called at the beginning of a run.
    pub fn forget() {
        VALUES.take();
    }

    impl<T: 'static> Deref for Static<T> {
        type Target = T;

        fn deref(&self) -> &T {
            let address = std::ptr::from_ref(self).addr();
            let value = VALUES.with_borrow(|values| values.get(&address).copied());
            let value = value.unwrap_or_else(|| {
                let value = std::ptr::from_ref(Box::leak(Box::new((self.0)()))).expose_provenance();
                VALUES.with_borrow_mut(|values| *values.entry(address).or_insert(value))
            });
            // SAFETY: made above, for this static, and never freed.
            unsafe { &*std::ptr::with_exposed_provenance(value) }
        }
    }
}
