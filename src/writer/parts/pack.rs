//! Makes data files of parts, as one writer would have made them of the same rows: which rows are in which file
//! depends on the rows alone. Several threads make a file each, and several processes may share the files of a job:
//! beside each that is complete lies a note that says so, and nobody makes it again.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::map;
use crate::writer::fragment::{Finished, Target};
use crate::writer::heap::{self, Heap};
use crate::writer::journal::sync_directory;
use crate::writer::layout::Layout;
use crate::writer::parts::file::Blocks;
use crate::writer::parts::{PartToken, directory, removed};
use crate::writer::records::ColumnOf;
use crate::writer::syncer::Syncer;

/// A file per thread is enough to keep a disk busy.
const MOST_THREADS: usize = 16;
/// Descriptors that a thread needs besides those of columns.
const OTHER_FILES: u64 = 4;
/// How the names of directories of packed files begin.
pub const PACKED: &str = "packed-";

/// A part, its token, and the number of that among those of the call.
pub struct Source<'a> {
    pub token: &'a PartToken,
    pub index: usize,
}

impl Source<'_> {
    /// The file is there, and long enough for its rows.
    fn check(&self, table: &Path) -> Result<()> {
        let path = self.token.path(table);
        let bytes = match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(removed(&path)),
            file => Ok(file.map_err(|e| Error::from(e).context(path.display()))?.len()),
        };
        let is_short = |bytes| bytes < self.token.bytes;
        let checked = bytes.and_then(|bytes| match is_short(bytes) {
            false => Ok(()),
            true => Err(Error::corrupt(format!(
                "{} is cut short: it has {bytes} bytes; remove it, and write the part again",
                path.display()
            ))),
        });
        checked.map_err(|error| error.context(format!("token {}", self.index)))
    }
}

/// Parts whose rows follow each other.
pub struct Pack<'a> {
    pub table: &'a Path,
    pub layout: &'a Layout,
    pub target: &'a Target,
    pub parts: &'a [Source<'a>],
    /// Where the files go.
    pub directory: PathBuf,
    /// The number of the first file.
    pub first: usize,
}

/// The rows of a data file: where they begin and end among all.
struct Range {
    first: u64,
    end: u64,
}

/// The directory for the files of a whole job: whoever packs the same parts for the same table finds what others did.
pub fn directory_of(table: &Path, job: &str, target: &Target, parts: &[Source]) -> PathBuf {
    let mut said = target.text().into_bytes();
    said.extend(attempts(parts).as_bytes());
    directory(table, job).join(format!("{PACKED}{}", sum(&said)))
}

/// Which tokens these are: another text for others.
pub fn attempts(parts: &[Source]) -> String {
    let said = parts.iter().flat_map(|part| *part.token.attempt.as_bytes());
    sum(&said.collect::<Vec<u8>>())
}

fn sum(said: &[u8]) -> String {
    format!("{:08x}{:08x}", crc32c::crc32c(said), crc32fast::hash(said))
}

impl Pack<'_> {
    /// Makes those of the files that are wanted, or finds them; in the order of their rows.
    pub fn run(
        &self,
        threads: usize,
        wanted: impl Fn(usize) -> bool + Sync,
    ) -> Result<Vec<Finished>> {
        let mut starts = Vec::with_capacity(self.parts.len());
        let mut rows = 0;
        for part in self.parts {
            part.check(self.table)?;
            starts.push(rows);
            rows += part.token.rows;
        }
        let of_file = heap::room(self.layout, 0, 0);
        let files = usize::try_from(rows.div_ceil(of_file)).unwrap_or(usize::MAX);
        let wanted: Vec<usize> = (0..files).filter(|file| wanted(*file)).collect();
        let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            let mut packer = Packer { pack: self, starts: &starts, memory: Vec::new() };
            while let Some(file) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                let first = *file as u64 * of_file;
                let range = Range { first, end: rows.min(first + of_file) };
                let made = packer.find_or_make(self.first + file, &range);
                if made.is_err() {
                    // Nothing of it will be shown.
                    next.store(wanted.len(), Ordering::Relaxed);
                }
                results.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((file, made));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads(threads.min(wanted.len())) {
                let thread = std::thread::Builder::new().name("rds-pack".to_string());
                // The files of one that cannot be had are made by the others.
                if thread.spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            work();
        });
        // Of what failed at once.
        let _ = std::fs::remove_dir(&self.directory);
        let mut results = results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        results.sort_by_key(|(file, _)| *file);
        results.into_iter().map(|(_, made)| made).collect()
    }

    fn threads(&self, wanted: usize) -> usize {
        let of_thread = self.layout.columns.len() as u64 + OTHER_FILES;
        let by_files = usize::try_from(map::descriptors() / 2 / of_thread).unwrap_or(usize::MAX);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        wanted.min(processors).min(by_files).clamp(1, MOST_THREADS)
    }
}

