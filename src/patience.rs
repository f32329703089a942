//! What a call that waits asks now and then, on the thread of its caller: whether it is to wait on. A call
//! that does not wait asks nothing.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How often a call that waits asks.
const INTERVAL: Duration = Duration::from_millis(50);

thread_local! {
    /// Whether nobody is asked on this thread.
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Calls of this thread ask nobody from now on: it is none of a caller.
pub fn ask_nobody() {
    ALONE.set(true);
}

/// Asked while no lock is held.
pub trait Patience: std::fmt::Debug + Send + Sync {
    /// Whether calls of this thread ask at all.
    fn applies(&self) -> bool;
    /// False ends the wait.
    fn lasts(&self) -> bool;
    /// Whether this thread is asked right now: it must not wait for what it interrupts.
    fn is_asking(&self) -> bool {
        false
    }
}

/// One call that waits.
pub struct Wait<'a> {
    /// None waits however long it takes.
    patience: Option<&'a dyn Patience>,
    asked: Instant,
    /// When it is to end.
    until: Option<Instant>,
    /// The caller is asked by another call on this thread.
    asking: bool,
}

impl<'a> Wait<'a> {
    pub fn new(patience: Option<&'a dyn Patience>) -> Self {
        let asking = patience.is_some_and(Patience::is_asking);
        let alone = ALONE.try_with(Cell::get).unwrap_or(true);
        let patience = patience.filter(|patience| !alone && patience.applies());
        Self { patience, asked: Instant::now(), until: None, asking }
    }

    /// It ends after so long, if that is said.
    pub fn at_most(mut self, longest: Option<Duration>) -> Self {
        self.until = longest.and_then(|longest| self.asked.checked_add(longest));
        self
    }

    /// For what another call makes; an error where this thread is in the middle of that.
    pub fn for_another(&mut self) -> Result<()> {
        match self.asking {
            true => Err(Error::invalid_state(
                "called from inside a waiting callback, by a call that needs what is being loaded or indexed",
            )),
            false => self.ask_if_due(),
        }
    }

    /// How long until the caller is to be asked, or the time is over.
    pub fn left(&self) -> Option<Duration> {
        let asks = self.patience.map(|_| INTERVAL.saturating_sub(self.asked.elapsed()));
        let ends = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        asks.into_iter().chain(ends).min()
    }

    /// Asks, if it is time to; an error if the wait is to end.
    pub fn ask_if_due(&mut self) -> Result<()> {
        if self.until.is_some_and(|until| until <= Instant::now()) {
            return Err(Error::cancelled("the time to wait is over"));
        }
        let Some(patience) = self.patience.filter(|_| self.left() == Some(Duration::ZERO)) else {
            return Ok(());
        };
        let lasts = patience.lasts();
        self.asked = Instant::now();
        match lasts {
            true => Ok(()),
            false => Err(Error::cancelled("the waiting callback asked to stop")),
        }
    }

    /// Waits until `condition` may be told, or asks, without the lock, which `lock` takes again; an error if the
    /// wait is to end.
    pub fn until_told<'l, T>(
        &mut self,
        condition: &Condvar,
        lock: impl FnOnce() -> MutexGuard<'l, T>,
        guard: MutexGuard<'l, T>,
    ) -> (MutexGuard<'l, T>, Result<()>) {
        match self.left() {
            None => (condition.wait(guard).unwrap_or_else(PoisonError::into_inner), Ok(())),
            Some(Duration::ZERO) => {
                drop(guard);
                let lasts = self.ask_if_due();
                (lock(), lasts)
            }
            Some(left) => {
                let waited = condition.wait_timeout(guard, left);
                (waited.unwrap_or_else(PoisonError::into_inner).0, Ok(()))
            }
        }
    }
}
