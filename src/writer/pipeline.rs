//! The background task of a writer: takes batches from the queue, writes them, makes
//! checkpoints, and has what these leave merged.

use std::future::pending;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep_until;

use crate::error::{Error, Result};
use crate::runtime;
use crate::writer::data_file::Finished;
use crate::writer::merges::Merges;
use crate::writer::queue::{Message, Queue};
use crate::writer::table::Table;
use crate::writer::{CommitInfo, Durability};

/// The part of an interval after which a checkpoint begins; the rest is for its commit.
const CHECKPOINT_BEGINS: f64 = 0.75;
/// The same while a file is about to be full: one that is need not be merged later.
const CHECKPOINT_OF_NEARLY_FULL: f64 = 0.9;
const NEARLY_FULL: f64 = 0.75;

pub fn start(table: Table, durability: Durability, queue: &Arc<Queue>) -> Result<()> {
    let mut fuse = Fuse { receiver: queue.receiver()?, queue: queue.clone() };
    // A thread of its own, because it waits for the disk.
    runtime::run_on_thread("rds-writer", async move || {
        let queue = fuse.queue.clone();
        let merges = Merges::default();
        let last_checkpoint = Instant::now();
        let pipeline =
            Pipeline { table, durability, oldest: None, last_checkpoint, queue: &queue, merges };
        if let Err(error) = pipeline.run(&mut fuse.receiver).await {
            queue.fail(error);
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
    last_checkpoint: Instant,
    queue: &'a Queue,
    merges: Merges,
}

enum Event {
    Message(Message),
    CheckpointDue,
    Merged(Result<Finished>),
}

impl Pipeline<'_> {
    /// Runs until closed, or until something fails.
    async fn run(mut self, receiver: &mut UnboundedReceiver<Message>) -> Result<()> {
        loop {
            match self.next(receiver).await {
                // Not while the queue is there, which holds a sender.
                None => return Ok(()),
                Some(Event::CheckpointDue) => drop(self.checkpoint().await?),
                Some(Event::Merged(result)) => {
                    self.merges.take_in(result, &mut self.table, self.queue).await;
                }
                Some(Event::Message(Message::Close { flush, reply })) => {
                    let result =
                        if flush { self.checkpoint().await } else { Ok(self.table.info()) };
                    // Before the answer: what a dropped writer was at is gone when it comes.
                    drop(self);
                    let _ = reply.send(result);
                    return Ok(());
                }
                Some(Event::Message(message)) => self.handle(message).await?,
            }
            self.merges.go_on(&mut self.table, self.queue).await;
        }
    }

    async fn next(&mut self, receiver: &mut UnboundedReceiver<Message>) -> Option<Event> {
        let deadline = self.deadline();
        let due = async {
            match deadline {
                Some(deadline) => sleep_until(deadline.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            message = receiver.recv() => message.map(Event::Message),
            () = due => Some(Event::CheckpointDue),
            result = self.merges.result() => Some(Event::Merged(result)),
        }
    }

    async fn handle(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Batch { layout, batch, bytes, accepted } => {
                let written = match self.queue.is_aborted() {
                    true => Ok(false),
                    false => self.table.write(&layout, &batch).await,
                };
                let rows = batch.num_rows();
                // The memory goes before the room is given to others.
                drop(batch);
                self.queue.release(rows, bytes);
                self.oldest.get_or_insert(accepted);
                let full = written? && matches!(self.durability, Durability::Interval(_));
                // A queue that is never empty must not keep the clock from being looked at.
                if full || self.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
                    self.checkpoint().await?;
                }
            }
            Message::Checkpoint(reply) => {
                let result = self.checkpoint().await;
                self.answer(&reply, result)?;
            }
            Message::Commit(request) => match self.checkpoint().await {
                Ok(_) => self.merges.finish_for(request),
                Err(error) => self.answer(&request.reply, Err(error))?,
            },
            Message::CancelCommit => self.merges.drop_cancelled(self.queue).await,
            Message::Stage { layout, reply } => {
                let result = self.table.stage(layout.as_deref()).await;
                self.answer(&reply, result)?;
            }
            // Ends the loop.
            Message::Close { .. } => {}
        }
        Ok(())
    }

    /// When the next checkpoint must begin, to be done when the oldest row is an interval old. If the disk
    /// is behind that much, every row is late when it is written: even then checkpoints are as far apart.
    fn deadline(&self) -> Option<Instant> {
        match self.durability {
            Durability::Interval(interval) => self.oldest.and_then(|oldest| {
                let since = oldest.max(self.last_checkpoint);
                let part = match self.table.fullness() {
                    NEARLY_FULL.. => CHECKPOINT_OF_NEARLY_FULL,
                    _ => CHECKPOINT_BEGINS,
                };
                since.checked_add(interval.mul_f64(part))
            }),
            Durability::Batch | Durability::Commit => None,
        }
    }

    async fn checkpoint(&mut self) -> Result<CommitInfo> {
        let before = self.table.version();
        let info = self.table.checkpoint().await?;
        self.oldest = None;
        self.last_checkpoint = Instant::now();
        self.queue.set_durable(&info, info.version != before);
        Ok(info)
    }

    /// Tells the caller; what failed is told to all that come after it too.
    fn answer<T>(&self, reply: &SyncSender<Result<T>>, result: Result<T>) -> Result<()> {
        let failure = result.as_ref().err().cloned();
        if let Some(failure) = &failure {
            self.queue.fail(failure.clone());
        }
        // A caller that was cancelled no longer listens.
        let _ = reply.send(result);
        failure.map_or(Ok(()), Err)
    }
}
