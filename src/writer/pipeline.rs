//! The background task of a writer: takes batches from the queue, stores them, makes checkpoints and
//! versions, and tries again what fails and may pass.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::writer::batch::Batch;
use crate::writer::layout::Layout;
use crate::writer::merge::{Thoroughness, merge};
use crate::writer::messages::{CommitRequest, Ending, Message};
use crate::writer::queue::{Queue, of_writer};
use crate::writer::run::HEARTBEAT;
use crate::writer::store::Store;
use crate::writer::{CommitInfo, CommitScope, Durability, Mode, staging};

/// The part of an interval after which a checkpoint begins; the rest is for its syncs.
const CHECKPOINT_BEGINS: f64 = 0.75;

/// The longest time between two versions of a run that writes.
const LONGEST_HIDDEN: Duration = Duration::from_secs(600);

/// Pauses before something that failed is tried again.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long closing tries what fails and may pass.
const CLOSING: Duration = Duration::from_secs(5);

/// How much of what waits is written at once, if it is there: a call of the system for each small batch takes longer
/// than its bytes.
const AT_ONCE: usize = 4 << 20;

/// Adds the batches that come next, as far as they are written together.
fn take_more(batches: &mut VecDeque<Batch>, work: &mut VecDeque<Message>) {
    let mut bytes: usize = batches.iter().map(Batch::memory).sum();
    while bytes < AT_ONCE
        && let Some(Message::Rows { .. }) = work.front()
        && let Some(Message::Rows { rows, .. }) = work.pop_front()
    {
        let batch = rows.into_batch();
        bytes += batch.memory();
        batches.push_back(batch);
    }
}

pub struct Timing {
    pub durability: Durability,
    /// The shortest time between two versions that nobody asked for.
    pub visible: Duration,
}

/// The task of a writer: a thread does what is asked for and what is due. A caller that waits for its rows to be
/// durable does it itself if nobody is at it, which saves two changes of threads.
pub struct Task {
    queue: Arc<Queue>,
    /// None once the task has ended.
    pipeline: Mutex<Option<Pipeline>>,
}

pub fn start(store: Store, timing: Timing, queue: &Arc<Queue>) -> Result<Arc<Task>> {
    let now = Instant::now();
    let pipeline = Pipeline {
        store,
        timing,
        queue: queue.clone(),
        oldest: None,
        begun: now,
        last_checkpoint: now,
        last_version: now,
        last_heartbeat: now,
    };
    let task = Arc::new(Task { queue: queue.clone(), pipeline: Mutex::new(Some(pipeline)) });
    let own = task.clone();
    // A thread of its own, because it waits for the disk.
    let thread = std::thread::Builder::new().name("rds-writer".to_string());
    let thread = thread.spawn(move || own.run());
    thread.map_err(|e| Error::from(e).context("cannot start a thread"))?;
    Ok(task)
}

impl Task {
    fn run(&self) {
        let _fuse = Fuse { queue: &self.queue };
        loop {
            let deadline = {
                let mut pipeline = self.pipeline.lock().unwrap_or_else(|poisoned| {
                    // A caller panicked in it: its state is of no use.
                    let mut pipeline = poisoned.into_inner();
                    *pipeline = None;
                    pipeline
                });
                self.step(&mut pipeline);
                let Some(pipeline) = pipeline.as_ref() else { return };
                pipeline.deadline()
            };
            self.queue.wait(deadline);
        }
    }

    /// Does what there is to do, unless somebody is at it.
    pub fn help(&self) {
        let deadline = match self.pipeline.try_lock() {
            Ok(mut pipeline) => {
                let _fuse = Fuse { queue: &self.queue };
                self.step(&mut pipeline);
                pipeline.as_ref().and_then(Pipeline::deadline)
            }
            Err(_) => return self.queue.wake(),
        };
        if self.queue.needs_task(deadline) {
            self.queue.wake();
        }
    }

    /// One round; afterwards there is no pipeline if it has ended.
    fn step(&self, place: &mut Option<Pipeline>) {
        let Some(pipeline) = place.as_mut() else { return };
        let _at_work = self.queue.at_work();
        match pipeline.step() {
            Ok(false) => {}
            Ok(true) => {
                *place = None;
                self.queue.end();
            }
            Err(error) => {
                // What is durable waits for the next writer that appends, or for rds_recover().
                pipeline.store.leave();
                *place = None;
                self.queue.fail(error);
            }
        }
    }
}

