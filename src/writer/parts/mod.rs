//! Parts of a job before they are published: each is one file, `<table>/_rds/jobs/<job>/<group>/<part>-<attempt>`.
//! Parts whose numbers are close are a group: one is looked for among few, and groups are removed at the same time.
//!
//! A part is there whole or not at all: its file gets that name when it is complete, and its token stands at the end
//! of it. Who died while writing leaves a name of another kind. Many may write the same part: each has a file of its
//! own, and one of them counts. `writer` writes a `file`, `pack` reads the `blocks` of many and makes data files of
//! them, which may be `begun` before, `commit` publishes these for tokens as they are `given`, `removal` knows how they
//! go, and this module the directories.

mod begun;
mod blocks;
mod commit;
mod file;
mod given;
mod pack;
mod removal;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result, Status};
use crate::files;
use crate::location::Location;
use crate::runtime;
use crate::writer::jobs::{Jobs, Part};
use crate::writer::records::ColumnOf;
use crate::writer::run::RUNS;
use crate::writer::versions::Versions;

pub use commit::{ATTEMPTS, commit_staged, pack_parts};
pub use file::PartFile;
pub use pack::Wanted;
pub use removal::{drop_job, sweep};
pub use writer::PartWriter;

/// The directory of jobs within that of runs.
const JOBS: &str = "jobs";
/// How many numbers are a group.
const GROUP: u64 = 256;
/// How the name of a part ends that is being written.
const UNFINISHED: &str = ".writing";
/// The longest name of a directory that a job's own name becomes; what is longer is cut, and told by a checksum.
const LONGEST_NAME: usize = 160;

/// What is said of a part: the contents of its token.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct PartToken {
    pub part: Part,
    /// Which of those that wrote the part.
    pub attempt: Uuid,
    pub rows: u64,
    /// Of its blocks.
    pub bytes: u64,
    /// Empty, if there was neither a row nor a declaration.
    pub columns: Vec<ColumnOf>,
    /// Bytes of the tensors of a row, as in the caller's memory.
    pub row_bytes: u64,
    /// How many rows of these columns fill a data file: who packs while parts are written needs to know.
    pub file_rows: u64,
}

impl PartToken {
    pub fn path(&self, table: &Path) -> PathBuf {
        group(&directory(table, &self.part.job), self.part.number).join(self.file_name())
    }

    fn file_name(&self) -> String {
        format!("{}-{}", self.part.number, self.attempt.simple())
    }
}

/// The directory of a job. Its name is that of the job as far as file systems and people can read that.
pub fn directory(table: &Path, job: &str) -> PathBuf {
    let mut name = String::new();
    for byte in job.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(byte.into()),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    if name.is_empty() {
        name.push('%');
    }
    if name.len() > LONGEST_NAME {
        let sum = crc32c::crc32c(job.as_bytes());
        name.truncate(LONGEST_NAME);
        name.push_str(&format!("~{sum:08x}{:x}", job.len()));
    }
    table.join(RUNS).join(JOBS).join(name)
}

/// The directory of a part in that of its job.
fn group(job: &Path, number: u64) -> PathBuf {
    job.join((number / GROUP).to_string())
}

/// The groups of a job that have parts, in order.
fn groups(job: &Path) -> Result<Vec<PathBuf>> {
    let mut groups = Vec::new();
    for entry in listed(job)? {
        let name = entry?.file_name();
        groups.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    groups.sort_unstable();
    Ok(groups.iter().map(|group| job.join(group.to_string())).collect())
}

/// The directories of all jobs that have left something.
fn directories(table: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in listed(&table.join(RUNS).join(JOBS))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// What a directory has; nothing, if it is not there.
fn listed(directory: &Path) -> Result<Vec<io::Result<std::fs::DirEntry>>> {
    match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => Ok(entries.map_err(|e| Error::from(e).context(directory.display()))?.collect()),
    }
}

/// Parts of a job that follow each other: those that the table has, or one that waits, with its token.
pub struct Listed<'a> {
    pub job: &'a str,
    pub first: u64,
    pub last: u64,
    pub token: Option<&'a [u8]>,
}

