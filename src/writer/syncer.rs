//! What waits for the disk beside the thread that writes: files are synced behind the writing, so that little is
//! left to sync at the end, and at the same time as the journal.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

struct Job {
    work: Box<dyn FnOnce() -> io::Result<()> + Send>,
    done: Sender<io::Result<()>>,
}

/// The thread of one writer, which ends with it.
#[derive(Clone)]
pub struct Syncer {
    /// None where no thread could be had: then the one that writes does it.
    jobs: Option<Sender<Job>>,
}

/// Work that is under way.
pub struct Pending(Receiver<io::Result<()>>);

impl Syncer {
    pub fn start() -> Self {
        let (jobs, queue) = channel::<Job>();
        let run = move || {
            for Job { work, done } in queue {
                // Nobody waits if the writer has ended meanwhile.
                let _ = done.send(work());
            }
        };
        let thread = std::thread::Builder::new().name("rds-sync".to_string()).spawn(run);
        Self { jobs: thread.is_ok().then_some(jobs) }
    }

    pub fn sync(&self, file: &Arc<File>) -> Pending {
        let file = file.clone();
        self.run(move || file.sync_data())
    }

    /// Jobs are done one after the other.
    pub fn run(&self, work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Pending {
        let (done, result) = channel();
        let job = Job { work: Box::new(work), done };
        let refused = match &self.jobs {
            Some(jobs) => jobs.send(job).err().map(|refused| refused.0),
            None => Some(job),
        };
        if let Some(Job { work, done }) = refused {
            let _ = done.send(work());
        }
        Pending(result)
    }
}

impl Pending {
    pub fn wait(self) -> io::Result<()> {
        self.0.recv().unwrap_or_else(|_| Err(io::Error::other("the thread that syncs is gone")))
    }

    /// The result, if it is there.
    pub fn poll(&self) -> Option<io::Result<()>> {
        self.0.try_recv().ok()
    }
}
