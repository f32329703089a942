//! The journal of a run: what of it survives a kill and a power failure, without a version of the table.
//!
//! A segment is a file `journal.<epoch>.<n>`, as large as it will get when it is made, so that `fdatasync` has
//! no size to write. Records follow each other, each at a multiple of 64 bytes: a head of 48 bytes
//! (`RDSJ`, kind as u32, sequence number as u64, length of what follows as u64, the number of the last record that was
//! on disk when this was written as u64, CRC-32C of what follows as u32, format as u32, zero as u32, CRC-32C of
//! the head before this as u32; little-endian) and what it says. The first record of a segment is the whole
//! state of the run: segments before it are of no use any more, and their files are used again, which is why
//! what is behind the last record may be older ones, of smaller numbers.
//!
//! A damaged record is where the journal ends (a torn write; several that were synced together reach the disk in
//! any order), unless a later one says that it was on disk: then the journal is damaged, never shorter.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::writer::batch::IdBlock;
use crate::writer::fragment::Finished;
use crate::writer::heap::failed_sync;
use crate::writer::syncer::{Pending, Syncer};

const MAGIC: &[u8; 4] = b"RDSJ";
const FORMAT: u32 = 1;
const HEAD: usize = 48;
const ALIGN: u64 = 64;

/// A segment holds some seconds of small batches.
const SEGMENT_BYTES: u64 = 8 << 20;
/// What is made first, for runs that put little into it, and so that there is time to make the next.
const FIRST_BYTES: u64 = 1 << 20;

/// How far the files of a heap were written, each as bytes and their CRC-32C.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Extent {
    pub number: u64,
    pub rows: u64,
    /// Ids of rows from here on are in the journal.
    pub ids_rows: u64,
    pub ids: (u64, u32),
    pub columns: Vec<(u64, u32)>,
}

/// A tensor column, as names say it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct ColumnOf {
    pub name: String,
    pub dtype: String,
    pub shape: Vec<i64>,
}

/// A version that is being made.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct Intent {
    /// Rows of the run that it shows.
    pub rows: u64,
    /// The newest version before.
    pub after: u64,
}

/// All that recovery needs.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct State {
    pub run: String,
    /// When it began, in nanoseconds since 1970.
    pub began: u64,
    /// `create`, `append`, `overwrite` or `staged`.
    pub mode: String,
    /// The newest version when the run was opened; 0 if there was no table.
    pub began_on: u64,
    /// A version of the table that the run belongs to, which it has seen; 0 before there is one.
    pub seen: u64,
    pub columns: Vec<ColumnOf>,
    /// Rows are durable with the version that shows them, and not before.
    #[serde(default)]
    pub volatile: bool,
    /// Rows of the run that are visible.
    pub published: u64,
    /// Files that no version names yet.
    pub finished: Vec<Finished>,
    pub intent: Option<Intent>,
    /// The heap, and where its rows begin in the run.
    pub open: Option<Extent>,
    pub open_first: u64,
}

impl State {
    /// A version shows so many rows: from then on the run appends to the table that it is of.
    pub fn landed(&mut self, rows: u64, version: u64) {
        if self.mode != APPEND {
            self.mode = APPEND.to_string();
            self.began_on = version;
        }
        self.published = rows;
        self.seen = version;
        self.intent = None;
        self.finished.retain(|finished| finished.end() > rows);
    }
}

const APPEND: &str = "append";

/// A record, as it is read back.
pub enum Record {
    State(State),
    /// Small batches whole: the heap that they also go to, the rows in it before, ids, columns. Of large ones
    /// only the ids: an extent says where their rows are.
    Rows {
        number: u64,
        before: u64,
        ids: IdBlock,
        columns: Vec<Vec<u8>>,
    },
    Extent(Extent),
    Finished(Finished),
    Intent(Intent),
    /// A version shows so many rows of the run.
    Done {
        rows: u64,
        version: u64,
    },
}

