//! A run as it is stored: rows go to a heap, the journal makes them durable, and a version of the table makes
//! them visible. Every step may be tried again after a failure that passes.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use lance::Dataset;

use crate::error::{Error, Result};
use crate::location::Location;
use crate::runtime;
use crate::writer::batch::Block;
use crate::writer::claim;
use crate::writer::finish::{Rows, Source};
use crate::writer::fragment::Target;
use crate::writer::grown::Grown;
use crate::writer::heap::{Heap, Written, failed_sync};
use crate::writer::journal::{Journal, sync_directory};
use crate::writer::layout::Layout;
use crate::writer::publish::{exists, gone, put_back_all};
use crate::writer::records::{ColumnOf, State};
use crate::writer::recover::finish_dead;
use crate::writer::replay::modes;
use crate::writer::run::{Run, hold};
use crate::writer::syncer::{Pending, Syncer};
use crate::writer::versions::Versions;
use crate::writer::{CommitInfo, Durability, Mode};

/// How much of small batches in the heap waits for the disk before it is set to work on it: a segment of the journal
/// is of no use any more soon after it is full.
const BATCH_SYNC_BYTES: u64 = 2 << 20;

pub struct Store {
    pub(super) versions: Versions,
    pub(super) mode: Mode,
    pub(super) durability: Durability,
    pub(super) run: Option<Run>,
    pub(super) journal: Option<Journal>,
    pub(super) state: State,
    /// The directory of a table that is there, held, and what it is: the path may come to lead elsewhere.
    pub(super) place: Option<(File, (u64, u64))>,
    pub(super) layout: Option<Arc<Layout>>,
    /// The table is made also if no row comes.
    pub(super) declared: bool,
    /// A version of this run has landed.
    pub(super) landed: bool,
    pub(super) heap: Option<Heap>,
    /// Small batches that the journal has whole, on their way to the heap: together they cost it one write, which is
    /// done beside the thread that writes.
    pub(super) pending: Option<Block>,
    pub(super) writing: Option<(Arc<Block>, Pending<Written>)>,
    /// Memory for the next ones.
    pub(super) written_block: Option<Block>,
    /// Some rows of the heap are neither whole in the journal nor in an extent of it.
    pub(super) unjournaled: bool,
    /// The same of ids.
    pub(super) ids_unjournaled: bool,
    /// The names of the heap's files may not be on disk yet.
    pub(super) unnamed: bool,
    /// Numbers of heaps.
    pub(super) next: u64,
    pub(super) syncer: Syncer,
    /// The newest version that this run has seen of the table it adds to; none, if that is to be made.
    pub(super) table: Option<Arc<Dataset>>,
    /// Names of data files of the run that versions name, and since when.
    pub(super) own: HashSet<String>,
    pub(super) linked: VecDeque<(Instant, Vec<String>)>,
    /// Runs that lost their owner before this one began are finished, as far as they can be.
    pub(super) settled: bool,
    /// Rows and bytes in files, and how much of that is durable.
    pub(super) written: (u64, u64),
    pub(super) durable: (u64, u64),
    /// How many tokens were made.
    pub(super) staged_tokens: u64,
}

