//! A fence of two halves: the light one costs next to nothing and keeps a store before a load, if who does
//! the heavy one stores and loads the other way round. By `membarrier(2)`; where the kernel refuses it, and on
//! systems without it, both are plain fences.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, compiler_fence, fence};

/// Whether `heavy` makes all threads of the process pass a fence.
static ASYMMETRIC: AtomicBool = AtomicBool::new(false);
/// When the kernel began to refuse, after it had not: milliseconds of the system's clock.
static REFUSED: AtomicU64 = AtomicU64::new(0);
/// By then what threads stored before light fences that were none has long arrived.
const ARRIVED_MS: u64 = 1000;

/// To be called before the first fence.
pub fn prepare() {
    ASYMMETRIC.store(register() && expedite(), Ordering::SeqCst);
}

#[inline]
pub fn light() {
    if ASYMMETRIC.load(Ordering::Relaxed) {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// What other threads stored before their last `light` is visible afterwards; false if that cannot be said
/// at this moment.
pub fn heavy() -> bool {
    fence(Ordering::SeqCst);
    if !ASYMMETRIC.load(Ordering::Relaxed) {
        let refused = REFUSED.load(Ordering::Acquire);
        return refused == 0 || now_ms() > refused + ARRIVED_MS;
    }
    // A child may have to register anew.
    if expedite() || register() && expedite() {
        return true;
    }
    // A process may forbid itself system calls.
    REFUSED.store(now_ms(), Ordering::Release);
    ASYMMETRIC.store(false, Ordering::SeqCst);
    false
}

#[cfg(target_os = "linux")]
fn expedite() -> bool {
    membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
}

#[cfg(target_os = "linux")]
fn register() -> bool {
    membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
}

#[cfg(not(target_os = "linux"))]
fn expedite() -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn register() -> bool {
    false
}

#[cfg(target_os = "linux")]
fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: a system call without arguments in memory.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

fn now_ms() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: there is room for the time, which this clock always has.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}
