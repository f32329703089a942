//! The newest version of the table, as this run knows it, and the commits that put another one on top.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use lance::dataset::transaction::{Operation, RewriteGroup, TransactionBuilder};
use lance::dataset::{CommitBuilder, Dataset, WriteDestination};
use lance::session::Session;
use lance_core::datatypes::Schema;
use lance_file::version::{ConcreteFileVersion, LanceFileVersion};
use lance_table::format::{Fragment, Manifest};

use crate::error::{Error, Result, Status};
use crate::location::{Location, VERSIONS, manifests};
use crate::writer::data_file::{DATA, Finished};
use crate::writer::durable::{sync, sync_directories};
use crate::writer::history::{History, Keep, remove};
use crate::writer::version::{ATTEMPTS, Snapshot, identity, is_same, load, small_session};
use crate::writer::{CommitInfo, Mode};

/// The file version of tables that librds makes: rows of a page lie in one plain buffer.
pub const FILE_VERSION: LanceFileVersion = LanceFileVersion::V2_2;

const CONFLICT: Status = Status::RDS_ERR_COMMIT_CONFLICT;
const INVALID: Status = Status::RDS_ERR_INVALID_ARGUMENT;
const NOT_FOUND: Status = Status::RDS_ERR_NOT_FOUND;

/// The distance between ids of fragments. Lance sorts fragments by their ids, none of which is ever used
/// again: what fragments are merged into needs one that is free, and lies between those of its neighbours.
const ID_STEP: u64 = 16;

pub struct Head {
    pub location: Location,
    mode: Mode,
    session: Arc<Session>,
    /// The deepest directory that was there before anything was made: what is made below it must be
    /// synced up to it. After the first commit nothing but files is made.
    top: Option<PathBuf>,
    /// The table as of the last commit. Before the first: what there is, to be appended to or
    /// replaced.
    table: Option<Snapshot>,
    /// Whether this run has committed: from then on it appends.
    committed: bool,
    history: History,
}

/// The version that a transaction names as the one it has read, and the newest one.
struct Base {
    dataset: Arc<Dataset>,
    newest: Arc<Dataset>,
}

impl Head {
    pub async fn open(location: Location, mode: Mode) -> Result<Self> {
        let session = Arc::new(small_session());
        let table = load(&location, &session).await?;
        match (mode, &table) {
            (Mode::Create, Some(_)) => return Err(exists(&location)),
            (Mode::Append, None) => {
                return Err(Error::not_found(format!("there is no table at {location}")));
            }
            _ => {}
        }
        let above = location.path().ancestors().skip(1).find(|path| path.exists());
        let top = Some(above.unwrap_or(location.path()).to_path_buf());
        let history = History::default();
        Ok(Self { location, mode, session, top, table, committed: false, history })
    }

    /// The table that rows are added to; none, if what there is will be replaced.
    pub fn appends_to(&self) -> Option<&Arc<Dataset>> {
        let appends = self.committed || matches!(self.mode, Mode::Append | Mode::Staged);
        self.table.as_ref().filter(|_| appends).map(|table| &table.dataset)
    }

    /// The version new data files have: that of the table, if it is appended to.
    pub fn file_version(&self) -> ConcreteFileVersion {
        match self.appends_to() {
            Some(dataset) => dataset.manifest().data_storage_format.version,
            None => FILE_VERSION.resolve(),
        }
    }

    /// The version and its number of data files.
    pub fn info(&self) -> CommitInfo {
        let Some(table) = self.appends_to() else { return CommitInfo::default() };
        let manifest = table.manifest();
        let data_files = manifest.fragments.iter().map(|f| f.files.len() as u64).sum();
        CommitInfo { version: manifest.version, data_files, ..CommitInfo::default() }
    }

    /// Makes the next version: the table, if this is the first commit of a run that does not append, and
    /// `finished` after the rows that are there.
    pub async fn commit(&mut self, finished: Vec<Finished>, schema: &Schema) -> Result<()> {
        self.sync_files(&finished)?;
        let fragments: Vec<Fragment> = finished.iter().map(|f| f.fragment.clone()).collect();
        let committed = match self.appends_to() {
            Some(_) => self.append(fragments.clone()).await,
            None => self.replace(fragments.clone(), schema).await,
        };
        self.settle(committed, finished, &[]).await
    }

    /// Makes a version that has `merged` in the place of `old`, which follow each other. False, if the
    /// table has changed there: then nothing is done.
    pub async fn rewrite(&mut self, old: Vec<Fragment>, merged: Finished) -> Result<bool> {
        self.sync_files(std::slice::from_ref(&merged))?;
        let fragment = merged.fragment.clone();
        let operation = |newest: &Manifest| {
            let now = &newest.fragments;
            let place = now.windows(old.len()).position(|window| window == old)?;
            let id = id_after(now.get(place..)?, old.len())?;
            let new_fragments = vec![Fragment { id, ..fragment.clone() }];
            let groups = vec![RewriteGroup { old_fragments: old.clone(), new_fragments }];
            Some(Operation::Rewrite {
                groups,
                rewritten_indices: Vec::new(),
                frag_reuse_index: None,
            })
        };
        match self.land(std::slice::from_ref(&merged.fragment), operation).await {
            Ok(None) => Ok(false),
            Err(error) if error.status == CONFLICT && self.catch_up().await.is_ok() => Ok(false),
            committed => {
                let committed = committed.and_then(|dataset| dataset.ok_or_else(|| self.is_gone()));
                self.settle(committed, vec![merged], &old).await.map(|()| true)
            }
        }
    }