impl Store {
    pub fn open(location: Location, mode: Mode, durability: Durability) -> Result<Self> {
        let versions = Versions::new(location);
        let mut newest = runtime::block_on(versions.newest())??;
        match mode {
            Mode::Create if newest.is_some() => return Err(exists(&versions.location)),
            Mode::Create => claim::refuse_waiting(&versions.location)?,
            Mode::Append => {
                // Runs that died come first: they may have been about to make the table, or to replace it. Time
                // that must tell whether one did is taken only where there is no table without it.
                runtime::block_on(finish_dead(&versions, None, newest.is_none()))??;
                newest = runtime::block_on(versions.newest())??;
                put_back_all(&versions, newest.as_deref())?;
                if newest.is_none() {
                    return Err(gone(&versions.location));
                }
            }
            _ => {}
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let began_on = newest.as_ref().map_or(0, |newest| newest.manifest().version);
        let state = State {
            mode: modes(mode).to_string(),
            began: now.as_nanos() as u64,
            began_on,
            seen: began_on,
            volatile: durability == Durability::Commit,
            ..State::default()
        };
        let place = newest.as_ref().map(|_| hold(versions.table())).transpose()?;
        let table = newest.filter(|_| mode != Mode::Overwrite);
        if mode == Mode::Append
            && let Some(table) = &table
        {
            // Refused now rather than with the first batch.
            let target = Target::of(table.manifest());
            target.layout()?;
            if target.version == lance_file::version::ConcreteFileVersion::V1 {
                return Err(Error::not_supported(format!(
                    "the table at {} has files of Lance's first format, which cannot be added to",
                    versions.location
                )));
            }
        }
        Ok(Self {
            versions,
            mode,
            durability,
            run: None,
            journal: None,
            state,
            place,
            layout: None,
            declared: false,
            landed: false,
            heap: None,
            pending: None,
            writing: None,
            written_block: None,
            unjournaled: false,
            ids_unjournaled: false,
            unnamed: false,
            next: 0,
            syncer: Syncer::start(),
            table,
            own: HashSet::new(),
            linked: VecDeque::new(),
            settled: false,
            written: (0, 0),
            durable: (0, 0),
            staged_tokens: 0,
        })
    }

    /// What the rows of a table are to be of which none may come.
    pub fn declare(&mut self, layout: &Arc<Layout>) {
        self.layout = Some(layout.clone());
        self.declared = matches!(self.mode, Mode::Create | Mode::Overwrite);
    }

    /// What the rows of the table are, if it is there.
    pub fn layout_of_table(&self) -> Result<Option<Layout>> {
        let table = self.table.as_ref();
        table.map(|table| Target::of(table.manifest()).layout()).transpose()
    }

    /// Whether a checkpoint makes rows durable before a version shows them.
    pub(super) fn keeps_journal(&self) -> bool {
        !matches!(self.durability, Durability::Commit)
    }

    /// Finishes runs that died, so that their rows come before those of this one.
    pub fn settle(&mut self, wait: bool) -> Result<()> {
        if self.settled || self.mode != Mode::Append {
            return Ok(());
        }
        let own = self.run.as_ref().map(|run| run.id.as_str());
        runtime::block_on(finish_dead(&self.versions, own, wait))??;
        self.settled = wait;
        Ok(())
    }

    /// How many rows go into the file that is written to; makes one if there is none.
    pub fn room(&mut self, layout: &Arc<Layout>) -> Result<usize> {
        self.layout.get_or_insert_with(|| layout.clone());
        self.begin(layout)?;
        let pending = self.pending_rows();
        let room = self.heap.as_ref().map_or(0, |heap| heap.room(layout));
        if room > pending {
            self.ensure_journal()?;
            return Ok(room - pending);
        }
        self.finish_heap()?;
        let run = self.run.as_ref().ok_or_else(|| Error::internal("no run"))?;
        run.check_place()?;
        let mut heap =
            Heap::create(&run.directory, &run.id, run.epoch, self.next, layout.columns.len())?;
        self.next += 1;
        if self.durability == Durability::Batch {
            heap.sync_bytes = BATCH_SYNC_BYTES;
        }
        let room = heap.room(layout);
        self.heap = Some(heap);
        self.unnamed = true;
        self.ensure_journal()?;
        Ok(room)
    }

    /// The run, for rows of this layout.
    pub(super) fn begin(&mut self, layout: &Layout) -> Result<()> {
        self.ensure_run()?;
        if self.state.columns.is_empty() {
            self.state.columns = layout.columns.iter().map(ColumnOf::new).collect();
        }
        Ok(())
    }

    /// The directory of the run.
    pub fn ensure_run(&mut self) -> Result<()> {
        if self.run.is_none() {
            if self.mode == Mode::Create {
                claim::refuse_waiting(&self.versions.location)?;
            }
            let place = self.place.as_ref().map(|(_, place)| *place);
            let run = Run::create(self.versions.table(), place)?;
            if self.mode == Mode::Create
                && let Err(error) = self.claim(&run)
            {
                claim::give_up(self.versions.table(), &run.id);
                run.end(&HashSet::new());
                return Err(error);
            }
            self.state.run = run.id.clone();
            self.run = Some(run);
        }
        Ok(())
    }

    /// The place for a table that is to be made, and that nobody has made meanwhile.
    fn claim(&self, run: &Run) -> Result<()> {
        let location = &self.versions.location;
        claim::take(location, run)?;
        location.newest_version()?.map_or(Ok(()), |_| Err(exists(location)))
    }

    /// The journal, from the first row on if rows are durable by it.
    fn ensure_journal(&mut self) -> Result<()> {
        match self.keeps_journal() {
            true => self.make_journal(),
            false => Ok(()),
        }
    }

    pub(super) fn make_journal(&mut self) -> Result<()> {
        let run = self.run.as_ref().ok_or_else(|| Error::internal("no run"))?;
        if self.journal.is_none() {
            self.journal =
                Some(Journal::create(&run.directory, run.epoch, &self.state, &self.syncer)?);
        }
        Ok(())
    }

    /// Before the journal speaks of files, they have their names.
    fn sync_names(&mut self) -> Result<()> {
        if let Some(run) = self.run.as_ref().filter(|_| self.unnamed) {
            sync_directory(&run.directory)?;
            self.unnamed = false;
        }
        Ok(())
    }

    /// Another segment of the journal begins with all there is to know. Rows that the heap does not have on disk
    /// stay in the segments before it, if the journal has them whole.
    pub(super) fn turn_journal(&mut self) -> Result<()> {
        self.sync_names()?;
        if self.unjournaled || !self.journal.as_ref().is_some_and(Journal::has_room) {
            self.write_pending()?;
            self.heap.as_mut().map_or(Ok(()), |heap| heap.sync(&self.syncer))?;
        }
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let mut state = self.state.clone();
        state.open = self.heap.as_ref().and_then(|heap| heap.synced.clone());
        let on_disk = state.open.as_ref().map_or(0, |open| open.rows.min(open.ids_rows));
        journal.turn(state, self.heap.as_ref().map(|heap| (heap.number, on_disk)))?;
        (self.unjournaled, self.ids_unjournaled) = (false, false);
        Ok(())
    }

    /// Makes everything stored durable. Data and journal are synced at the same time.
    pub fn checkpoint(&mut self) -> Result<()> {
        if self.durable == self.written || self.durability == Durability::Commit {
            return Ok(());
        }
        self.sync_names()?;
        let Some(journal) = &mut self.journal else { return Ok(()) };
        if self.unjournaled && journal.is_full_for(4096) {
            self.turn_journal()?;
        } else {
            match self.heap.as_mut().filter(|_| self.unjournaled) {
                Some(heap) => {
                    let sync = heap.start_sync(self.ids_unjournaled, &self.syncer)?;
                    let journaled = journal.extent(&heap.extent()).and_then(|()| journal.sync());
                    // An error of the disk is told once, and comes first.
                    heap.end_sync(&sync)?;
                    journaled?;
                }
                None => journal.sync()?,
            }
        }
        (self.unjournaled, self.ids_unjournaled) = (false, false);
        self.confirm()?;
        self.durable = self.written;
        Ok(())
    }

    pub(super) fn confirm(&mut self) -> Result<()> {
        self.run.as_mut().map_or(Ok(()), Run::confirm)
    }

    /// The owner lives, and what it published is there.
    pub fn heartbeat(&mut self) -> Result<()> {
        self.run.as_mut().map_or(Ok(()), Run::rename)?;
        self.keep_links()
    }

    /// What rows written from now on are to be for.
    fn target(&self, layout: &Layout) -> Result<Target> {
        match &self.table {
            Some(table) => {
                let target = Target::of(table.manifest());
                // Staged rows may be for another table than the one that is there.
                match target.layout() {
                    Ok(of_table) if of_table.check(layout.tensors()).is_ok() => Ok(target),
                    _ => Target::new(layout),
                }
            }
            None => Target::new(layout),
        }
    }

    /// Makes a data file of the heap, on disk and in the journal.
    pub fn finish_heap(&mut self) -> Result<()> {
        self.write_pending()?;
        let Some(layout) = self.layout.clone() else { return Ok(()) };
        let target = self.target(&layout)?;
        let Some(heap) = self.heap.as_mut().filter(|heap| heap.rows > 0) else { return Ok(()) };
        // Rows reach the disk while ids are encoded.
        let sync = heap.start_sync(true, &self.syncer)?;
        let first_row = self.state.open_first;
        let rows_of = |grown: &Grown| Rows { path: grown.path.clone(), file: grown.file.clone() };
        let source = Source {
            number: heap.number,
            first_row,
            rows: heap.rows,
            columns: heap.columns.iter().map(rows_of).collect(),
            ids: heap.ids.path.clone(),
            layout: &layout,
        };
        let finished = runtime::block_on(source.finish(&target)).flatten();
        heap.end_sync(&sync)?;
        let finished = finished?;
        let run = self.run.as_ref().ok_or_else(|| Error::internal("no run"))?;
        for file in &finished.files {
            let path = run.directory.join(&file.name);
            File::open(&path)?.sync_all().map_err(failed_sync(&path))?;
        }
        sync_directory(&run.directory)?;
        if let Some(journal) = &mut self.journal {
            if journal.is_full_for(4096) {
                self.turn_journal()?;
            }
            let journal = self.journal.as_mut().ok_or_else(|| Error::internal("no journal"))?;
            journal.finished(&finished)?;
            journal.sync()?;
            self.run.as_mut().map_or(Ok(()), Run::confirm)?;
            self.durable = self.written;
        }
        (self.unjournaled, self.ids_unjournaled) = (false, false);
        self.state.open_first = finished.end();
        let names: HashSet<&str> = finished.files.iter().map(|file| file.name.as_str()).collect();
        if let Some(heap) = self.heap.take() {
            for grown in heap.columns.iter().chain([&heap.ids]) {
                let name = grown.path.file_name().and_then(|name| name.to_str());
                if !name.is_some_and(|name| names.contains(name)) {
                    let _ = std::fs::remove_file(&grown.path);
                }
            }
            // What is removed costs time when it is closed.
            self.syncer.run(move || {
                drop(heap);
                Ok(())
            });
        }
        self.state.finished.push(finished);
        Ok(())
    }

    pub fn next_number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// The version and its number of data files, and how much of this run is durable.
    pub fn info(&self) -> CommitInfo {
        let (rows, tensor_bytes) = self.durable;
        let Some(table) = self.table.as_ref().filter(|_| self.mode != Mode::Staged) else {
            return CommitInfo { rows, tensor_bytes, ..CommitInfo::default() };
        };
        let manifest = table.manifest();
        let data_files = manifest.fragments.iter().map(|f| f.files.len() as u64).sum();
        CommitInfo { rows, tensor_bytes, version: manifest.version, data_files }
    }

    /// Bytes of the tensors of a row, as in the caller's memory.
    pub fn row_bytes(&self) -> u64 {
        self.layout.as_ref().map_or(0, |layout| layout.row_bytes() as u64)
    }

    pub fn directory(&self) -> Option<PathBuf> {
        self.run.as_ref().map(|run| run.directory.clone())
    }

    pub fn set_durable(&mut self) {
        self.durable = self.written;
    }
}
