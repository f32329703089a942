//! Tokens: what one writer of many has written, to be published with that of the others in one version.
//!
//! A token is `RDSTOKEN`, or `RDSTPART` if it is of a part, its format as a 32-bit little-endian number, a JSON object,
//! and the CRC-32 of all that, little-endian. The object says the tensors of a row, and what has the rows: a part of a job, or data files
//! in the directory of the writer's run. A copy of a token of files lies beside them, and is renamed once a version
//! shows its rows; that of a part is at the end of its file.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::location::Location;
use crate::writer::fragment::Finished;
use crate::writer::jobs::Part;
use crate::writer::journal::sync_directory;
use crate::writer::layout::Layout;
use crate::writer::parts::PartToken;
use crate::writer::records::ColumnOf;
use crate::writer::replay::checksum;
use crate::writer::runs::Found;
use crate::writer::store::Store;
use crate::writer::versions::Mark;

const MAGIC: &[u8] = b"RDSTOKEN";
const MAGIC_OF_PART: &[u8] = b"RDSTPART";
const FORMAT: u32 = 3;

const TOKEN: &str = "token.";
const PUBLISHED: &str = "published.";

pub enum Token {
    Files(FilesToken),
    Part(PartToken),
}

#[derive(Serialize, Deserialize)]
pub struct FilesToken {
    pub run: String,
    sequence: u64,
    /// Empty, if nothing was written.
    columns: Vec<ColumnOf>,
    pub finished: Vec<Finished>,
    stamps: Vec<Stamp>,
    /// Bytes of the tensors of a row, as in the caller's memory.
    pub row_bytes: u64,
}

/// A file as it was when the token was made.
#[derive(Serialize, Deserialize)]
struct Stamp {
    name: String,
    bytes: u64,
    crc: u32,
    /// Device, inode and time of the last change: if these are the same, so are the bytes.
    identity: (u64, u64, i64, i64),
}

fn identity(path: &Path) -> std::io::Result<(u64, (u64, u64, i64, i64))> {
    let file = std::fs::metadata(path)?;
    Ok((file.len(), (file.dev(), file.ino(), file.mtime(), file.mtime_nsec())))
}

impl Token {
    pub fn rows(&self) -> u64 {
        match self {
            Self::Files(token) => token.rows(),
            Self::Part(token) => token.rows,
        }
    }

    pub fn columns(&self) -> &[ColumnOf] {
        match self {
            Self::Files(token) => &token.columns,
            Self::Part(token) => &token.columns,
        }
    }

    pub fn part(&self) -> Option<&Part> {
        match self {
            Self::Files(_) => None,
            Self::Part(token) => Some(&token.part),
        }
    }

    pub fn job(&self) -> Option<&str> {
        self.part().map(|part| part.job.as_str())
    }

    /// What no other token has.
    pub fn identity(&self) -> (Uuid, u64) {
        match self {
            Self::Files(token) => (Uuid::try_parse(&token.run).unwrap_or_default(), token.sequence),
            Self::Part(token) => (token.attempt, 0),
        }
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let (magic, json) = match self {
            Self::Files(token) => (MAGIC, serde_json::to_vec(token)),
            Self::Part(token) => (MAGIC_OF_PART, serde_json::to_vec(token)),
        };
        let json = json.map_err(|e| Error::internal(format!("token: {e}")))?;
        let mut bytes = [magic, &FORMAT.to_le_bytes(), &json].concat();
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        Ok(bytes)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let is_part = bytes.starts_with(MAGIC_OF_PART);
        let magic = if is_part { MAGIC_OF_PART } else { MAGIC };
        let Some((format, rest)) = bytes.strip_prefix(magic).and_then(<[u8]>::split_first_chunk)
        else {
            return Err(Error::invalid_argument("this is no token of rds_writer_stage()"));
        };
        let damaged = |why: &str| Error::corrupt(format!("the token is damaged: {why}"));
        let (json, sum) = rest.split_last_chunk().ok_or_else(|| damaged("it is cut short"))?;
        let own = crc32fast::hash(bytes.get(..bytes.len() - sum.len()).unwrap_or_default());
        if own != u32::from_le_bytes(*sum) {
            return Err(damaged("its checksum does not match"));
        }
        let format = u32::from_le_bytes(*format);
        if format != FORMAT {
            return Err(Error::not_supported(format!(
                "the token has format {format}; this version of librds knows {FORMAT}"
            )));
        }
        let token = match is_part {
            true => serde_json::from_slice(json).map(Self::Part),
            false => serde_json::from_slice(json).map(Self::Files),
        };
        let token = token.map_err(|e| damaged(&e.to_string()))?;
        match &token {
            Self::Files(token) if !token.names_files() => {
                Err(damaged("it names no files of a run"))
            }
            Self::Part(token) if token.rows > 0 && token.columns.is_empty() => {
                Err(damaged("it has rows without columns"))
            }
            // Each row has an id, and that a length.
            Self::Part(token) if token.rows > token.bytes / 4 => {
                Err(damaged("it has more rows than bytes for them"))
            }
            _ => Ok(token),
        }
    }

