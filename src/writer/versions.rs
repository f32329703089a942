//! The versions of a table, and the one way to make another.
//!
//! A version is a manifest under the next number, put there if nothing is: Lance compares a transaction with
//! all that came since the version it was based on, builds the manifest, and hands it to a commit handler.
//! Ours looks once more, at the moment that counts: whether the run's mark says that this has landed or was
//! taken over, whether the columns are those that the files were written for, and whether the number is
//! really the next one, as the directory has it. Then manifest and transaction are synced, and only then
//! does the manifest get its name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use lance::Dataset;
use lance::dataset::builder::DatasetBuilder;
use lance::dataset::transaction::{Operation, TransactionBuilder};
use lance::dataset::{CommitBuilder, WriteDestination};
use lance::session::Session;
use lance_core::datatypes::Schema;
use lance_io::object_store::ObjectStore;
use lance_table::feature_flags::FLAG_TABLE_CONFIG;
use lance_table::format::{IndexMetadata, Manifest, Transaction};
use lance_table::io::commit::{
    CommitError, CommitHandler, ManifestLocation, ManifestNamingScheme, ManifestWriter,
    write_version_hint,
};
use object_store::path::Path as StorePath;
use uuid::Uuid;

use crate::error::{Error, Result, Status};
use crate::location::{Location, VERSIONS, manifests};
use crate::writer::fragment::FILE_VERSION;
use crate::writer::heap::failed_sync;
use crate::writer::journal::sync_directory;
use crate::writer::run::RUNS;

pub const TRANSACTIONS: &str = "_transactions";
const HINT: &str = "latest_version_hint.json";

/// Table configuration: how many rows of a run a version shows. The value is `<epoch>:<rows>`.
const MARK: &str = "rds.run.";

/// How often Lance itself tries when others are faster; the caller tries on until its deadline.
const RETRIES: u32 = 8;

/// Rows of a run, or a token, that a version shows from then on.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    pub run: String,
    pub epoch: u64,
    pub rows: u64,
}

impl Mark {
    fn key(&self) -> String {
        format!("{MARK}{}", self.run)
    }

    fn value(&self) -> String {
        format!("{}:{}", self.epoch, self.rows)
    }

    /// What a version says of a run: epoch and rows.
    pub fn of(manifest: &Manifest, run: &str) -> Option<(u64, u64)> {
        let (epoch, rows) = manifest.config.get(&format!("{MARK}{run}"))?.split_once(':')?;
        Some((epoch.parse().ok()?, rows.parse().ok()?))
    }
}

/// A version to be made.
#[derive(Clone, Debug)]
pub struct Change {
    pub operation: Operation,
    /// The runs whose rows it shows, each with its owner's epoch.
    pub marks: Vec<Mark>,
    /// A run that must not have been taken over, though it shows no more rows.
    pub owner: Option<Mark>,
    /// Other settings of the table.
    pub config: BTreeMap<String, String>,
    /// The columns of the table; none if the change replaces them.
    pub schema: Option<Schema>,
    /// A data file that the last fragment must name: what others added since stays behind ours.
    pub last_file: Option<String>,
}

/// What became of it.
#[derive(Debug)]
pub enum Landing {
    Landed(Box<Dataset>),
    /// The version found shows the rows of a run already.
    Before,
    /// Others were faster, or changed the columns: look again.
    Again(Error),
}

#[derive(Debug)]
enum Seen {
    Nothing,
    Before,
    TakenOver(String),
    NotThere,
    /// The manifest has its name: whatever fails from then on, the version is there.
    Named(u64),
    Unknown(Error),
    Failed(Error),
}

/// Looks at versions as the directory has them, and makes one if it has a change.
#[derive(Debug)]
struct Handler {
    table: PathBuf,
    change: Option<Change>,
    seen: Mutex<Seen>,
}

/// The versions of one table.
pub struct Versions {
    pub location: Location,
    session: Arc<Session>,
}

impl Versions {
    pub fn new(location: Location) -> Self {
        // A writer reads manifests only: Lance's caches, gigabytes by default, would hold nothing of use.
        Self { location, session: Arc::new(Session::new(0, 4 << 20, Arc::default())) }
    }

    pub fn table(&self) -> &Path {
        self.location.path()
    }

