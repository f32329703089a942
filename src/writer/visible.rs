//! How a run becomes visible, and how it ends.

use std::sync::Arc;
use std::time::Instant;

use lance::Dataset;

use crate::error::{Error, Result, Status};
use crate::runtime;
use crate::writer::fragment::Finished;
use crate::writer::publish::{DATA, Part, Publication, named, put_back};
use crate::writer::records::Intent;
use crate::writer::recover::{drop_dead, finish_dead};
use crate::writer::run::{LINKED, Run};
use crate::writer::store::Store;
use crate::writer::versions::Mark;
use crate::writer::{Mode, claim};

impl Store {
    /// Whether there are rows that no version shows.
    pub fn has_hidden(&self) -> bool {
        self.written.0 > self.state.published
    }

    /// Whether time may make them visible: an overwrite becomes so only when it is asked for.
    pub fn shows_by_itself(&self) -> bool {
        self.keeps_journal() && (self.mode != Mode::Overwrite || self.landed)
    }

    /// Makes a version that shows all rows. True, if there were any to show.
    pub fn publish(&mut self) -> Result<bool> {
        self.finish_heap()?;
        self.settle(true)?;
        let first = !self.landed;
        if self.state.finished.is_empty() && !(first && self.declared) {
            return Ok(false);
        }
        let layout = self.layout.clone().ok_or_else(|| Error::internal("rows without a layout"))?;
        self.begin(&layout)?;
        self.make_journal()?;
        let rows = self.state.finished.last().map_or(0, Finished::end);
        let after = self.versions.location.newest_version()?.unwrap_or(0);
        let intent = Intent { rows, after };
        self.state.intent = Some(intent.clone());
        if self.journal.as_ref().is_some_and(|journal| journal.is_full_for(4096)) {
            self.turn_journal()?;
        }
        let journal = self.journal.as_mut().ok_or_else(|| Error::internal("no journal"))?;
        journal.intent(&intent)?;
        journal.sync()?;
        self.run.as_mut().map_or(Ok(()), Run::confirm)?;
        let run = self.run.as_ref().ok_or_else(|| Error::internal("no run"))?;
        let publication = Publication {
            mode: if first { self.mode } else { Mode::Append },
            began_on: self.state.began_on,
            seen: self.state.seen,
            layout: &layout,
            parts: vec![Part { directory: &run.directory, finished: &self.state.finished }],
            marks: vec![Mark { run: run.id.clone(), epoch: run.epoch, rows }],
            config: self.state.config(),
            jobs: None,
            onto_replaced: false,
        };
        let published = runtime::block_on(publication.publish(&self.versions))?;
        let published = published.inspect_err(|error| self.void_intent(error))?;
        let version = published.version();
        let names: Vec<String> = self.names();
        self.table = Some(published.dataset);
        self.own.extend(names.iter().cloned());
        self.linked.push_back((Instant::now(), names));
        self.durable = self.written;
        self.state.landed(rows, version);
        self.landed = true;
        // If it cannot be told, the mark of the version tells.
        if let Some(journal) = &mut self.journal
            && let Err(error) = journal.done(rows, version).and_then(|()| journal.sync())
        {
            log::warn!("{}: {error}", self.versions.location);
        }
        if first {
            claim::give_up(self.versions.table(), &self.state.run);
            if self.mode == Mode::Overwrite {
                runtime::block_on(drop_dead(&self.versions, &self.state.run))??;
            }
        }
        self.keep_links()?;
        Ok(true)
    }

    /// A version that was surely not made is nothing to wonder about later.
    fn void_intent(&mut self, error: &Error) {
        if error.status == Status::RDS_ERR_COMMIT_UNKNOWN {
            return;
        }
        self.state.intent = None;
        let intent = Intent { rows: self.state.published, after: self.state.seen };
        if let Some(journal) = &mut self.journal
            && let Err(error) = journal.intent(&intent).and_then(|()| journal.sync())
        {
            log::warn!("{}: {error}", self.versions.location);
        }
    }

    /// Names of the files that wait for a version.
    fn names(&self) -> Vec<String> {
        let files = self.state.finished.iter().flat_map(|finished| &finished.files);
        files.map(|file| file.name.clone()).collect()
    }

    /// Puts back what a clean-up took that had listed files before a version named them; names of long ago are
    /// given up.
    pub fn keep_links(&mut self) -> Result<()> {
        let Some(run) = &self.run else { return Ok(()) };
        let data = self.versions.table().join(DATA);
        let missing = |names: &[String]| -> Vec<String> {
            names.iter().filter(|name| !data.join(name).exists()).cloned().collect()
        };
        let missing: Vec<String> =
            self.linked.iter().flat_map(|(_, names)| missing(names)).collect();
        if !missing.is_empty()
            && let Some(newest) = runtime::block_on(self.versions.newest())??
        {
            let named = named(&newest);
            let wanted = missing.iter().map(String::as_str).filter(|name| named.contains(*name));
            put_back(&run.directory, wanted, self.versions.table())?;
        }
        while self.linked.front().is_some_and(|(since, _)| since.elapsed() >= LINKED) {
            for name in self.linked.pop_front().into_iter().flat_map(|(_, names)| names) {
                let _ = std::fs::remove_file(run.directory.join(name));
            }
        }
        Ok(())
    }

    /// Drops rows that are not durable. Those that are become visible like others.
    pub fn drop_rest(&mut self) {
        let Some(run) = &self.run else { return };
        if self.keeps_journal() {
            // The journal knows what is durable, and recovery finishes it.
            let shown = self.mode != Mode::Overwrite || self.landed;
            if shown && self.durable.0 > self.state.published {
                self.heap = None;
                self.journal = None;
                run.leave();
                self.run = None;
                let own = runtime::block_on(finish_dead(&self.versions, None, false));
                if let Err(error) = own.and_then(|finished| finished) {
                    log::warn!("{}: durable rows wait: {error}", self.versions.location);
                }
                return;
            }
        }
        self.end();
    }

    /// Drops what no version shows.
    pub fn drop_hidden(&mut self) {
        // The other thread may be at it.
        let writing = self.writing.take();
        writing.iter().for_each(|(_, writing)| drop(writing.wait()));
        self.pending = None;
        if let Some(heap) = self.heap.take() {
            heap.remove();
        }
        self.state.finished.clear();
        self.written.0 = self.state.published;
    }

    /// Ends the run, of which nothing waits, or leaves it.
    pub fn end(&mut self) {
        let Some(run) = self.run.take() else { return };
        claim::give_up(self.versions.table(), &run.id);
        self.heap = None;
        self.journal = None;
        run.end(&self.own);
    }

    pub fn leave(&mut self) {
        if let Some(run) = self.run.take() {
            run.leave();
        }
    }

    /// A version of the run's own making, after a merge.
    pub fn merged(&mut self, table: Arc<Dataset>, names: Vec<String>) {
        self.state.seen = table.manifest().version;
        self.table = Some(table);
        self.own.extend(names.iter().cloned());
        self.linked.push_back((Instant::now(), names));
    }
}
