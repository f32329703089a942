//! The side of the task: what it waits for and takes, and what it tells of what became of that.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::{Queue, Told, of_writer};
use crate::error::Error;
use crate::writer::messages::{Message, WriterState};

impl Queue {
    /// Waits until there is something to do, or the deadline has come.
    pub fn wait(&self, deadline: Option<Instant>) {
        let mut state = self.state();
        state.deadline = deadline;
        while state.deadline == deadline {
            let until = [deadline, self.due(&state)].into_iter().flatten().min();
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(left) => {
                    self.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// All that is to be done.
    pub fn take(&self) -> VecDeque<Message> {
        let mut state = self.state();
        state.told = Told::Nothing;
        std::mem::take(&mut state.messages)
    }

    /// Whether there is something to do, or a deadline that the task does not wait for.
    pub fn needs_task(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.state();
        let sooner = match (deadline, state.deadline) {
            (Some(deadline), Some(waits)) => deadline < waits,
            (deadline, _) => deadline.is_some(),
        };
        if sooner {
            state.deadline = deadline;
        }
        sooner || !state.messages.is_empty()
    }

    /// Waits before something is tried again; false, if the writer is asked to end.
    pub fn pause(&self, pause: Duration, failure: &Error) -> bool {
        let mut state = self.state();
        state.stats.state = WriterState::Retrying;
        state.stats.failure = Some(failure.clone());
        if !state.closed {
            state = self.work.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
        !state.closed
    }

    /// What failed does no longer.
    pub fn goes_on(&self) {
        let mut state = self.state();
        state.stats.state = WriterState::Running;
        state.stats.failure = None;
    }

    /// The task has written rows: others may follow.
    pub fn release(&self, rows: usize, bytes: usize) {
        let mut state = self.state();
        state.queued -= bytes;
        state.stats.queued_rows -= rows as u64;
        if !state.waiting.is_empty() {
            self.room.notify_all();
        }
    }

    pub fn is_aborted(&self) -> bool {
        self.state().aborted
    }

    pub fn set_durable(&self, rows: u64, bytes: u64) {
        let mut state = self.state();
        if rows > state.stats.durable_rows {
            state.stats.checkpoints += 1;
            (state.stats.durable_rows, state.stats.durable_bytes) = (rows, bytes);
            // Often the one that waited does the work itself.
            if state.waiting_durable > 0 {
                self.durable.notify_all();
            }
        }
    }

    pub fn set_visible(&self, rows: u64) {
        let mut state = self.state();
        state.stats.visible_rows = rows;
        state.stats.versions += 1;
    }

    /// A commit begins to merge so many rows; none, when it is done.
    pub fn set_to_merge(&self, rows: u64) {
        let mut state = self.state();
        (state.stats.merged_rows, state.stats.to_merge_rows) = (0, rows);
    }

    pub fn add_merged(&self, rows: u64) {
        self.state().stats.merged_rows += rows;
    }

    pub fn end(&self) {
        self.state().ended = true;
        self.tell_all();
    }

    /// Nothing more is accepted; the first failure is the one reported.
    pub fn fail(&self, error: Error) {
        let mut state = self.state();
        let error = of_writer(error);
        state.stats.state = WriterState::Failed;
        state.stats.failure.replace(error.clone());
        let failure = state.failure.get_or_insert(error).clone();
        // Whoever waits for an answer learns of it.
        for message in std::mem::take(&mut state.messages) {
            match message {
                Message::Flush(reply) | Message::Close { reply, .. } => {
                    let _ = reply.send(Err(failure.clone()));
                }
                Message::Commit(request) => drop(request.reply.send(Err(failure.clone()))),
                Message::Stage(reply) => drop(reply.send(Err(failure.clone()))),
                Message::Rows { .. } => {}
            }
        }
        self.tell_all();
    }
}
