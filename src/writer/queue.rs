//! What stands between the threads that write and the one that stores: a queue bounded in bytes, in which
//! callers take turns in the order they came, and what became of what was put in.

mod task;

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result, Status};
use crate::patience::{Patience, Wait};
use crate::writer::batch::{BLOCK_BYTES, Batch};
use crate::writer::layout::Layout;
use crate::writer::messages::{CommitRequest, Ending, Message, Waiting, WriteStats};
use crate::writer::{CommitInfo, CommitScope};

/// How often a waiting call tells its caller how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(25);

/// Rows that nobody waits for are left until there are so many bytes of them, or for a while: to wake the task for each
/// small batch takes longer than to write it.
const ENOUGH_BYTES: usize = 1 << 20;

thread_local! {
    /// The queue whose task this thread is at.
    static AT: Cell<usize> = const { Cell::new(0) };
}

/// A thread is at the task of a queue. What is done there may call back into the program, which must not wait for it.
pub struct AtWork {
    before: usize,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT.set(self.before);
    }
}

/// What the task was told of rows that nobody waits for, since it took what there was.
#[derive(Clone, Copy, Default, PartialEq, PartialOrd)]
enum Told {
    #[default]
    Nothing,
    Some,
    Enough,
}

#[derive(Default)]
struct State {
    stats: WriteStats,
    messages: VecDeque<Message>,
    told: Told,
    /// Bytes of batches that the task has not written yet, ids included.
    queued: usize,
    /// Calls that wait for room, in the order they came.
    waiting: VecDeque<u64>,
    tickets: u64,
    /// How many calls wait for durable rows.
    waiting_durable: usize,
    /// Asked to end: nothing more is accepted.
    closed: bool,
    /// What is queued is not wanted any more.
    aborted: bool,
    /// Until when the task waits for something to do.
    deadline: Option<Instant>,
    /// Why the task ended, if it failed.
    failure: Option<Error>,
    /// The task has ended as it was asked to.
    ended: bool,
}

pub struct Queue {
    max_bytes: usize,
    /// What calls that wait ask; none wait however long it takes.
    patience: Option<Arc<dyn Patience>>,
    /// How long a call waits for room at most.
    longest: Option<Duration>,
    /// How long rows wait for more.
    linger: Duration,
    state: Mutex<State>,
    /// Told when bytes leave the queue, and when the task ends.
    room: Condvar,
    /// Told when rows become durable, and when the task ends.
    durable: Condvar,
    /// Told when there is something to do.
    work: Condvar,
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
    /// From when on there is something to do for the task; none, if nothing is there.
    fn due(&self, state: &State) -> Option<Instant> {
        let (mut due, now) = (None, Instant::now());
        for message in &state.messages {
            let at = match message {
                Message::Rows { accepted, .. } if !self.is_enough(state) => *accepted + self.linger,
                _ => return Some(now),
            };
            due = due.or(Some(at));
        }
        due
    }

    fn is_enough(&self, state: &State) -> bool {
        state.queued >= ENOUGH_BYTES.min(self.max_bytes / 4) || !state.waiting.is_empty()
    }

