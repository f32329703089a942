//! The global tokio runtime: made by the first call that needs it, made anew in a forked child.

#![forbid(unsafe_code)]

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lance_core::utils::tokio::spawn_cpu;
use once_cell::race::OnceNonZeroUsize;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, Result};
use crate::process::{self, ProcessOnce};

/// The environment variable that sets the number of worker threads.
pub const THREADS_VARIABLE: &str = "RDS_THREADS";
const MAX_THREADS: usize = 1024;

/// Threads asked for by `configure`; 0 means not configured.
static CONFIGURED: AtomicUsize = AtomicUsize::new(0);

/// Of this process: a forked child has none of the threads of its parent's. That one is left alone, since
/// dropping it would wait for them.
static RUNTIME: ProcessOnce<Runtime> = ProcessOnce::new();

/// Sets the number of worker threads, before the runtime starts.
pub fn configure(threads: usize) -> Result<()> {
    if threads > MAX_THREADS {
        return Err(Error::invalid_argument(format!(
            "options.worker_threads is {threads}; at most {MAX_THREADS} are possible"
        )));
    }
    if RUNTIME.own_value().is_some() {
        return Err(Error::invalid_state(
            "the runtime runs already; configure it before the first call that opens a table",
        ));
    }
    CONFIGURED.store(threads, Ordering::Relaxed);
    Ok(())
}

/// Runs `future` to its end on the runtime and returns its result.
///
/// Blocks the calling thread. It may be a worker of a tokio runtime, ours (a callback that calls
/// back in) or another's (a Rust host), or be at its end (a destructor that calls in): tokio cannot
/// block there, so another thread does it.
///
/// Most of what Lance initialises on first use it does for some future: see `process::first`.
pub fn block_on<F>(future: F) -> Result<F::Output>
where
    F: Future + Send,
    F::Output: Send,
{
    let runtime = runtime()?;
    process::first(std::any::type_name::<F>(), || match Handle::try_current() {
        Err(error) if error.is_missing_context() => Ok(runtime.block_on(future)),
        _ => std::thread::scope(|scope| {
            let helper = std::thread::Builder::new();
            let helper = helper.spawn_scoped(scope, || runtime.block_on(future));
            let helper = helper.map_err(cannot_start_thread)?;
            helper.join().map_err(|_| Error::panic("a thread of the runtime panicked"))
        }),
    })
}

/// Does `work` on a thread of its own, which may wait, and returns at once. What it awaits is driven by
/// the runtime.
pub fn run_on_thread<F>(name: &str, work: F) -> Result<()>
where
    F: AsyncFnOnce() + Send + 'static,
{
    let runtime = runtime()?;
    let run = move || runtime.block_on(work());
    let thread = std::thread::Builder::new().name(name.to_string()).spawn(run);
    thread.map(drop).map_err(cannot_start_thread)
}

fn cannot_start_thread(error: std::io::Error) -> Error {
    Error::io(format!("cannot start a thread: {error}"))
}

/// Into how many parts work of `amount` is to be cut, if a thread should get `per_thread` at least.
pub fn parts(amount: usize, per_thread: usize) -> usize {
    match amount / per_thread.max(1) {
        0 | 1 => 1,
        parts => parts.min(threads().unwrap_or(1)),
    }
}

/// Does each part of some work that needs no runtime, on threads of its own and on the caller's; the
/// results are in the order of the parts. If no thread can be had, the caller does it all.
pub fn in_parallel<W: Send, R: Send>(parts: Vec<W>, work: impl Fn(W) -> R + Sync) -> Vec<R> {
    let helpers = parts.len().saturating_sub(1);
    if helpers == 0 {
        return parts.into_iter().map(work).collect();
    }
    let parts = Mutex::new(parts.into_iter().enumerate());
    let run = || {
        let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).next();
        std::iter::from_fn(next).map(|(i, part)| (i, work(part))).collect::<Vec<_>>()
    };
    let mut results = std::thread::scope(|scope| {
        let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, run).ok();
        let helpers: Vec<_> = (0..helpers).filter_map(spawn).collect();
        let mut results = run();
        for helper in helpers {
            match helper.join() {
                Ok(more) => results.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    });
    results.sort_unstable_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, result)| result).collect()
}

