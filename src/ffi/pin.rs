//! Objects that one thread uses while another takes them away: hazard pointers (M. Michael, 2004). A
//! thread says which object it uses before it uses it; who takes an object away frees it when no thread
//! says so any more, or asks those that do to see to it.
//!
//! Saying so is one store, without a read-modify-write: the fence it needs is on the side of who takes
//! away, which is rare (`barrier`). Nothing waits and nothing is locked, so a `fork` finds nothing held;
//! what a thread used that the child does not have is never freed there. `pin_model` goes through every
//! interleaving, and `stress/loom` through what memory may make of these lines.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr::{null, null_mut};

use crate::ffi::barrier;
use crate::ffi::sync::{AtomicBool, AtomicPtr, AtomicU64, Ordering, global};
use crate::ffi::thread::HERE;

/// Calls within calls, through callbacks, that one thread can make.
const DEPTH: usize = if cfg!(loom) { 2 } else { 8 };

/// Where a thread says what it uses.
struct Slot {
    used: AtomicPtr<()>,
    /// Whether what it uses has been taken away: then it looks for graves afterwards.
    asked: AtomicBool,
}

/// The slots of a thread, which touches them all the time, in cache lines of its own. Records are never
/// freed, and used again when their thread has ended.
#[repr(align(128))]
pub struct Record {
    slots: [Slot; DEPTH],
    taken: AtomicBool,
    next: *const Record,
}

global! {
    /// All records.
    static RECORDS: AtomicPtr<Record> = AtomicPtr::new(null_mut());
}

/// An object taken away that may be in use.
struct Grave {
    object: *mut (),
    free: unsafe fn(*mut ()),
    next: *mut Grave,
}

global! {
    static GRAVES: AtomicPtr<Grave> = AtomicPtr::new(null_mut());
}

global! {
    /// Gives the record of a thread back when the thread ends. Not a destructor of a thread local, which would
    /// be gone while those of others still call.
    static AT_END: AtomicU64 = AtomicU64::new(NONE);
}
const NONE: u64 = u64::MAX;

/// A place to say what the calling thread uses; it uses nothing more when this is dropped.
pub struct Pin {
    slot: &'static Slot,
    /// Belongs to a thread.
    thread: PhantomData<*const ()>,
}

impl Pin {
    /// None if calls are nested too deep.
    #[inline]
    pub fn new() -> Option<Self> {
        let record = HERE.with(|here| here.record.get());
        // SAFETY: records are never freed.
        let record = if record.is_null() { lease() } else { unsafe { &*record } };
        let slot = record.slots.iter().find(|slot| slot.used.load(Ordering::Relaxed).is_null())?;
        Some(Self { slot, thread: PhantomData })
    }

    /// What `place` points to: not freed before the pin is dropped, if it is freed by `retire`.
    #[inline]
    pub fn protect<T>(&self, place: &AtomicPtr<T>) -> *mut T {
        let mut pointer = place.load(Ordering::Acquire);
        loop {
            self.slot.used.store(pointer.cast(), Ordering::Release);
            barrier::light();
            // Whoever takes it away after this look sees that it is used.
            let again = place.load(Ordering::Acquire);
            if again == pointer {
                return pointer;
            }
            pointer = again;
        }
    }
}

impl Drop for Pin {
    #[inline]
    fn drop(&mut self) {
        self.slot.used.store(null_mut(), Ordering::Release);
        barrier::light();
        if self.slot.asked.load(Ordering::Relaxed) {
            answer(self.slot);
        }
    }
}

#[cold]
fn answer(slot: &Slot) {
    if slot.asked.swap(false, Ordering::AcqRel) {
        sweep();
    }
}

/// Frees a box once nobody uses it.
///
/// # Safety
/// `object` came from `Box::into_raw`, every place that `protect` could find it in points elsewhere by
/// now, and it is retired once.
pub unsafe fn retire<T: Send>(object: *mut T) {
    unsafe fn free<T>(object: *mut ()) {
        // SAFETY: the contract of `retire`.
        drop(unsafe { Box::from_raw(object.cast::<T>()) });
    }
    bury(Grave { object: object.cast(), free: free::<T>, next: null_mut() });
    sweep();
}

