//! The journal of a run: what of it survives a kill and a power failure, without a version of the table.
//!
//! A segment is a file `journal.<epoch>.<n>`, as large as it will get when it is made, so that `fdatasync` has
//! no size to write. Records follow each other, each at a multiple of 64 bytes: a head of 48 bytes
//! (`RDSJ`, kind as u32, sequence number as u64, length of what follows as u64, the number of the last record that was
//! on disk when this was written as u64, CRC-32C of what follows as u32, format as u32, zero as u32, CRC-32C of
//! the head before this as u32; little-endian) and what it says. The first record of a segment is the whole
//! state of the run, and names the oldest segment that is still of use: for rows that are on their way to the heap.
//! Files of segments before that are used again, which is why what is behind the last record may be older ones, of
//! smaller numbers.
//!
//! A damaged record is where the journal ends (a torn write; several that were synced together reach the disk in
//! any order), unless a later one says that it was on disk: then the journal is damaged, never shorter.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::writer::batch::IdBlock;
use crate::writer::fragment::Finished;
use crate::writer::heap::failed_sync;
use crate::writer::records::{ALIGN, Extent, FORMAT, HEAD, Intent, Kind, MAGIC, Since, State};
use crate::writer::syncer::{Pending, Syncer};

/// A segment holds a second or so of small batches.
const SEGMENT_BYTES: u64 = 4 << 20;
/// What is made first, for runs that put little into it, and so that there is time to make the next.
const FIRST_BYTES: u64 = 1 << 20;

/// Segments that are kept at most; rows of more have long been due in the heap.
const MOST_SEGMENTS: usize = 3;

enum Spare {
    None,
    Making(Pending<()>),
    Ready,
}

struct Segment {
    number: u64,
    path: PathBuf,
    file: File,
    size: u64,
    /// Behind its last record.
    at: u64,
    /// The last rows that it has: the number of their heap, and their end in it.
    last: Option<(u64, u64)>,
}

pub struct Journal {
    directory: PathBuf,
    epoch: u64,
    /// What is written to.
    now: Segment,
    /// Those before it that are still of use, oldest first.
    kept: VecDeque<Segment>,
    sequence: u64,
    /// The number of the last record that is on disk.
    synced: u64,
    /// The next segment: being made, or used before.
    spare: Spare,
    syncer: Syncer,
}

impl Journal {
    /// The state is on disk when this returns.
    pub fn create(directory: &Path, epoch: u64, state: &State, syncer: &Syncer) -> Result<Self> {
        let path = directory.join(format!("journal.{epoch}.0"));
        let file = make_segment(&path, FIRST_BYTES).map_err(making(&path))?;
        let now = Segment { number: 0, path, file, size: FIRST_BYTES, at: 0, last: None };
        let mut journal = Self {
            directory: directory.to_path_buf(),
            epoch,
            now,
            kept: VecDeque::new(),
            sequence: 0,
            synced: 0,
            spare: Spare::None,
            syncer: syncer.clone(),
        };
        journal.write(Kind::State, &[&json(state)?])?;
        journal.sync()?;
        Ok(journal)
    }

    /// Whether the next record goes into another segment, which begins with the state of the run.
    pub fn is_full_for(&self, bytes: usize) -> bool {
        // Room stays for the records around a version.
        self.now.at + (bytes + HEAD) as u64 + (64 << 10) > self.now.size
    }

    /// Whether one more segment may be kept.
    pub fn has_room(&self) -> bool {
        self.kept.len() + 1 < MOST_SEGMENTS
    }

    /// Begins another segment. `needed`: the number of a heap, and the row of it from which on rows are on disk in
    /// the journal only.
    pub fn turn(&mut self, mut state: State, needed: Option<(u64, u64)>) -> Result<()> {
        // What the next segment says of this one is so.
        self.sync()?;
        let number = self.now.number + 1;
        let path = self.directory.join(format!("journal.{}.{number}", self.epoch));
        let file = self.next_segment(&path).map_err(making(&path))?;
        let next = Segment { number, path, file, size: SEGMENT_BYTES, at: 0, last: None };
        let old = std::mem::replace(&mut self.now, next);
        let needs = |segment: &Segment| match (needed, segment.last) {
            (Some((heap, row)), Some((of, end))) => of == heap && end > row,
            _ => false,
        };
        let first = self.kept.iter().chain([&old]).find(|segment| needs(segment));
        let since = first.map(|segment| segment.number);
        state.since = since.zip(needed).map(|(segment, (heap, _))| Since { segment, heap });
        let (sequence, synced) = (self.sequence, self.synced);
        let written = json(&state).and_then(|state| self.write(Kind::State, &[&state]));
        let written = written.and_then(|()| self.sync());
        if let Err(error) = written.and_then(|()| sync_directory(&self.directory)) {
            let _ = std::fs::remove_file(&self.now.path);
            (self.now, self.sequence, self.synced) = (old, sequence, synced);
            return Err(error);
        }
        self.kept.push_back(old);
        let of_no_use = |kept: &Segment| since.is_none_or(|since| kept.number < since);
        while let Some(old) = self.kept.pop_front_if(|kept| of_no_use(kept)) {
            self.free(old);
        }
        Ok(())
    }