    /// The newest version, if there is one.
    pub async fn newest(&self) -> Result<Option<Arc<Dataset>>> {
        if !self.location.exists()? {
            return Ok(None);
        }
        let mut attempts = 0..10;
        loop {
            let Some(newest) = self.location.newest_version()? else { return Ok(None) };
            match self.load(newest).await {
                // A clean-up removed it between the two: then there is a newer one.
                Err(error)
                    if error.status == Status::RDS_ERR_NOT_FOUND && attempts.next().is_some() => {}
                loaded => return loaded.map(|dataset| Some(Arc::new(dataset))),
            }
        }
    }

    pub async fn load(&self, version: u64) -> Result<Dataset> {
        let handler = Handler::new(self.table(), None);
        let builder = DatasetBuilder::from_uri(self.location.uri()?)
            .with_session(self.session.clone())
            .with_version(version)
            .with_commit_handler(Arc::new(handler));
        builder.load().await.map_err(|error| {
            let named = manifests(self.table()).ok().and_then(|all| all.get(&version).cloned());
            let name = named.map_or(self.location.to_string(), |path| path.display().to_string());
            Error::reading(error).context(name)
        })
    }

    /// Puts a change on top of `base`, which is the newest version, or makes the table.
    pub async fn commit(&self, base: Option<Arc<Dataset>>, change: Change) -> Result<Landing> {
        let replaces = matches!(change.operation, Operation::Overwrite { .. });
        let version = base.as_ref().map_or(0, |base| base.manifest().version);
        let transaction = TransactionBuilder::new(version, change.operation.clone()).build();
        let handler = Arc::new(Handler::new(self.table(), Some(change)));
        let uri = self.location.uri()?;
        let destination = match base {
            Some(base) => WriteDestination::Dataset(base),
            None => WriteDestination::Uri(&uri),
        };
        let mut commit = CommitBuilder::new(destination)
            .with_session(self.session.clone())
            .with_commit_handler(handler.clone())
            .with_skip_auto_cleanup(true)
            .with_retry_timeout(Duration::from_secs(2))
            // Strict if it replaces the table: with retries Lance would put it on top of whatever came.
            .with_max_retries(if replaces { 0 } else { RETRIES });
        if replaces {
            commit = commit.with_storage_format(FILE_VERSION);
        }
        let result = commit.execute(transaction).await;
        match handler.take_seen() {
            Seen::Before => return Ok(Landing::Before),
            Seen::TakenOver(run) => return Err(crate::writer::run::taken_over(&run)),
            Seen::NotThere => {
                return Ok(Landing::Again(Error::schema_mismatch(
                    "the table changed while a version was made",
                )));
            }
            Seen::Unknown(error) | Seen::Failed(error) => return Err(error),
            Seen::Named(version) => {
                let landed = match result {
                    Ok(dataset) => Ok(dataset),
                    Err(_) => self.load(version).await.map_err(|error| unknown(&error.message)),
                };
                return landed.map(|dataset| Landing::Landed(Box::new(dataset)));
            }
            Seen::Nothing => {}
        }
        match result {
            Ok(dataset) => Ok(Landing::Landed(Box::new(dataset))),
            Err(error) if error.is_commit_status_unknown() => {
                Err(unknown(&Error::from(error).message))
            }
            Err(error) => {
                let error = Error::from(error);
                match error.status {
                    // Others were faster, or a clean-up took what Lance was reading.
                    Status::RDS_ERR_COMMIT_CONFLICT
                    | Status::RDS_ERR_NOT_FOUND
                    | Status::RDS_ERR_ALREADY_EXISTS
                    | Status::RDS_ERR_INVALID_ARGUMENT => Ok(Landing::Again(error)),
                    _ => Err(error),
                }
            }
        }
    }