/// To be called once, before the first pin.
pub fn prepare() {
    barrier::prepare();
    let mut key = 0;
    // SAFETY: there is room for the key; the function lives as long as the library.
    if unsafe { libc::pthread_key_create(&raw mut key, Some(give_back)) } == 0 {
        AT_END.store(key as u64, Ordering::Release);
    }
}

/// A record of the calling thread, from now to its end.
#[cold]
fn lease() -> &'static Record {
    let record = free_record().unwrap_or_else(new_record);
    HERE.with(|here| here.record.set(record));
    let key = AT_END.load(Ordering::Acquire);
    if key != NONE {
        // Without memory for it the record is not used again.
        // SAFETY: a key of our own, whose value is a record.
        unsafe { libc::pthread_setspecific(key as _, (&raw const *record).cast()) };
    }
    record
}

/// At the end of a thread. Should it call once more, it leases anew and comes here again.
unsafe extern "C" fn give_back(record: *mut c_void) {
    HERE.with(|here| here.record.set(null()));
    // SAFETY: what `lease` set; records are never freed.
    unsafe { &*record.cast::<Record>() }.taken.store(false, Ordering::Release);
}

fn records() -> impl Iterator<Item = &'static Record> {
    // SAFETY: records are never freed, and complete when they are in the list.
    let at = |record: *const Record| unsafe { record.as_ref() };
    std::iter::successors(at(RECORDS.load(Ordering::Acquire)), move |record| at(record.next))
}

fn free_record() -> Option<&'static Record> {
    records().find(|record| {
        let take = record.taken.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed);
        take.is_ok()
    })
}

fn new_record() -> &'static Record {
    let slot = || Slot { used: AtomicPtr::new(null_mut()), asked: AtomicBool::new(false) };
    let slots = std::array::from_fn(|_| slot());
    let record = Record { slots, taken: AtomicBool::new(true), next: null() };
    let record = Box::into_raw(Box::new(record));
    let mut first = RECORDS.load(Ordering::Acquire);
    loop {
        // SAFETY: made above, and nobody else knows it yet.
        unsafe { (*record).next = first };
        match RECORDS.compare_exchange(first, record, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: never freed.
            Ok(_) => return unsafe { &*record },
            Err(other) => first = other,
        }
    }
}

fn bury(grave: Grave) {
    let grave = Box::into_raw(Box::new(grave));
    let mut first = GRAVES.load(Ordering::Acquire);
    loop {
        // SAFETY: the caller's own until it is in the list.
        unsafe { (*grave).next = first };
        match GRAVES.compare_exchange(first, grave, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return,
            Err(other) => first = other,
        }
    }
}

/// All graves, which are the caller's then.
fn graves() -> Vec<Grave> {
    let mut next = GRAVES.swap(null_mut(), Ordering::AcqRel);
    let mut graves = Vec::new();
    while !next.is_null() {
        // SAFETY: of a box, and who takes the list owns what is in it.
        let grave = *unsafe { Box::from_raw(next) };
        next = grave.next;
        graves.push(grave);
    }
    graves
}

/// The slots whose threads use an object.
fn users(object: *mut ()) -> Vec<&'static Slot> {
    let slots = records().flat_map(|record| &record.slots);
    slots.filter(|slot| uses(slot, object)).collect()
}

fn uses(slot: &Slot, object: *mut ()) -> bool {
    slot.used.load(Ordering::Acquire) == object
}

