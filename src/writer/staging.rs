//! Tokens: what one writer of many has written, to be published with that of the others in one version.
//!
//! A token is `RDSTOKEN`, its format as a 32-bit little-endian number, a JSON object, and the CRC-32 of all
//! that, little-endian. The object says the tensors of a row and lists the data files, which lie in the
//! directory of the writer's run until they are published. A copy of the token lies beside them, and is
//! renamed once a version shows its rows.

use std::collections::{HashMap, VecDeque};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result, Status};
use crate::location::Location;
use crate::writer::fragment::{Finished, Target};
use crate::writer::jobs::{Jobs, Part};
use crate::writer::journal::sync_directory;
use crate::writer::layout::Layout;
use crate::writer::publish::{Part as PublishedPart, Publication, exists, gone};
use crate::writer::records::ColumnOf;
use crate::writer::replay::checksum;
use crate::writer::run::RUNS;
use crate::writer::runs::Found;
use crate::writer::store::Store;
use crate::writer::versions::{Mark, Versions};
use crate::writer::{CommitInfo, Mode};

const MAGIC: &[u8] = b"RDSTOKEN";
const FORMAT: u32 = 2;

const TOKEN: &str = "token.";
const PUBLISHED: &str = "published.";
/// Its part of a job came with another token.
const NEEDLESS: &str = "needless.";

#[derive(Serialize, Deserialize)]
pub(super) struct Token {
    run: String,
    sequence: u64,
    /// Empty, if nothing was written.
    columns: Vec<ColumnOf>,
    finished: Vec<Finished>,
    stamps: Vec<Stamp>,
    part: Option<Part>,
    row_bytes: u64,
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
    fn rows(&self) -> u64 {
        self.finished.iter().map(|finished| finished.rows).sum()
    }

    fn mark(&self) -> Mark {
        Mark { run: format!("{}.{}", self.run, self.sequence), epoch: 1, rows: self.rows() }
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_vec(self).map_err(|e| Error::internal(format!("token: {e}")))?;
        let mut bytes = [MAGIC, &FORMAT.to_le_bytes(), &json].concat();
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        Ok(bytes)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let Some((format, rest)) = bytes.strip_prefix(MAGIC).and_then(<[u8]>::split_first_chunk)
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
        let token: Self = serde_json::from_slice(json).map_err(|e| damaged(&e.to_string()))?;
        let files = token.finished.iter().flat_map(|finished| &finished.files);
        // Names, not paths to elsewhere.
        let is_name = |name: &str| !name.contains(['/', '\\']) && !name.starts_with('.');
        if Uuid::try_parse(&token.run).is_err()
            || !files.map(|file| &file.name).eq(token.stamps.iter().map(|stamp| &stamp.name))
            || !token.stamps.iter().all(|stamp| is_name(&stamp.name))
        {
            return Err(damaged("it names no files of a run"));
        }
        Ok(token)
    }

    pub(super) fn layout(&self) -> Result<Option<Layout>> {
        if self.columns.is_empty() {
            return Ok(None);
        }
        let columns = self.columns.iter().map(ColumnOf::column).collect::<Result<_>>()?;
        Ok(Some(Layout { columns }))
    }