    /// Why the table is another one than at version `seen` of it, if so. What was restored below `base` is
    /// another one too.
    pub async fn replaced(&self, newest: &Dataset, base: u64, seen: u64) -> Result<Option<String>> {
        let now = newest.manifest().version;
        if now < seen {
            return Ok(Some(format!("its newest version is {now}, and was {seen}")));
        }
        for version in seen + 1..=now {
            // What a clean-up removed says nothing: with equal columns it counts as the same table.
            let Ok(transaction) = newest.read_transaction_by_version(version).await else {
                continue;
            };
            match transaction.map(|transaction| transaction.operation) {
                Some(Operation::Overwrite { .. }) => {
                    return Ok(Some(format!("version {version} replaced it")));
                }
                Some(Operation::Restore { version: to }) if to < base => {
                    return Ok(Some(format!("version {version} restored version {to}")));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Whether what a version showed may have been taken away since: by a restore, by an overwrite, or, as far as
    /// can be known, in a version that was removed.
    pub async fn may_have_gone_back(&self, newest: &Dataset, since: u64) -> Result<bool> {
        for version in since + 1..=newest.manifest().version {
            let transaction = newest.read_transaction_by_version(version).await;
            match transaction.map(|transaction| transaction.map(|t| t.operation)) {
                Ok(Some(Operation::Overwrite { .. } | Operation::Restore { .. })) | Err(_) => {
                    return Ok(true);
                }
                Ok(_) => {}
            }
        }
        Ok(false)
    }

    /// Whether a version after `after` showed so many rows of a run.
    pub async fn has_shown(&self, run: &str, rows: u64, after: u64) -> Result<Shown> {
        let mut all = true;
        let Some(newest) = self.location.newest_version()? else { return Ok(Shown::Never) };
        for version in (after + 1..=newest).rev() {
            match self.load(version).await {
                Ok(dataset) => {
                    if Mark::of(dataset.manifest(), run).is_some_and(|(_, shown)| shown >= rows) {
                        return Ok(Shown::In(version));
                    }
                }
                Err(error) if error.status == Status::RDS_ERR_NOT_FOUND => all = false,
                Err(error) => return Err(error),
            }
        }
        Ok(if all { Shown::Never } else { Shown::NotKnown })
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shown {
    In(u64),
    Never,
    /// Versions that could tell were removed.
    NotKnown,
}

pub fn unknown(why: &str) -> Error {
    Error::commit_unknown(format!(
        "whether the version landed cannot be known: {why}; the rows are kept, rds_recover() finds out"
    ))
}

impl Handler {
    fn new(table: &Path, change: Option<Change>) -> Self {
        Self { table: table.to_path_buf(), change, seen: Mutex::new(Seen::Nothing) }
    }

    fn take_seen(&self) -> Seen {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *seen, Seen::Nothing)
    }

    fn stop(&self, seen: Seen) -> CommitError {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        CommitError::OtherError(lance::Error::internal("librds ended the commit".to_string()))
    }

    fn fail(&self, error: Error) -> CommitError {
        self.stop(Seen::Failed(error))
    }

    /// Checks a manifest that Lance has built on the newest version it knows, and marks it.
    fn mark(
        &self,
        manifest: &mut Manifest,
        change: &Change,
    ) -> std::result::Result<(), CommitError> {
        for mark in change.marks.iter().chain(&change.owner) {
            let Some((epoch, rows)) = Mark::of(manifest, &mark.run) else { continue };
            if epoch > mark.epoch {
                return Err(self.stop(Seen::TakenOver(mark.run.clone())));
            }
            if rows >= mark.rows && change.owner.as_ref() != Some(mark) {
                return Err(self.stop(Seen::Before));
            }
        }
        if change.schema.as_ref().is_some_and(|schema| !same_columns(schema, &manifest.schema)) {
            return Err(self.stop(Seen::NotThere));
        }
        let last = manifest.fragments.last().and_then(|fragment| fragment.files.first());
        if change.last_file.is_some() && change.last_file.as_ref() != last.map(|file| &file.path) {
            return Err(self.stop(Seen::NotThere));
        }
        let runs = self.table.join(RUNS);
        let is_left = |key: &String| match key.strip_prefix(MARK) {
            // Of a run that has ended nothing can come again.
            Some(run) => run.split('.').next().is_some_and(|run| runs.join(run).exists()),
            None => true,
        };
        manifest.config.retain(|key, _| is_left(key));
        manifest.config.extend(change.marks.iter().map(|mark| (mark.key(), mark.value())));
        manifest.config.extend(change.config.clone());
        manifest.writer_feature_flags |= FLAG_TABLE_CONFIG;
        Ok(())
    }

    /// Gives the manifest its name, if that is the next one and free.
    fn name(
        &self,
        written: &Path,
        named: &Path,
        first: bool,
    ) -> std::result::Result<(), CommitError> {
        if first {
            sync_directory(&self.table).map_err(|error| self.fail(error))?;
        }
        let file = std::fs::File::open(written).and_then(|file| file.sync_all());
        file.map_err(|error| self.fail(failed_sync(written)(error)))?;
        let linked = match std::fs::hard_link(written, named) {
            Err(error) if no_links(&error) => {
                use rustix::fs::{CWD, RenameFlags, renameat_with};
                renameat_with(CWD, written, CWD, named, RenameFlags::NOREPLACE).map_err(Into::into)
            }
            linked => linked,
        };
        match linked {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(CommitError::CommitConflict)
            }
            Err(error) => {
                Err(self.fail(Error::from(error).context(format!("naming {}", named.display()))))
            }
            Ok(()) => sync_directory(&self.table.join(VERSIONS))
                .map_err(|error| self.stop(Seen::Unknown(unknown(&error.message)))),
        }
    }
}

/// The file system, or the file, has no second names.
pub fn no_links(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EPERM | libc::EOPNOTSUPP | libc::ENOSYS | libc::EMLINK | libc::EXDEV)
    )
}

/// Whether what was written for one is right in the other: names, types and ids of the fields, and what the
/// metadata says of the tensors.
fn same_columns(one: &Schema, other: &Schema) -> bool {
    let fields = |schema: &Schema| {
        let of = |field: &lance_core::datatypes::Field| {
            (field.id, field.name.clone(), field.logical_type.to_string())
        };
        schema.fields.iter().map(of).collect::<Vec<_>>()
    };
    let tensors = |schema: &Schema| {
        let of = |key: &str| schema.metadata.get(key).cloned();
        (of(crate::tensor::SHAPE_KEY), of(crate::tensor::DTYPE_KEY))
    };
    fields(one) == fields(other) && tensors(one) == tensors(other)
}

#[async_trait]
impl CommitHandler for Handler {
    fn is_version_not_found_definitive(&self) -> bool {
        true
    }

    /// From the directory, never from the hint, which other tools may set back.
    fn list_manifest_locations_since<'a>(
        &self,
        base_path: &StorePath,
        object_store: &'a ObjectStore,
        since_version: u64,
    ) -> BoxStream<'a, lance::Result<ManifestLocation>> {
        let newer = move |found: &lance::Result<ManifestLocation>| match found {
            Ok(location) => location.version > since_version,
            Err(_) => true,
        };
        self.list_manifest_locations(base_path, object_store, true)
            .filter(move |found| futures::future::ready(newer(found)))
            .boxed()
    }

