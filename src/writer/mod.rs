//! The way in: a batch is validated and copied on the thread of the caller, waits in a bounded
//! queue, and is stored by one background task: durable by a journal, visible by few versions.
//!
//! `batch` validates against a `layout` and copies into memory of a `pool`, `queue` is what stands between the two
//! sides, `messages` what goes through it, `pipeline` is the task and `store` what it has stored: `append` brings rows
//! to the `heap`, the file that grows, `finish` makes a data file of Lance of it (a `fragment` to be, with a `footer`),
//! `journal` what makes rows durable, `run` whose they are. `visible` shows them: `publish` makes files visible through
//! `versions`, the one way to make a version, whose `handler` looks once more. `merge` makes one file of small ones,
//! `recover` finishes what `replay` finds of `runs` that died, `staging` makes `tokens` of what many writers wrote, `parts`
//! publishes them, those of `jobs` once and packed, `vacuum` removes what nobody will need.

#![forbid(unsafe_code)]

mod append;
mod batch;
mod claim;
mod finish;
mod footer;
mod fragment;
#[cfg(fuzzing)]
pub mod fuzzing;
mod grown;
mod handler;
mod heap;
mod jobs;
mod journal;
mod layout;
mod merge;
mod messages;
mod options;
mod parts;
mod pipeline;
mod pool;
mod process;
mod publish;
mod queue;
mod records;
mod recover;
mod replay;
mod run;
mod runs;
mod staging;
mod store;
mod syncer;
mod tensor_view;
mod tokens;
mod vacuum;
mod versions;
mod visible;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use crate::error::{Error, Result};
use crate::ids::Ids;
use crate::location::Location;
use crate::process::generation;
use crate::tensor::{TensorColumn, TensorSpec, of_batch};

use batch::{Batch, IdBlock};
pub use jobs::Part;
use layout::Layout;
use messages::Ending;
pub use messages::{WriteStats, WriterState};
pub use options::{CommitInfo, CommitScope, Durability, Mode, WriterOptions};
pub use parts::{Listed as ListedParts, Wanted, commit_staged, list as list_parts, pack_parts};
use parts::{PartFile, PartWriter};
use pipeline::{Task, Timing};
use pool::Pool;
use queue::Queue;
pub use recover::{RecoverInfo, RecoverOptions, recover};
use store::Store;
pub use tensor_view::{StackLayout, TensorView};
use tokens::Tokens;
pub use vacuum::{VacuumInfo, VacuumOptions, vacuum};

pub struct Writer {
    /// A forked child has the memory of the writer, but neither its task nor its files.
    generation: u64,
    mode: Mode,
    durability: Durability,
    alias: bool,
    /// That of the table, if there is one: rows that fit it are laid out as it has them.
    of_table: Option<Arc<Layout>>,
    /// Fixed by the table that is appended to, or by the first batch.
    layout: Mutex<Option<Arc<Layout>>>,
    tokens: Tokens,
    pool: Arc<Pool>,
    /// Of a part of a job, which has neither queue nor task.
    part: Option<PartWriter>,
    /// None for a part, and while being dropped.
    queue: Option<Arc<Queue>>,
    task: Option<Arc<Task>>,
}

impl Writer {
    pub fn open(location: Location, options: WriterOptions) -> Result<Self> {
        if let Some(part) = options.part.clone() {
            return Self::open_part(&location, part, options);
        }
        let staged = options.mode == Mode::Staged;
        // Staged rows are durable with their token, and visible with its commit.
        let durability = if staged { Durability::Commit } else { options.durability };
        let mut store = Store::open(location, options.mode, durability)?;
        store.state.metadata = options.metadata;
        let of_table = store.layout_of_table();
        // Staged rows may be for another table than the one that is there.
        let of_table = if staged { of_table.unwrap_or(None) } else { of_table? };
        let of_table = of_table.map(Arc::new);
        of_table.as_ref().map_or(Ok(()), |layout| refuse_too_many(layout.columns.len()))?;
        let mut layout = of_table.clone().filter(|_| !staged);
        if !options.columns.is_empty() {
            let columns = options.columns.iter().map(TensorColumn::named);
            let declared = layout_for(layout.as_ref(), of_table.as_ref(), columns)?;
            store.declare(&declared);
            layout = Some(declared);
        }
        let linger = if durability == Durability::Batch { Duration::ZERO } else { LINGER };
        let (patience, longest) = (options.patience, options.longest_wait);
        let queue = Arc::new(Queue::new(options.max_queued_bytes, patience, longest, linger));
        let timing = Timing { durability, visible: options.visible };
        let task = pipeline::start(store, timing, &queue)?;
        Ok(Self {
            generation: generation(),
            mode: options.mode,
            durability,
            alias: options.alias,
            of_table,
            layout: Mutex::new(layout),
            tokens: Tokens::default(),
            pool: Pool::new(options.max_queued_bytes),
            part: None,
            queue: Some(queue),
            task: Some(task),
        })
    }

