//! What a run leaves behind on its way: versions that a newer one of its own has replaced, and data
//! files that were merged into others. It removes these, and nothing that is not its own.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lance::Dataset;
use lance_table::format::Fragment;
use lance_table::io::commit::write_version_hint;

use crate::error::{Error, Result};
use crate::location::{VERSIONS, manifests};
use crate::writer::data_file::DATA;

pub const TRANSACTIONS: &str = "_transactions";

/// How long something outlives what replaces it: versions until whoever looked for the newest one has
/// opened it, files until whoever opened such a version has read them.
#[derive(Clone, Copy)]
pub struct Keep {
    versions: Duration,
    files: Duration,
}

impl Keep {
    const A_WHILE: Self = Self { versions: Duration::from_secs(5), files: Duration::from_secs(60) };
    pub const NOTHING: Self = Self { versions: Duration::ZERO, files: Duration::ZERO };
}

/// How long what has expired is let accumulate, as it costs a look at the directory to remove it.
const SLACK: Duration = Duration::from_secs(1);

struct Commit {
    version: u64,
    manifest: PathBuf,
    transaction: Option<PathBuf>,
    at: Instant,
}

/// A data file that versions from the first to before the last may name.
struct Retired {
    file: PathBuf,
    versions: Range<u64>,
    at: Instant,
}

#[derive(Default)]
pub struct History {
    commits: VecDeque<Commit>,
    /// The data files of the run that its newest version names, each with the first version that did.
    born: HashMap<String, u64>,
    retired: Vec<Retired>,
}

impl History {
    /// A commit of this run that added `files`.
    pub fn add<'a>(
        &mut self,
        table: &Path,
        dataset: &Dataset,
        files: impl Iterator<Item = &'a Fragment>,
    ) {
        let manifest = dataset.manifest();
        let names = files.flat_map(|fragment| &fragment.files).map(|file| file.path.clone());
        self.born.extend(names.map(|name| (name, manifest.version)));
        let Some(name) = dataset.manifest_location().path.filename() else { return };
        self.commits.push_back(Commit {
            version: manifest.version,
            manifest: table.join(VERSIONS).join(name),
            transaction: manifest
                .transaction_file
                .as_ref()
                .map(|t| table.join(TRANSACTIONS).join(t)),
            at: Instant::now(),
        });
    }

    /// From that version on these fragments of the run are in the table no more.
    pub fn retire(&mut self, table: &Path, fragments: &[Fragment], version: u64) {
        for file in fragments.iter().flat_map(|fragment| &fragment.files) {
            if let Some(born) = self.born.remove(&file.path) {
                let file = table.join(DATA).join(&file.path);
                self.retired.push(Retired { file, versions: born..version, at: Instant::now() });
            }
        }
    }

    /// Whether the run has a commit, and a version names all its data files.
    pub fn is_in(&self, dataset: &Dataset) -> bool {
        let files = dataset.manifest().fragments.iter().flat_map(|fragment| &fragment.files);
        let names: BTreeSet<&str> = files.map(|file| file.path.as_str()).collect();
        !self.born.is_empty() && self.born.keys().all(|name| names.contains(name.as_str()))
    }

    /// As `prune`, of what nobody should be reading any more.
    pub async fn prune_expired(&mut self, table: &Path, newest: &Dataset) -> Result<()> {
        match self.commits.front() {
            Some(oldest) if oldest.at.elapsed() >= Keep::A_WHILE.versions + SLACK => {
                self.prune(table, newest, Keep::A_WHILE).await
            }
            _ => Ok(()),
        }
    }

    /// Removes the versions of the run that a newer one has replaced, but those that somebody tagged or
    /// branched from, and the files that no version names any more.
    pub async fn prune(&mut self, table: &Path, newest: &Dataset, keep: Keep) -> Result<()> {
        let version = newest.manifest().version;
        let is_expired =
            |commit: &Commit| commit.version < version && commit.at.elapsed() >= keep.versions;
        if !self.commits.front().is_some_and(is_expired) && self.retired.is_empty() {
            return Ok(());
        }
        let pinned = pinned(newest).await?;
        // Readers and writers that look for the newest version by a hint go up from it one by one: it
        // must not point to before a gap.
        let base = newest.branch_location().path;
        write_version_hint(newest.object_store(None).await?.as_ref(), &base, version).await;
        while let Some(commit) = self.commits.pop_front_if(|commit| is_expired(commit)) {
            if !pinned.contains(&commit.version) {
                remove(&commit.manifest)?;
                commit.transaction.as_deref().map_or(Ok(()), remove)?;
            }
        }
        let left = manifests(table)?;
        let is_unused = |retired: &mut Retired| {
            let named = left.range(retired.versions.clone()).next().is_some();
            !named && retired.at.elapsed() >= keep.files
        };
        for retired in self.retired.extract_if(.., is_unused) {
            remove(&retired.file)?;
        }
        Ok(())
    }
}

/// The versions that tags and branches refer to.
async fn pinned(dataset: &Dataset) -> Result<BTreeSet<u64>> {
    let tags = dataset.tags().list().await?;
    let branches = dataset.branches().list().await?;
    let tagged = tags.values().filter(|tag| tag.branch.is_none()).map(|tag| tag.version);
    let branched = branches.values().map(|branch| branch.parent_version);
    Ok(tagged.chain(branched).collect())
}

/// What is gone already is fine.
pub fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::from(error).context(format!("cannot remove {}", path.display())))
        }
        _ => Ok(()),
    }
}
