//! What a writer is asked for, and what it says of a commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::patience::Patience;
use crate::tensor::TensorColumn;
use crate::writer::jobs::Part;

/// What to do with a table that exists, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Create,
    Append,
    Overwrite,
    /// Nothing is committed: what is written goes into a token, which `commit_staged` publishes.
    Staged,
}

/// When accepted rows become durable: whatever happens then, they are not lost.
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

#[derive(Clone, Debug)]
pub struct WriterOptions {
    pub mode: Mode,
    pub durability: Durability,
    pub max_queued_bytes: usize,
    /// The shortest time between two versions that nobody asked for.
    pub visible: Duration,
    /// The tensors of the table; without, the first batch says them.
    pub columns: Vec<TensorColumn>,
    /// What the table is to say of this run.
    pub metadata: BTreeMap<String, String>,
    /// Of the tokens of this writer.
    pub part: Option<Part>,
    /// Memory of Arrow batches is taken over instead of being copied.
    pub alias: bool,
    /// What calls that wait ask.
    pub patience: Option<Arc<dyn Patience>>,
    /// How long a call that writes waits for room at most; for ever if none.
    pub longest_wait: Option<Duration>,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            mode: Mode::Create,
            durability: Durability::Interval(Duration::from_secs(1)),
            max_queued_bytes: 64 << 20,
            visible: Duration::from_secs(10),
            columns: Vec::new(),
            metadata: BTreeMap::new(),
            part: None,
            alias: false,
            patience: None,
            longest_wait: None,
        }
    }
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
