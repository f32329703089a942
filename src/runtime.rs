//! The global tokio runtime: made by the first call that needs it, made anew in a forked child.

#![forbid(unsafe_code)]

use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;
use once_cell::sync::OnceCell;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, Result};

/// The environment variable that sets the number of worker threads.
pub const THREADS_VARIABLE: &str = "RDS_THREADS";
const MAX_THREADS: usize = 1024;

/// Threads asked for by `configure`; 0 means not configured.
static CONFIGURED: AtomicUsize = AtomicUsize::new(0);

/// The runtime of one process. A forked child inherits the pointer but none of the threads, so it
/// puts an instance of its own in the place. The cell makes sure that of several threads that ask
/// first only one starts a runtime.
struct Instance {
    process: u32,
    runtime: OnceCell<Runtime>,
}

static INSTANCE: ArcSwapOption<Instance> = ArcSwapOption::const_empty();

/// Sets the number of worker threads, before the runtime starts.
pub fn configure(threads: usize) -> Result<()> {
    if threads > MAX_THREADS {
        return Err(Error::invalid_argument(format!(
            "worker_threads is {threads}; at most {MAX_THREADS} are possible"
        )));
    }
    let started = instance().runtime.get().is_some();
    if started {
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
/// back in) or another's (a Rust host): tokio forbids blocking there, so another thread does it.
pub fn block_on<F>(future: F) -> Result<F::Output>
where
    F: Future + Send,
    F::Output: Send,
{
    let instance = instance();
    let runtime = runtime(&instance)?;
    if Handle::try_current().is_err() {
        return Ok(runtime.block_on(future));
    }
    std::thread::scope(|scope| {
        scope
            .spawn(|| runtime.block_on(future))
            .join()
            .map_err(|_| Error::panic("a thread of the runtime panicked"))
    })
}

/// Starts `future` on the runtime and returns at once.
pub fn spawn<F>(future: F) -> Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    runtime(&instance())?.spawn(future);
    Ok(())
}

fn instance() -> std::sync::Arc<Instance> {
    let process = std::process::id();
    loop {
        let current = INSTANCE.load_full();
        if let Some(instance) = &current
            && instance.process == process
        {
            return instance.clone();
        }
        let fresh = std::sync::Arc::new(Instance { process, runtime: OnceCell::new() });
        INSTANCE.compare_and_swap(&current, Some(fresh));
        // A runtime of the parent is forgotten, not dropped: dropping it would wait for threads
        // that this process does not have.
        std::mem::forget(current);
    }
}

fn runtime(instance: &Instance) -> Result<&Runtime> {
    instance.runtime.get_or_try_init(|| {
        Builder::new_multi_thread()
            .worker_threads(threads()?)
            .thread_name("rds-worker")
            .enable_all()
            .build()
            .map_err(|e| Error::io(format!("cannot start the runtime: {e}")))
    })
}

fn threads() -> Result<usize> {
    let configured = CONFIGURED.load(Ordering::Relaxed);
    if configured != 0 {
        return Ok(configured);
    }
    static FROM_ENVIRONMENT: OnceLock<Result<Option<usize>>> = OnceLock::new();
    let from_environment = FROM_ENVIRONMENT.get_or_init(threads_from_environment).clone()?;
    let available = || std::thread::available_parallelism().map_or(2, usize::from);
    // Two at least: one may block in a callback of the caller.
    Ok(from_environment.unwrap_or_else(|| available().clamp(2, 8)))
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
    fn configuring_a_running_runtime_is_refused() {
        block_on(async {}).unwrap();
        assert_eq!(configure(3).unwrap_err().status, Status::RDS_ERR_INVALID_STATE);
        assert_eq!(configure(1 << 20).unwrap_err().status, Status::RDS_ERR_INVALID_ARGUMENT);
    }
}
