//! Makes data files of parts, as one writer would have made them of the same rows: which rows are in which file
//! depends on the rows alone. Several threads make a file each, and several processes may share the files of a job, while
//! parts are still written: beside each file that is complete lies a note, found by the rows that are in it, and nobody
//! makes it again. What does not fill a file yet is `begun`.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::error::{Error, Result, Status};
use crate::map;
use crate::writer::finish::stays;
use crate::writer::fragment::{Finished, Target};
use crate::writer::heap::{self, Heap};
use crate::writer::journal::sync_directory;
use crate::writer::layout::Layout;
use crate::writer::parts::begun::{Begun, Name};
use crate::writer::parts::blocks::Blocks;
use crate::writer::parts::removal::remove_empty;
use crate::writer::parts::{PartToken, directory, removed};
use crate::writer::records::ColumnOf;
use crate::writer::syncer::Syncer;

/// A file per thread is enough to keep a disk busy.
const MOST_THREADS: usize = 16;
/// How long to wait for somebody else who makes a file, and may have been stopped, before it is made once more.
const PATIENCE: Duration = Duration::from_secs(10);
/// Descriptors that a thread needs besides those of columns.
const OTHER_FILES: u64 = 4;
/// The directory of packed files within that of their job.
pub const PACKED: &str = "packed";

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

/// Rows of a data file: where they begin and end among all.
#[derive(Clone, Copy)]
struct Range {
    first: u64,
    end: u64,
}

impl Range {
    fn rows(&self) -> u64 {
        self.end - self.first
    }
}

/// The directory for the files of a whole job.
pub fn directory_of(table: &Path, job: &str) -> PathBuf {
    directory(table, job).join(PACKED)
}

/// Which files are to be made.
#[derive(Clone, Copy)]
pub struct Wanted {
    /// Those whose number is the first modulo the second.
    pub share: (usize, usize),
    /// Rows of the first parts that are in files of other calls.
    pub skip: u64,
    /// Other parts follow: what does not fill a file is begun.
    pub more: bool,
}

/// Which tokens these are: another text for others.
pub fn attempts(parts: &[Source]) -> String {
    let mut sum = Sum::default();
    parts.iter().for_each(|part| sum.add(part.token.attempt.as_bytes()));
    format!("{:016x}", sum.get())
}

/// Tells what was added from anything else: two checksums.
#[derive(Clone, Default)]
struct Sum(u32, crc32fast::Hasher);

impl Sum {
    fn add(&mut self, said: &[u8]) {
        self.0 = crc32c::crc32c_append(self.0, said);
        self.1.update(said);
    }

    fn get(&self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.1.clone().finalize())
    }
}

impl Pack<'_> {
    /// The number of the first row of each part, and how many rows there are.
    fn starts(&self) -> Result<(Vec<u64>, u64)> {
        let mut starts = Vec::with_capacity(self.parts.len());
        let mut rows: u64 = 0;
        for part in self.parts {
            part.check(self.table)?;
            starts.push(rows);
            rows += part.token.rows;
        }
        Ok((starts, rows))
    }

    /// The rows of each file.
    fn files(&self, skip: u64, rows: u64) -> Vec<Range> {
        let room = heap::room(self.layout, 0, 0);
        let firsts = (skip..rows).step_by(usize::try_from(room).unwrap_or(usize::MAX));
        firsts.map(|first| Range { first, end: rows.min(first.saturating_add(room)) }).collect()
    }

    /// Makes all files, or finds them; in the order of their rows.
    pub fn all(&self) -> Result<Vec<Finished>> {
        let (starts, rows) = self.starts()?;
        let files = self.files(0, rows);
        let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            let packer = Packer { pack: self, starts: &starts, memory: Cell::default() };
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(range) = files.get(number) else { break };
                let made = packer.find_or_make(number, *range);
                if made.is_err() {
                    // Nothing of it will be shown.
                    next.store(files.len(), Ordering::Relaxed);
                }
                results.lock().unwrap_or_else(PoisonError::into_inner).push((number, made));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads(files.len()) {
                let thread = std::thread::Builder::new().name("rds-pack".to_string());
                // The files of one that cannot be had are made by the others.
                if thread.spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            work();
        });
        self.remove_empty();
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_by_key(|(number, _)| *number);
        results.into_iter().map(|(_, made)| made).collect()
    }

    /// Makes a share of the files, for `all` to find; how many rows.
    pub fn share(&self, wanted: Wanted) -> Result<u64> {
        let (starts, rows) = self.starts()?;
        let files = self.files(wanted.skip, rows);
        let room = heap::room(self.layout, 0, 0);
        let (share, shares) = wanted.share;
        let packer = Packer { pack: self, starts: &starts, memory: Cell::default() };
        let files = files.into_iter().enumerate().skip(share).step_by(shares);
        let made = files.map(|(number, range)| match wanted.more && range.rows() < room {
            true => packer.begin(range).map(|()| 0),
            false => packer.find_or_make(number, range).map(|finished| finished.rows),
        });
        let made = made.sum();
        self.remove_empty();
        made
    }

    /// Of what failed at once, or came too late.
    fn remove_empty(&self) {
        for directory in self.directory.ancestors().take(2) {
            let _ = std::fs::remove_dir(directory);
        }
        remove_empty(self.table);
    }

    fn threads(&self, files: usize) -> usize {
        let of_thread = self.layout.columns.len() as u64 + OTHER_FILES;
        let by_files = usize::try_from(map::descriptors() / 2 / of_thread).unwrap_or(usize::MAX);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        files.min(processors).min(by_files).clamp(1, MOST_THREADS)
    }

    /// What says that the file of these rows is there.
    fn note(&self, rows: u64) -> PathBuf {
        self.directory.join(format!("{rows:016x}.note"))
    }

    /// What a note says of a file that is there as it says.
    fn noted(&self, rows: u64) -> Option<Finished> {
        let note = std::fs::read(self.note(rows)).ok()?;
        let (sum, text) = note.split_first_chunk()?;
        let is_whole = crc32c::crc32c(text) == u32::from_le_bytes(*sum);
        let finished: Finished = serde_json::from_slice(text).ok().filter(|_| is_whole)?;
        let is_there = |(name, bytes): (&str, u64)| {
            let file = File::open(self.directory.join(name)).and_then(|file| file.metadata());
            file.is_ok_and(|file| file.len() == bytes)
        };
        let mut files = finished.files.iter().map(|file| (file.name.as_str(), file.bytes));
        files.all(is_there).then_some(finished)
    }
}