/// A panic must not leave callers waiting that nobody will answer.
struct Fuse<'a> {
    queue: &'a Queue,
}

impl Drop for Fuse<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.queue.fail(Error::panic("the background task of the writer ended by a panic"));
        }
    }
}

struct Pipeline {
    store: Store,
    timing: Timing,
    queue: Arc<Queue>,
    /// When the oldest row that is not durable was accepted.
    oldest: Option<Instant>,
    begun: Instant,
    last_checkpoint: Instant,
    last_version: Instant,
    last_heartbeat: Instant,
}

impl Pipeline {
    /// Does what was asked for, and what is due. True, if the writer was closed.
    fn step(&mut self) -> Result<bool> {
        let mut work = self.queue.take();
        while let Some(message) = work.pop_front() {
            if self.handle(message, &mut work)? {
                return Ok(true);
            }
            self.on_time()?;
        }
        if self.timing.durability == Durability::Batch {
            self.checkpoint()?;
        }
        self.on_time()?;
        Ok(false)
    }

    /// True, if that was the last message. `work`: those that come after it.
    fn handle(&mut self, message: Message, work: &mut VecDeque<Message>) -> Result<bool> {
        match message {
            Message::Rows { layout, rows, accepted } => {
                let mut batches = VecDeque::from([rows.into_batch()]);
                if self.timing.durability != Durability::Batch {
                    take_more(&mut batches, work);
                }
                self.write(&layout, batches)?;
                self.oldest.get_or_insert(accepted);
            }
            Message::Flush(reply) => {
                let result = self.publish().map(|()| self.store.info());
                self.answer(&reply, result)?;
            }
            Message::Commit(request) => self.commit(request)?,
            Message::Stage(reply) => {
                let token = self.attempt(staging::stage);
                let info = self.store.info();
                self.queue.set_durable(info.rows, info.tensor_bytes);
                self.answer(&reply, token)?;
            }
            Message::Close { ending, reply } => {
                let result = self.close(ending);
                return self.answer(&reply, result).map(|()| true);
            }
        }
        Ok(false)
    }

    /// Tells the caller; what failed is told to all that come after it too, and to them first.
    fn answer<T>(&self, reply: &SyncSender<Result<T>>, result: Result<T>) -> Result<()> {
        let result = result.map_err(of_writer);
        let failure = result.as_ref().err().cloned();
        if let Some(failure) = &failure {
            self.queue.fail(failure.clone());
        }
        // A caller that was cancelled no longer listens.
        let _ = reply.send(result);
        failure.map_or(Ok(()), Err)
    }

    fn write(&mut self, layout: &Arc<Layout>, mut batches: VecDeque<Batch>) -> Result<()> {
        while !batches.is_empty() && !self.queue.is_aborted() {
            let mut room = self.attempt(|store| store.room(layout))?;
            let mut fitting = Vec::new();
            while room > 0
                && let Some(mut batch) = batches.pop_front()
            {
                if batch.rows > room {
                    batches.push_front(batch.split_off(room, layout));
                }
                room -= batch.rows;
                fitting.push(batch);
            }
            self.attempt(|store| store.append(layout, &fitting))?;
            self.release(fitting);
            self.tell_durable();
        }
        self.release(batches);
        Ok(())
    }

    fn release(&self, batches: impl IntoIterator<Item = Batch>) {
        // The memory goes before the room is given to others.
        let sizes = batches.into_iter().map(|batch| (batch.rows, batch.memory()));
        let add = |sum: (usize, usize), size: (usize, usize)| (sum.0 + size.0, sum.1 + size.1);
        let (rows, bytes) = sizes.fold((0, 0), add);
        self.queue.release(rows, bytes);
    }