/// Frees what nobody uses, and asks those who use the rest.
#[cold]
fn sweep() {
    #[cfg(test)]
    tests::SWEEPS.set(tests::SWEEPS.get() + 1);
    loop {
        // The list first, then the fence: what is retired after the fence must not be looked for.
        let graves = graves();
        if graves.is_empty() {
            return;
        }
        if !barrier::heavy() {
            return graves.into_iter().for_each(bury);
        }
        let mut left = Vec::new();
        for grave in graves {
            let Grave { object, free, .. } = grave;
            let users = users(object);
            if users.is_empty() {
                // SAFETY: made by `retire`; nobody uses the object, and nobody can find it.
                unsafe { free(object) };
                continue;
            }
            bury(grave);
            users.iter().for_each(|slot| slot.asked.store(true, Ordering::Release));
            left.push((object, users));
        }
        // One that still uses it will see that it was asked. One that does not may have been too fast.
        if left.is_empty() || !barrier::heavy() {
            return;
        }
        if left.iter().all(|(object, users)| users.iter().any(|slot| uses(slot, *object))) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    thread_local! {
        /// Of the calling thread.
        pub static SWEEPS: Cell<usize> = const { Cell::new(0) };
    }

    static FREED: AtomicUsize = AtomicUsize::new(0);

    struct Counted(u64);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0 = 0;
            FREED.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn what_is_used_is_not_freed_and_what_is_not_is() {
        const ROUNDS: u64 = 20_000;
        let place = AtomicPtr::new(Box::into_raw(Box::new(Counted(1))));
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let pin = Pin::new().unwrap();
                        // SAFETY: protected by the pin.
                        let value = unsafe { &*pin.protect(&place) }.0;
                        assert_ne!(value, 0, "freed in use");
                    }
                });
            }
            for round in 2..=ROUNDS {
                let new = Box::into_raw(Box::new(Counted(round)));
                let old = place.swap(new, Ordering::AcqRel);
                // SAFETY: from a box, and no longer in the place.
                unsafe { retire(old) };
            }
            done.store(true, Ordering::Relaxed);
        });
        // SAFETY: the last one, which nobody looks for any more.
        unsafe { retire(place.into_inner()) };
        assert_eq!(FREED.load(Ordering::SeqCst) as u64, ROUNDS);
    }

    #[test]
    fn nesting_ends_somewhere_and_places_are_used_again() {
        let place = place_of(5);
        let pin = || Pin::new().inspect(|pin| assert!(!pin.protect(&place).is_null()));
        let pins: Vec<_> = std::iter::from_fn(pin).collect();
        assert_eq!(pins.len(), DEPTH);
        drop(pins);
        assert!(Pin::new().is_some());
        // SAFETY: from a box, used by nobody.
        unsafe { retire(place.into_inner()) };
    }

    fn place_of(value: i32) -> AtomicPtr<i32> {
        AtomicPtr::new(Box::into_raw(Box::new(value)))
    }

    #[test]
    fn only_who_uses_what_was_taken_away_looks_for_graves() {
        let (held, other) = (place_of(1), place_of(2));
        let (begun, taken) = (Barrier::new(2), Barrier::new(2));
        std::thread::scope(|scope| {
            let user = scope.spawn(|| {
                let pin = Pin::new().unwrap();
                pin.protect(&held);
                begun.wait();
                taken.wait();
                drop(pin);
                SWEEPS.get()
            });
            begun.wait();
            // SAFETY: from a box, and no longer in the place.
            unsafe { retire(held.swap(null_mut(), Ordering::AcqRel)) };
            let before = SWEEPS.get();
            for _ in 0..1000 {
                Pin::new().unwrap().protect(&other);
            }
            assert_eq!(SWEEPS.get(), before);
            taken.wait();
            assert_eq!(user.join().unwrap(), 1);
        });
        // SAFETY: from a box, used by nobody.
        unsafe { retire(other.into_inner()) };
    }

    /// Calls when it is dropped.
    struct Caller;

    impl Drop for Caller {
        fn drop(&mut self) {
            Pin::new().unwrap().protect(&AtomicPtr::new(&raw mut *self));
        }
    }

    #[test]
    fn records_of_ended_threads_are_used_again() {
        thread_local! {
            static CALLER: Caller = const { Caller };
        }
        let before = records().count();
        for _ in 0..500 {
            let call = || CALLER.with(|_| assert!(Pin::new().is_some()));
            std::thread::spawn(call).join().unwrap();
        }
        // Those of other tests come and go.
        assert!(records().count() < before + 100);
    }
}