    /// The files are there, and what they were.
    fn check(&self, directory: &Path, location: &Location) -> Result<()> {
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
pub fn stage(store: &mut Store, part: Option<&Part>) -> Result<Vec<u8>> {
    store.finish_heap()?;
    let Some(directory) = store.directory() else {
        // Nothing was ever written.
        let run = Uuid::new_v4().simple().to_string();
        return token(run, 0, Vec::new(), Vec::new(), 0, part, Path::new(""))?.to_bytes();
    };
    let finished = store.state.finished.clone();
    let sequence = store.staged_tokens;
    let columns = store.state.columns.clone();
    let run = store.state.run.clone();
    let token = token(run, sequence, columns, finished, store.row_bytes(), part, &directory)?;
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
    part: Option<&Part>,
    directory: &Path,
) -> Result<Token> {
    let files = finished.iter().flat_map(|finished| &finished.files);
    let stamp = |name: &String| -> Result<Stamp> {
        let path = directory.join(name);
        let (bytes, identity) = identity(&path)?;
        Ok(Stamp { name: name.clone(), bytes, crc: checksum(&path, bytes)?, identity })
    };
    let stamps = files.map(|file| stamp(&file.name)).collect::<Result<_>>()?;
    Ok(Token { run, sequence, columns, finished, stamps, part: part.cloned(), row_bytes })
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

/// Publishes what tokens name, in one version: in the order of their parts, those without in the order given.
pub async fn commit_staged(location: Location, tokens: &[&[u8]], mode: Mode) -> Result<CommitInfo> {
    let of = |index: usize| move |error: Error| error.context(format!("token {index}"));
    let parse = |(index, bytes): (usize, &&[u8])| Token::from_bytes(bytes).map_err(of(index));
    let tokens = tokens.iter().enumerate().map(parse).collect::<Result<Vec<_>>>()?;
    refuse_repeated(&tokens)?;
    let layout = common_layout(&tokens)?;
    let versions = Versions::new(location);
    let newest = versions.newest().await?;
    match (mode, &newest) {
        (Mode::Create, Some(_)) => return Err(exists(&versions.location)),
        (Mode::Append, None) => return Err(gone(&versions.location)),
        _ => {}
    }
    let mut jobs = match &newest {
        Some(newest) if mode == Mode::Append => Jobs::of(&newest.manifest().config),
        _ => Jobs::default(),
    };
    let wanted = in_order(&tokens);
    let runs = versions.table().join(RUNS);
    let (mut chosen, mut needless) = (Vec::new(), Vec::new());
    for (index, token) in wanted {
        if token.finished.is_empty() {
            continue;
        }
        let directory = runs.join(&token.run);
        let shown =
            newest.as_ref().and_then(|newest| Mark::of(newest.manifest(), &token.mark().run));
        if shown.is_some() || directory.join(format!("{PUBLISHED}{}", token.sequence)).exists() {
            return Err(of(index)(Error::already_exists(
                "it was committed already: a version of the table shows its rows",
            )));
        }
        if token.part.as_ref().is_some_and(|part| !jobs.add(part)) {
            log::info!("{}: token {index} is a part that is there already", versions.location);
            needless.push((directory, token));
            continue;
        }
        token.check(&directory, &versions.location).map_err(of(index))?;
        chosen.push((directory, token));
    }
    let info = |newest: &lance::Dataset, rows, tensor_bytes| CommitInfo {
        rows,
        tensor_bytes,
        version: newest.manifest().version,
        data_files: newest.manifest().fragments.iter().map(|f| f.files.len() as u64).sum(),
    };
    let (Some(layout), false) = (layout, chosen.is_empty()) else {
        rename(&needless, NEEDLESS);
        let nothing = newest.filter(|_| mode == Mode::Append);
        return Ok(nothing.map_or(CommitInfo::default(), |newest| info(&newest, 0, 0)));
    };
    if let (Some(newest), Mode::Append) = (&newest, mode) {
        refuse_others(&Target::of(newest.manifest()), &chosen)?;
    }
    let rows = chosen.iter().map(|(_, token)| token.rows()).sum();
    let tensor_bytes = chosen.iter().map(|(_, token)| token.rows() * token.row_bytes).sum();
    let began_on = newest.as_ref().map_or(0, |newest| newest.manifest().version);
    let parts = chosen.iter();
    let parts =
        parts.map(|(directory, token)| PublishedPart { directory, finished: &token.finished });
    let publication = Publication {
        mode,
        began_on,
        seen: began_on,
        layout: &layout,
        parts: parts.collect(),
        marks: chosen.iter().map(|(_, token)| token.mark()).collect(),
        config: jobs.config(),
        onto_replaced: false,
    };
    let published = publication.publish(&versions).await?;
    if published.before {
        return Err(Error::commit_conflict(
            "another call published one of the tokens at the same time; nothing of this call is visible",
        ));
    }
    rename(&chosen, PUBLISHED);
    rename(&needless, NEEDLESS);
    Ok(info(&published.dataset, rows, tensor_bytes))
}

/// Of these tokens nothing waits.
fn rename(tokens: &[(std::path::PathBuf, &Token)], to: &str) {
    for (directory, token) in tokens {
        let name = |kind: &str| directory.join(format!("{kind}{}", token.sequence));
        // If it cannot be renamed, the versions tell all the same.
        if let Err(error) = std::fs::rename(name(TOKEN), name(to))
            && !name(to).exists()
        {
            log::warn!("{}: {error}", name(TOKEN).display());
        }
    }
}

/// Before anything is touched: files that the table cannot hold as they are.
fn refuse_others(target: &Target, chosen: &[(std::path::PathBuf, &Token)]) -> Result<()> {
    let version = target.version.to_data_file_numbers();
    for finished in chosen.iter().flat_map(|(_, token)| &token.finished) {
        if finished.version != version {
            return Err(Error::schema_mismatch(format!(
                "files of version {:?} were staged, the table has {version:?}; stage the rows again",
                finished.version
            )));
        }
        finished.fragment(target).map_err(|error| match error.status {
            Status::RDS_ERR_SCHEMA_MISMATCH => error.context("stage the rows again"),
            _ => error,
        })?;
    }
    Ok(())
}

fn refuse_repeated(tokens: &[Token]) -> Result<()> {
    let mut seen = HashMap::new();
    for (index, token) in tokens.iter().enumerate() {
        if let Some(first) = seen.insert((&token.run, token.sequence), index) {
            return Err(Error::already_exists(format!("token {index} is token {first} once more")));
        }
    }
    Ok(())
}

fn common_layout(tokens: &[Token]) -> Result<Option<Layout>> {
    let mut common: Option<Layout> = None;
    for (index, token) in tokens.iter().enumerate() {
        let Some(layout) = token.layout()? else { continue };
        match &common {
            Some(common) => common.check(layout.tensors()).map_err(|error| {
                error.context(format!("token {index} differs from those before"))
            })?,
            None => common = Some(layout),
        }
    }
    Ok(common)
}

/// Tokens as they were given, but those of a job in the order of its parts, in the places that it has.
fn in_order(tokens: &[Token]) -> Vec<(usize, &Token)> {
    let part = |(_, token): &(usize, &Token)| token.part.as_ref().map_or(0, |part| part.number);
    let mut jobs: HashMap<Option<&str>, VecDeque<(usize, &Token)>> = HashMap::new();
    for (index, token) in tokens.iter().enumerate() {
        let of = token.part.as_ref().map(|part| part.job.as_str());
        jobs.entry(of).or_default().push_back((index, token));
    }
    for (of, tokens) in &mut jobs {
        if of.is_some() {
            tokens.make_contiguous().sort_by_key(part);
        }
    }
    tokens
        .iter()
        .filter_map(|token| {
            let of = token.part.as_ref().map(|part| part.job.as_str());
            jobs.get_mut(&of)?.pop_front()
        })
        .collect()
}