    fn open_part(location: &Location, part: Part, options: WriterOptions) -> Result<Self> {
        let columns = options.columns.iter().map(TensorColumn::named);
        let declared = match options.columns.is_empty() {
            true => None,
            false => Some(layout_for(None, None, columns)?),
        };
        let durable = options.durability == Durability::Batch;
        let file = PartFile::create(location.path(), part, durable)?;
        Ok(Self {
            generation: generation(),
            mode: options.mode,
            durability: options.durability,
            alias: true,
            of_table: None,
            layout: Mutex::new(declared),
            tokens: Tokens::default(),
            pool: Pool::new(options.max_queued_bytes),
            part: Some(PartWriter::new(file)),
            queue: None,
            task: None,
        })
    }

    /// A batch of ids and tensors.
    pub fn write_arrow(&self, batch: RecordBatch) -> Result<()> {
        self.refuse_forked()?;
        let tensors = of_batch(batch.schema_ref())?;
        let layout = self.layout_for(tensors.iter().map(TensorColumn::named))?;
        if let Some(part) = &self.part {
            // The memory of the caller is used before the call ends, and not copied.
            let batch = batch::from_arrow(&layout, &batch, &self.pool, self.alias)?;
            return self.accept_part(part, layout, &batch.ids, batch.slices());
        }
        let queue = self.queue()?;
        let batch = batch::from_arrow(&layout, &batch, &self.pool, self.alias)?;
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
        self.refuse_forked()?;
        self.layout_for(of_batch(schema)?.iter().map(TensorColumn::named))?;
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
    pub fn write_tensors(&self, ids: &Ids, tensors: &[(&str, TensorView)]) -> Result<()> {
        self.refuse_forked()?;
        if let Some((name, tensor)) = tensors.iter().find(|(_, tensor)| tensor.rows() != ids.len())
        {
            return Err(Error::invalid_argument(format!(
                "{} ids for {} rows of the tensor \"{name}\"; there must be one id per row",
                ids.len(),
                tensor.rows()
            )));
        }
        let layout = self.layout_for(tensors.iter().map(|(name, view)| (*name, view.spec())))?;
        if let Some(part) = &self.part {
            let columns = batch::lent_from_memory(&layout, tensors, &self.pool)?;
            let columns = columns.iter().map(batch::Lent::as_slice).collect();
            return self.accept_part(part, layout, &IdBlock::of(&ids.to_array()?), columns);
        }
        let queue = self.queue()?;
        let batch = batch::from_memory(&layout, ids, tensors, &self.pool)?;
        self.accept(queue, layout, batch)
    }

    /// Makes everything accepted durable and visible.
    pub fn flush(&self) -> Result<()> {
        self.commits("flush")?;
        if self.durability == Durability::Commit {
            return Err(Error::invalid_state(
                "the durability of the writer is COMMIT, so only a commit makes rows durable",
            ));
        }
        self.queue()?.flush().map(drop)
    }

    /// Makes everything accepted durable and visible, and leaves few small files. `progress` is told how many of
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
        self.refuse_forked()?;
        if let Some(part) = &self.part {
            return Ok(self.tokens.keep(part.stage(self.fixed_layout().as_deref())?));
        }
        self.tokens.stage(self.queue()?)
    }

    pub fn stats(&self) -> Result<WriteStats> {
        self.refuse_forked()?;
        match &self.part {
            Some(part) => Ok(part.stats()),
            None => self.queue().map(|queue| queue.stats()),
        }
    }

    /// Makes durable what the durability promises, and ends the background task. Whatever is called
    /// afterwards fails.
    pub fn close(&self) -> Result<()> {
        self.end(self.ending())
    }

    /// Drops what is not durable, and ends the background task.
    pub fn abort(&self) -> Result<()> {
        self.end(Ending::Abort)
    }

    fn end(&self, ending: Ending) -> Result<()> {
        self.refuse_forked()?;
        match &self.part {
            Some(part) => {
                part.close();
                Ok(())
            }
            None => self.queue()?.close(ending),
        }
    }

    fn ending(&self) -> Ending {
        match self.durability {
            Durability::Commit => Ending::Drop,
            _ => Ending::Flush,
        }
    }

