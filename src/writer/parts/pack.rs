//! Makes data files of parts, as one writer would have made them of the same rows: which rows are in which file
//! depends on the rows alone. Several threads make a file each, and several processes may share the files of a job, while
//! parts are still written: beside each file that is complete lies a note, found by the rows that are in it, and nobody
//! makes it again.

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
use crate::writer::parts::blocks::Blocks;
use crate::writer::parts::{PartToken, directory, removed};
use crate::writer::records::ColumnOf;
use crate::writer::syncer::Syncer;

/// A file per thread is enough to keep a disk busy.
const MOST_THREADS: usize = 16;
/// Descriptors that a thread needs besides those of columns.
const OTHER_FILES: u64 = 4;
/// The directory of packed files within that of their job.
const PACKED: &str = "packed";

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

/// The directory for the files of a whole job.
pub fn directory_of(table: &Path, job: &str) -> PathBuf {
    directory(table, job).join(PACKED)
}

/// Which files are to be made, and by how many threads.
#[derive(Clone, Copy)]
pub struct Wanted {
    pub threads: usize,
    /// Those whose number is the first modulo the second.
    pub share: (usize, usize),
    /// Rows of the first parts that are in files of other calls.
    pub skip: u64,
    /// Other parts follow: what does not fill a file is not made.
    pub more: bool,
}

impl Wanted {
    pub const ALL: Self = Self { threads: usize::MAX, share: (0, 1), skip: 0, more: false };
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
    pub fn run(&self, wanted: Wanted) -> Result<Vec<Finished>> {
        let mut starts = Vec::with_capacity(self.parts.len());
        let mut rows: u64 = 0;
        for part in self.parts {
            part.check(self.table)?;
            starts.push(rows);
            rows += part.token.rows;
        }
        let of_file = heap::room(self.layout, 0, 0);
        let left = rows.saturating_sub(wanted.skip);
        let files = if wanted.more { left / of_file } else { left.div_ceil(of_file) };
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        let (share, shares) = wanted.share;
        let files: Vec<usize> = (0..files).filter(|file| file % shares == share).collect();
        let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            let mut packer = Packer { pack: self, starts: &starts, memory: Vec::new() };
            while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                let first = wanted.skip + *file as u64 * of_file;
                let range = Range { first, end: rows.min(first + of_file) };
                let made = packer.find_or_make(self.first + file, &range);
                if made.is_err() {
                    // Nothing of it will be shown.
                    next.store(files.len(), Ordering::Relaxed);
                }
                results.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((file, made));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads(wanted.threads.min(files.len())) {
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
        let note = directory.join(format!("{}.json", self.says(range)));
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

    /// The parts that have rows of a file: each with how many of its rows come before, and how many it has.
    fn of_file<'r>(
        &self,
        range: &'r Range,
    ) -> impl Iterator<Item = (&Source<'_>, u64, u64)> + use<'_, 'r> {
        // The last part that begins there or before; parts without rows begin where the next one does.
        let begins = self.starts.partition_point(|start| *start <= range.first);
        let parts = self.pack.parts.iter().zip(self.starts).skip(begins.saturating_sub(1));
        let parts = parts.take_while(|(_, start)| **start < range.end);
        parts.filter(|(part, _)| part.token.rows > 0).map(|(part, start)| {
            let skip = range.first.saturating_sub(*start);
            (part, skip, range.end.min(start + part.token.rows) - start - skip)
        })
    }

    /// Another text for a file of other rows, or for another table.
    fn says(&self, range: &Range) -> String {
        let mut said = self.pack.target.text().into_bytes();
        for (part, skip, count) in self.of_file(range) {
            said.extend(part.token.attempt.as_bytes());
            said.extend([skip, count].map(u64::to_le_bytes).as_flattened());
        }
        sum(&said)
    }

    fn fill(&mut self, heap: &mut Heap, range: &Range) -> Result<()> {
        let syncer = Syncer::start();
        let mut memory = std::mem::take(&mut self.memory);
        for (part, skip, count) in self.of_file(range) {
            let copied = self.copy(heap, part.token, skip, count, &syncer, memory);
            memory = copied.map_err(|error| error.context(format!("token {}", part.index)))?;
        }
        self.memory = memory;
        if heap.rows != range.end - range.first {
            return Err(Error::internal("a file of other rows than those of its parts"));
        }
        Ok(())
    }

    /// Adds rows of a part: those behind the first `skip`, and so many. The memory is given back.
    fn copy(
        &self,
        heap: &mut Heap,
        token: &PartToken,
        skip: u64,
        mut most: u64,
        syncer: &Syncer,
        memory: Vec<u8>,
    ) -> Result<Vec<u8>> {
        let (strides, places) = order(&token.columns, self.pack.layout)?;
        let mut blocks = Blocks::open(token.path(self.pack.table), token, &strides, memory)?;
        let mut skip = blocks.skip(skip)? as usize;
        while most > 0
            && let Some(rows) =
                blocks.next(skip, usize::try_from(most).unwrap_or(usize::MAX), &places)?
        {
            skip = 0;
            most -= rows.ids.lengths.len() as u64;
            heap.append(&[(&rows).into()], false, syncer)?;
        }
        match most {
            0 => Ok(blocks.into_memory()),
            _ => Err(blocks.damaged("it has fewer rows than its token says")),
        }
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