/// What one thread needs to make files.
struct Packer<'a> {
    pack: &'a Pack<'a>,
    starts: &'a [u64],
    memory: Vec<u8>,
}

impl Packer<'_> {
    fn find_or_make(&mut self, number: usize, range: &Range) -> Result<Finished> {
        let directory = &self.pack.directory;
        let note = directory.join(format!("{number}.json"));
        if let Some(finished) = noted(directory, &note) {
            return Ok(finished);
        }
        // Two may make the same file: either is as good. Who is killed leaves what goes with the job.
        let id = Uuid::new_v4().simple().to_string();
        let own = directory.join(format!("{number}-{id}"));
        let of = |error: io::Error| Error::from(error).context(own.display());
        std::fs::create_dir_all(&own).map_err(of)?;
        let made = self.make(&own, &id, number, range).and_then(|finished| {
            let text = serde_json::to_vec(&finished);
            let text = text.map_err(|e| Error::internal(format!("a packed file: {e}")))?;
            std::fs::write(own.join("note"), text).map_err(of)?;
            for file in &finished.files {
                std::fs::rename(own.join(&file.name), directory.join(&file.name)).map_err(of)?;
            }
            std::fs::rename(own.join("note"), &note).map_err(of)?;
            sync_directory(directory)?;
            Ok(finished)
        });
        let _ = std::fs::remove_dir_all(&own);
        made
    }

    fn make(&mut self, own: &Path, id: &str, number: usize, range: &Range) -> Result<Finished> {
        let Pack { layout, target, .. } = self.pack;
        let mut heap = Heap::create(own, id, 1, number as u64, layout.columns.len())?;
        self.fill(&mut heap, range)?;
        heap.into_file(layout, target)
    }

    fn fill(&mut self, heap: &mut Heap, range: &Range) -> Result<()> {
        let syncer = Syncer::start();
        // The last part that begins there or before; parts without rows begin where the next one does.
        let begins = self.starts.partition_point(|start| *start <= range.first);
        let from = begins.saturating_sub(1);
        let parts = self.pack.parts.iter().zip(self.starts).skip(from);
        for (part, start) in parts.take_while(|(_, start)| **start < range.end) {
            let token = part.token;
            if token.rows == 0 {
                continue;
            }
            let skip = range.first.saturating_sub(*start);
            let most = range.end.min(start + token.rows) - start - skip;
            let taken = self.copy(heap, token, skip, most, &syncer);
            taken.map_err(|error| error.context(format!("token {}", part.index)))?;
        }
        if heap.rows != range.end - range.first {
            return Err(Error::internal("a file of other rows than those of its parts"));
        }
        Ok(())
    }

    /// Adds rows of a part: those behind the first `skip`, and so many.
    fn copy(
        &mut self,
        heap: &mut Heap,
        token: &PartToken,
        skip: u64,
        mut most: u64,
        syncer: &Syncer,
    ) -> Result<()> {
        let (strides, places) = order(&token.columns, self.pack.layout)?;
        let path: PathBuf = token.path(self.pack.table);
        let mut blocks = Blocks::open(path, token, &strides, std::mem::take(&mut self.memory))?;
        let mut skip = blocks.skip(skip)? as usize;
        while most > 0
            && let Some(rows) =
                blocks.next(skip, usize::try_from(most).unwrap_or(usize::MAX), &places)?
        {
            skip = 0;
            most -= rows.ids.lengths.len() as u64;
            heap.append(&[(&rows).into()], false, syncer)?;
        }
        if most > 0 {
            return Err(blocks.damaged("it has fewer rows than its token says"));
        }
        self.memory = blocks.into_memory();
        Ok(())
    }
}

/// What a note says of a file that is there as it says.
fn noted(directory: &Path, note: &Path) -> Option<Finished> {
    let finished: Finished = serde_json::from_slice(&std::fs::read(note).ok()?).ok()?;
    let is_there = |(name, bytes): (&str, u64)| {
        let file = File::open(directory.join(name)).and_then(|file| file.metadata());
        file.is_ok_and(|file| file.len() == bytes)
    };
    let mut files = finished.files.iter().map(|file| (file.name.as_str(), file.bytes));
    files.all(is_there).then_some(finished)
}

/// The strides of a part's columns as it has them, and which of them each column of the table is.
fn order(columns: &[ColumnOf], layout: &Layout) -> Result<(Vec<usize>, Vec<usize>)> {
    let stride = |of: &ColumnOf| layout.column(&of.name).map(|column| column.stride);
    let strides: Option<Vec<usize>> = columns.iter().map(stride).collect();
    let place = |name: &str| columns.iter().position(|of| of.name == name);
    let places: Option<Vec<usize>> =
        layout.columns.iter().map(|column| place(&column.name)).collect();
    strides.zip(places).ok_or_else(|| Error::internal("a part of other columns than its layout"))
}
