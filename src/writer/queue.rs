//! What stands between the threads that write and the task that stores: a queue bounded in bytes,
//! and the failure of the task, once there is one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::{Array, RecordBatch};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::error::{Error, Result};
use crate::tensor::ID_COLUMN;
use crate::writer::batch::Layout;
use crate::writer::{CommitInfo, CommitScope};

/// How often a waiting call tells its caller how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(25);

/// What the task is asked to do, in the order asked.
pub enum Message {
    Batch {
        layout: Arc<Layout>,
        batch: RecordBatch,
        bytes: usize,
        accepted: Instant,
    },
    Checkpoint(Reply),
    /// A checkpoint, and the last merges.
    Commit(CommitRequest),
    /// Somebody has stopped waiting for a commit.
    CancelCommit,
    /// A token for what is not committed; `layout` is what it looks like, if there was anything.
    Stage {
        layout: Option<Arc<Layout>>,
        reply: SyncSender<Result<Vec<u8>>>,
    },
    /// `flush`: what is not durable yet is made so, else dropped.
    Close {
        flush: bool,
        reply: Reply,
    },
}

pub type Reply = SyncSender<Result<CommitInfo>>;

pub struct CommitRequest {
    pub scope: CommitScope,
    pub reply: Reply,
    cancelled: Arc<AtomicBool>,
}

impl CommitRequest {
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// What a writer has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteStats {
    pub accepted_rows: u64,
    /// Of tensors, as in the caller's memory.
    pub accepted_bytes: u64,
    pub durable_rows: u64,
    pub durable_bytes: u64,
    /// Accepted, and still waiting to be encoded.
    pub queued_rows: u64,
    /// Of tensors and ids: what `max_queued_bytes` bounds.
    pub queued_bytes: u64,
    pub checkpoints: u64,
    /// How long calls waited because the queue was full.
    pub blocked: Duration,
}

#[derive(Default)]
struct State {
    stats: WriteStats,
    /// Bytes of batches that the task has not taken in yet, ids included.
    queued: usize,
    /// Rows that the last merges of a commit have done, and have to do.
    merged: u64,
    to_merge: u64,
    /// Asked to end: nothing more is accepted.
    closed: bool,
    /// What is queued is not wanted any more.
    aborted: bool,
    /// Why the task ended; it sets one whatever ends it.
    failure: Option<Error>,
    /// Taken by the task.
    receiver: Option<UnboundedReceiver<Message>>,
}

pub struct Queue {
    max_bytes: usize,
    sender: UnboundedSender<Message>,
    state: Mutex<State>,
    /// Told when bytes leave the queue, and when the task fails.
    room: Condvar,
}

impl State {
    /// Why nothing more is accepted, if so.
    fn refusal(&self) -> Result<()> {
        match &self.failure {
            _ if self.closed => Err(Error::invalid_state("the writer is closed")),
            Some(failure) => Err(failure.clone()),
            None => Ok(()),
        }
    }
}

