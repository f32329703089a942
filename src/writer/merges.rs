//! The merges of a run, one at a time, on a thread beside the one that writes: those that are due along
//! the way, and the last ones, which a commit waits for.

use std::collections::VecDeque;
use std::future::pending;

use futures::future::{AbortHandle, Abortable};
use lance_table::format::Fragment;
use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::runtime;
use crate::writer::data_file::Finished;
use crate::writer::queue::{CommitRequest, Queue};
use crate::writer::table::Table;

#[derive(Default)]
pub struct Merges {
    running: Option<Running>,
    /// Commits that wait, in the order asked.
    commits: VecDeque<CommitRequest>,
    /// What the first of them still waits for.
    last: Option<VecDeque<Vec<Fragment>>>,
    /// A merge along the way has failed: the next would too, and rows are safe without it.
    failed: bool,
    /// The version of the table in which nothing was to be merged.
    looked_at: u64,
}

/// A merge that another thread is at. It is given up when dropped.
struct Running {
    old: Vec<Fragment>,
    result: oneshot::Receiver<Result<Finished>>,
    abort: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

impl Merges {
    /// The result of the merge that runs, if one does.
    pub async fn result(&mut self) -> Result<Finished> {
        let Some(running) = &mut self.running else { return pending().await };
        let result = (&mut running.result).await;
        result.unwrap_or_else(|_| Err(Error::panic("merging ended by a panic")))
    }

    /// Puts what was merged in its place.
    pub async fn take_in(&mut self, merged: Result<Finished>, table: &mut Table, queue: &Queue) {
        let Some(mut running) = self.running.take() else { return };
        let old = std::mem::take(&mut running.old);
        let rows: usize = old.iter().filter_map(|fragment| fragment.physical_rows).sum();
        let replaced = match merged {
            Ok(merged) => table.replace(old, merged).await,
            Err(error) => Err(error),
        };
        match replaced {
            Ok(()) if self.last.is_some() => queue.add_merged(rows as u64),
            Ok(()) => {}
            Err(error) => self.fail(error, queue),
        }
    }

    fn fail(&mut self, error: Error, queue: &Queue) {
        let error = error.context("all rows are durable, but data files could not be merged");
        queue.set_to_merge(0);
        match self.last.take().and_then(|_| self.commits.pop_front()) {
            Some(commit) => drop(commit.reply.send(Err(error))),
            None => {
                log::warn!("{error}");
                self.failed = true;
            }
        }
    }

    /// A commit that wants all to be merged.
    pub fn finish_for(&mut self, commit: CommitRequest) {
        self.commits.push_back(commit);
    }

    /// Commits that nobody waits for any more are given up.
    pub async fn drop_cancelled(&mut self, queue: &Queue) {
        let first_is_cancelled = self.commits.front().is_some_and(CommitRequest::is_cancelled);
        self.commits.retain(|commit| !commit.is_cancelled());
        if first_is_cancelled && self.last.take().is_some() {
            queue.set_to_merge(0);
            self.stop().await;
        }
    }

    /// Gives up the merge that runs. When this returns nothing is left of its file.
    pub async fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.abort.abort();
            let _ = (&mut running.result).await;
        }
    }

    /// Begins the next merge, unless one runs; answers the commits that have theirs.
    pub async fn go_on(&mut self, table: &mut Table, queue: &Queue) {
        while self.running.is_none() {
            let next = match (&mut self.last, self.commits.front()) {
                (None, None) if self.failed || self.looked_at == table.version() => None,
                (None, None) => {
                    self.looked_at = table.version();
                    table.next_merge()
                }
                (None, Some(commit)) => {
                    let last = VecDeque::from(table.last_merges(commit.scope));
                    let rows = last.iter().flatten().filter_map(|fragment| fragment.physical_rows);
                    queue.set_to_merge(rows.sum::<usize>() as u64);
                    self.last = Some(last);
                    continue;
                }
                (Some(last), _) => match last.pop_front() {
                    Some(next) => Some(next),
                    None => {
                        self.answer(table, queue).await;
                        continue;
                    }
                },
            };
            let Some(next) = next else { return };
            match begin(table, next).await {
                Ok(running) => self.running = Some(running),
                Err(error) => self.fail(error, queue),
            }
        }
    }

    async fn answer(&mut self, table: &mut Table, queue: &Queue) {
        self.last = None;
        queue.set_to_merge(0);
        table.prune().await;
        if let Some(commit) = self.commits.pop_front() {
            let _ = commit.reply.send(Ok(table.info()));
        }
    }
}

async fn begin(table: &mut Table, old: Vec<Fragment>) -> Result<Running> {
    let merge = table.merge(old.clone()).await?;
    let (sender, result) = oneshot::channel();
    let (abort, registration) = AbortHandle::new_pair();
    runtime::run_on_thread("rds-merge", async move || {
        if let Ok(result) = Abortable::new(merge.run(), registration).await {
            let _ = sender.send(result);
        }
    })?;
    Ok(Running { old, result, abort })
}
