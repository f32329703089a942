//! What a call that waits asks now and then, on the thread of its caller: whether it is to wait on. A call
//! that does not wait asks nothing.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::sync::{Arc, Condvar, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How often a call that waits asks.
const INTERVAL: Duration = Duration::from_millis(50);

/// Whom calls of a thread ask, whatever they say themselves.
type Instead = Option<Option<Arc<dyn Patience>>>;

thread_local! {
    static INSTEAD: RefCell<Instead> = const { RefCell::new(None) };
}

/// What is done asks whom it is told here, or nobody, and not those whom the objects have that it uses.
pub fn instead<T>(patience: Option<Arc<dyn Patience>>, work: impl FnOnce() -> T) -> T {
    struct Before(Instead);
    impl Drop for Before {
        fn drop(&mut self) {
            let before = self.0.take();
            let _ = INSTEAD.try_with(|instead| instead.replace(before));
        }
    }
    let _before =
        Before(INSTEAD.try_with(|instead| instead.replace(Some(patience))).unwrap_or(None));
    work()
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

enum Asked<'a> {
    Own(&'a dyn Patience),
    Instead(Arc<dyn Patience>),
}

impl Asked<'_> {
    fn who(&self) -> &dyn Patience {
        match self {
            Self::Own(patience) => *patience,
            Self::Instead(patience) => patience.as_ref(),
        }
    }
}

/// One call that waits.
pub struct Wait<'a> {
    /// None waits however long it takes.
    patience: Option<Asked<'a>>,
    asked: Instant,
    /// When it is to end.
    until: Option<Instant>,
    /// The caller is asked by another call on this thread.
    asking: bool,
}

impl<'a> Wait<'a> {
    pub fn new(patience: Option<&'a dyn Patience>) -> Self {
        let instead = INSTEAD.try_with(|instead| instead.borrow().clone()).unwrap_or(None);
        let patience = match instead {
            None => patience.map(Asked::Own),
            Some(patience) => patience.map(Asked::Instead),
        };
        let asking = patience.as_ref().is_some_and(|patience| patience.who().is_asking());
        let patience = patience.filter(|patience| patience.who().applies());
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
        let asks = self.patience.as_ref().map(|_| INTERVAL.saturating_sub(self.asked.elapsed()));
        let ends = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        asks.into_iter().chain(ends).min()
    }

    /// Asks, if it is time to; an error if the wait is to end.
    pub fn ask_if_due(&mut self) -> Result<()> {
        if self.until.is_some_and(|until| until <= Instant::now()) {
            return Err(Error::cancelled("the time to wait is over"));
        }
        let due = self.left() == Some(Duration::ZERO);
        let Some(patience) = self.patience.as_ref().filter(|_| due) else { return Ok(()) };
        let lasts = patience.who().lasts();
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