    /// Whatever stays is older than what replaced it.
    fn free(&mut self, old: Segment) {
        let wanted = old.size == SEGMENT_BYTES && matches!(self.spare, Spare::None);
        if wanted && std::fs::rename(&old.path, self.spare_path()).is_ok() {
            self.spare = Spare::Ready;
        } else {
            let _ = std::fs::remove_file(&old.path);
        }
    }

    fn spare_path(&self) -> PathBuf {
        self.directory.join(format!("spare.{}", self.epoch))
    }

    fn next_segment(&mut self, path: &Path) -> io::Result<File> {
        let made = match std::mem::replace(&mut self.spare, Spare::None) {
            Spare::Making(pending) => pending.wait().is_ok(),
            Spare::Ready => true,
            Spare::None => false,
        };
        if made && std::fs::rename(self.spare_path(), path).is_ok() {
            return OpenOptions::new().read(true).write(true).open(path);
        }
        make_segment(path, SEGMENT_BYTES)
    }

    /// Has the next segment made before it is needed.
    fn prepare(&mut self) {
        // Not for runs that put little into it. Of three one is free at the next turn.
        if matches!(self.spare, Spare::None) && self.has_room() && self.now.at * 4 > self.now.size {
            let path = self.spare_path();
            let make = move || make_segment(&path, SEGMENT_BYTES).map(drop);
            self.spare = Spare::Making(self.syncer.run(make));
        }
    }

    pub fn rows(
        &mut self,
        number: u64,
        before: u64,
        ids: &IdBlock,
        columns: &[&[u8]],
    ) -> Result<()> {
        let (rows, ids) = (ids.lengths.len() as u64, ids.encode());
        let numbers = [number, before, columns.len() as u64, ids.len() as u64];
        let lengths = columns.iter().map(|rows| rows.len() as u64);
        let head: Vec<u8> = numbers.into_iter().chain(lengths).flat_map(u64::to_le_bytes).collect();
        let mut parts: Vec<&[u8]> = vec![&head, &ids];
        parts.extend_from_slice(columns);
        self.write(Kind::Rows, &parts)?;
        self.now.last = Some((number, before + rows));
        self.prepare();
        Ok(())
    }

    pub fn extent(&mut self, extent: &Extent) -> Result<()> {
        self.write(Kind::Extent, &[&json(extent)?])
    }

    pub fn finished(&mut self, finished: &Finished) -> Result<()> {
        self.write(Kind::Finished, &[&json(finished)?])
    }

    pub fn intent(&mut self, intent: &Intent) -> Result<()> {
        self.write(Kind::Intent, &[&json(intent)?])
    }

    pub fn done(&mut self, rows: u64, version: u64) -> Result<()> {
        self.write(Kind::Done, &[&json(&(rows, version))?])
    }

    /// One write at the end; after a failure the next record takes its place.
    fn write(&mut self, kind: Kind, parts: &[&[u8]]) -> Result<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let crc = parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part));
        let mut bytes = Vec::with_capacity(HEAD + length + ALIGN as usize);
        bytes.extend_from_slice(MAGIC);
        bytes.extend((kind as u32).to_le_bytes());
        bytes.extend((self.sequence + 1).to_le_bytes());
        bytes.extend((length as u64).to_le_bytes());
        bytes.extend(self.synced.to_le_bytes());
        bytes.extend(crc.to_le_bytes());
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        bytes.resize(bytes.len().next_multiple_of(ALIGN as usize), 0);
        let Segment { path, file, size, at, .. } = &mut self.now;
        let written = file.write_all_at(&bytes, *at);
        written.map_err(|e| Error::from(e).context(format!("writing {}", path.display())))?;
        *at += bytes.len() as u64;
        *size = (*size).max(*at);
        self.sequence += 1;
        Ok(())
    }

    pub fn sync(&mut self) -> Result<()> {
        if self.synced != self.sequence {
            self.now.file.sync_data().map_err(failed_sync(&self.now.path))?;
            self.synced = self.sequence;
        }
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Nothing is made in the directory of a run that has ended.
        if let Spare::Making(pending) = std::mem::replace(&mut self.spare, Spare::None) {
            let _ = pending.wait();
        }
    }
}

/// A segment with all its bytes on the disk already: writing to them changes nothing but them.
fn make_segment(path: &Path, bytes: u64) -> io::Result<File> {
    let make = || -> io::Result<File> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        let zeros = vec![0; 1 << 20];
        let mut at = 0;
        while at < bytes {
            file.write_all_at(&zeros, at)?;
            at += zeros.len() as u64;
            // Little at a time: others wait for the same disk.
            file.sync_data()?;
        }
        file.sync_all()?;
        Ok(file)
    };
    make().inspect_err(|_| drop(std::fs::remove_file(path)))
}

fn making(path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let path = path.display().to_string();
    move |error| Error::from(error).context(format!("making {path}"))
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::internal(format!("a record: {e}")))
}

/// Waits until the names in a directory are on disk. Some file systems know no such thing.
pub fn sync_directory(path: &Path) -> Result<()> {
    let of = |error: io::Error| Error::from(error).context(format!("fsync of {}", path.display()));
    let unknown = |error: &io::Error| {
        error.raw_os_error() == Some(libc::EINVAL) || error.kind() == io::ErrorKind::Unsupported
    };
    match File::open(path).map_err(of)?.sync_all() {
        Err(error) if unknown(&error) => Ok(()),
        Err(error) => Err(failed_sync(path)(error)),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