    pub fn layout(&self) -> Result<Option<Layout>> {
        if self.columns().is_empty() {
            return Ok(None);
        }
        let columns = self.columns().iter().map(ColumnOf::column).collect::<Result<_>>()?;
        Ok(Some(Layout { columns }))
    }
}

impl FilesToken {
    pub fn rows(&self) -> u64 {
        self.finished.iter().map(|finished| finished.rows).sum()
    }

    pub fn mark(&self) -> Mark {
        Mark { run: format!("{}.{}", self.run, self.sequence), epoch: 1, rows: self.rows() }
    }

    /// Names, not paths to elsewhere.
    fn names_files(&self) -> bool {
        let files = self.finished.iter().flat_map(|finished| &finished.files);
        let is_name = |name: &str| !name.contains(['/', '\\']) && !name.starts_with('.');
        Uuid::try_parse(&self.run).is_ok()
            && files.map(|file| &file.name).eq(self.stamps.iter().map(|stamp| &stamp.name))
            && self.stamps.iter().all(|stamp| is_name(&stamp.name))
    }

    fn path(&self, directory: &Path, kind: &str) -> PathBuf {
        directory.join(format!("{kind}{}", self.sequence))
    }

    pub fn is_published(&self, directory: &Path) -> bool {
        self.path(directory, PUBLISHED).exists()
    }

    /// Nothing waits of it.
    pub fn set_published(&self, directory: &Path) {
        let (from, to) = (self.path(directory, TOKEN), self.path(directory, PUBLISHED));
        // If it cannot be renamed, the versions tell all the same.
        if let Err(error) = std::fs::rename(&from, &to)
            && !to.exists()
        {
            log::warn!("{}: {error}", from.display());
        }
    }

    /// The files are there, and what they were.
    pub fn check(&self, directory: &Path, location: &Location) -> Result<()> {
        for stamp in &self.stamps {
            let path = directory.join(&stamp.name);
            let (bytes, now) = identity(&path).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Error::not_found(format!(
                    "the table at {location} has no staged file {}: the token is of another table, or its \
                     rows were dropped",
                    stamp.name
                )),
                _ => Error::from(error).context(path.display()),
            })?;
            if bytes != stamp.bytes {
                return Err(Error::corrupt(format!(
                    "{} has {bytes} bytes, and had {} when it was staged",
                    stamp.name, stamp.bytes
                )));
            }
            if now != stamp.identity && checksum(&path, bytes)? != stamp.crc {
                return Err(Error::corrupt(format!(
                    "{} has changed since it was staged",
                    stamp.name
                )));
            }
        }
        Ok(())
    }
}

/// A token for what a writer has stored since the last one.
pub fn stage(store: &mut Store) -> Result<Vec<u8>> {
    store.finish_heap()?;
    let Some(directory) = store.directory() else {
        // Nothing was ever written.
        let run = Uuid::new_v4().simple().to_string();
        return token(run, 0, Vec::new(), Vec::new(), 0, Path::new(""))?.to_bytes();
    };
    let finished = store.state.finished.clone();
    let sequence = store.staged_tokens;
    let columns = store.state.columns.clone();
    let run = store.state.run.clone();
    let token = token(run, sequence, columns, finished, store.row_bytes(), &directory)?;
    let bytes = token.to_bytes()?;
    let path = directory.join(format!("{TOKEN}{sequence}"));
    let write = || -> std::io::Result<()> {
        std::fs::write(&path, &bytes)?;
        std::fs::File::open(&path)?.sync_all()
    };
    write().map_err(|e| Error::from(e).context(format!("writing {}", path.display())))?;
    sync_directory(&directory)?;
    store.state.finished.clear();
    store.staged_tokens += 1;
    store.set_durable();
    Ok(bytes)
}

fn token(
    run: String,
    sequence: u64,
    columns: Vec<ColumnOf>,
    finished: Vec<Finished>,
    row_bytes: u64,
    directory: &Path,
) -> Result<Token> {
    let files = finished.iter().flat_map(|finished| &finished.files);
    let stamp = |name: &String| -> Result<Stamp> {
        let path = directory.join(name);
        let (bytes, identity) = identity(&path)?;
        Ok(Stamp { name: name.clone(), bytes, crc: checksum(&path, bytes)?, identity })
    };
    let stamps = files.map(|file| stamp(&file.name)).collect::<Result<_>>()?;
    Ok(Token::Files(FilesToken { run, sequence, columns, finished, stamps, row_bytes }))
}

/// The writer ends: its tokens stay.
pub fn close(store: &mut Store) {
    store.drop_hidden();
    match store.staged_tokens {
        0 => store.end(),
        _ => store.leave(),
    }
}

/// Names of tokens in a run that were not published.
pub fn tokens(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        names.extend(entry?.file_name().into_string().ok().filter(|name| name.starts_with(TOKEN)));
    }
    Ok(names)
}

/// Gives up the rows of a run's tokens: how many these were.
pub fn drop_run(found: &Found) -> Result<u64> {
    let mut rows = 0;
    for name in tokens(&found.directory)? {
        let token = Token::from_bytes(&std::fs::read(found.directory.join(name))?);
        rows += token.map_or(0, |token| token.rows());
    }
    std::fs::remove_dir_all(&found.directory)?;
    Ok(rows)
}
