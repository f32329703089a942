//! What the journal of a run says: its records, and how they are read back.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::location::METADATA;
use crate::writer::batch::IdBlock;
use crate::writer::fragment::Finished;

pub const MAGIC: &[u8; 4] = b"RDSJ";
pub const FORMAT: u32 = 1;
pub const HEAD: usize = 48;
pub const ALIGN: u64 = 64;

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
    /// What the first version of the run is to say of it.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Rows are durable with the version that shows them, and not before.
    #[serde(default)]
    pub volatile: bool,
    /// Rows of the run that are visible.
    pub published: u64,
    /// Files that no version names yet.
    pub finished: Vec<Finished>,
    pub intent: Option<Intent>,
    /// What of the heap is on disk, and where its rows begin in the run.
    pub open: Option<Extent>,
    pub open_first: u64,
    /// Where rows are that come after it.
    #[serde(default)]
    pub since: Option<Since>,
}

impl State {
    /// The metadata as settings of the table.
    pub fn config(&self) -> BTreeMap<String, String> {
        let metadata = self.metadata.iter();
        metadata.map(|(key, value)| (format!("{METADATA}{key}"), value.clone())).collect()
    }
}

/// The oldest segment that has rows of a heap which are not on disk in the heap.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Since {
    pub segment: u64,
    pub heap: u64,
}

impl State {
    /// A version shows so many rows: from then on the run appends to the table that it is of.
    pub fn landed(&mut self, rows: u64, version: u64) {
        if self.mode != APPEND {
            self.mode = APPEND.to_string();
            self.began_on = version;
        }
        self.published = rows;
        self.metadata.clear();
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
pub enum Kind {
    State = 1,
    Rows = 2,
    Extent = 3,
    Finished = 4,
    Intent = 5,
    Done = 6,
}

/// All records that count: those of the newest segment that has a state, and behind this, before the others, rows
/// of the segments before it that it still needs.
pub fn read(directory: &Path, epoch: u64) -> Result<Option<Vec<Record>>> {
    let prefix = format!("journal.{epoch}.");
    let mut segments = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.parse::<u64>().ok());
        segments.extend(number.map(|number| (number, directory.join(&name))));
    }
    let mut damaged = None;
    for (number, path) in segments.iter().rev() {
        let bytes = read_segment(path)?;
        if record(&bytes, 0).is_none() {
            // Begun when the power failed: the one before it is whole. If there is none, its state was on disk
            // before any other record.
            let has_others =
                (0..bytes.len()).step_by(ALIGN as usize).any(|at| record(&bytes, at).is_some());
            damaged = damaged.or(has_others.then_some(path));
            continue;
        }
        let parsed = parse(&bytes).map_err(|error| error.context(path.display()))?;
        let mut records = parsed.records;
        let Some(Record::State(state)) = records.first() else { return Err(no_state(path)) };
        if let Some(since) = state.since {
            let older = since.segment..*number;
            let rows = older_rows(directory, &prefix, older, parsed.first, since.heap)?;
            records.splice(1..1, rows);
        }
        return Ok(Some(records));
    }
    damaged.map_or(Ok(None), |path| Err(no_state(path)))
}

fn read_segment(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::from(e).context(path.display()))
}

/// Rows of a heap in segments that follow each other, up to the record of a number.
fn older_rows(
    directory: &Path,
    prefix: &str,
    segments: Range<u64>,
    until: u64,
    heap: u64,
) -> Result<Vec<Record>> {
    let mut rows = Vec::new();
    let mut next = None;
    for number in segments {
        let path = directory.join(format!("{prefix}{number}"));
        let parsed = read_segment(&path)
            .and_then(|bytes| parse(&bytes).map_err(|error| error.context(path.display())))?;
        if next.is_some_and(|next| next != parsed.first) {
            return Err(Error::corrupt(format!("{} does not follow on", path.display())));
        }
        next = Some(parsed.first + parsed.records.len() as u64);
        let of_heap =
            |record: &Record| matches!(record, Record::Rows { number, .. } if *number == heap);
        rows.extend(parsed.records.into_iter().filter(of_heap));
    }
    match next == Some(until) {
        true => Ok(rows),
        false => Err(Error::corrupt(format!("the journal ends before its record {until}"))),
    }
}

fn no_state(path: &Path) -> Error {
    Error::corrupt(format!("{} does not begin with the state of the run", path.display()))
}

/// Records that follow each other, and the number of the first.
#[derive(Default)]
pub struct Parsed {
    pub first: u64,
    pub records: Vec<Record>,
}

pub fn parse(bytes: &[u8]) -> Result<Parsed> {
    let mut parsed = Parsed::default();
    let (mut at, mut last) = (0, None);
    while let Some(found) = record(bytes, at) {
        if last.is_some_and(|last| found.sequence != last + 1) {
            break;
        }
        if last.is_none() {
            parsed.first = found.sequence;
        }
        parsed.records.push(decode(found.kind, found.said)?);
        (at, last) = (found.next, Some(found.sequence));
    }
    let missing = last.map_or(0, |last| last + 1);
    let later = (at + ALIGN as usize..bytes.len()).step_by(ALIGN as usize);
    let mut later = later.filter_map(|at| record(bytes, at));
    if later.any(|found| found.sequence > missing && found.synced >= missing) {
        return Err(Error::corrupt(format!("the journal is damaged at byte {at}")));
    }
    Ok(parsed)
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
