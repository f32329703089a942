//! What belongs to one process, where processes fork. A child has the memory of its parent and one of its
//! threads: what another thread was in the middle of stays half done there, and a lock it held stays held.
//!
//! `ProcessOnce` is a value made on first use that a fork cannot block. What others initialise once, behind
//! locks of their own, is done under `hold` or `first`, which a fork waits for. The handlers of forks are
//! registered by `ffi`.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use once_cell::race::OnceBox;

use crate::error::{Error, Result};

/// How often who waits looks again. What is waited for takes milliseconds at least.
const NAP: Duration = Duration::from_micros(200);
/// How long a fork waits for initialisations, and these for forks: both sides may wait for each other through
/// locks of the caller.
const PATIENCE: Duration = Duration::from_secs(2);

/// Forks between the first process that loaded the library and this one.
static GENERATION: AtomicU64 = AtomicU64::new(0);
/// Threads that hold forks back.
static HOLDERS: AtomicUsize = AtomicUsize::new(0);
/// Threads that are about to fork.
static FORKING: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Holds of the calling thread, one in the other.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// Tells a process from those it was forked from. Unlike the number of a process it never comes again.
#[inline]
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Keeps other threads from forking while it lives, if that is not long. For what is initialised once, and
/// never around a callback of the caller.
pub struct Hold(PhantomData<*const ()>);

pub fn hold() -> Hold {
    if HELD.get() == 0 {
        let begin = Instant::now();
        HOLDERS.fetch_add(1, Ordering::SeqCst);
        while FORKING.load(Ordering::SeqCst) != 0 && begin.elapsed() < PATIENCE {
            HOLDERS.fetch_sub(1, Ordering::SeqCst);
            std::thread::sleep(NAP);
            HOLDERS.fetch_add(1, Ordering::SeqCst);
        }
    }
    HELD.set(HELD.get() + 1);
    Hold(PhantomData)
}

impl Drop for Hold {
    fn drop(&mut self) {
        HELD.set(HELD.get() - 1);
        if HELD.get() == 0 {
            HOLDERS.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// To be called before a fork, by the thread that forks.
pub fn before_fork() {
    let begin = Instant::now();
    FORKING.fetch_add(1, Ordering::SeqCst);
    while HOLDERS.load(Ordering::SeqCst) > own_holds() && begin.elapsed() < PATIENCE {
        std::thread::sleep(NAP);
    }
}

/// To be called after it in the parent, by that thread.
pub fn after_fork_in_parent() {
    FORKING.fetch_sub(1, Ordering::SeqCst);
}

/// To be called after it in the child, which has that thread only.
pub fn after_fork_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    FORKING.store(0, Ordering::SeqCst);
    HOLDERS.store(own_holds(), Ordering::SeqCst);
}

fn own_holds() -> usize {
    usize::from(HELD.get() != 0)
}

/// How often work of a kind is held: some of it may fail before it has come to everything.
const HELD_RUNS: usize = 8;

/// A kind of work, and how often it was done.
struct Kind {
    name: AtomicUsize,
    runs: AtomicUsize,
}

static KINDS: [Kind; 64] =
    [const { Kind { name: AtomicUsize::new(0), runs: AtomicUsize::new(0) } }; 64];

/// Does work that may initialise something once, which a fork waits for: held the first times that work of
/// this kind is done. There is room for some tens of kinds; others are always held.
pub fn first<T>(kind: &'static str, work: impl FnOnce() -> T) -> T {
    let name = kind.as_ptr().addr();
    let known = KINDS.iter().find(|place| {
        if place.name.load(Ordering::Relaxed) == 0 {
            // If it fails another thread took the place.
            let _ = place.name.compare_exchange(0, name, Ordering::Relaxed, Ordering::Relaxed);
        }
        place.name.load(Ordering::Relaxed) == name
    });
    if known.is_some_and(|kind| kind.runs.load(Ordering::Acquire) >= HELD_RUNS) {
        return work();
    }
    let _hold = hold();
    let done = work();
    if let Some(kind) = known {
        kind.runs.fetch_add(1, Ordering::Release);
    }
    done
}

/// A value made on first use, by one thread while others wait. Nothing of it is a lock that a fork could
/// leave held: what another process was making, this one makes itself.
pub struct ProcessOnce<T> {
    value: OnceBox<T>,
    /// Who is making the value: 1 more than the generation; 0 if nobody is.
    maker: AtomicU64,
    /// Whose the value is, if children make their own: as above.
    owner: AtomicU64,
    /// That of a child.
    child: OnceBox<ProcessOnce<T>>,
}

/// Lets others try if the making fails or panics.
struct Making<'a>(&'a AtomicU64);

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

impl<T> Default for ProcessOnce<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> ProcessOnce<T> {
    pub const fn new() -> Self {
        Self {
            value: OnceBox::new(),
            maker: AtomicU64::new(0),
            owner: AtomicU64::new(0),
            child: OnceBox::new(),
        }
    }

    /// The value, if it is made.
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value; children that are forked later have it too.
    pub fn get_or_try_init(&self, make: impl FnOnce() -> Result<T>) -> Result<&T> {
        self.get_or_init_unless(make, || Ok(()))
    }

