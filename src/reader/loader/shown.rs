//! The position of a loader, for a child of a fork: it can be read whatever the parent was in the middle of.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::reader::loader::steps::Position;

/// Two places in turn: the one that is shown is not written to. Whoever writes holds a lock.
pub struct Shown {
    places: [[AtomicU64; 3]; 2],
    which: AtomicUsize,
}

impl Shown {
    pub fn new(at: Position) -> Self {
        let shown = Self {
            places: std::array::from_fn(|_| Default::default()),
            which: AtomicUsize::new(0),
        };
        shown.set(at);
        shown
    }

    /// Of the one thread that a child has, or under the lock of who writes.
    pub fn get(&self) -> Position {
        let place = self.places.get(self.which.load(Ordering::Acquire) % 2);
        let [seed, epoch, consumed] = std::array::from_fn(|i| {
            place.and_then(|p| p.get(i)).map_or(0, |n| n.load(Ordering::Relaxed))
        });
        Position { seed, epoch, consumed }
    }

    pub fn set(&self, at: Position) {
        let other = 1 - self.which.load(Ordering::Relaxed) % 2;
        let numbers = [at.seed, at.epoch, at.consumed];
        for (place, number) in self.places.get(other).into_iter().flatten().zip(numbers) {
            place.store(number, Ordering::Relaxed);
        }
        self.which.store(other, Ordering::Release);
    }
}
