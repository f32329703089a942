//! What stands between the threads that write and the task that stores: a queue bounded in bytes,
//! and the failure of the task, once there is one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::{Array, RecordBatch};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::error::{Error, Result};
use crate::tensor::ID_COLUMN;
use crate::writer::CommitInfo;
use crate::writer::batch::Layout;

/// How often a waiting call tells its caller how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// What the task is asked to do, in the order asked.
pub enum Message {
    Batch {
        layout: Arc<Layout>,
        batch: RecordBatch,
        bytes: usize,
        accepted: Instant,
    },
    Checkpoint(Reply),
    /// `flush`: what is not durable yet is made so, else dropped.
    Close {
        flush: bool,
        reply: Reply,
    },
}

pub type Reply = SyncSender<Result<CommitInfo>>;

struct State {
    /// Bytes of batches that the task has not taken in yet.
    queued: usize,
    /// Asked to end: nothing more is accepted.
    closed: bool,
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
    accepted_rows: AtomicU64,
    durable_rows: AtomicU64,
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
        Self {
            max_bytes,
            sender,
            state: Mutex::new(State {
                queued: 0,
                closed: false,
                failure: None,
                receiver: Some(receiver),
            }),
            room: Condvar::new(),
            accepted_rows: AtomicU64::new(0),
            durable_rows: AtomicU64::new(0),
        }
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
        let bytes = batch.num_rows() * layout.spec.row_bytes() + ids;
        let rows = batch.num_rows() as u64;
        let mut state = self.state();
        while state.refusal().is_ok() && state.queued != 0 && state.queued + bytes > self.max_bytes
        {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.refusal()?;
        state.queued += bytes;
        self.accepted_rows.fetch_add(rows, Ordering::Relaxed);
        // Sent under the lock: after a failure nothing is put into the queue.
        self.send(Message::Batch { layout, batch, bytes, accepted: Instant::now() })
    }

    /// Waits until everything put in before is durable.
    pub fn checkpoint(&self, progress: &mut dyn FnMut(u64, u64) -> bool) -> Result<CommitInfo> {
        let (reply, answer) = sync_channel(1);
        self.send_unless_failed(Message::Checkpoint(reply))?;
        loop {
            let total = self.accepted_rows.load(Ordering::Relaxed);
            if !progress(self.durable_rows.load(Ordering::Relaxed), total) {
                return Err(Error::cancelled("the progress callback asked to stop"));
            }
            match answer.recv_timeout(PROGRESS_INTERVAL) {
                Ok(result) => {
                    let info = result?;
                    // The last word is that everything is done; too late to stop.
                    progress(info.rows, info.rows);
                    return Ok(info);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(self.failure()),
            }
        }
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
        self.room.notify_all();
        Ok(answer)
    }

    /// Ends the task.
    pub fn close(&self, flush: bool) -> Result<()> {
        let answer = self.start_close(flush)?;
        answer.recv().unwrap_or_else(|_| Err(self.failure())).map(drop)
    }

    fn send_unless_failed(&self, message: Message) -> Result<()> {
        let state = self.state();
        state.refusal()?;
        self.send(message)
    }

    fn send(&self, message: Message) -> Result<()> {
        self.sender.send(message).map_err(|_| Error::internal("the background task is gone"))
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
    pub fn release(&self, bytes: usize) {
        self.state().queued -= bytes;
        self.room.notify_all();
    }

    pub fn set_durable_rows(&self, rows: u64) {
        self.durable_rows.store(rows, Ordering::Relaxed);
    }

    /// Nothing more is accepted; the first failure is the one reported.
    pub fn fail(&self, error: Error) {
        self.state().failure.get_or_insert(error);
        self.room.notify_all();
    }
}
