//! Handles are tokens: the value of the pointer names a slot and its generation, and is never
//! dereferenced. NULL, closed, foreign and garbage handles are therefore errors, not crashes.
//!
//! A registry takes no lock, so a call costs a few loads and a store, and a `fork` in the middle of
//! another thread's call cannot leave a lock held in the child. Closing while another thread is inside
//! a call is safe: `pin` keeps the object alive until that call ends.

use std::ops::Deref;

use once_cell::race::OnceBox;

use crate::error::{Error, Result};
use crate::ffi::boundary::{self, Scope, refuse_while_logging};
use crate::ffi::pin::{self, Pin};
use crate::ffi::sync::{AtomicPtr, AtomicU64, Ordering};

const CHUNK: usize = if cfg!(loom) { 2 } else { 64 };
const CHUNKS: usize = 1024;

/// The parts of a token: 8 bits of type, 32 of generation, 24 of slot.
const SLOT_BITS: u32 = 24;
const GENERATION_BITS: u32 = 32;

/// The two low bits of a slot's state; the rest is the generation.
const FREE: u64 = 0;
const CHANGING: u64 = 1;
const LIVE: u64 = 2;
const STATE_MASK: u64 = 3;

/// An object behind a handle, and the function whose panic made it unusable.
struct Entry<T> {
    value: T,
    poisoned_by: OnceBox<&'static str>,
}

impl<T> Entry<T> {
    fn new(value: T) -> Box<Self> {
        Box::new(Self { value, poisoned_by: OnceBox::new() })
    }
}

/// An object in use by a call, which stays alive until the call ends. Should the call panic, it is
/// poisoned.
pub struct Held<T: Send + Sync> {
    entry: *const Entry<T>,
    signature: &'static str,
    /// Whether the thread was unwinding before: then that panic is not this call's.
    unwinding: bool,
    _pin: Pin,
}

impl<T: Send + Sync> Held<T> {
    #[inline]
    fn entry(&self) -> &Entry<T> {
        // SAFETY: protected by the pin.
        unsafe { &*self.entry }
    }
}

impl<T: Send + Sync> Deref for Held<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.entry().value
    }
}

impl<T: Send + Sync> Drop for Held<T> {
    #[inline]
    fn drop(&mut self) {
        if std::thread::panicking() && !self.unwinding {
            // The first panic is the one to name.
            let _ = self.entry().poisoned_by.set(Box::new(self.signature));
        }
    }
}

/// An object whose handle is closed. Calls that are inside it go on; the last one frees it.
pub struct Removed<T: Send + Sync>(*mut Entry<T>);

impl<T: Send + Sync> Deref for Removed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: freed when this is dropped, at the earliest.
        unsafe { &(*self.0).value }
    }
}

impl<T: Send + Sync> Drop for Removed<T> {
    fn drop(&mut self) {
        // SAFETY: `remove` took it out of its slot.
        unsafe { pin::retire(self.0) };
    }
}

struct Slot<T> {
    state: AtomicU64,
    entry: AtomicPtr<Entry<T>>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { state: AtomicU64::new(FREE), entry: AtomicPtr::default() }
    }
}

impl<T> Slot<T> {
    /// Whether the state was `from` and is `to`.
    fn exchange(&self, from: u64, to: u64) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

/// All live handles of one type.
pub struct Registry<T> {
    /// Names the type in messages: "writer".
    name: &'static str,
    /// Distinguishes the tokens of one registry from those of another.
    tag: u8,
    chunks: [OnceBox<[Slot<T>; CHUNK]>; CHUNKS],
}

impl<T: Send + Sync + 'static> Registry<T> {
    pub const fn new(name: &'static str, tag: u8) -> Self {
        Self { name, tag, chunks: [const { OnceBox::new() }; CHUNKS] }
    }

    /// Stores `value` and returns its token, which is never 0.
    pub fn insert(&self, value: T) -> Result<u64> {
        let entry = Entry::new(value);
        for (index, slot) in self.slots() {
            let state = slot.state.load(Ordering::Relaxed);
            if state & STATE_MASK == FREE && slot.exchange(state, state | CHANGING) {
                slot.entry.store(Box::into_raw(entry), Ordering::Release);
                slot.state.store(state | LIVE, Ordering::Release);
                return Ok(self.token(index, state >> 2));
            }
        }
        Err(Error::invalid_state(format!("{} {}s are open; close some", CHUNK * CHUNKS, self.name)))
    }

    /// The object of `token`.
    // On the way of every row: handing what is held through memory would cost as much as all the rest.
    #[inline(always)]
    pub fn get(&self, scope: &Scope, token: u64) -> Result<Held<T>> {
        refuse_while_logging()?;
        let (slot, live) = self.find(token)?;
        let pin = Pin::new().ok_or_else(|| {
            Error::invalid_state("too many calls are nested in each other's callbacks")
        })?;
        let entry: *const Entry<T> = pin.protect(&slot.entry);
        // Found between two looks at the state, so it is this generation's.
        if entry.is_null() || slot.state.load(Ordering::Acquire) != live {
            return Err(self.unknown(token));
        }
        let (signature, unwinding) = (scope.signature(), std::thread::panicking());
        let held = Held { entry, signature, unwinding, _pin: pin };
        let poisoned_by = held.entry().poisoned_by.get();
        if let Some(function) = poisoned_by {
            return Err(Error::panic(format!(
                "the {} is unusable since a panic in {}; close it and open another",
                self.name,
                boundary::name(function)
            )));
        }
        super::fault::trip(held.signature);
        Ok(held)
    }

