//! The rows of an epoch in batches, for training: in an order that seed and epoch say, shared among ranks and workers,
//! gathered ahead of who asks.
//!
//! `order` is the bijection of row numbers, `rows` what it is taken of: a subset of a table, or a mixture of several.
//! `steps` cuts an epoch; `state` is a position in 64 bytes. `task` puts a step into a `buffer`, `ring` does so ahead on
//! threads, and rings the `bell`. Of all that only the position, `shown`, is needed by a child after `fork`.

mod bell;
mod buffer;
mod order;
mod ring;
mod rows;
mod shown;
mod state;
mod steps;
mod task;

use std::os::fd::RawFd;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::patience::Patience;
use crate::process::ProcessOnce;
use crate::reader::Reader;

pub use buffer::{Lane, Lend};
pub use order::Order;
pub use ring::Given;
pub use rows::{MOST_ROWS, Subset, Weights};
pub use state::STATE_BYTES;
pub use steps::{Share, Tail};

use order::digest;
use ring::{Counts, Ring};
use rows::Rows;
use shown::Shown;
use state::{Identity, Subject};
use steps::{Position, Steps};
use task::{Limits, Pace, Table, Task};

/// Bytes of buffers if nobody says.
const MAX_BYTES: usize = 256 << 20;
const AHEAD: usize = 8;
/// More threads than that wait for memory, not for work.
const MOST_THREADS: usize = 4;

/// A table, and which of its rows an epoch consists of.
pub struct Source {
    pub reader: Reader,
    pub subset: Subset,
}

pub struct LoaderOptions {
    /// The first has the columns; the others have them by name. None at all: numbers of rows alone.
    pub sources: Vec<Source>,
    /// Without sources.
    pub subset: Option<Subset>,
    /// Numbers of columns of the first source.
    pub columns: Vec<usize>,
    pub order: Order,
    pub seed: u64,
    pub epoch: u64,
    /// Rows of a step over all ranks.
    pub batch: u64,
    pub tail: Tail,
    pub rank: Share,
    pub worker: Share,
    pub whole_steps: bool,
    pub weights: Vec<Weights>,
    pub epoch_rows: Option<u64>,
    /// How columns lie in memory of the caller, how many buffers there are, and the way to them.
    pub memory: Option<(Vec<Lane>, usize, Box<Lend>)>,
    pub max_bytes: Option<usize>,
    pub ahead: Option<usize>,
    /// 0 has whoever asks for a batch gather it.
    pub threads: Option<usize>,
    pub patience: Option<Arc<dyn Patience>>,
}

impl LoaderOptions {
    fn steps(&self, rows: u64) -> Steps {
        let (batch, tail, whole_steps) = (self.batch, self.tail, self.whole_steps);
        Steps { rows, batch, tail, rank: self.rank, worker: self.worker, whole_steps }
    }

    /// Rows of the largest batch.
    pub fn most(&self) -> u64 {
        let subsets = self.sources.iter().map(|source| &source.subset).chain(&self.subset);
        let rows = subsets.fold(0_u64, |rows, subset| rows.saturating_add(subset.count()));
        self.steps(self.epoch_rows.unwrap_or(rows)).most()
    }
}

/// Usable from any number of threads, and from a child after `fork`, which goes on from where its parent was.
pub struct Loader {
    task: Arc<Task>,
    subject: Subject,
    shown: Arc<Shown>,
    ring: ProcessOnce<Arc<Ring>>,
    patience: Option<Arc<dyn Patience>>,
}

/// What is known of a loader.
pub struct Stats {
    pub epoch: u64,
    pub consumed: u64,
    pub epoch_rows: u64,
    pub epoch_steps: u64,
    pub batch_rows: u64,
    pub ahead: u64,
    pub counts: Counts,
}

impl Loader {
    pub fn open(mut options: LoaderOptions) -> Result<Self> {
        let subject =
            Subject { identity: identity(&options.sources), table: !options.sources.is_empty() };
        let lanes = lanes(&options)?;
        let columns = options.sources.iter().map(|source| columns_of(source, &options));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let subsets = options.sources.iter().map(|source| source.subset.clone());
        let subsets = subsets.chain(options.subset.take()).collect();
        let weights = std::mem::take(&mut options.weights);
        let rows = Rows::new(options.order, subsets, options.epoch_rows, weights)?;
        let steps = options.steps(rows.len());
        if steps.tail == Tail::Drop && steps.rows > 0 && steps.of_epoch() == 0 {
            return Err(Error::invalid_argument(format!(
                "options.tail is RDS_TAIL_DROP, which leaves no step: an epoch has {} rows, a step {}",
                steps.rows, steps.batch
            )));
        }
        let most = usize::try_from(steps.most()).unwrap_or(usize::MAX);
        let ahead = options.ahead.unwrap_or(AHEAD).max(1);
        let (threads, lend) = match lanes.is_empty() {
            // Numbers are had faster than a thread is woken.
            true => (0, None),
            false => (options.threads.unwrap_or_else(threads), options.memory),
        };
        let buffers = match &lend {
            Some((_, buffers, _)) => *buffers,
            None => buffers(&lanes, most, options.max_bytes)?,
        };
        let memory = Limits { buffers, most, lend: lend.map(|(_, _, lend)| lend) };
        let tables = options.sources.into_iter().zip(columns);
        let tables = tables.map(|(Source { reader, .. }, columns)| Table { reader, columns });
        let pace = Pace { threads, ahead: if threads == 0 { 1 } else { ahead } };
        let task = Task { tables: tables.collect(), lanes, rows, steps, memory, pace };
        let at = Position { seed: options.seed, epoch: options.epoch, consumed: 0 };
        Ok(Self {
            task: Arc::new(task),
            subject,
            shown: Arc::new(Shown::new(at)),
            ring: ProcessOnce::new(),
            patience: options.patience,
        })
    }

