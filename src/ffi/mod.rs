//! The C surface, and nothing else: every exported function checks its arguments, makes one call
//! into the safe core, and writes its outputs.
//!
//! `boundary` turns results and panics into statuses, `handle` turns tokens into objects, which
//! `pin` keeps alive during a call, `args`
//! turns pointers into borrows, `options` reads sized structs, `arrow` and `dlpack` move
//! arrays across.

#![allow(clippy::missing_safety_doc)] // the docs of exported functions are the header's

mod args;
pub mod arrow;
pub mod boundary;
mod convert;
pub mod dlpack;
pub mod error;
pub mod fault;
pub mod handle;
pub mod log;
pub mod options;
mod pin;
pub mod reader;
pub mod reader_ids;
pub mod reader_rows;
pub mod runtime;
pub mod table;
pub mod types;
pub mod version;
mod waiting;
pub mod writer;
pub mod writer_batches;

#[cfg(test)]
mod tests;
