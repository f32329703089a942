//! A value made on first use, by one thread while others wait, without a lock that a `fork` could
//! leave held in the child: if the process that was making it is another one, the child makes its own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use once_cell::race::OnceBox;

use crate::error::{Error, Result};

/// How often a waiting thread looks again. What is waited for takes milliseconds at least.
const NAP: Duration = Duration::from_micros(200);

pub struct ForkSafeOnce<T> {
    value: OnceBox<T>,
    /// The process that is making the value; 0 if none is.
    maker: AtomicU32,
}

/// Lets others try if the making fails or panics.
struct Making<'a>(&'a AtomicU32);

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

impl<T> ForkSafeOnce<T> {
    pub const fn new() -> Self {
        Self { value: OnceBox::new(), maker: AtomicU32::new(0) }
    }

    pub fn get_or_try_init(&self, make: impl FnOnce() -> Result<T>) -> Result<&T> {
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        let process = std::process::id();
        loop {
            let maker = self.maker.load(Ordering::Acquire);
            if maker == process {
                std::thread::sleep(NAP);
            } else if self
                .maker
                .compare_exchange(maker, process, Ordering::AcqRel, Ordering::Relaxed)
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
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn of_many_threads_one_makes_the_value() {
        let once = ForkSafeOnce::new();
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
        let once = ForkSafeOnce::new();
        assert!(once.get_or_try_init(|| Err::<u8, _>(Error::io("disk"))).is_err());
        assert_eq!(*once.get_or_try_init(|| Ok(1)).unwrap(), 1);
    }

    #[test]
    fn a_maker_of_another_process_is_not_waited_for() {
        let once = ForkSafeOnce::new();
        once.maker.store(u32::MAX, Ordering::Relaxed);
        assert_eq!(*once.get_or_try_init(|| Ok(1)).unwrap(), 1);
    }
}