    /// Removes versions of this run that were replaced, and files that only they name.
    pub async fn prune(&mut self) -> Result<()> {
        let Some(table) = &self.table else { return Ok(()) };
        self.history.prune(self.location.path(), &table.dataset, Keep::NOTHING).await
    }

    /// Data before the manifest that names it.
    pub fn sync_files(&self, finished: &[Finished]) -> Result<()> {
        if finished.is_empty() {
            return Ok(());
        }
        for Finished { file, .. } in finished {
            let path = file.path().display();
            file.sync().map_err(|e| Error::from(e).context(format!("fsync of {path}")))?;
        }
        self.sync_directory(DATA)
    }

    fn sync_directory(&self, name: &str) -> Result<()> {
        let directory = self.location.path().join(name);
        sync_directories(&directory, self.top.as_deref().unwrap_or(&directory))
    }

    /// What follows a commit, or its failure: a file that a version may name stays.
    async fn settle(
        &mut self,
        committed: Result<Dataset>,
        finished: Vec<Finished>,
        retired: &[Fragment],
    ) -> Result<()> {
        let never_landed = [CONFLICT, INVALID, Status::RDS_ERR_ALREADY_EXISTS];
        if committed.as_ref().is_err_and(|error| never_landed.contains(&error.status)) {
            return committed.map(drop);
        }
        let fragments: Vec<Fragment> = finished.iter().map(|f| f.fragment.clone()).collect();
        finished.into_iter().for_each(|finished| finished.file.keep());
        let table = Snapshot::new(&self.location, committed?)?;
        sync(&table.manifest)?;
        self.sync_directory(VERSIONS)?;
        self.top = None;
        self.committed = true;
        self.history.add(self.location.path(), &table.dataset, fragments.iter());
        self.history.retire(self.location.path(), retired, table.version());
        self.table = Some(table.clone());
        // Whatever cannot be removed is in nobody's way.
        let pruned = self.history.prune_expired(self.location.path(), &table.dataset).await;
        pruned.unwrap_or_else(|error| log::warn!("{}: {error}", self.location));
        Ok(())
    }

    async fn append(&self, fragments: Vec<Fragment>) -> Result<Dataset> {
        let operation = |newest: &Manifest| {
            let first = newest.max_fragment_id().map_or(0, |id| id + 1);
            Some(Operation::Append { fragments: with_ids(fragments.clone(), first) })
        };
        let landed = self.land(&fragments, operation).await?;
        landed.ok_or_else(|| Error::internal("nothing to append"))
    }