/// Calls `each` with the parts that the newest version has and with those that wait, of one job or of all, one part or
/// all, until it says no.
pub fn list(
    location: &Location,
    job: Option<&str>,
    part: Option<u64>,
    each: &mut dyn FnMut(&Listed) -> bool,
) -> Result<()> {
    if !location.exists()? {
        return Err(Error::not_found(format!("there is nothing at {location}")));
    }
    // A table that is to be made has nothing that would take time to read.
    let shown = match location.newest_version()? {
        None => Jobs::default(),
        Some(_) => {
            let versions = Versions::new(location.clone());
            let newest = runtime::block_on(versions.newest())??;
            newest.map_or(Ok(Jobs::default()), |newest| {
                runtime::block_on(versions.jobs(&newest, job))?
            })?
        }
    };
    for (job, first, last) in shown.ranges(job) {
        let (first, last) = match part {
            Some(part) if part < first || part > last => continue,
            Some(part) => (part, part),
            None => (first, last),
        };
        if !each(&Listed { job, first, last, token: None }) {
            return Ok(());
        }
    }
    waiting(location.path(), job, part, &mut |part, token| {
        let (job, first, last) = (part.job.as_str(), part.number, part.number);
        each(&Listed { job, first, last, token: Some(token) })
    })
}

/// Calls `each` with the parts that wait until it says no. What is damaged is none.
fn waiting(
    table: &Path,
    job: Option<&str>,
    part: Option<u64>,
    each: &mut dyn FnMut(&Part, &[u8]) -> bool,
) -> Result<()> {
    let jobs = match job {
        Some(job) => vec![directory(table, job)],
        None => directories(table)?,
    };
    for job in jobs {
        let groups = part.map_or_else(|| groups(&job), |part| Ok(vec![group(&job, part)]))?;
        for group in groups {
            if !waiting_in(table, &group, part, each)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// As `waiting`, in one group; whether it was never told no.
fn waiting_in(
    table: &Path,
    group: &Path,
    part: Option<u64>,
    each: &mut dyn FnMut(&Part, &[u8]) -> bool,
) -> Result<bool> {
    // What many wrote is told once.
    let mut attempts: BTreeMap<u64, String> = BTreeMap::new();
    for (number, name) in names(group)? {
        let is_first = attempts.get(&number).is_none_or(|before| name < *before);
        if part.is_none_or(|part| part == number) && is_first {
            attempts.insert(number, name);
        }
    }
    for name in attempts.values() {
        let path = group.join(name);
        match file::read_token(&path) {
            Ok((token, _)) if token.path(table) != path => {
                log::warn!("{}: it is not what its name says", path.display());
            }
            Ok((token, bytes)) => {
                if !each(&token.part, &bytes) {
                    return Ok(false);
                }
            }
            // The job is published, or dropped, meanwhile.
            Err(error) if error.status == Status::RDS_ERR_NOT_FOUND => {}
            // That it cannot be read does not say that it is none.
            Err(error) if error.status == Status::RDS_ERR_IO => return Err(error),
            Err(error) => log::warn!("{}: {error}", path.display()),
        }
    }
    Ok(true)
}

/// Names of whole parts, and their numbers.
fn names(group: &Path) -> Result<Vec<(u64, String)>> {
    let mut names = Vec::new();
    for entry in listed(group)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Some((number, attempt)) = name.split_once('-') else { continue };
        if let Ok(number) = number.parse()
            && Uuid::try_parse(attempt).is_ok()
            && !entry.file_type()?.is_dir()
        {
            names.push((number, name));
        }
    }
    Ok(names)
}

/// How many jobs have parts that wait, of one name or of all.
pub fn count(table: &Path, job: Option<&str>) -> Result<u64> {
    let mut jobs = BTreeSet::new();
    waiting(table, job, None, &mut |part, _| {
        jobs.insert(part.job.clone());
        true
    })?;
    Ok(jobs.len() as u64)
}

/// Opens what a token names.
fn open(path: &Path) -> Result<File> {
    files::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => removed(path),
        _ => Error::from(error).context(path.display()),
    })
}

fn removed(path: &Path) -> Error {
    Error::not_found(format!(
        "there is no file {}: the token is of another table, or its part was removed; write the part again",
        path.display()
    ))
}

/// Reads a file as a part with two columns, from some rows on.
#[cfg(fuzzing)]
pub fn read_all(path: &Path, bytes: u64) -> Result<()> {
    let _ = file::read_token(path);
    let part = Part { job: String::new(), number: 0 };
    let (attempt, columns) = (Uuid::nil(), Vec::new());
    let (rows, row_bytes, file_rows) = (0, 0, 0);
    let token = PartToken { part, attempt, rows, bytes, columns, row_bytes, file_rows };
    let strides = [3, 1];
    for skip in [0, 1, 100] {
        let mut blocks = blocks::Blocks::open(path.to_path_buf(), &token, &strides, Vec::new())?;
        let mut skip = blocks.skip(skip)? as usize;
        while let Some(rows) = blocks.next(skip, 7, &[1, 0])? {
            let count = rows.ids.lengths.len();
            let lengths: Vec<usize> = rows.columns.iter().map(|rows| rows.len()).collect();
            assert_eq!(lengths, [count, 3 * count]);
            skip = 0;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
