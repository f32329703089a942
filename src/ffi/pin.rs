//! Objects that one thread uses while another takes them away: hazard pointers (M. Michael, 2004). A
//! thread says which object it uses before it uses it; who takes an object away frees it when no thread
//! says so any more, or leaves that to the last one that does.
//!
//! Saying so is one store, without a read-modify-write: the fence it needs is on the side of who takes
//! away, which is rare (`membarrier(2)`; a fence on both sides where the kernel has none). Nothing waits
//! and nothing is locked, so a `fork` finds nothing held; what a thread used that the child does not have
//! is never freed there.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::{null, null_mut};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering, compiler_fence, fence};

/// Calls within calls, through callbacks, that one thread can make.
const DEPTH: usize = 8;

/// What a thread uses. Records are never freed, and used again when their thread has ended.
struct Record {
    used: [AtomicPtr<()>; DEPTH],
    taken: AtomicBool,
    next: *const Record,
}

/// All records.
static RECORDS: AtomicPtr<Record> = AtomicPtr::new(null_mut());

/// An object taken away that may be in use.
struct Grave {
    object: *mut (),
    free: unsafe fn(*mut ()),
    next: *mut Grave,
}

static GRAVES: AtomicPtr<Grave> = AtomicPtr::new(null_mut());

/// Whether `heavy_fence` makes all threads of the process pass a fence. Settled before the first
/// object can be used.
static ASYMMETRIC: AtomicBool = AtomicBool::new(false);

/// Gives the record back at the end of the thread.
struct Lease(&'static Record);

impl Drop for Lease {
    fn drop(&mut self) {
        RECORD.set(null());
        self.0.taken.store(false, Ordering::Release);
    }
}

thread_local! {
    // Without a destructor: also there while those of others run.
    static RECORD: Cell<*const Record> = const { Cell::new(null()) };
    static LEASE: Cell<Option<Lease>> = const { Cell::new(None) };
}

/// A place to say what the calling thread uses; it uses nothing more when this is dropped.
pub struct Pin {
    used: &'static AtomicPtr<()>,
    /// Belongs to a thread.
    thread: PhantomData<*const ()>,
}

impl Pin {
    /// None if calls are nested too deep.
    #[inline]
    pub fn new() -> Option<Self> {
        let record = RECORD.get();
        // SAFETY: records are never freed.
        let record = if record.is_null() { lease() } else { unsafe { &*record } };
        let used = record.used.iter().find(|used| used.load(Ordering::Relaxed).is_null())?;
        Some(Self { used, thread: PhantomData })
    }

    /// What `place` points to: not freed before the pin is dropped, if it is freed by `retire`.
    #[inline]
    pub fn protect<T>(&self, place: &AtomicPtr<T>) -> *mut T {
        let mut pointer = place.load(Ordering::Acquire);
        loop {
            self.used.store(pointer.cast(), Ordering::Release);
            light_fence();
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
        self.used.store(null_mut(), Ordering::Release);
        light_fence();
        if !GRAVES.load(Ordering::Relaxed).is_null() {
            sweep();
        }
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
    let grave = Grave { object: object.cast(), free: free::<T>, next: null_mut() };
    bury(Box::into_raw(Box::new(grave)));
    sweep();
}

/// To be called before the first object is put where `protect` looks.
pub fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| ASYMMETRIC.store(register(), Ordering::SeqCst));
}

/// A record of the calling thread, from now to its end.
#[cold]
fn lease() -> &'static Record {
    let record = free_record().unwrap_or_else(new_record);
    RECORD.set(record);
    // At the end of the thread the lease may be gone: then the record is not used again.
    let _ = LEASE.try_with(|lease| lease.set(Some(Lease(record))));
    record
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
    let used = [const { AtomicPtr::new(null_mut()) }; DEPTH];
    let record = Record { used, taken: AtomicBool::new(true), next: null() };
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

fn bury(grave: *mut Grave) {
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

/// Frees what nobody uses any more.
#[cold]
fn sweep() {
    loop {
        if !heavy_fence() {
            return;
        }
        let mut grave = GRAVES.swap(null_mut(), Ordering::AcqRel);
        let mut left = Vec::new();
        while !grave.is_null() {
            // SAFETY: who takes the list owns what is in it.
            let Grave { object, free, next } = unsafe { grave.read() };
            if is_used(object) {
                left.push(object);
                bury(grave);
            } else {
                // SAFETY: made by `retire`; nobody uses the object, and nobody can find it.
                unsafe {
                    drop(Box::from_raw(grave));
                    free(object);
                }
            }
            grave = next;
        }
        // A thread that stopped using one before it was buried again has not seen it in the list.
        if left.is_empty() || !heavy_fence() || left.into_iter().all(is_used) {
            return;
        }
    }
}

fn is_used(object: *mut ()) -> bool {
    let mut used = records().flat_map(|record| &record.used);
    used.any(|used| used.load(Ordering::Acquire) == object)
}

/// Keeps the order of a store before it and a load after it, together with `heavy_fence`.
#[inline]
fn light_fence() {
    if ASYMMETRIC.load(Ordering::Relaxed) {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// What other threads stored before their last `light_fence` is visible afterwards; false if the kernel
/// refused.
fn heavy_fence() -> bool {
    fence(Ordering::SeqCst);
    // A child may have to register anew.
    !ASYMMETRIC.load(Ordering::Relaxed)
        || membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
        || register() && membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
}

fn register() -> bool {
    membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
}

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: a system call without arguments in memory.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

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
        prepare();
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
        let place = AtomicPtr::new(Box::into_raw(Box::new(5)));
        let pin = || Pin::new().inspect(|pin| assert!(!pin.protect(&place).is_null()));
        let pins: Vec<_> = std::iter::from_fn(pin).collect();
        assert_eq!(pins.len(), DEPTH);
        drop(pins);
        assert!(Pin::new().is_some());
        // SAFETY: from a box, used by nobody.
        unsafe { retire(place.into_inner()) };
    }
}
