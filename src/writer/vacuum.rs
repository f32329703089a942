//! Removes old versions, and what no version names and nobody will: data files of whoever was killed, what
//! runs left that ended, and temporary files of commits.
//!
//! It holds no file open. What is younger than the age that its caller names is left alone, because somebody
//! may be about to name it; so are the parts of a job that somebody has added to since. Runs with rows that wait and
//! tokens of files are kept at any age.

use std::collections::{BTreeSet, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lance::Dataset;
use lance_io::object_store::ObjectStore;
use lance_table::io::deletion::relative_deletion_file_path;
use lance_table::io::manifest::read_manifest;

use crate::error::{Error, Result, Status};
use crate::location::{Location, VERSIONS, manifests, run_of};
use crate::writer::publish::{DATA, put_back_all};
use crate::writer::replay::Replayed;
use crate::writer::run::{ENDED, LINKED, RUNS};
use crate::writer::runs::{Standing, runs};
use crate::writer::versions::{TRANSACTIONS, Versions};
use crate::writer::{claim, parts, staging};

const DELETIONS: &str = "_deletions";
/// Where Lance keeps the branches of a table, each a table of its own that may name files of this one.
const BRANCHES: &str = "tree";

#[derive(Clone, Copy, Debug)]
pub struct VacuumOptions {
    /// The age from which versions, and files that no version names, are removed.
    pub older_than: Duration,
    pub keep_versions: bool,
    /// Only count.
    pub dry_run: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VacuumInfo {
    pub removed_files: u64,
    pub removed_bytes: u64,
    /// That no version names, and that are too young.
    pub kept_files: u64,
    pub removed_versions: u64,
}

/// What versions name.
#[derive(Default)]
struct Named {
    data: HashSet<String>,
    deletions: HashSet<String>,
    transactions: HashSet<String>,
}

pub async fn vacuum(location: &Location, options: VacuumOptions) -> Result<VacuumInfo> {
    if !location.exists()? {
        return Err(Error::not_found(format!("there is no table at {location}")));
    }
    let mut info = VacuumInfo::default();
    let versions = Versions::new(location.clone());
    // First, while what is in the table's data has two names, and counts as one.
    let swept = sweep(&versions, options.older_than.min(LINKED), options.dry_run).await?;
    info.removed_files += swept.files;
    info.removed_bytes += swept.bytes;
    let (files, bytes) = parts::sweep(versions.table(), options.older_than, options.dry_run)?;
    info.removed_files += files;
    info.removed_bytes += bytes;
    let mut removed = BTreeSet::new();
    if let Some(newest) = versions.newest().await?
        && !options.keep_versions
    {
        removed = old_versions(location, &newest, options.older_than).await?;
    }
    // Before the versions go that name them.
    let named = named(location, &removed).await?;
    let of_removed = of(location, &removed).await?;
    let all = manifests_of(location)?;
    for (version, path) in &all {
        if !removed.contains(version) {
            continue;
        }
        info.count(&std::fs::metadata(path)?.len());
        info.removed_versions += 1;
        if !options.dry_run {
            remove(path)?;
        }
    }
    for directory in [DATA, DELETIONS, TRANSACTIONS, VERSIONS] {
        for entry in entries(&location.path().join(directory))? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().map(str::to_string) else { continue };
            let is_named = match directory {
                DATA => named.data.contains(&name),
                DELETIONS => named.deletions.contains(&name),
                TRANSACTIONS => named.transactions.contains(&name),
                // Only what commits that were cut short leave there.
                _ => !name.contains(".manifest") || name.ends_with(".manifest"),
            };
            if is_named || !entry.file_type()?.is_file() {
                continue;
            }
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            let is_under_way = match directory {
                // A run has it under another name: it is about to show it, or has just done so.
                DATA => metadata.nlink() > 1 && !swept.has(&name),
                TRANSACTIONS if of_removed.transactions.contains(&name) => false,
                TRANSACTIONS | VERSIONS => age(&metadata)? < UNDER_WAY,
                _ => false,
            };
            if is_under_way || age(&metadata)? < options.older_than {
                info.kept_files += 1;
                continue;
            }
            info.count(&metadata.len());
            if !options.dry_run {
                remove(&entry.path())?;
            }
        }
    }
    Ok(info)
}

impl VacuumInfo {
    fn count(&mut self, bytes: &u64) {
        self.removed_files += 1;
        self.removed_bytes += bytes;
    }
}

/// What was removed of runs, or would be.
#[derive(Default)]
pub struct Swept {
    files: u64,
    bytes: u64,
    runs: Vec<String>,
}

impl Swept {
    /// Whether a file is of one of them.
    fn has(&self, name: &str) -> bool {
        run_of(name).is_some_and(|run| self.runs.iter().any(|swept| swept == run))
    }
}

/// Removes what runs left that ended some time ago, and those that died before anything of them was durable:
/// how many files these were, and their bytes. What is named in the table's data too is no file less.
pub async fn sweep(versions: &Versions, older_than: Duration, dry_run: bool) -> Result<Swept> {
    let table = versions.table();
    let mut swept = Swept::default();
    if !dry_run {
        put_back_all(versions, versions.newest().await?.as_deref())?;
    }
    for run in runs(table)? {
        let standing = match run.standing() {
            Err(error) if error.status == Status::RDS_ERR_NOT_FOUND => continue,
            standing => standing?,
        };
        let is_over = || -> Result<bool> {
            Ok(match standing {
                Standing::Ended(since) => since >= older_than,
                Standing::Dead => {
                    let volatile =
                        Replayed::read(&run.directory)?.is_none_or(|run| run.state.volatile);
                    let least =
                        if run.has_owner()? { older_than } else { older_than.max(UNDER_WAY) };
                    volatile
                        && staging::tokens(&run.directory)?.is_empty()
                        && age(&std::fs::metadata(&run.directory)?)? >= least
                }
                Standing::Alive | Standing::Unknown(_) => false,
            })
        };
        match is_over() {
            Ok(true) => {}
            Ok(false) => continue,
            Err(error) if error.status == Status::RDS_ERR_NOT_FOUND => continue,
            Err(error) => return Err(error),
        }
        for entry in entries(&run.directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.nlink() == 1 && entry.file_name() != ENDED {
                swept.files += 1;
                swept.bytes += metadata.len();
            }
        }
        swept.runs.push(run.id.clone());
        if !dry_run {
            std::fs::remove_dir_all(&run.directory)?;
            claim::give_up(table, &run.id);
        }
    }
    if !dry_run {
        // Only if that was the last one.
        let _ = std::fs::remove_dir(table.join(RUNS));
    }
    Ok(swept)
}

fn age(metadata: &std::fs::Metadata) -> Result<Duration> {
    Ok(SystemTime::now().duration_since(metadata.modified()?).unwrap_or_default())
}

fn manifests_of(location: &Location) -> Result<std::collections::BTreeMap<u64, PathBuf>> {
    match manifests(location.path()) {
        Err(error) if error.status == Status::RDS_ERR_NOT_FOUND => Ok(Default::default()),
        found => found,
    }
}

/// Versions that were replaced so long ago, but those that tags and branches refer to. A version is of use
/// as long as the one after it is young: somebody may still commit on top of it.
async fn old_versions(
    location: &Location,
    newest: &Dataset,
    older_than: Duration,
) -> Result<BTreeSet<u64>> {
    let tags = newest.tags().list().await?;
    let branches = newest.branches().list().await?;
    let tagged = tags.values().filter(|tag| tag.branch.is_none()).map(|tag| tag.version);
    let branched = branches.values().map(|branch| branch.parent_version);
    let pinned: BTreeSet<u64> = tagged.chain(branched).collect();
    let all = manifests_of(location)?;
    let mut old = BTreeSet::new();
    for ((version, _), (_, next)) in all.iter().zip(all.iter().skip(1)) {
        if *version >= newest.manifest().version || age(&std::fs::metadata(next)?)? < older_than {
            break;
        }
        if !pinned.contains(version) {
            old.insert(*version);
        }
    }
    Ok(old)
}

/// What a commit needs before its version names it, and a run before it has an owner: neither takes longer.
const UNDER_WAY: Duration = Duration::from_secs(60);

/// What versions name that are about to be removed.
async fn of(location: &Location, removed: &BTreeSet<u64>) -> Result<Named> {
    let (store, _) = ObjectStore::from_uri(&location.uri()?).await?;
    let mut of_removed = Named::default();
    for (version, path) in manifests_of(location)? {
        if removed.contains(&version) {
            match of_removed.add(&store, &path).await {
                Err(error) if error.status == Status::RDS_ERR_NOT_FOUND => {}
                added => added.map_err(|error| error.context(path.display()))?,
            }
        }
    }
    Ok(of_removed)
}

/// What all versions name but those that are about to be removed: detached ones and those of branches too.
async fn named(location: &Location, removed: &BTreeSet<u64>) -> Result<Named> {
    let (store, _) = ObjectStore::from_uri(&location.uri()?).await?;
    let gone: HashSet<PathBuf> = manifests_of(location)?
        .into_iter()
        .filter(|(v, _)| removed.contains(v))
        .map(|(_, p)| p)
        .collect();
    let mut named = Named::default();
    let mut tables = vec![location.path().to_path_buf()];
    find_tables(&location.path().join(BRANCHES), &mut tables)?;
    for table in tables {
        for entry in entries(&table.join(VERSIONS))? {
            let path = entry?.path();
            let is_manifest = path.extension().is_some_and(|extension| extension == "manifest");
            if !is_manifest || gone.contains(&path) {
                continue;
            }
            match named.add(&store, &path).await {
                // A clean-up of another tool was faster.
                Err(error) if error.status == Status::RDS_ERR_NOT_FOUND => {}
                added => added.map_err(|error| error.context(path.display()))?,
            }
        }
    }
    Ok(named)
}

impl Named {
    async fn add(&mut self, store: &ObjectStore, path: &Path) -> Result<()> {
        let path = object_store::path::Path::from_absolute_path(path)
            .map_err(|e| Error::internal(format!("{}: {e}", path.display())))?;
        let manifest = read_manifest(store, &path, None).await.map_err(Error::reading)?;
        for fragment in manifest.fragments.iter() {
            let files = fragment.referenced_lance_files().map(|file| file.path.clone());
            self.data.extend(files);
            if let Some(file) = &fragment.deletion_file {
                let path = relative_deletion_file_path(fragment.id, file);
                self.deletions.extend(path.rsplit('/').next().map(str::to_string));
            }
        }
        self.transactions.extend(manifest.transaction_file);
        Ok(())
    }
}

/// Directories below that hold versions.
fn find_tables(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in entries(directory)? {
        let path = entry?.path();
        if path.join(VERSIONS).is_dir() {
            found.push(path.clone());
        }
        if path.is_dir() {
            find_tables(&path, found)?;
        }
    }
    Ok(())
}

/// What a directory has; nothing, if it is not there.
fn entries(
    directory: &Path,
) -> Result<impl Iterator<Item = std::io::Result<std::fs::DirEntry>> + use<>> {
    match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(None.into_iter().flatten())
        }
        entries => Ok(Some(entries?).into_iter().flatten()),
    }
}

/// What is gone already is fine.
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::from(error).context(format!("cannot remove {}", path.display())))
        }
        _ => Ok(()),
    }
}