    async fn commit(
        &self,
        manifest: &mut Manifest,
        indices: Option<Vec<IndexMetadata>>,
        base_path: &StorePath,
        object_store: &ObjectStore,
        manifest_writer: ManifestWriter,
        naming_scheme: ManifestNamingScheme,
        transaction: Option<Transaction>,
    ) -> std::result::Result<ManifestLocation, CommitError> {
        let change = self.change.as_ref();
        let change = change.ok_or_else(|| self.fail(Error::internal("no change to commit")))?;
        let versions = self.table.join(VERSIONS);
        std::fs::create_dir_all(&versions).map_err(|error| self.fail(error.into()))?;
        let newest = manifests(&self.table).map_err(|error| self.fail(error))?;
        let newest = newest.last_key_value().map_or(0, |(version, _)| *version);
        if newest + 1 != manifest.version {
            return Err(CommitError::CommitConflict);
        }
        self.mark(manifest, change)?;
        if let Some(name) = &manifest.transaction_file {
            let (directory, name) = (self.table.join(TRANSACTIONS), name.clone());
            let path = directory.join(name);
            let synced = std::fs::File::open(&path).and_then(|file| file.sync_all());
            synced.map_err(|error| self.fail(failed_sync(&path)(error)))?;
            sync_directory(&directory).map_err(|error| self.fail(error))?;
        }
        let path = naming_scheme.manifest_path(base_path, manifest.version);
        let name = path.filename().unwrap_or_default().to_string();
        // A name that clean-ups of Lance know as left behind.
        let temporary = format!(".tmp_{name}_{}", Uuid::new_v4());
        let store_path = base_path.clone().join(VERSIONS).join(temporary.as_str());
        let written =
            manifest_writer(object_store, manifest, indices, &store_path, transaction).await;
        let temporary = versions.join(temporary);
        let result = match written {
            Ok(written) => {
                self.name(&temporary, &versions.join(name), newest == 0).map(|()| written)
            }
            Err(error) => Err(self.fail(Error::from(error))),
        };
        if let Err(error) = std::fs::remove_file(&temporary)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            log::warn!("cannot remove {}: {error}", temporary.display());
        }
        let written = result?;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen::Named(manifest.version);
        if hinted(&versions) < manifest.version {
            write_version_hint(object_store, base_path, manifest.version).await;
        }
        Ok(ManifestLocation {
            version: manifest.version,
            path,
            size: Some(written.size as u64),
            naming_scheme,
            e_tag: None,
            identity: None,
        })
    }
}

fn hinted(versions: &Path) -> u64 {
    let text = std::fs::read(versions.join(HINT)).unwrap_or_default();
    let hint: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
    hint.and_then(|hint| hint.get("version")?.as_u64()).unwrap_or(0)
}