    /// As `get_or_try_init`; `waits` is asked now and then while another thread makes the value, and may end that.
    pub fn get_or_init_unless(
        &self,
        make: impl FnOnce() -> Result<T>,
        mut waits: impl FnMut() -> Result<()>,
    ) -> Result<&T> {
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        let me = generation() + 1;
        loop {
            let maker = self.maker.load(Ordering::Acquire);
            if maker == me {
                waits()?;
                std::thread::sleep(NAP);
            } else if self
                .maker
                .compare_exchange(maker, me, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                break;
            }
            if let Some(value) = self.value.get() {
                return Ok(value);
            }
        }
        let _making = Making(&self.maker);
        if self.value.get().is_none() {
            // Cannot be set already: this thread is the maker.
            let _ = self.value.set(Box::new(make()?));
        }
        self.value.get().ok_or_else(|| Error::internal("a value made was lost"))
    }

    /// The value of this very process: a child makes its own, and leaves alone what its parent had. It must
    /// live as long as the process.
    pub fn own_or_try_init(&'static self, make: impl FnOnce() -> Result<T>) -> Result<&'static T> {
        self.own().get_or_try_init(make)
    }

    /// As `own_or_try_init`, of an object that may be dropped: what a child has of its parent's is then dropped there too.
    pub fn own_or_init(&self, make: impl FnOnce() -> T) -> &T {
        let own = self.own();
        // Several may make one; the first is taken.
        own.value.get_or_init(|| Box::new(make()))
    }

    /// The value of this very process, if it is made, of an object that may be dropped.
    pub fn own_get(&self) -> Option<&T> {
        self.own().value.get()
    }

    /// The value of this very process, if it is made.
    pub fn own_value(&'static self) -> Option<&'static T> {
        self.own().value.get()
    }

    fn own(&self) -> &Self {
        let me = generation() + 1;
        let mut at = self;
        loop {
            let owner = at.owner.compare_exchange(0, me, Ordering::AcqRel, Ordering::Acquire);
            if owner.map_or_else(|owner| owner == me, |_| true) {
                return at;
            }
            at = at.child.get_or_init(|| Box::new(Self::new()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// Forks are counted for the process: tests that do as if there was one take turns.
    static TURN: Mutex<()> = Mutex::new(());

    #[test]
    fn of_many_threads_one_makes_the_value() {
        let once = ProcessOnce::new();
        let made = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let value = once.get_or_try_init(|| {
                        std::thread::sleep(Duration::from_millis(20));
                        Ok(made.fetch_add(1, Ordering::Relaxed) + 7)
                    });
                    assert_eq!(*value.unwrap(), 7);
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }

    #[test]
    fn a_failure_is_not_kept() {
        let once = ProcessOnce::new();
        assert!(once.get_or_try_init(|| Err::<u8, _>(Error::io("disk"))).is_err());
        assert_eq!(*once.get_or_try_init(|| Ok(1)).unwrap(), 1);
    }

    #[test]
    fn a_maker_of_another_process_is_not_waited_for() {
        let once = ProcessOnce::new();
        once.maker.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(*once.get_or_try_init(|| Ok(1)).unwrap(), 1);
    }

    #[test]
    fn a_child_has_values_of_its_parent_but_for_its_own() {
        static ONCE: ProcessOnce<u8> = ProcessOnce::new();
        static OWN: ProcessOnce<u8> = ProcessOnce::new();
        let _turn = TURN.lock().unwrap();
        assert_eq!(*ONCE.get_or_try_init(|| Ok(1)).unwrap(), 1);
        assert_eq!(*OWN.own_or_try_init(|| Ok(1)).unwrap(), 1);
        before_fork();
        after_fork_in_child();
        assert_eq!(*ONCE.get_or_try_init(|| Ok(2)).unwrap(), 1);
        assert_eq!(OWN.own_value(), None);
        assert_eq!(*OWN.own_or_try_init(|| Ok(2)).unwrap(), 2);
        assert_eq!(OWN.own_value(), Some(&2));
    }

    #[test]
    fn a_fork_waits_for_holds_and_these_for_it() {
        let _turn = TURN.lock().unwrap();
        let (held, released) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _outer = hold();
                held.store(true, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(50));
                // One in the other does not wait for a fork that waits for the first.
                let _inner = hold();
                released.store(true, Ordering::SeqCst);
            });
            while !held.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            before_fork();
            assert!(released.load(Ordering::SeqCst));
            let done = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    drop(hold());
                    done.store(true, Ordering::SeqCst);
                });
                std::thread::sleep(Duration::from_millis(50));
                assert!(!done.load(Ordering::SeqCst));
                after_fork_in_parent();
            });
            assert!(done.load(Ordering::SeqCst));
        });
    }

    #[test]
    fn who_holds_can_fork() {
        let _turn = TURN.lock().unwrap();
        let _hold = hold();
        let begin = Instant::now();
        before_fork();
        after_fork_in_parent();
        assert!(begin.elapsed() < PATIENCE);
    }

    #[test]
    fn work_of_a_kind_is_held_the_first_times_only() {
        let held = || first("a kind of its own", || HELD.get() != 0);
        let runs = std::iter::repeat_with(held).take(HELD_RUNS + 1);
        assert_eq!(runs.filter(|held| *held).count(), HELD_RUNS);
    }
}