    /// Puts another object in the place of `old`, under the same token; false if something else has
    /// taken the place meanwhile.
    pub fn replace(&self, token: u64, old: &Held<T>, value: T) -> Result<bool> {
        let (slot, _) = self.find(token)?;
        let (old, new) = (old.entry.cast_mut(), Box::into_raw(Entry::new(value)));
        // What is held is not freed, so nothing else can be at its address.
        let replaced = slot.entry.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed);
        // SAFETY: both are boxes; the one is in its slot no longer, the other never was.
        unsafe { pin::retire(if replaced.is_ok() { old } else { new }) };
        Ok(replaced.is_ok())
    }

    /// Takes the object of `token` out; of several callers exactly one gets it.
    pub fn remove(&self, token: u64) -> Result<Removed<T>> {
        refuse_while_logging()?;
        let (slot, live) = self.find(token)?;
        let next = (live | STATE_MASK) + 1;
        if !slot.exchange(live, next | CHANGING) {
            return Err(self.unknown(token));
        }
        let entry = Removed(slot.entry.swap(std::ptr::null_mut(), Ordering::AcqRel));
        slot.state.store(next | FREE, Ordering::Release);
        Ok(entry)
    }

    fn token(&self, index: usize, generation: u64) -> u64 {
        let generation = generation & ((1 << GENERATION_BITS) - 1);
        u64::from(self.tag) << (SLOT_BITS + GENERATION_BITS)
            | generation << SLOT_BITS
            | index as u64
    }

    /// The slot that `token` names, and the state it must have.
    #[inline]
    fn find(&self, token: u64) -> Result<(&Slot<T>, u64)> {
        let index = (token & ((1 << SLOT_BITS) - 1)) as usize;
        let tag = token >> (SLOT_BITS + GENERATION_BITS);
        let slot = self
            .chunks
            .get(index / CHUNK)
            .and_then(|chunk| chunk.get())
            .and_then(|chunk| chunk.get(index % CHUNK))
            .filter(|_| tag == u64::from(self.tag))
            .ok_or_else(|| self.unknown(token))?;
        let state = slot.state.load(Ordering::Acquire);
        if state & STATE_MASK != LIVE || self.token(index, state >> 2) != token {
            return Err(self.unknown(token));
        }
        Ok((slot, state))
    }

    fn slots(&self) -> impl Iterator<Item = (usize, &Slot<T>)> {
        self.chunks.iter().enumerate().flat_map(|(number, chunk)| {
            let slots = chunk.get_or_init(|| Box::new(std::array::from_fn(|_| Slot::default())));
            slots.iter().enumerate().map(move |(i, slot)| (number * CHUNK + i, slot))
        })
    }

    fn unknown(&self, token: u64) -> Error {
        let name = self.name;
        Error::invalid_handle(if token == 0 {
            format!("the {name} is NULL")
        } else {
            format!("{token:#x} is no open {name}: it was closed, or is not a {name} at all")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;
    use crate::ffi::boundary::call;

    static THINGS: Registry<u32> = Registry::new("thing", 0x7f);
    static OTHERS: Registry<u32> = Registry::new("other", 0x7e);

    fn get(registry: &Registry<u32>, token: u64) -> (Status, u32) {
        let mut value = 0;
        let status = call("get", |scope| {
            value = *registry.get(scope, token)?;
            Ok(())
        });
        (status, value)
    }

    #[test]
    fn a_token_finds_its_object_until_it_is_removed() {
        let token = THINGS.insert(5).unwrap();
        assert_eq!(get(&THINGS, token), (Status::RDS_OK, 5));
        assert_eq!(*THINGS.remove(token).unwrap(), 5);
        assert_eq!(get(&THINGS, token).0, Status::RDS_ERR_INVALID_HANDLE);
        assert!(THINGS.remove(token).is_err());
    }

    #[test]
    fn a_reused_slot_does_not_answer_to_its_old_token() {
        static REUSED: Registry<u32> = Registry::new("reused", 1);
        let old = REUSED.insert(1).unwrap();
        REUSED.remove(old).unwrap();
        let new = REUSED.insert(2).unwrap();
        assert_ne!(old, new);
        assert_eq!(get(&REUSED, old).0, Status::RDS_ERR_INVALID_HANDLE);
        assert_eq!(get(&REUSED, new), (Status::RDS_OK, 2));
    }

    #[test]
    fn tokens_of_another_type_and_garbage_are_refused() {
        let token = OTHERS.insert(1).unwrap();
        for bad in [token, 0, 1, u64::MAX, 0x7f00_0000_00ff_ffff, 0x7fff_0000_0000_0000] {
            assert_eq!(get(&THINGS, bad).0, Status::RDS_ERR_INVALID_HANDLE, "{bad:#x}");
        }
    }

    #[test]
    fn of_many_closers_exactly_one_wins() {
        for _ in 0..200 {
            let token = THINGS.insert(9).unwrap();
            let wins: usize = std::thread::scope(|scope| {
                let closers: Vec<_> =
                    (0..4).map(|_| scope.spawn(|| THINGS.remove(token).is_ok())).collect();
                closers.into_iter().map(|c| usize::from(c.join().unwrap())).sum()
            });
            assert_eq!(wins, 1);
        }
    }
}
