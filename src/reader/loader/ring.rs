//! Batches that are gathered before they are asked for, by threads of this process, in the order of their steps.
//!
//! The next step goes to whoever is free, a thread or a caller who would wait otherwise. What a seek or an error leaves
//! behind is given to nobody: when it is done its memory is free.

use std::cell::Cell;
use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::error::{Error, Result, panic_text};
use crate::patience::{self, Patience, Wait};
use crate::process;
use crate::reader::loader::bell::Bell;
use crate::reader::loader::buffer::Buffer;
use crate::reader::loader::shown::Shown;
use crate::reader::loader::steps::{Position, Turn};
use crate::reader::loader::task::Task;

thread_local! {
    /// The ring whose step this thread gathers; what it asks meanwhile may close that.
    static GATHERS_FOR: Cell<usize> = const { Cell::new(0) };
}

/// Of the number of a lent buffer: what is above tells a process from those it was forked from.
const NUMBER_BITS: u32 = 40;

/// A batch that was given: the memory it lies in is lent.
pub struct Given {
    pub turn: Turn,
    /// Names the memory; 0 if there is none.
    pub buffer: u64,
    /// Where numbers of rows, of tables, and addresses of columns lie, and how many there are.
    pub rows: (usize, usize),
    pub tables: (usize, usize),
    pub columns: (usize, usize),
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub batches: u64,
    pub stalls: u64,
    pub stalled_ns: u64,
    pub ready: u64,
    pub lent: u64,
    pub bytes: u64,
}

pub struct Ring {
    task: Arc<Task>,
    /// Told of the position when it changes.
    shown: Arc<Shown>,
    queue: Mutex<Queue>,
    /// There is a step for a thread, or no more.
    work: Condvar,
    /// A batch is ready, or none will be.
    ready: Condvar,
}

/// A step that somebody is at, and then what became of it: no buffer if none of its rows are taken here.
struct Job {
    turn: Turn,
    outcome: Option<Result<Option<Buffer>>>,
}

struct Queue {
    closed: bool,
    started: bool,
    threads: usize,
    /// Threads and callers who gather.
    busy: usize,
    /// Behind the last batch that was given, and behind the last job.
    shown: Position,
    next: Position,
    jobs: VecDeque<Job>,
    /// The number of the first of them; none is used twice.
    first: u64,
    free: Vec<Buffer>,
    /// Buffers that were begun with, and the numbers of those for which there was no memory.
    made: usize,
    unmade: Vec<usize>,
    lent: Vec<(u64, Buffer)>,
    last_lent: u64,
    bell: Option<Bell>,
    counts: Counts,
}

/// A step for whoever takes it.
struct Taken {
    number: u64,
    turn: Turn,
    memory: Memory,
}

enum Memory {
    NotNeeded,
    Free(Buffer),
    /// The one with this number, which is to be made.
    New(usize),
}

impl Queue {
    fn is_ready(&self) -> bool {
        self.jobs.front().is_some_and(|job| job.outcome.is_some())
    }

    fn memory(&mut self, buffers: usize) -> Option<Memory> {
        if let Some(buffer) = self.free.pop() {
            return Some(Memory::Free(buffer));
        }
        let number = self.unmade.pop().or((self.made < buffers).then_some(self.made))?;
        self.made = self.made.max(number + 1);
        Some(Memory::New(number))
    }

    /// Forgets what was gathered ahead, and goes on from a position.
    fn go_on(&mut self, from: Position) {
        self.first += self.jobs.len() as u64;
        for job in self.jobs.drain(..) {
            if let Some(Ok(Some(buffer))) = job.outcome {
                self.free.push(buffer);
            }
        }
        self.next = from;
    }

    fn done(&mut self, number: u64, buffer: Option<Buffer>, result: Result<()>) {
        let at = number.checked_sub(self.first).map(|at| at as usize);
        match (at.and_then(|at| self.jobs.get_mut(at)), result) {
            (Some(job), Ok(())) => job.outcome = Some(Ok(buffer)),
            (Some(job), Err(error)) => {
                job.outcome = Some(Err(error));
                self.free.extend(buffer);
            }
            (None, _) => self.free.extend(buffer),
        }
    }
}

