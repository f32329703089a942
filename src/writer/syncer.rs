//! What waits for the disk beside the thread that writes: files are synced behind the writing, so that little is
//! left to sync at the end, and at the same time as the journal.

use std::io;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

type Job = Box<dyn FnOnce() + Send>;

/// The thread of one writer, which ends with it.
#[derive(Clone)]
pub struct Syncer {
    /// None where no thread could be had: then the one that writes does it.
    jobs: Option<Sender<Job>>,
}

/// Work that is under way.
pub struct Pending<T>(Receiver<io::Result<T>>);

impl Syncer {
    pub fn start() -> Self {
        let (jobs, queue) = channel::<Job>();
        let run = move || {
            queue.into_iter().for_each(|job| job());
        };
        let thread = std::thread::Builder::new().name("rds-sync".to_string()).spawn(run);
        Self { jobs: thread.is_ok().then_some(jobs) }
    }

    /// Jobs are done one after the other.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Pending<T> {
        let (done, result) = channel();
        let job: Job = Box::new(move || {
            // Nobody waits if the writer has ended meanwhile.
            let _ = done.send(work());
        });
        let refused = match &self.jobs {
            Some(jobs) => jobs.send(job).err().map(|refused| refused.0),
            None => Some(job),
        };
        refused.into_iter().for_each(|job| job());
        Pending(result)
    }
}

impl<T> Pending<T> {
    pub fn wait(&self) -> io::Result<T> {
        self.0.recv().unwrap_or_else(|_| Err(io::Error::other("the thread that syncs is gone")))
    }

    /// The result, if it is there.
    pub fn poll(&self) -> Option<io::Result<T>> {
        match self.0.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                Some(Err(io::Error::other("the thread that syncs is gone")))
            }
        }
    }
}