#[derive(Clone, Copy, PartialEq)]
#[repr(u32)]
enum Kind {
    State = 1,
    Rows = 2,
    Extent = 3,
    Finished = 4,
    Intent = 5,
    Done = 6,
}

enum Spare {
    None,
    Making(Pending),
    Ready,
}

pub struct Journal {
    directory: PathBuf,
    epoch: u64,
    segment: u64,
    path: PathBuf,
    file: Arc<File>,
    size: u64,
    at: u64,
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
        let file = Arc::new(make_segment(&path, FIRST_BYTES).map_err(making(&path))?);
        let mut journal = Self {
            directory: directory.to_path_buf(),
            epoch,
            segment: 0,
            path,
            file,
            size: FIRST_BYTES,
            at: 0,
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
        self.at + (bytes + HEAD) as u64 + (64 << 10) > self.size
    }

    /// Begins another segment. What the one before has of rows must be on disk elsewhere.
    pub fn turn(&mut self, state: &State) -> Result<()> {
        let path = self.directory.join(format!("journal.{}.{}", self.epoch, self.segment + 1));
        let file = Arc::new(self.next_segment(&path).map_err(making(&path))?);
        let before = (self.path.clone(), self.file.clone(), self.size, self.at);
        (self.path, self.file, self.size, self.at) = (path, file, SEGMENT_BYTES, 0);
        let written = json(state).and_then(|state| self.write(Kind::State, &[&state]));
        let synced = written.and_then(|()| self.sync());
        if let Err(error) = synced.and_then(|()| sync_directory(&self.directory)) {
            let _ = std::fs::remove_file(&self.path);
            (self.path, self.file, self.size, self.at) = before;
            return Err(error);
        }
        self.segment += 1;
        // Whatever stays is older than what replaced it.
        let (old, _, size, _) = before;
        if size == SEGMENT_BYTES && std::fs::rename(&old, self.spare_path()).is_ok() {
            self.spare = Spare::Ready;
        } else {
            let _ = std::fs::remove_file(&old);
        }
        Ok(())
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
        // Not for runs that put little into it.
        if matches!(self.spare, Spare::None) && self.at * 4 > self.size {
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
        let ids = ids.encode();
        let numbers = [number, before, columns.len() as u64, ids.len() as u64];
        let lengths = columns.iter().map(|rows| rows.len() as u64);
        let head: Vec<u8> = numbers.into_iter().chain(lengths).flat_map(u64::to_le_bytes).collect();
        let mut parts: Vec<&[u8]> = vec![&head, &ids];
        parts.extend_from_slice(columns);
        self.write(Kind::Rows, &parts)?;
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
        let written = self.file.write_all_at(&bytes, self.at);
        written.map_err(|e| Error::from(e).context(format!("writing {}", self.path.display())))?;
        self.at += bytes.len() as u64;
        self.size = self.size.max(self.at);
        self.sequence += 1;
        Ok(())
    }

    pub fn sync(&mut self) -> Result<()> {
        if self.synced != self.sequence {
            self.file.sync_data().map_err(failed_sync(&self.path))?;
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

/// All records of the newest segment that has a state, in order.
pub fn read(directory: &Path, epoch: u64) -> Result<Option<Vec<Record>>> {
    let prefix = format!("journal.{epoch}.");
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.parse::<u64>().ok());
        segments.extend(number.map(|number| (number, directory.join(&name))));
    }
    segments.sort();
    let mut damaged = None;
    for (_, path) in segments.iter().rev() {
        let bytes = std::fs::read(path).map_err(|e| Error::from(e).context(path.display()))?;
        if record(&bytes, 0).is_none() {
            // Begun when the power failed: the one before it is whole. If there is none, its state was on disk
            // before any other record.
            let has_others =
                (0..bytes.len()).step_by(ALIGN as usize).any(|at| record(&bytes, at).is_some());
            damaged = damaged.or(has_others.then_some(path));
            continue;
        }
        let records = parse(&bytes).map_err(|error| error.context(path.display()))?;
        return match records.first() {
            Some(Record::State(_)) => Ok(Some(records)),
            _ => Err(no_state(path)),
        };
    }
    damaged.map_or(Ok(None), |path| Err(no_state(path)))
}

fn no_state(path: &Path) -> Error {
    Error::corrupt(format!("{} does not begin with the state of the run", path.display()))
}

fn parse(bytes: &[u8]) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    let (mut at, mut last) = (0, None);
    while let Some(found) = record(bytes, at) {
        if last.is_some_and(|last| found.sequence != last + 1) {
            break;
        }
        records.push(decode(found.kind, found.said)?);
        (at, last) = (found.next, Some(found.sequence));
    }
    let missing = last.map_or(0, |last| last + 1);
    let later = (at + ALIGN as usize..bytes.len()).step_by(ALIGN as usize);
    let mut later = later.filter_map(|at| record(bytes, at));
    if later.any(|found| found.sequence > missing && found.synced >= missing) {
        return Err(Error::corrupt(format!("the journal is damaged at byte {at}")));
    }
    Ok(records)
}

/// A good record.
struct Found<'a> {
    kind: u32,
    sequence: u64,
    /// The last record that was on disk when this was written.
    synced: u64,
    said: &'a [u8],
    /// Where the next one begins.
    next: usize,
}

