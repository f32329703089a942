//! What callers ask of the task of a writer, and what it tells them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::writer::batch::{Batch, Block};
use crate::writer::layout::Layout;
use crate::writer::{CommitInfo, CommitScope};

/// What the task is asked to do, in the order asked.
pub enum Message {
    Rows {
        layout: Arc<Layout>,
        rows: Waiting,
        accepted: Instant,
    },
    /// Everything before becomes durable and visible.
    Flush(Reply),
    /// As `Flush`, and small files are merged.
    Commit(CommitRequest),
    /// A token for what no token names yet.
    Stage(SyncSender<Result<Vec<u8>>>),
    Close {
        ending: Ending,
        reply: Reply,
    },
}

/// What becomes of rows that no version shows when a writer ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    /// They are made durable and visible.
    Flush,
    /// They are dropped; what is visible is left in few files.
    Drop,
    /// Those that are not durable are dropped, and nothing else is done.
    Abort,
}

/// Rows that wait, alone or together with others.
pub enum Waiting {
    Batch(Batch),
    Block(Block),
}

impl Waiting {
    pub fn memory(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.memory(),
            Self::Block(block) => block.memory(),
        }
    }

    pub fn append(&mut self, more: &Batch) {
        match self {
            Self::Block(block) => block.append(more),
            Self::Batch(batch) => {
                let mut block = Block::new(batch);
                block.append(batch);
                block.append(more);
                *self = Self::Block(block);
            }
        }
    }

    pub fn into_batch(self) -> Batch {
        match self {
            Self::Batch(batch) => batch,
            Self::Block(block) => block.into_batch(),
        }
    }
}

pub type Reply = SyncSender<Result<CommitInfo>>;

pub struct CommitRequest {
    pub scope: CommitScope,
    pub reply: Reply,
    pub cancelled: Arc<AtomicBool>,
}

impl CommitRequest {
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// How a writer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriterState {
    #[default]
    Running,
    /// Something fails that may pass: what is accepted is kept, and tried again.
    Retrying,
    /// Nothing more is accepted.
    Failed,
}

/// What a writer has done so far.
#[derive(Clone, Debug, Default)]
pub struct WriteStats {
    pub accepted_rows: u64,
    /// Of tensors, as in the caller's memory.
    pub accepted_bytes: u64,
    pub durable_rows: u64,
    pub durable_bytes: u64,
    pub visible_rows: u64,
    /// Accepted, and still waiting to be written.
    pub queued_rows: u64,
    /// Of tensors and ids: what `max_queued_bytes` bounds.
    pub queued_bytes: u64,
    /// Syncs that made rows durable.
    pub checkpoints: u64,
    /// Versions made.
    pub versions: u64,
    /// How long calls waited because the queue was full.
    pub blocked: Duration,
    /// Rows that the merges under way have done, and have to do.
    pub merged_rows: u64,
    pub to_merge_rows: u64,
    pub state: WriterState,
    /// Why it retries or has failed.
    pub failure: Option<Error>,
}