/// What one thread needs to make files.
struct Packer<'a> {
    pack: &'a Pack<'a>,
    starts: &'a [u64],
    memory: Cell<Vec<u8>>,
}

impl Packer<'_> {
    fn find_or_make(&self, number: usize, range: Range) -> Result<Finished> {
        let (start, rows) = self.says(range);
        let noted = || self.pack.noted(rows);
        if let Some(finished) = noted() {
            return Ok(finished);
        }
        let begun = Begun::new(&self.pack.directory, start);
        let _held = begun.lock(PATIENCE)?;
        if let Some(finished) = noted() {
            return Ok(finished);
        }
        // What cannot be gone on with is gone then: all of it comes from the parts.
        let was_begun = !begun.all()?.is_empty();
        let made = self.make(&begun, number, range, rows).or_else(|error| match error.status {
            Status::RDS_ERR_CORRUPT | Status::RDS_ERR_INTERNAL if was_begun => {
                log::warn!("a packed file that was begun: {error}");
                self.make(&begun, number, range, rows)
            }
            _ => Err(error),
        });
        begun.done();
        made
    }

    /// Two may make the same file all the same: either is as good. Who is killed leaves what goes with the job.
    fn make(&self, begun: &Begun, number: usize, range: Range, rows: u64) -> Result<Finished> {
        let Pack { directory, layout, target, first, .. } = self.pack;
        let id = Uuid::new_v4().simple().to_string();
        let own = directory.join(format!("{}-{id}", first + number));
        let of = |error: io::Error| Error::from(error).context(own.display());
        let name = Name { directory: &own, id: &id, number: (first + number) as u64 };
        let made = self.fill(begun, range, &name, &Syncer::start()).and_then(|heap| {
            let finished = heap.into_file(layout, target)?;
            let text = serde_json::to_vec(&finished);
            let text = text.map_err(|e| Error::internal(format!("a packed file: {e}")))?;
            let sum = crc32c::crc32c(&text).to_le_bytes();
            std::fs::write(own.join("note"), [sum.as_slice(), &text].concat()).map_err(of)?;
            for file in &finished.files {
                std::fs::rename(own.join(&file.name), directory.join(&file.name)).map_err(of)?;
            }
            std::fs::rename(own.join("note"), self.pack.note(rows)).map_err(of)?;
            sync_directory(directory)?;
            Ok(finished)
        });
        let _ = std::fs::remove_dir_all(&own);
        made
    }

    /// Begins a file, or goes on with it, if nobody else does.
    fn begin(&self, range: Range) -> Result<()> {
        let (start, rows) = self.says(range);
        let begun = Begun::new(&self.pack.directory, start);
        let Some(_held) = begun.lock(Duration::ZERO)? else { return Ok(()) };
        if begun.all()?.contains(&rows) {
            return Ok(());
        }
        let own = self.pack.directory.join(format!("begun-{}", Uuid::new_v4().simple()));
        let syncer = Syncer::start();
        let filled = self.fill(&begun, range, &Name::begun(&own), &syncer);
        let kept = filled.and_then(|heap| begun.keep(&own, heap, &syncer, rows));
        let _ = std::fs::remove_dir_all(&own);
        if kept.is_err() {
            begun.done();
        }
        kept
    }

    /// Files with the rows of a range, which goes on with what is begun of them.
    fn fill(&self, begun: &Begun, range: Range, name: &Name, syncer: &Syncer) -> Result<Heap> {
        let layout = self.pack.layout;
        let taken = match self.longest(range, &begun.all()?) {
            Some((rows, count)) => begun.take(rows, count, name, layout).unwrap_or_else(|error| {
                // Of what the parts have, too.
                log::warn!("a packed file that was begun: {error}");
                let _ = std::fs::remove_dir_all(name.directory);
                None
            }),
            None => None,
        };
        let mut heap = taken.map_or_else(|| name.make(layout), Ok)?;
        let left = Range { first: range.first + heap.rows, end: range.end };
        for (grown, column) in heap.columns.iter_mut().zip(&layout.columns) {
            grown.reserve(left.rows() * column.stride as u64);
            // A worker has other use for its memory than rows that others read.
            grown.passing = stays(self.pack.target, column);
        }
        let mut memory = self.memory.take();
        for (part, skip, count) in self.of_file(left) {
            let copied = self.copy(&mut heap, part.token, skip, count, syncer, memory);
            memory = copied.map_err(|error| error.context(format!("token {}", part.index)))?;
        }
        self.memory.set(memory);
        match heap.rows == range.rows() {
            true => Ok(heap),
            false => Err(Error::internal("a file of other rows than those of its parts")),
        }
    }

    /// The parts that have rows of a file: each with how many of its rows come before, and how many it has.
    fn of_file(&self, range: Range) -> impl Iterator<Item = (&Source<'_>, u64, u64)> {
        // The last part that begins there or before; parts without rows begin where the next one does.
        let begins = self.starts.partition_point(|start| *start <= range.first);
        let parts = self.pack.parts.iter().zip(self.starts).skip(begins.saturating_sub(1));
        let parts = parts.take_while(move |(_, start)| **start < range.end);
        parts.filter(|(part, _)| part.token.rows > 0).map(move |(part, start)| {
            let skip = range.first.saturating_sub(*start);
            (part, skip, range.end.min(start + part.token.rows) - start - skip)
        })
    }

    /// For the rows up to each part of a file another number than for other rows or another table, and how many these
    /// are. The first is for none but where they begin.
    fn sums(&self, range: Range) -> impl Iterator<Item = (u64, u64)> {
        let (mut sum, mut rows) = (Sum::default(), 0);
        sum.add(self.pack.target.text().as_bytes());
        let start = self.of_file(range).take(1).map(|(part, skip, _)| (part, skip, 0));
        start.chain(self.of_file(range)).map(move |(part, skip, count)| {
            sum.add(part.token.attempt.as_bytes());
            sum.add([skip, count].map(u64::to_le_bytes).as_flattened());
            rows += count;
            (sum.get(), rows)
        })
    }

    /// How a file begins, and which rows it has.
    fn says(&self, range: Range) -> (u64, u64) {
        let mut sums = self.sums(range).map(|(sum, _)| sum);
        let start = sums.next().unwrap_or_default();
        (start, sums.last().unwrap_or(start))
    }

    /// The most rows of a file that are among those that are begun, and how many they are.
    fn longest(&self, range: Range, begun: &BTreeSet<u64>) -> Option<(u64, u64)> {
        match begun.is_empty() {
            true => None,
            false => self.sums(range).skip(1).filter(|(sum, _)| begun.contains(sum)).last(),
        }
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

/// The strides of a part's columns as it has them, and which of them each column of the table is.
fn order(columns: &[ColumnOf], layout: &Layout) -> Result<(Vec<usize>, Vec<usize>)> {
    let stride = |of: &ColumnOf| layout.column(&of.name).map(|column| column.stride);
    let strides: Option<Vec<usize>> = columns.iter().map(stride).collect();
    let place = |name: &str| columns.iter().position(|of| of.name == name);
    let places: Option<Vec<usize>> =
        layout.columns.iter().map(|column| place(&column.name)).collect();
    strides.zip(places).ok_or_else(|| Error::internal("a part of other columns than its layout"))
}