    fn ring(&self) -> &Arc<Ring> {
        self.ring.own_or_init(|| Arc::new(Ring::new(self.task.clone(), self.shown.clone())))
    }

    pub fn next(&self) -> Result<Given> {
        self.ring().next(self.patience.as_ref())
    }

    pub fn release(&self, buffer: u64) -> Result<()> {
        match buffer {
            0 => Ok(()),
            _ => self.ring().release(buffer),
        }
    }

    pub fn state(&self) -> [u8; STATE_BYTES] {
        state::write(&self.subject, &self.task.rows, self.ring().position())
    }

    pub fn restore(&self, state: &[u8; STATE_BYTES]) -> Result<()> {
        self.ring().seek(state::read(&self.subject, &self.task.rows, state)?);
        Ok(())
    }

    pub fn seek(&self, epoch: u64, consumed: u64) -> Result<()> {
        let rows = self.task.rows.len();
        if consumed > rows {
            return Err(Error::invalid_argument(format!(
                "consumed is {consumed}, and an epoch has {rows} rows"
            )));
        }
        let ring = self.ring();
        ring.seek(Position { epoch, consumed, ..ring.position() });
        Ok(())
    }

    pub fn stats(&self) -> Stats {
        let (ring, task) = (self.ring(), &self.task);
        let at = ring.position();
        Stats {
            epoch: at.epoch,
            consumed: at.consumed,
            epoch_rows: task.steps.rows,
            epoch_steps: task.steps.of_epoch(),
            batch_rows: task.steps.most(),
            ahead: task.pace.ahead as u64,
            counts: ring.counts(),
        }
    }

    pub fn fd(&self) -> Result<RawFd> {
        self.ring().fd()
    }

    /// Ends what waits or gathers in this process; memory of the caller is not written to any more.
    pub fn stop(&self) {
        if let Some(ring) = self.ring.own_get() {
            ring.stop();
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.stop();
    }
}

fn threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, MOST_THREADS)
}

/// How many buffers there may be.
fn buffers(lanes: &[Lane], most: usize, max_bytes: Option<usize>) -> Result<usize> {
    let bytes = buffer::bytes_of(lanes, most).filter(|bytes| *bytes <= isize::MAX as usize / 2);
    let bytes = bytes.ok_or_else(|| {
        Error::invalid_argument(format!("options: a batch of {most} rows does not fit in memory"))
    })?;
    let all = max_bytes.unwrap_or_else(|| MAX_BYTES.max(2 * bytes));
    match all / bytes.max(1) {
        0 => Err(Error::invalid_argument(format!(
            "options.max_bytes is {all}, and a batch of {most} rows needs {bytes}"
        ))),
        buffers => Ok(buffers),
    }
}

/// How columns lie in memory.
fn lanes(options: &LoaderOptions) -> Result<Vec<Lane>> {
    if let Some((lanes, ..)) = &options.memory {
        return Ok(lanes.clone());
    }
    let Some(Source { reader, .. }) = options.sources.first() else { return Ok(Vec::new()) };
    let lane = |column: &usize| Ok(Lane::dense(reader.column(*column)?.row_bytes));
    options.columns.iter().map(lane).collect()
}

/// The numbers that the columns have in a table, where they are to be of the same kind as in the first.
fn columns_of(source: &Source, options: &LoaderOptions) -> Result<Vec<usize>> {
    let Some(Source { reader: first, .. }) = options.sources.first() else { return Ok(Vec::new()) };
    let number = |column: &usize| {
        let wanted = first.column(*column)?;
        let mismatch = |why: String| Error::schema_mismatch(format!("options.others: {why}"));
        let number = source.reader.number(&wanted.name);
        let number = number.map_err(|error| mismatch(error.message.clone()))?;
        let found = &source.reader.column(number)?.spec;
        match *found == wanted.spec {
            true => Ok(number),
            false => Err(mismatch(format!(
                "column \"{}\" is of {found}, and of {} in the table of the reader",
                wanted.name, wanted.spec
            ))),
        }
    };
    options.columns.iter().map(number).collect()
}

/// Of all tables; what stands for one of them is the first.
fn identity(sources: &[Source]) -> Identity {
    let Some(first) = sources.first() else { return Identity::default() };
    let all = |hash: u64, source: &Source| {
        let files =
            source.reader.snapshot.names().fold(digest(hash, source.reader.version()), name_digest);
        digest(files, 0)
    };
    Identity {
        version: first.reader.version(),
        files: sources.iter().fold(0, all),
        first: first.reader.snapshot.names().next().map_or(0, |name| name_digest(0, name) as u32),
    }
}

fn name_digest(hash: u64, name: String) -> u64 {
    name.bytes().fold(digest(hash, name.len() as u64), |hash, byte| digest(hash, byte.into()))
}

#[cfg(test)]
mod tests;
