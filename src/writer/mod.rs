//! The way in: a batch is validated and copied on the thread of the caller, waits in a bounded
//! queue, and is encoded, written and committed by one background task.
//!
//! `batch` validates and copies, `queue` is what stands between the two sides, `pipeline` is the
//! task, `table` its data files and Lance commits.

#![forbid(unsafe_code)]

mod batch;
mod data_file;
mod durable;
mod pipeline;
mod queue;
mod table;
mod tensor_view;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;

use crate::error::{Error, Result};
use crate::ids::Ids;
use crate::location::Location;
use crate::runtime;
use crate::tensor::TensorSpec;

use batch::Layout;
use queue::Queue;
use table::Table;
pub use tensor_view::{StackLayout, TensorView};

/// What to do with a table that exists, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Create,
    Append,
    Overwrite,
}

/// When accepted rows become durable and visible to new readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// This long after they were accepted, at most.
    Interval(Duration),
    /// Before the call that writes them returns.
    Batch,
    /// By a commit only.
    Commit,
}

#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    pub mode: Mode,
    pub durability: Durability,
    pub max_queued_bytes: usize,
}

/// What is durable after a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitInfo {
    /// Rows of this writer.
    pub rows: u64,
    /// Bytes of their tensors, as in the caller's memory.
    pub tensor_bytes: u64,
    /// 0 while there is no table.
    pub version: u64,
    /// Of that version.
    pub data_files: u64,
}

pub struct Writer {
    /// A forked child has the memory of the writer, but neither its task nor its files.
    process: u32,
    durability: Durability,
    /// Fixed by the table that is appended to, or by the first batch.
    layout: Mutex<Option<Arc<Layout>>>,
    /// None only while being dropped.
    queue: Option<Arc<Queue>>,
}

impl Writer {
    pub fn open(location: Location, options: WriterOptions) -> Result<Self> {
        let table = runtime::block_on(Table::open(location, options.mode))??;
        let layout = table.layout();
        let queue = Arc::new(Queue::new(options.max_queued_bytes));
        pipeline::start(table, options.durability, &queue)?;
        Ok(Self {
            process: std::process::id(),
            durability: options.durability,
            layout: Mutex::new(layout),
            queue: Some(queue),
        })
    }

    /// A batch with the columns `object_id` and `data`, whose memory is taken over.
    pub fn write_arrow(&self, batch: RecordBatch) -> Result<()> {
        let queue = self.queue()?;
        batch::check_columns(batch.schema_ref())?;
        let spec = TensorSpec::from_batch_schema(batch.schema_ref())?;
        let layout = self.layout_for(&spec)?;
        let batch = batch::from_arrow(&layout, &batch)?;
        self.accept(queue, layout, batch)
    }

    /// A batch in memory of the caller, which is copied.
    pub fn write_tensors(&self, ids: &Ids, tensors: &TensorView) -> Result<()> {
        let queue = self.queue()?;
        if ids.len() != tensors.rows() {
            return Err(Error::invalid_argument(format!(
                "{} ids for {} rows of tensor; there must be one id per row",
                ids.len(),
                tensors.rows()
            )));
        }
        let layout = self.layout_for(tensors.spec())?;
        let batch = batch::from_memory(&layout, ids, tensors)?;
        self.accept(queue, layout, batch)
    }

    /// A checkpoint of everything accepted.
    pub fn flush(&self) -> Result<()> {
        if self.durability == Durability::Commit {
            return Err(Error::invalid_state(
                "the durability of the writer is COMMIT, so only a commit makes rows durable",
            ));
        }
        self.commit(&mut |_, _| true).map(drop)
    }

    /// Makes everything accepted durable. `progress` is told how many of how many rows of the
    /// writer are, and stops the wait by returning false.
    pub fn commit(&self, progress: &mut dyn FnMut(u64, u64) -> bool) -> Result<CommitInfo> {
        self.queue()?.checkpoint(progress)
    }

    /// Makes durable what the durability promises, and ends the background task. Whatever is called
    /// afterwards fails.
    pub fn close(&self) -> Result<()> {
        self.queue()?.close(self.flushes_at_end())
    }

    fn flushes_at_end(&self) -> bool {
        self.durability != Durability::Commit
    }

    fn queue(&self) -> Result<&Arc<Queue>> {
        // Before any lock: one may have been held when the process forked.
        if self.process != std::process::id() {
            return Err(Error::invalid_state(format!(
                "the writer belongs to process {}, which this process ({}) was forked from; \
                 open a writer of its own",
                self.process,
                std::process::id()
            )));
        }
        self.queue.as_ref().ok_or_else(|| Error::internal("the writer has no queue"))
    }

    /// The layout of the table, which `spec` must fit, or the one that `spec` would give it.
    fn layout_for(&self, spec: &TensorSpec) -> Result<Arc<Layout>> {
        let fixed = self.layout.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match fixed {
            None => Ok(Arc::new(Layout::new(spec.clone())?)),
            Some(layout) => {
                layout.check(spec)?;
                Ok(layout)
            }
        }
    }

    fn accept(&self, queue: &Queue, layout: Arc<Layout>, batch: RecordBatch) -> Result<()> {
        // Nothing to keep, and nothing to fix the shape of a table by.
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let layout = {
            let mut fixed = self.layout.lock().unwrap_or_else(PoisonError::into_inner);
            let fixed = fixed.get_or_insert_with(|| layout.clone());
            fixed.check(&layout.spec)?;
            fixed.clone()
        };
        queue.push(layout, batch)?;
        if self.durability == Durability::Batch {
            queue.checkpoint(&mut |_, _| true)?;
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let queue = self.queue.take();
        if self.process != std::process::id() {
            // Dropping the queue would wake a task that only the parent has.
            std::mem::forget(queue);
        } else if let Some(queue) = queue {
            // Fails if the writer was closed, as it should have been.
            let _ = queue.start_close(self.flushes_at_end());
        }
    }
}

#[cfg(test)]
mod tests;
