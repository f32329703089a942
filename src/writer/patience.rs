//! What a call that waits asks now and then, on the thread of its caller: whether it is to wait on. A call
//! that does not wait asks nothing.

use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How often a call that waits asks.
const INTERVAL: Duration = Duration::from_millis(50);

/// Asked while no lock is held.
pub trait Patience: std::fmt::Debug + Send + Sync {
    /// Whether calls of this thread ask at all.
    fn applies(&self) -> bool;
    /// False ends the wait.
    fn lasts(&self) -> bool;
}

/// One call that waits.
pub struct Wait<'a> {
    /// None waits however long it takes.
    patience: Option<&'a dyn Patience>,
    asked: Instant,
}

impl<'a> Wait<'a> {
    pub fn new(patience: Option<&'a dyn Patience>) -> Self {
        Self { patience: patience.filter(|patience| patience.applies()), asked: Instant::now() }
    }

    /// How long until the caller is to be asked.
    pub fn left(&self) -> Option<Duration> {
        self.patience.map(|_| INTERVAL.saturating_sub(self.asked.elapsed()))
    }

    /// Asks, if it is time to; an error if the wait is to end.
    pub fn ask_if_due(&mut self) -> Result<()> {
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