fn runtime() -> Result<&'static Runtime> {
    RUNTIME.own_or_try_init(|| {
        let threads = threads()?;
        let _hold = process::hold();
        // Without all its threads tokio panics, or waits for ever for what those that are missing should do.
        check_room_for_threads(threads + BLOCKING_THREADS + LANCE_THREADS)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("rds-worker")
            // What once did blocking work is there for the next.
            .thread_keep_alive(Duration::from_secs(u64::MAX))
            .enable_all()
            .build()
            .map_err(|e| Error::io(format!("cannot start the runtime: {e}")))?;
        runtime.block_on(async {
            // A thread for files, and Lance's own for what is computed: from now on they wait for work.
            let blocking = tokio::task::spawn_blocking(|| ()).await;
            let computing = spawn_cpu(|| Ok::<(), Error>(())).await;
            blocking.map_err(|e| Error::io(format!("cannot start a thread: {e}"))).and(computing)
        })?;
        Ok(runtime)
    })
}

/// Threads beside the workers: for files, and of Lance's pool for what is computed.
const BLOCKING_THREADS: usize = 1;
const LANCE_THREADS: usize = 2;

/// That so many threads can be started.
fn check_room_for_threads(wanted: usize) -> Result<()> {
    let (end, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Arc::new(Mutex::new(wait));
    let mut started = Vec::new();
    let result = (0..wanted).try_for_each(|count| {
        let wait = wait.clone();
        let idle = move || {
            // Until nobody can send any more.
            let _ = wait.lock().unwrap_or_else(PoisonError::into_inner).recv();
        };
        let thread = std::thread::Builder::new().stack_size(PROBE_STACK).spawn(idle);
        started.push(thread.map_err(|error| {
            Error::io(format!(
                "{wanted} threads are needed, and the process can start {count} only (ulimit -u, or \
                 pids.max of its cgroup): {error}"
            ))
        })?);
        Ok(())
    });
    drop(end);
    started.into_iter().for_each(|thread| drop(thread.join()));
    result
}

/// What a thread that does nothing needs.
const PROBE_STACK: usize = 64 << 10;

fn threads() -> Result<usize> {
    let configured = CONFIGURED.load(Ordering::Relaxed);
    if configured != 0 {
        return Ok(configured);
    }
    // Asking the system for its cores reads files: once is enough.
    static DEFAULT: OnceNonZeroUsize = OnceNonZeroUsize::new();
    let default = DEFAULT.get_or_try_init(|| {
        let available = || std::thread::available_parallelism().map_or(2, usize::from);
        // Two at least: one may block in a callback of the caller.
        let threads = threads_from_environment()?.unwrap_or_else(|| available().clamp(2, 8));
        Ok::<_, Error>(NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN))
    });
    default.map(usize::from)
}

fn threads_from_environment() -> Result<Option<usize>> {
    let Ok(text) = std::env::var(THREADS_VARIABLE) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(threads) if (1..=MAX_THREADS).contains(&threads) => Ok(Some(threads)),
        _ => Err(Error::invalid_argument(format!(
            "{THREADS_VARIABLE} is {text:?}; a number from 1 to {MAX_THREADS} was expected"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    #[test]
    fn blocks_from_a_plain_thread_and_from_a_worker_of_any_runtime() {
        assert_eq!(block_on(async { 7 }).unwrap(), 7);
        // Ours.
        let nested = block_on(async { block_on(async { 8 }).unwrap() });
        assert_eq!(nested.unwrap(), 8);
        // A host's, with one thread only.
        let host = Builder::new_current_thread().build().unwrap();
        assert_eq!(host.block_on(async { block_on(async { 9 }).unwrap() }), 9);
    }

    #[test]
    fn parallel_results_come_in_the_order_of_the_parts() {
        let double = |part: usize| {
            std::thread::sleep(std::time::Duration::from_millis(5 - part as u64));
            part * 2
        };
        assert_eq!(in_parallel((0..5).collect(), double), [0, 2, 4, 6, 8]);
        assert_eq!(in_parallel(vec![3], double), [6]);
        assert_eq!(in_parallel(vec![], double), [0; 0]);
        let panicking = || in_parallel(vec![1, 2], |part| assert_eq!(part, 1));
        assert!(std::panic::catch_unwind(panicking).is_err());
        assert_eq!((parts(0, 10), parts(19, 10), parts(20, 10)), (1, 1, 2));
    }

    #[test]
    fn configuring_a_running_runtime_is_refused() {
        block_on(async {}).unwrap();
        assert_eq!(configure(3).unwrap_err().status, Status::RDS_ERR_INVALID_STATE);
        assert_eq!(configure(1 << 20).unwrap_err().status, Status::RDS_ERR_INVALID_ARGUMENT);
    }
}
