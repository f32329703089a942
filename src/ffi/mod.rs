//! The C surface, and nothing else: every exported function checks its arguments, makes one call
//! into the safe core, and writes its outputs.
//!
//! `boundary` turns results and panics into statuses, `handle` turns tokens into objects, which
//! `pin` keeps alive during a call, with the atomics of `sync` and the fences of `barrier`. `args` turns
//! pointers into borrows, `options` reads sized structs, `arrow` and `dlpack` move arrays across; `arrow_check`
//! looks first whether these are what they say. `load` is what happens when the library is loaded, `fork` when
//! a process forks.

#![allow(clippy::missing_safety_doc)] // the docs of exported functions are the header's

mod args;
pub mod arrow;
mod arrow_check;
mod arrow_form;
mod barrier;
pub mod boundary;
mod convert;
pub mod dlpack;
pub mod error;
pub mod fault;
mod fork;
pub mod handle;
mod load;
pub mod loader;
pub mod log;
pub mod options;
mod pin;
#[cfg(test)]
mod pin_model;
pub mod reader;
pub mod reader_history;
pub mod reader_ids;
pub mod reader_rows;
pub mod runtime;
mod sync;
pub mod table;
mod thread;
pub mod types;
pub mod version;
mod waiting;
pub mod writer;
pub mod writer_batches;

#[cfg(test)]
mod tests;
