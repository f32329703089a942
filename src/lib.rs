//! librds: storage of machine-learning inference results on Lance, behind a C ABI.
//!
//! One row per object: an `object_id` and one or more named tensors of fixed shape. A table is an ordinary
//! Lance dataset; this crate adds a writer that costs its caller one copy per batch and a reader
//! made for rows.
//!
//! Way in: [`ffi`] → [`writer`] (validate → queue → data file → checkpoint).
//! Way out: [`ffi`] → [`reader`] (row → mapped file, or Lance) → Arrow, DLPack or the caller's buffer.
//!
//! [`map`] is a data file in memory. The other modules serve both ways: [`location`] names the table, [`manifest`]
//! reads what a version of it says, [`tensor`] is its rows, [`plain`] how these lie in a file, [`ids`] its identifiers,
//! [`patience`] is what a caller who waits is asked, [`runtime`] runs what is asynchronous, [`process`] is for values that a fork cannot block, [`error`] is what all of
//! them return.

// A panic must be able to reach the boundary in `ffi`, which turns it into a status.
const _: () = assert!(cfg!(panic = "unwind"), "librds needs panic = \"unwind\"");
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!(
    "librds runs on Linux and macOS: it maps files and lives with fork(), which Windows does not have"
);
// Handles are 64-bit tokens in the shape of a pointer.
const _: () = assert!(usize::BITS == 64, "librds needs a 64-bit target");

pub mod error;
pub mod ffi;
pub mod files;
pub mod ids;
pub mod location;
pub mod manifest;
pub mod map;
pub mod patience;
pub mod plain;
pub mod process;
pub mod reader;
pub mod runtime;
pub mod tensor;
pub mod writer;
