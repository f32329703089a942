//! What `pin` and `handle` synchronise threads with. `stress/loom` compiles the two with loom's in its place.

pub use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

/// A static that loom makes anew for each run of a model.
macro_rules! global {
    ($(#[$doc:meta])* static $name:ident: $type:ty = $value:expr;) => {
        $(#[$doc])*
        static $name: $type = $value;
    };
}
pub(crate) use global;
