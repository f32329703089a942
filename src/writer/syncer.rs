//! Files are synced on a thread beside the one that writes: behind the writing, so that little is left to
//! sync at the end, and at the same time as the journal.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

struct Job {
    file: Arc<File>,
    done: Sender<io::Result<()>>,
}

/// The thread of one writer, which ends with it.
#[derive(Clone)]
pub struct Syncer {
    /// None where no thread could be had: then the one that writes does it.
    jobs: Option<Sender<Job>>,
}

/// A sync that is under way.
pub struct Pending(Receiver<io::Result<()>>);

impl Syncer {
    pub fn start() -> Self {
        let (jobs, queue) = channel::<Job>();
        let run = move || {
            for Job { file, done } in queue {
                // Nobody waits if the writer has ended meanwhile.
                let _ = done.send(file.sync_data());
            }
        };
        let thread = std::thread::Builder::new().name("rds-sync".to_string()).spawn(run);
        Self { jobs: thread.is_ok().then_some(jobs) }
    }

    pub fn sync(&self, file: &Arc<File>) -> Pending {
        let (done, result) = channel();
        let job = Job { file: file.clone(), done };
        let refused = match &self.jobs {
            Some(jobs) => jobs.send(job).err().map(|refused| refused.0),
            None => Some(job),
        };
        if let Some(Job { file, done }) = refused {
            let _ = done.send(file.sync_data());
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