impl Ring {
    /// Nothing begins before it is asked for.
    pub fn new(task: Arc<Task>, shown: Arc<Shown>) -> Self {
        let at = shown.get();
        let queue = Queue {
            closed: false,
            started: false,
            threads: 0,
            busy: 0,
            shown: at,
            next: at,
            jobs: VecDeque::new(),
            first: 0,
            free: Vec::new(),
            made: 0,
            unmade: Vec::new(),
            lent: Vec::new(),
            last_lent: process::generation() << NUMBER_BITS,
            bell: None,
            counts: Counts::default(),
        };
        let queue = Mutex::new(queue);
        Self { task, shown, queue, work: Condvar::new(), ready: Condvar::new() }
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next step, if there is room and memory for it.
    fn take(&self, queue: &mut Queue) -> Option<Taken> {
        if queue.jobs.len() >= self.task.pace.ahead {
            return None;
        }
        let turn = self.task.turn(queue.next);
        let memory = match turn.step.as_ref().is_some_and(|step| step.is_taken()) {
            false => Memory::NotNeeded,
            true => queue.memory(self.task.memory.buffers)?,
        };
        let number = queue.first + queue.jobs.len() as u64;
        queue.next = turn.after;
        queue.jobs.push_back(Job { turn: turn.clone(), outcome: None });
        queue.busy += 1;
        Some(Taken { number, turn, memory })
    }

    /// Does what was taken, without the lock.
    fn run<'a>(
        &'a self,
        taken: Taken,
        queue: MutexGuard<'a, Queue>,
        patience: Option<&Arc<dyn Patience>>,
    ) -> MutexGuard<'a, Queue> {
        drop(queue);
        let new = match taken.memory {
            Memory::New(number) => Some(number),
            _ => None,
        };
        let mut buffer = None;
        let before = GATHERS_FOR.replace(self.address());
        let filled = catch_unwind(AssertUnwindSafe(|| {
            buffer = match taken.memory {
                Memory::NotNeeded => return Ok(()),
                Memory::Free(buffer) => Some(buffer),
                Memory::New(number) => Some(self.task.buffer(number)?),
            };
            match (&mut buffer, &taken.turn.step) {
                // Those of the readers may be gone.
                (Some(buffer), Some(step)) => patience::instead(patience.cloned(), || {
                    self.task.fill(taken.turn.before, step, buffer)
                }),
                _ => Ok(()),
            }
        }));
        let filled = filled.unwrap_or_else(|payload| {
            Err(Error::panic(format!("a defect in librds was caught: {}", panic_text(payload))))
        });
        GATHERS_FOR.set(before);
        let mut queue = self.lock();
        queue.busy -= 1;
        match (new, &buffer) {
            (Some(_), Some(_)) => queue.counts.bytes += self.task.buffer_bytes() as u64,
            (Some(number), None) => queue.unmade.push(number),
            (None, _) => {}
        }
        queue.done(taken.number, buffer, filled);
        self.told(&mut queue);
        queue
    }

    /// Wakes those for whom something has changed.
    fn told(&self, queue: &mut Queue) {
        let is_ready = queue.is_ready() || queue.closed;
        if let Some(bell) = &mut queue.bell {
            bell.ring(is_ready);
        }
        if is_ready {
            self.ready.notify_all();
        }
    }

    fn thread(&self) {
        let mut queue = self.lock();
        while !queue.closed {
            queue = match self.take(&mut queue) {
                Some(taken) => self.run(taken, queue, None),
                None => self.work.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
        queue.threads -= 1;
        self.told(&mut queue);
    }

    /// The threads, on first use. Without those that cannot be had callers do more.
    fn start(self: &Arc<Self>, queue: &mut Queue) {
        if std::mem::replace(&mut queue.started, true) {
            return;
        }
        for _ in 0..self.task.pace.threads {
            let ring = self.clone();
            let thread = std::thread::Builder::new().name("rds-loader".into());
            // Nothing is logged under the lock: who receives it may wait for somebody who waits for this.
            queue.threads += usize::from(thread.spawn(move || ring.thread()).is_ok());
        }
    }

    pub fn next(self: &Arc<Self>, patience: Option<&Arc<dyn Patience>>) -> Result<Given> {
        let mut queue = self.lock();
        self.start(&mut queue);
        let asked = (!queue.is_ready()).then(Instant::now);
        let mut wait = Wait::new(patience.map(Arc::as_ref));
        let job = loop {
            if queue.closed {
                return Err(Error::cancelled("the loader was closed"));
            }
            if queue.is_ready()
                && let Some(Job { turn, outcome: Some(outcome) }) = queue.jobs.pop_front()
            {
                queue.first += 1;
                break (turn, outcome);
            }
            if let Some(taken) = self.take(&mut queue) {
                queue = self.run(taken, queue, patience);
                continue;
            }
            if queue.jobs.is_empty() {
                return Err(Error::no_room(format!(
                    "all {} buffers of the loader are lent; release a batch, or give options.max_bytes more",
                    queue.lent.len()
                )));
            }
            let waited;
            (queue, waited) = wait.until_told(&self.ready, || self.lock(), queue);
            waited?;
        };
        let (turn, outcome) = job;
        let given = match outcome {
            Ok(buffer) => {
                queue.shown = turn.after;
                self.shown.set(turn.after);
                if let Some(asked) = asked {
                    queue.counts.stalls += 1;
                    queue.counts.stalled_ns += asked.elapsed().as_nanos() as u64;
                }
                queue.counts.batches += u64::from(turn.step.is_some());
                Ok(lend(&mut queue, turn, buffer))
            }
            // The same step comes next.
            Err(error) => {
                let shown = queue.shown;
                queue.go_on(shown);
                // Others may have waited for what is not there any more.
                self.ready.notify_all();
                Err(error)
            }
        };
        self.told(&mut queue);
        self.work.notify_one();
        given
    }

    pub fn release(&self, buffer: u64) -> Result<()> {
        if buffer >> NUMBER_BITS < process::generation() {
            // Lent by a parent of this process, which has it back by itself.
            return Ok(());
        }
        let mut queue = self.lock();
        let at = queue.lent.iter().position(|(number, _)| *number == buffer);
        let at = at.ok_or_else(|| {
            Error::invalid_argument(format!(
                "buffer {buffer} is none that is lent; it was released"
            ))
        })?;
        let (_, buffer) = queue.lent.swap_remove(at);
        queue.free.push(buffer);
        self.work.notify_one();
        Ok(())
    }

    pub fn position(&self) -> Position {
        self.lock().shown
    }

    /// What is ready is kept if it is for that position.
    pub fn seek(&self, to: Position) {
        let mut queue = self.lock();
        if queue.shown != to {
            queue.shown = to;
            self.shown.set(to);
            queue.go_on(to);
            self.told(&mut queue);
            self.work.notify_all();
            // Who waits for a step that was left behind looks for the new one.
            self.ready.notify_all();
        }
    }

    pub fn counts(&self) -> Counts {
        let queue = self.lock();
        let ready = queue.jobs.iter().take_while(|job| job.outcome.is_some()).count() as u64;
        Counts { ready, lent: queue.lent.len() as u64, ..queue.counts }
    }

    pub fn fd(self: &Arc<Self>) -> Result<RawFd> {
        let mut queue = self.lock();
        self.start(&mut queue);
        if queue.threads == 0 {
            return Err(Error::invalid_state(
                "the loader has no threads: nothing is ready before it is asked for",
            ));
        }
        let fd = match &queue.bell {
            Some(bell) => bell.fd(),
            None => queue.bell.insert(Bell::new()?).fd(),
        };
        self.told(&mut queue);
        Ok(fd)
    }

    /// Ends calls and threads, and returns when nobody writes to a buffer any more.
    pub fn stop(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        self.work.notify_all();
        self.told(&mut queue);
        // Who closes it from within a step of its own waits for all but that.
        let own = usize::from(GATHERS_FOR.try_with(Cell::get).is_ok_and(|at| at == self.address()));
        while queue.busy > own || queue.threads > 0 {
            queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.bell = None;
    }
}

fn lend(queue: &mut Queue, turn: Turn, buffer: Option<Buffer>) -> Given {
    let Some(buffer) = buffer else {
        return Given { turn, buffer: 0, rows: (0, 0), tables: (0, 0), columns: (0, 0) };
    };
    queue.last_lent += 1;
    let given = Given {
        turn,
        buffer: queue.last_lent,
        rows: (buffer.rows.as_ptr().expose_provenance(), buffer.rows.len()),
        tables: (buffer.tables.as_ptr().expose_provenance(), buffer.tables.len()),
        columns: (buffer.columns.as_ptr().expose_provenance(), buffer.columns.len()),
    };
    queue.lent.push((given.buffer, buffer));
    given
}