    pub fn new(
        max_bytes: usize,
        patience: Option<Arc<dyn Patience>>,
        longest: Option<Duration>,
        linger: Duration,
    ) -> Self {
        Self {
            max_bytes,
            patience,
            longest,
            linger,
            state: Mutex::default(),
            room: Condvar::new(),
            durable: Condvar::new(),
            work: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    pub fn at_work(&self) -> AtWork {
        AtWork { before: AT.replace(self.address()) }
    }

    /// Calls that wait for the task must not be made by it.
    fn refuse_at_work(&self) -> Result<()> {
        match AT.get() == self.address() {
            false => Ok(()),
            true => Err(Error::invalid_state(
                "called by a release callback of a batch of this writer, as it is written: the call would wait for itself",
            )),
        }
    }

    fn tell_all(&self) {
        self.room.notify_all();
        self.durable.notify_all();
    }

    /// Puts a batch into the queue; waits while that is full. A batch larger than the whole queue waits until
    /// it is alone. Returns how many rows were accepted up to its last; of a wait that is ended, nothing is
    /// accepted.
    pub fn push(&self, layout: Arc<Layout>, batch: Batch) -> Result<u64> {
        let bytes = batch.memory();
        if self.linger.is_zero() {
            // The caller waits until it is durable.
            self.refuse_at_work()?;
        }
        let mut state = self.state();
        let is_full = |state: &State| state.queued != 0 && state.queued + bytes > self.max_bytes;
        if !state.waiting.is_empty() || is_full(&state) {
            self.refuse_at_work()?;
            let since = Instant::now();
            let ticket = state.tickets;
            state.tickets += 1;
            state.waiting.push_back(ticket);
            self.work.notify_one();
            let mut wait = self.wait_of_caller().at_most(self.longest);
            let mut lasts = Ok(());
            while lasts.is_ok()
                && state.refusal().is_ok()
                && (state.waiting.front() != Some(&ticket) || is_full(&state))
            {
                (state, lasts) = wait.until_told(&self.room, || self.state(), state);
            }
            state.waiting.retain(|waiting| *waiting != ticket);
            state.stats.blocked += since.elapsed();
            // The next one in turn may go on.
            self.room.notify_all();
            lasts.map_err(|ended: Error| {
                let (queued, most) = (state.queued, self.max_bytes);
                Error::no_room(format!(
                    "{}: {queued} of {most} bytes are queued, the batch has {bytes}; nothing of it is accepted",
                    ended.message
                ))
            })?;
        }
        state.refusal()?;
        state.queued += bytes;
        state.stats.accepted_rows += batch.rows as u64;
        state.stats.accepted_bytes += (batch.rows * layout.row_bytes()) as u64;
        state.stats.queued_rows += batch.rows as u64;
        match state.messages.back_mut() {
            Some(Message::Rows { rows, .. }) if rows.memory() + bytes <= BLOCK_BYTES => {
                rows.append(&batch);
            }
            _ => {
                let (rows, accepted) = (Waiting::Batch(batch), Instant::now());
                state.messages.push_back(Message::Rows { layout, rows, accepted });
            }
        }
        Ok(state.stats.accepted_rows)
    }

    /// Whether this thread is asked by a call right now.
    pub fn is_asking(&self) -> bool {
        self.patience.as_ref().is_some_and(|patience| patience.is_asking())
    }

    /// Whether calls of this thread ask as they wait.
    pub fn asks(&self) -> bool {
        self.patience.as_ref().is_some_and(|patience| patience.applies())
    }

    /// There is something to do.
    pub fn wake(&self) {
        let _state = self.state();
        self.work.notify_one();
    }

    /// There are rows that nobody waits for.
    pub fn wake_in_time(&self) {
        let mut state = self.state();
        let tell = if self.is_enough(&state) { Told::Enough } else { Told::Some };
        if state.told < tell {
            state.told = tell;
            self.work.notify_one();
        }
    }

    /// Waits until so many rows of the writer are durable. They become so too if the wait is ended.
    pub fn wait_durable(&self, rows: u64) -> Result<()> {
        let mut state = self.state();
        let mut wait = self.wait_of_caller();
        while state.stats.durable_rows < rows {
            match &state.failure {
                Some(failure) => return Err(failure.clone()),
                None if state.aborted || state.ended => {
                    return Err(Error::invalid_state("the writer is closed"));
                }
                None => {
                    state.waiting_durable += 1;
                    let lasts;
                    (state, lasts) = wait.until_told(&self.durable, || self.state(), state);
                    state.waiting_durable -= 1;
                    lasts?;
                }
            }
        }
        Ok(())
    }

    /// Waits until everything put in before is durable and visible.
    pub fn flush(&self) -> Result<CommitInfo> {
        let (reply, answer) = sync_channel(1);
        self.send(Message::Flush(reply))?;
        self.wait_for(&answer)
    }

    /// As `flush`, and for merging too.
    pub fn commit(
        &self,
        scope: CommitScope,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<CommitInfo> {
        let (reply, answer) = sync_channel(1);
        let cancelled = Arc::new(AtomicBool::new(false));
        self.send(Message::Commit(CommitRequest { scope, reply, cancelled: cancelled.clone() }))?;
        let mut last = 0;
        let mut wait = self.wait_of_caller();
        loop {
            let (done, total) = self.progress();
            last = total.max(last);
            let asked = match progress(done, last) {
                true => wait.ask_if_due(),
                false => Err(Error::cancelled("the progress callback asked to stop")),
            };
            if asked.is_err() {
                cancelled.store(true, Ordering::Relaxed);
                asked?;
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
        let stats = &state.stats;
        (stats.durable_rows + stats.merged_rows, stats.accepted_rows + stats.to_merge_rows)
    }

    /// Asks for a token for what was written since the last one.
    pub fn start_stage(&self) -> Result<Receiver<Result<Vec<u8>>>> {
        let (reply, answer) = sync_channel(1);
        self.send(Message::Stage(reply))?;
        Ok(answer)
    }

    /// Asks the task to end, once. Nothing is accepted from here on: what would come after the last message
    /// would be lost.
    pub fn start_close(&self, ending: Ending) -> Result<Receiver<Result<CommitInfo>>> {
        let (reply, answer) = sync_channel(1);
        let mut state = self.state();
        // A task that failed has its failure to tell, to the one that closes too.
        state.refusal()?;
        state.messages.push_back(Message::Close { ending, reply });
        state.closed = true;
        state.aborted = ending != Ending::Flush;
        self.tell_all();
        self.work.notify_one();
        Ok(answer)
    }

    /// Ends the task, which goes on with that if the wait is ended.
    pub fn close(&self, ending: Ending) -> Result<()> {
        let answer = self.start_close(ending)?;
        self.refuse_at_work().map_err(|_| {
            Error::cancelled(
                "called by a release callback of a batch of this writer, as it is written: the writer is closed \
                 behind it, and the call does not wait for that",
            )
        })?;
        self.wait_for(&answer).map(drop)
    }

    pub fn stats(&self) -> WriteStats {
        let state = self.state();
        WriteStats { queued_bytes: state.queued as u64, ..state.stats.clone() }
    }

    fn send(&self, message: Message) -> Result<()> {
        self.refuse_at_work()?;
        let mut state = self.state();
        state.refusal()?;
        state.messages.push_back(message);
        self.work.notify_one();
        Ok(())
    }

    pub fn wait_for<T>(&self, answer: &Receiver<Result<T>>) -> Result<T> {
        let mut wait = self.wait_of_caller();
        loop {
            let received = match wait.left() {
                None => answer.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(left) => answer.recv_timeout(left),
            };
            match received {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) => wait.ask_if_due()?,
                Err(RecvTimeoutError::Disconnected) => return Err(self.failure()),
            }
        }
    }

    /// A wait of the calling thread that begins.
    fn wait_of_caller(&self) -> Wait<'_> {
        Wait::new(self.patience.as_deref())
    }

    /// Why the task ended without an answer.
    fn failure(&self) -> Error {
        let mut state = self.state();
        loop {
            match &state.failure {
                Some(failure) => return failure.clone(),
                None if state.ended => {
                    return Error::invalid_state("the writer was closed meanwhile");
                }
                // A panic drops what it holds of ours a moment before it is told here.
                None => state = self.durable.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// What ends a writer, by a status that says so: of some a caller would think that only its batch was refused.
pub fn of_writer(error: Error) -> Error {
    match error.status {
        Status::RDS_ERR_SCHEMA_MISMATCH | Status::RDS_ERR_NOT_SUPPORTED => {
            Error::commit_conflict(&error.message)
        }
        _ => error,
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
