//! The background task of a writer: takes batches from the queue, encodes and writes them, and makes
//! checkpoints.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout_at;

use crate::error::{Error, Result};
use crate::runtime;
use crate::writer::queue::{Message, Queue};
use crate::writer::table::Table;
use crate::writer::{CommitInfo, Durability};

/// The part of an interval after which a checkpoint begins; the rest is for its commit.
const CHECKPOINT_BEGINS: f64 = 0.75;

pub fn start(table: Table, durability: Durability, queue: &Arc<Queue>) -> Result<()> {
    let mut fuse = Fuse { receiver: queue.receiver()?, queue: queue.clone() };
    runtime::spawn(async move {
        let pipeline = Pipeline { table, durability, oldest: None, queue: &fuse.queue };
        if let Err(error) = pipeline.run(&mut fuse.receiver).await {
            fuse.queue.fail(error);
        }
    })
}

/// Whatever ends the task, a panic too, the callers that wait for it must learn why before their
/// messages are dropped with the receiver.
struct Fuse {
    queue: Arc<Queue>,
    receiver: UnboundedReceiver<Message>,
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.queue.fail(Error::panic("the background task of the writer ended by a panic"));
    }
}

struct Pipeline<'a> {
    table: Table,
    durability: Durability,
    /// When the oldest row that is not durable was accepted.
    oldest: Option<Instant>,
    queue: &'a Queue,
}

impl Pipeline<'_> {
    /// Runs until closed, or until something fails.
    async fn run(mut self, receiver: &mut UnboundedReceiver<Message>) -> Result<()> {
        loop {
            let message = match self.deadline() {
                None => receiver.recv().await,
                Some(deadline) => match timeout_at(deadline.into(), receiver.recv()).await {
                    Ok(message) => message,
                    Err(_elapsed) => {
                        self.checkpoint().await?;
                        continue;
                    }
                },
            };
            match message {
                // Not while the queue is there, which holds a sender.
                None => return Ok(()),
                Some(Message::Batch { layout, batch, bytes, accepted }) => {
                    let written = self.table.write(&layout, &batch).await;
                    // The memory goes before the room is given to others.
                    drop(batch);
                    self.queue.release(bytes);
                    written?;
                    self.oldest.get_or_insert(accepted);
                    // A queue that is never empty must not keep the clock from being looked at.
                    if self.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
                        self.checkpoint().await?;
                    }
                }
                Some(Message::Checkpoint(reply)) => {
                    let result = self.checkpoint().await;
                    let failure = result.as_ref().err().cloned();
                    if let Some(failure) = &failure {
                        self.queue.fail(failure.clone());
                    }
                    // A caller that was cancelled no longer listens.
                    let _ = reply.send(result);
                    if let Some(failure) = failure {
                        return Err(failure);
                    }
                }
                Some(Message::Close { flush, reply }) => {
                    let _ = reply.send(self.finish(flush).await);
                    return Ok(());
                }
            }
        }
    }

    /// When the next checkpoint must begin, to be done when the oldest row is an interval old.
    fn deadline(&self) -> Option<Instant> {
        match self.durability {
            Durability::Interval(interval) => self
                .oldest
                .and_then(|oldest| oldest.checked_add(interval.mul_f64(CHECKPOINT_BEGINS))),
            Durability::Batch | Durability::Commit => None,
        }
    }

    async fn checkpoint(&mut self) -> Result<CommitInfo> {
        let info = self.table.checkpoint().await?;
        self.oldest = None;
        self.queue.set_durable_rows(info.rows);
        Ok(info)
    }

    async fn finish(mut self, flush: bool) -> Result<CommitInfo> {
        if flush {
            return self.checkpoint().await;
        }
        self.table.discard().await;
        Ok(CommitInfo::default())
    }
}