    /// Before any lock: one may have been held when the process forked.
    fn refuse_forked(&self) -> Result<()> {
        match self.generation == generation() {
            true => Ok(()),
            false => Err(Error::invalid_state(
                "the writer belongs to the process that this one was forked from; open a writer of its own",
            )),
        }
    }

    fn queue(&self) -> Result<&Arc<Queue>> {
        self.refuse_forked()?;
        self.queue.as_ref().ok_or_else(|| Error::internal("the writer has no queue"))
    }

    fn layout_for<'a>(
        &self,
        tensors: impl Iterator<Item = (&'a str, &'a TensorSpec)> + Clone,
    ) -> Result<Arc<Layout>> {
        layout_for(self.fixed_layout().as_ref(), self.of_table.as_ref(), tensors)
    }

    fn fixed_layout(&self) -> Option<Arc<Layout>> {
        self.layout.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The layout of all batches, which is that of the first one.
    fn fix(&self, layout: &Arc<Layout>) -> Result<Arc<Layout>> {
        let mut fixed = self.layout.lock().unwrap_or_else(PoisonError::into_inner);
        let fixed = fixed.get_or_insert_with(|| layout.clone());
        if !Arc::ptr_eq(fixed, layout) {
            // Another thread was faster with a first batch of its own.
            fixed.check(layout.tensors())?;
        }
        Ok(fixed.clone())
    }

    /// Writes rows whose memory is the caller's.
    fn accept_part(
        &self,
        part: &PartWriter,
        layout: Arc<Layout>,
        ids: &IdBlock,
        columns: Vec<&[u8]>,
    ) -> Result<()> {
        if ids.lengths.is_empty() {
            return Ok(());
        }
        let fixed = self.fix(&layout)?;
        let columns = fixed.of_other(&layout, &columns)?;
        part.write(&fixed, ids, &columns)
    }

    fn accept(&self, queue: &Queue, mut layout: Arc<Layout>, mut batch: Batch) -> Result<()> {
        // Nothing to keep, and nothing to fix the shape of a table by.
        if batch.rows == 0 {
            return Ok(());
        }
        let fixed = self.fix(&layout)?;
        if !Arc::ptr_eq(&fixed, &layout) {
            let columns = fixed.of_other(&layout, &batch.columns)?;
            batch = Batch { columns, ..batch };
            layout = fixed;
        }
        let rows = queue.push(layout, batch)?;
        match self.durability {
            Durability::Batch => {
                match &self.task {
                    // Work that is begun on this thread could not be left.
                    Some(task) if !queue.asks() => task.help(),
                    _ => queue.wake(),
                }
                queue.wait_durable(rows)
            }
            _ => {
                queue.wake_in_time();
                Ok(())
            }
        }
    }
}

/// The layout that these tensors must fit, or the one that they give a table to be made.
fn layout_for<'a>(
    fixed: Option<&Arc<Layout>>,
    of_table: Option<&Arc<Layout>>,
    tensors: impl Iterator<Item = (&'a str, &'a TensorSpec)> + Clone,
) -> Result<Arc<Layout>> {
    let check = |layout: &Layout| layout.check(tensors.clone());
    match (fixed, of_table) {
        (Some(layout), _) => check(layout).map(|()| layout.clone()),
        (None, Some(layout)) if check(layout).is_ok() => Ok(layout.clone()),
        (None, _) => {
            let layout = Layout::new(tensors)?;
            refuse_too_many(layout.columns.len())?;
            Ok(Arc::new(layout))
        }
    }
}

/// Each column is a file that is held open while rows come.
fn refuse_too_many(columns: usize) -> Result<()> {
    let limit = crate::map::descriptors();
    match (columns + OTHER_FILES) as u64 > limit {
        false => Ok(()),
        true => Err(Error::invalid_argument(format!(
            "{columns} columns need as many descriptors and some {OTHER_FILES} others; the process may have \
             {limit} (RLIMIT_NOFILE)"
        ))),
    }
}

/// How long rows that nobody waits for wait for more, to be written together.
const LINGER: Duration = Duration::from_millis(2);

/// Descriptors of a run besides those of columns.
const OTHER_FILES: usize = 16;

impl Drop for Writer {
    fn drop(&mut self) {
        let queue = self.queue.take();
        if self.generation != generation() {
            // Dropping the queue would wake a task that only the parent has.
            std::mem::forget((queue, self.task.take(), self.part.take()));
        } else if let Some(queue) = queue {
            // Fails if the writer was closed, as it should have been.
            let _ = queue.start_close(self.ending());
        }
    }
}

#[cfg(test)]
mod tests;
