//! The way in: a batch is validated and copied on the thread of the caller, waits in a bounded
//! queue, and is written and committed by one background task.
//!
//! `batch` validates and copies into memory of a `pool`, `queue` is what stands between the two sides,
//! `pipeline` is the task, `table` what it writes: `data_file` is a file of a run, `page_file` puts rows
//! in it through a `sink`, `head` commits them, `history` removes what a run leaves on its way. `merges`
//! decides when fragments are merged, `plan` which, `merge` how. `staging` publishes what many writers
//! wrote, `vacuum` removes what nobody will.

#![forbid(unsafe_code)]

mod batch;
mod data_file;
mod durable;
mod head;
mod history;
mod merge;
mod merges;
mod named;
mod page_file;
mod pipeline;
mod plan;
mod pool;
mod queue;
mod sink;
mod staging;
mod table;
mod tensor_view;
mod vacuum;
mod version;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use crate::error::{Error, Result};
use crate::ids::Ids;
use crate::location::Location;
use crate::runtime;
use crate::tensor::TensorSpec;

use batch::Layout;
use pool::Pool;
use queue::Queue;
pub use queue::WriteStats;
pub use staging::commit_staged;
use table::Table;
pub use tensor_view::{StackLayout, TensorView};
pub use vacuum::{VacuumInfo, VacuumOptions, vacuum};

/// What to do with a table that exists, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Create,
    Append,
    Overwrite,
    /// Nothing is committed: what is written goes into a token, which `commit_staged` publishes.
    Staged,
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

/// Whose small fragments a commit merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitScope {
    /// Those of this writer.
    Run,
    /// Those of everybody.
    Table,
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
    mode: Mode,
    durability: Durability,
    /// That of the table, if there is one: rows that fit it are laid out as it has them.
    of_table: Option<Arc<Layout>>,
    /// Fixed by the table that is appended to, or by the first batch.
    layout: Mutex<Option<Arc<Layout>>>,
    tokens: Mutex<Vec<Arc<[u8]>>>,
    pool: Arc<Pool>,
    /// None only while being dropped.
    queue: Option<Arc<Queue>>,
}

impl Writer {
    pub fn open(location: Location, options: WriterOptions) -> Result<Self> {
        let table = runtime::block_on(Table::open(location, options.mode))??;
        let staged = options.mode == Mode::Staged;
        let of_table = if staged { table.layout().unwrap_or(None) } else { table.layout()? };
        let layout = of_table.clone().filter(|_| !staged);
        // Staged rows are durable with their token, and visible with its commit.
        let durability = if staged { Durability::Commit } else { options.durability };
        let queue = Arc::new(Queue::new(options.max_queued_bytes));
        pipeline::start(table, durability, &queue)?;
        Ok(Self {
            process: std::process::id(),
            mode: options.mode,
            durability,
            of_table,
            layout: Mutex::new(layout),
            tokens: Mutex::default(),
            pool: Pool::new(options.max_queued_bytes),
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

    /// Batches of that schema, one after the other; how many rows that were. Those before a failure stay
    /// accepted. `progress` is told how many rows are, and stops by returning false.
    pub fn write_stream(
        &self,
        schema: &Schema,
        batches: impl Iterator<Item = Result<RecordBatch>>,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<u64> {
        self.queue()?;
        batch::check_columns(schema)?;
        self.layout_for(&TensorSpec::from_batch_schema(schema)?)?;
        let mut rows = 0;
        for (index, batch) in batches.enumerate() {
            let of = |error: Error| {
                error.context(format!("batch {index} of the stream, after {rows} accepted rows"))
            };
            let batch = batch.map_err(of)?;
            let more = batch.num_rows() as u64;
            self.write_arrow(batch).map_err(of)?;
            rows += more;
            if !progress(rows, rows) {
                return Err(Error::cancelled(format!(
                    "the progress callback asked to stop after {rows} accepted rows"
                )));
            }
        }
        Ok(rows)
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
        let batch = batch::from_memory(&layout, ids, tensors, &self.pool)?;
        self.accept(queue, layout, batch)
    }

    /// A checkpoint of everything accepted.
    pub fn flush(&self) -> Result<()> {
        self.commits("flush")?;
        if self.durability == Durability::Commit {
            return Err(Error::invalid_state(
                "the durability of the writer is COMMIT, so only a commit makes rows durable",
            ));
        }
        self.queue()?.checkpoint().map(drop)
    }

    /// Makes everything accepted durable, and leaves one clean table. `progress` is told how many of
    /// how many rows are dealt with, and stops the wait by returning false.
    pub fn commit(
        &self,
        scope: CommitScope,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<CommitInfo> {
        self.commits("commit")?;
        self.queue()?.commit(scope, progress)
    }

    fn commits(&self, what: &str) -> Result<()> {
        if self.mode != Mode::Staged {
            return Ok(());
        }
        Err(Error::invalid_state(format!(
            "the mode of the writer is STAGED, which has no {what}; stage, and commit the tokens"
        )))
    }

    /// A token for what was written since the last one. The writer keeps it as long as it lives.
    pub fn stage(&self) -> Result<Arc<[u8]>> {
        if self.mode != Mode::Staged {
            return Err(Error::invalid_state(
                "the mode of the writer is not STAGED: what it writes becomes visible without a token",
            ));
        }
        let token: Arc<[u8]> = self.queue()?.stage(self.fixed_layout())?.into();
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).push(token.clone());
        Ok(token)
    }

    pub fn stats(&self) -> Result<WriteStats> {
        self.queue().map(|queue| queue.stats())
    }

    /// Makes durable what the durability promises, and ends the background task. Whatever is called
    /// afterwards fails.
    pub fn close(&self) -> Result<()> {
        self.queue()?.close(self.flushes_at_end())
    }

    /// Drops what is not durable, and ends the background task.
    pub fn abort(&self) -> Result<()> {
        self.queue()?.close(false)
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
        match (self.fixed_layout(), &self.of_table) {
            (Some(layout), _) => layout.check(spec).map(|()| layout),
            (None, Some(layout)) if layout.spec == *spec => Ok(layout.clone()),
            (None, _) => Ok(Arc::new(Layout::new(spec.clone())?)),
        }
    }

    fn fixed_layout(&self) -> Option<Arc<Layout>> {
        self.layout.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
            queue.checkpoint()?;
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