impl Queue {
    pub fn new(max_bytes: usize) -> Self {
        let (sender, receiver) = unbounded_channel();
        let state = State { receiver: Some(receiver), ..State::default() };
        Self { max_bytes, sender, state: Mutex::new(state), room: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a batch into the queue; waits while that is full. A batch larger than the whole queue
    /// waits until it is alone.
    pub fn push(&self, layout: Arc<Layout>, batch: RecordBatch) -> Result<()> {
        let ids = batch.column_by_name(ID_COLUMN).map(|ids| ids.to_data().get_slice_memory_size());
        let ids = ids.transpose()?.unwrap_or(0);
        let tensors = batch.num_rows() * layout.spec.row_bytes();
        let (rows, bytes) = (batch.num_rows() as u64, tensors + ids);
        let accepted = Instant::now();
        let mut state = self.state();
        let is_full = |state: &State| state.queued != 0 && state.queued + bytes > self.max_bytes;
        if is_full(&state) {
            while state.refusal().is_ok() && is_full(&state) {
                state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.stats.blocked += accepted.elapsed();
        }
        state.refusal()?;
        state.queued += bytes;
        state.stats.accepted_rows += rows;
        state.stats.accepted_bytes += tensors as u64;
        state.stats.queued_rows += rows;
        // Sent under the lock: after a failure nothing is put into the queue.
        self.send(Message::Batch { layout, batch, bytes, accepted: Instant::now() })
    }

    /// Waits until everything put in before is durable.
    pub fn checkpoint(&self) -> Result<CommitInfo> {
        let (reply, answer) = sync_channel(1);
        self.send_unless_failed(Message::Checkpoint(reply))?;
        self.wait_for(&answer)
    }

    /// As `checkpoint`, and for the last merges too.
    pub fn commit(
        &self,
        scope: CommitScope,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<CommitInfo> {
        let (reply, answer) = sync_channel(1);
        let cancelled = Arc::new(AtomicBool::new(false));
        let request = CommitRequest { scope, reply, cancelled: cancelled.clone() };
        self.send_unless_failed(Message::Commit(request))?;
        let mut last = 0;
        loop {
            let (done, total) = self.progress();
            last = total.max(last);
            if !progress(done, last) {
                cancelled.store(true, Ordering::Relaxed);
                // If the task has failed there is nothing to cancel.
                let _ = self.send_unless_failed(Message::CancelCommit);
                return Err(Error::cancelled("the progress callback asked to stop"));
            }
            match answer.recv_timeout(PROGRESS_INTERVAL) {
                Ok(result) => {
                    let info = result?;
                    // The last word is that everything is done; too late to stop.
                    progress(last.max(info.rows), last.max(info.rows));
                    return Ok(info);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(self.failure()),
            }
        }
    }

    fn progress(&self) -> (u64, u64) {
        let state = self.state();
        let (durable, accepted) = (state.stats.durable_rows, state.stats.accepted_rows);
        (durable + state.merged, accepted + state.to_merge)
    }

    /// A token for what is not committed.
    pub fn stage(&self, layout: Option<Arc<Layout>>) -> Result<Vec<u8>> {
        let (reply, answer) = sync_channel(1);
        self.send_unless_failed(Message::Stage { layout, reply })?;
        self.wait_for(&answer)
    }

    /// Asks the task to end, once. Nothing is accepted from here on: what would come after the last
    /// message would be lost.
    pub fn start_close(&self, flush: bool) -> Result<Receiver<Result<CommitInfo>>> {
        let (reply, answer) = sync_channel(1);
        let mut state = self.state();
        // A task that failed has its failure to tell, to the one that closes too.
        state.refusal()?;
        self.send(Message::Close { flush, reply })?;
        state.closed = true;
        state.aborted = !flush;
        self.room.notify_all();
        Ok(answer)
    }

    /// Ends the task.
    pub fn close(&self, flush: bool) -> Result<()> {
        self.wait_for(&self.start_close(flush)?).map(drop)
    }

    pub fn stats(&self) -> WriteStats {
        let state = self.state();
        WriteStats { queued_bytes: state.queued as u64, ..state.stats }
    }

    fn send_unless_failed(&self, message: Message) -> Result<()> {
        let state = self.state();
        state.refusal()?;
        self.send(message)
    }

    fn send(&self, message: Message) -> Result<()> {
        self.sender.send(message).map_err(|_| Error::internal("the background task is gone"))
    }

    fn wait_for<T>(&self, answer: &Receiver<Result<T>>) -> Result<T> {
        answer.recv().unwrap_or_else(|_| Err(self.failure()))
    }

    /// Why the task ended without an answer.
    fn failure(&self) -> Error {
        let mut state = self.state();
        loop {
            match &state.failure {
                Some(failure) => return failure.clone(),
                // A panic drops what it holds of ours a moment before it is told here.
                None => state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    // The side of the task.

    pub fn receiver(&self) -> Result<UnboundedReceiver<Message>> {
        let receiver = self.state().receiver.take();
        receiver.ok_or_else(|| Error::internal("the queue has its task already"))
    }

    /// The task has taken a batch in: others may follow.
    pub fn release(&self, rows: usize, bytes: usize) {
        let mut state = self.state();
        state.queued -= bytes;
        state.stats.queued_rows -= rows as u64;
        self.room.notify_all();
    }

    pub fn is_aborted(&self) -> bool {
        self.state().aborted
    }

    /// After a checkpoint, which has made a commit or found nothing new.
    pub fn set_durable(&self, info: &CommitInfo, committed: bool) {
        let stats = &mut self.state().stats;
        stats.durable_rows = info.rows;
        stats.durable_bytes = info.tensor_bytes;
        stats.checkpoints += u64::from(committed);
    }

    /// A commit begins to merge so many rows; none, when it is done.
    pub fn set_to_merge(&self, rows: u64) {
        let mut state = self.state();
        (state.merged, state.to_merge) = (0, rows);
    }

    pub fn add_merged(&self, rows: u64) {
        self.state().merged += rows;
    }

    /// Nothing more is accepted; the first failure is the one reported.
    pub fn fail(&self, error: Error) {
        self.state().failure.get_or_insert(error);
        self.room.notify_all();
    }
}