    /// Commits what `operation` makes of the newest version; none, if that is nothing.
    ///
    /// Whether a commit has landed is told by the newest version alone, which then names the `fragments`.
    /// Versions are removed while others look for the newest one: Lance may then put a commit on top of an
    /// older one, where nobody will see it, or fail after it has landed.
    async fn land(
        &self,
        fragments: &[Fragment],
        operation: impl Fn(&Manifest) -> Option<Operation>,
    ) -> Result<Option<Dataset>> {
        let mut attempts = 0..ATTEMPTS;
        loop {
            let base = self.catch_up().await?;
            let before = base.newest.manifest().version;
            let Some(operation) = operation(base.newest.manifest()) else { return Ok(None) };
            let committed = execute(base.dataset, operation).await;
            if let Ok(dataset) = &committed
                && self.location.newest_version()? == Some(dataset.manifest().version)
            {
                return committed.map(Some);
            }
            let newest =
                load(&self.location, &self.session).await?.ok_or_else(|| self.is_gone())?;
            if names_all(newest.dataset.manifest(), fragments) {
                return Ok(Some(newest.dataset.as_ref().clone()));
            }
            match committed {
                // Beside the line of versions.
                Ok(dataset) => {
                    let lost = Snapshot::new(&self.location, dataset)?;
                    remove(&lost.manifest)?;
                }
                // Another writer has taken the ids, or has removed what Lance was reading.
                Err(error) if matches!(error.status, INVALID | NOT_FOUND) => {
                    if newest.version() == before {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
            if attempts.next().is_none() {
                return Err(Error::commit_conflict(format!(
                    "other writers changed the table at {} {ATTEMPTS} times in a row",
                    self.location
                )));
            }
        }
    }

    /// What a commit may build on.
    ///
    /// That is the newest version, if it has what ours had. If it has not, Lance finds out from the manifests
    /// between whether what came is compatible; runs remove theirs, so if some are missing, the table counts as
    /// replaced. Besides, Lance commits to a table whose directory is gone.
    async fn catch_up(&self) -> Result<Base> {
        let ours = self.table.as_ref().ok_or_else(|| Error::internal("no table to add to"))?;
        let found = match self.location.exists()? {
            true => manifests(self.location.path()),
            false => Err(Error::not_found("")),
        };
        let found = match found {
            Err(error) if error.status == NOT_FOUND => return Err(self.is_gone()),
            found => found?,
        };
        let Some((newest, _)) = found.last_key_value() else { return Err(self.is_gone()) };
        let unchanged =
            std::fs::metadata(&ours.manifest).is_ok_and(|file| identity(&file) == ours.identity);
        if unchanged && *newest == ours.version() {
            return Ok(Base { dataset: ours.dataset.clone(), newest: ours.dataset.clone() });
        }
        let since = ours.version()..=*newest;
        let complete = unchanged
            && !since.is_empty()
            && found.range(since).count() as u64 == newest - ours.version() + 1;
        let newest = load(&self.location, &self.session).await?.ok_or_else(|| self.is_gone())?;
        let descends = match self.committed {
            true => self.history.is_in(&newest.dataset),
            false => {
                let fragments = &ours.dataset.manifest().fragments;
                newest.version() > ours.version()
                    && !fragments.is_empty()
                    && names_all(newest.dataset.manifest(), fragments)
            }
        };
        match (descends, complete) {
            (true, _) => Ok(Base { dataset: newest.dataset.clone(), newest: newest.dataset }),
            (false, true) => Ok(Base { dataset: ours.dataset.clone(), newest: newest.dataset }),
            (false, false) => Err(self.was_replaced()),
        }
    }

    /// The first commit of a run that does not append.
    async fn replace(&self, fragments: Vec<Fragment>, schema: &Schema) -> Result<Dataset> {
        let found = load(&self.location, &self.session).await?;
        if !is_same(&found, &self.table) {
            return Err(self.lost_the_race());
        }
        let operation = Operation::Overwrite {
            fragments,
            schema: schema.clone(),
            config_upsert_values: None,
            initial_bases: None,
        };
        let before = self.table.as_ref().map_or(0, Snapshot::version);
        let transaction = TransactionBuilder::new(before, operation).build();
        let uri = self.location.uri()?;
        let destination = match found {
            Some(table) => WriteDestination::Dataset(table.dataset),
            None => WriteDestination::Uri(&uri),
        };
        let commit = CommitBuilder::new(destination)
            .with_session(self.session.clone())
            .with_storage_format(FILE_VERSION)
            .with_skip_auto_cleanup(true)
            // Strict: with retries Lance would put an overwrite on top of whatever came meanwhile.
            .with_max_retries(0);
        match commit.execute(transaction).await {
            Ok(dataset) => Ok(dataset),
            Err(error) => match load(&self.location, &self.session).await {
                Ok(now) if !is_same(&now, &self.table) => Err(self.lost_the_race()),
                _ => Err(error.into()),
            },
        }
    }

    fn lost_the_race(&self) -> Error {
        match self.mode {
            Mode::Create => exists(&self.location),
            _ => Error::commit_conflict(format!(
                "another writer changed the table at {} since this one was opened",
                self.location
            )),
        }
    }

    fn was_replaced(&self) -> Error {
        let place = &self.location;
        Error::commit_conflict(format!("the table at {place} was replaced by another one"))
    }

    fn is_gone(&self) -> Error {
        let place = &self.location;
        Error::not_found(format!("the table at {place} was removed while it was written"))
    }
}

/// Fragments with ids from `first` on.
fn with_ids(fragments: Vec<Fragment>, first: u64) -> Vec<Fragment> {
    let id = |at: usize| first.next_multiple_of(ID_STEP) + at as u64 * ID_STEP;
    let numbered = fragments.into_iter().enumerate();
    numbered.map(|(at, fragment)| Fragment { id: id(at), ..fragment }).collect()
}

/// The id of what the first `count` of some neighbours are merged into; none, if the next one has it.
pub fn id_after(fragments: &[Fragment], count: usize) -> Option<u64> {
    let id = fragments.get(..count)?.last()?.id + 1;
    fragments.get(count).is_none_or(|next| next.id > id).then_some(id)
}

async fn execute(base: Arc<Dataset>, operation: Operation) -> Result<Dataset> {
    let transaction = TransactionBuilder::new(base.manifest().version, operation).build();
    let commit = CommitBuilder::new(WriteDestination::Dataset(base)).with_skip_auto_cleanup(true);
    Ok(commit.execute(transaction).await?)
}

/// Whether a version names every data file of some fragments.
fn names_all(manifest: &Manifest, fragments: &[Fragment]) -> bool {
    let files = |fragments: &[Fragment]| -> HashSet<String> {
        fragments.iter().flat_map(|f| &f.files).map(|file| file.path.clone()).collect()
    };
    files(fragments).is_subset(&files(&manifest.fragments))
}

fn exists(location: &Location) -> Error {
    Error::already_exists(format!(
        "there is a table at {location}; append to it, overwrite it, or choose another path"
    ))
}