fn record(bytes: &[u8], at: usize) -> Option<Found<'_>> {
    let head = bytes.get(at..at.checked_add(HEAD)?)?;
    let u32_at = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?));
    if head.get(..4)? != MAGIC || u32_at(44)? != crc32c::crc32c(head.get(..44)?) {
        return None;
    }
    let start = at + HEAD;
    let end = start.checked_add(usize::try_from(u64_at(16)?).ok()?)?;
    let said = bytes.get(start..end)?;
    (crc32c::crc32c(said) == u32_at(32)?).then_some(Found {
        kind: u32_at(4)?,
        sequence: u64_at(8)?,
        synced: u64_at(24)?,
        said,
        next: end.next_multiple_of(ALIGN as usize),
    })
}

fn decode(kind: u32, said: &[u8]) -> Result<Record> {
    fn of<T: for<'a> Deserialize<'a>>(said: &[u8]) -> Result<T> {
        serde_json::from_slice(said)
            .map_err(|e| Error::not_supported(format!("a record of the journal is not known: {e}")))
    }
    let record = match kind {
        k if k == Kind::State as u32 => Record::State(of(said)?),
        k if k == Kind::Rows as u32 => {
            rows(said).ok_or_else(|| Error::corrupt("rows of the journal are not as it says"))?
        }
        k if k == Kind::Extent as u32 => Record::Extent(of(said)?),
        k if k == Kind::Finished as u32 => Record::Finished(of(said)?),
        k if k == Kind::Intent as u32 => Record::Intent(of(said)?),
        k if k == Kind::Done as u32 => {
            let (rows, version) = of(said)?;
            Record::Done { rows, version }
        }
        other => {
            return Err(Error::not_supported(format!(
                "a record of the journal has the kind {other}"
            )));
        }
    };
    Ok(record)
}

fn rows(said: &[u8]) -> Option<Record> {
    let number = |at: usize| -> Option<u64> {
        Some(u64::from_le_bytes(said.get(8 * at..8 * at + 8)?.try_into().ok()?))
    };
    let (count, ids) = (number(2)? as usize, number(3)? as usize);
    let mut at = 8 * (4 + count);
    let (block, _) = IdBlock::decode(said.get(at..at + ids)?)?;
    at += ids;
    let mut columns = Vec::new();
    for column in 0..count {
        let length = number(4 + column)? as usize;
        columns.push(said.get(at..at + length)?.to_vec());
        at += length;
    }
    Some(Record::Rows { number: number(0)?, before: number(1)?, ids: block, columns })
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
