//! Threads that use, close, replace and open handles, in every order that memory allows within three preemptions, or
//! `LOOM_MAX_PREEMPTIONS`. Loom sees an object that is freed before its last use, and any use that its end does not wait for.

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use loom::thread;

use rds_loom::ffi::boundary::Scope;
use rds_loom::ffi::handle::Registry;
use rds_loom::statics;

/// To use it and to end it are accesses to the cell, which loom watches.
struct Object {
    value: UnsafeCell<u64>,
    ended: Arc<AtomicUsize>,
}

// SAFETY: nobody writes to the cell but who drops it.
unsafe impl Sync for Object {}
// SAFETY: as above.
unsafe impl Send for Object {}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: loom fails if anybody else is at it.
        self.value.with_mut(|value| unsafe { *value = 0 });
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
}

struct Table {
    registry: Registry<Object>,
    ended: Arc<AtomicUsize>,
}

impl Table {
    fn new() -> Arc<Self> {
        let ended = Arc::new(AtomicUsize::new(0));
        let registry = Registry::new("object", 1);
        // Loom does not see that a chunk of slots is made before it is found.
        let first = Object { value: UnsafeCell::new(0), ended: Arc::new(AtomicUsize::new(0)) };
        drop(registry.insert(first).and_then(|token| registry.remove(token)).unwrap());
        Arc::new(Self { registry, ended })
    }

    fn object(&self, value: u64) -> Object {
        Object { value: UnsafeCell::new(value), ended: self.ended.clone() }
    }

    fn open(&self, value: u64) -> u64 {
        self.registry.insert(self.object(value)).unwrap()
    }

    /// What is behind a handle, if it is open.
    fn value(&self, token: u64) -> Option<u64> {
        let held = self.registry.get(&Scope, token).ok()?;
        // SAFETY: as in `drop`.
        Some(held.value.with(|value| unsafe { *value }))
    }

    fn close(&self, token: u64) -> bool {
        self.registry.remove(token).is_ok()
    }

    fn assert_ended(&self, objects: usize) {
        assert_eq!(self.ended.load(Ordering::Relaxed), objects);
    }
}

fn model(threads: impl Fn(Arc<Table>) + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(move || {
        statics::forget();
        threads(Table::new());
    });
}

#[test]
fn what_is_used_is_freed_afterwards_and_once() {
    model(|table| {
        let token = table.open(7);
        let user = {
            let table = table.clone();
            thread::spawn(move || table.value(token))
        };
        assert!(table.close(token));
        let seen = user.join().unwrap();
        assert!(matches!(seen, None | Some(7)), "{seen:?}");
        table.assert_ended(1);
        assert_eq!(table.value(token), None);
    });
}

#[test]
fn of_two_closers_one_wins() {
    model(|table| {
        let token = table.open(7);
        let closer = {
            let table = table.clone();
            thread::spawn(move || table.close(token))
        };
        let own = table.close(token);
        assert!(own != closer.join().unwrap());
        table.assert_ended(1);
    });
}

#[test]
fn an_old_handle_never_finds_a_new_object() {
    model(|table| {
        let old = table.open(1);
        let user = {
            let table = table.clone();
            thread::spawn(move || table.value(old))
        };
        assert!(table.close(old));
        let new = table.open(2);
        let seen = user.join().unwrap();
        assert!(matches!(seen, None | Some(1)), "{seen:?}");
        assert_eq!(table.value(new), Some(2));
        assert!(table.close(new));
        table.assert_ended(2);
    });
}

#[test]
fn what_is_replaced_while_it_is_used_is_freed_afterwards() {
    model(|table| {
        let token = table.open(1);
        let user = {
            let table = table.clone();
            thread::spawn(move || table.value(token))
        };
        let held = table.registry.get(&Scope, token).unwrap();
        assert!(table.registry.replace(token, &held, table.object(2)).unwrap());
        drop(held);
        let seen = user.join().unwrap();
        assert!(matches!(seen, Some(1 | 2)), "{seen:?}");
        assert_eq!(table.value(token), Some(2));
        assert!(table.close(token));
        table.assert_ended(2);
    });
}

#[test]
fn two_users_and_a_closer() {
    model(|table| {
        let token = table.open(7);
        let users = [(); 2].map(|()| {
            let table = table.clone();
            thread::spawn(move || table.value(token))
        });
        assert!(table.close(token));
        for user in users {
            let seen = user.join().unwrap();
            assert!(matches!(seen, None | Some(7)), "{seen:?}");
        }
        table.assert_ended(1);
    });
}

#[test]
fn of_two_who_replace_both_leave_nothing() {
    fn replace(table: &Table, token: u64, value: u64) -> bool {
        let held = table.registry.get(&Scope, token).unwrap();
        table.registry.replace(token, &held, table.object(value)).unwrap()
    }
    model(|table| {
        let token = table.open(1);
        let other = {
            let table = table.clone();
            thread::spawn(move || replace(&table, token, 2))
        };
        let replaced = [replace(&table, token, 3), other.join().unwrap()];
        assert!(matches!(table.value(token), Some(2 | 3)));
        assert!(table.close(token));
        // One that lost ended as well: all that were made did.
        assert!(replaced.contains(&true));
        table.assert_ended(3);
    });
}

/// A caller may hand a handle to another thread without care.
#[test]
fn a_handle_is_good_in_a_thread_that_has_not_waited_for_it() {
    model(|table| {
        let handle = Arc::new(AtomicU64::new(0));
        let user = {
            let (table, handle) = (table.clone(), handle.clone());
            thread::spawn(move || match handle.load(Ordering::Relaxed) {
                0 => None,
                token => table.value(token),
            })
        };
        let token = table.open(7);
        handle.store(token, Ordering::Relaxed);
        let seen = user.join().unwrap();
        assert!(matches!(seen, None | Some(7)), "{seen:?}");
        assert!(table.close(token));
        table.assert_ended(1);
    });
}