    /// What is due.
    fn on_time(&mut self) -> Result<()> {
        let now = Instant::now();
        if self.visible_at().is_some_and(|at| at <= now) {
            self.publish()?;
        }
        if self.checkpoint_at().is_some_and(|at| at <= now) {
            self.checkpoint()?;
        }
        if self.heartbeat_at().is_some_and(|at| at <= now) {
            self.last_heartbeat = now;
            self.attempt(Store::heartbeat)?;
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        [self.visible_at(), self.checkpoint_at(), self.heartbeat_at()].into_iter().flatten().min()
    }

    /// When the next checkpoint must begin, to be done when the oldest row is an interval old. If the disk is
    /// behind that much, every row is late when it is written: even then checkpoints are as far apart.
    fn checkpoint_at(&self) -> Option<Instant> {
        let Durability::Interval(interval) = self.timing.durability else { return None };
        let since = self.oldest?.max(self.last_checkpoint);
        since.checked_add(interval.mul_f64(CHECKPOINT_BEGINS))
    }

    /// When rows become visible that nobody asked to: not oftener than by a tenth of the run's age.
    fn visible_at(&self) -> Option<Instant> {
        if !self.store.has_hidden() || !self.store.shows_by_itself() {
            return None;
        }
        let tenth = self.last_version.saturating_duration_since(self.begun) / 10;
        let hidden = self.timing.visible.max(tenth).min(LONGEST_HIDDEN.max(self.timing.visible));
        self.last_version.checked_add(hidden)
    }

    fn heartbeat_at(&self) -> Option<Instant> {
        self.store.run.as_ref().map(|_| self.last_heartbeat + HEARTBEAT)
    }

    fn checkpoint(&mut self) -> Result<()> {
        self.attempt(Store::checkpoint)?;
        self.oldest = None;
        self.last_checkpoint = Instant::now();
        self.tell_durable();
        Ok(())
    }

    fn tell_durable(&self) {
        let (rows, bytes) = self.store.durable;
        self.queue.set_durable(rows, bytes);
    }

    fn publish(&mut self) -> Result<()> {
        let published = self.attempt(Store::publish)?;
        self.oldest = None;
        self.last_checkpoint = Instant::now();
        self.last_version = Instant::now();
        self.tell_durable();
        if published {
            self.queue.set_visible(self.store.state.published);
        }
        Ok(())
    }

    fn commit(&mut self, request: CommitRequest) -> Result<()> {
        if let Err(error) = self.publish() {
            return self.answer(&request.reply, Err(error));
        }
        let thoroughness = match request.scope {
            CommitScope::Run => Thoroughness::Few,
            CommitScope::Table => Thoroughness::Fewest,
        };
        let merged = self.merge(request.scope, thoroughness, &|| request.is_cancelled());
        // What is not merged is as visible.
        merged.unwrap_or_else(|e| {
            log::warn!("{}: data files stay unmerged: {e}", self.store.versions.location)
        });
        let _ = request.reply.send(Ok(self.store.info()));
        Ok(())
    }

    fn merge(
        &mut self,
        scope: CommitScope,
        thoroughness: Thoroughness,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        let queue = self.queue.clone();
        let mut goes_on = |rows| {
            queue.add_merged(rows);
            !is_cancelled()
        };
        let mut begins = |rows| queue.set_to_merge(rows);
        let result = merge(&mut self.store, scope, thoroughness, &mut begins, &mut goes_on);
        queue.set_to_merge(0);
        result
    }

    fn close(&mut self, ending: Ending) -> Result<CommitInfo> {
        if self.store.mode == Mode::Staged {
            staging::close(&mut self.store);
            return Ok(self.store.info());
        }
        match ending {
            Ending::Flush => self.publish()?,
            Ending::Drop => self.store.drop_hidden(),
            Ending::Abort => {
                self.store.drop_rest();
                return Ok(self.store.info());
            }
        }
        let merged = self.merge(CommitScope::Run, Thoroughness::Fewest, &|| false);
        merged.unwrap_or_else(|e| {
            log::warn!("{}: data files stay unmerged: {e}", self.store.versions.location)
        });
        self.attempt(Store::keep_links)?;
        self.store.end();
        Ok(self.store.info())
    }

    /// Tries until it succeeds, or fails for good. What waits is kept meanwhile.
    fn attempt<T>(&mut self, mut step: impl FnMut(&mut Store) -> Result<T>) -> Result<T> {
        let (mut pause, mut failing) = (PAUSE, false);
        let mut closing: Option<Instant> = None;
        loop {
            match step(&mut self.store) {
                Err(error) if error.passes => {
                    if !failing {
                        log::warn!("{}: {error}; trying again", self.store.versions.location);
                    }
                    failing = true;
                    if !self.queue.pause(pause, &error) {
                        let since = *closing.get_or_insert_with(Instant::now);
                        if self.queue.is_aborted() || since.elapsed() >= CLOSING {
                            return Err(error);
                        }
                        std::thread::sleep(pause);
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => {
                    return Err(match &self.store.run {
                        Some(run) => run.explain(error),
                        None => error,
                    });
                }
                done => {
                    if failing {
                        self.queue.goes_on();
                    }
                    return done;
                }
            }
        }
    }
}
