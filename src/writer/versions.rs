//! The versions of a table, and the one way to make another.
//!
//! A version is a manifest under the next number, put there if nothing is: Lance compares a transaction with
//! all that came since the version it was based on, builds the manifest, and hands it to a commit handler.
//! Ours (`handler`) looks once more, at the moment that counts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lance::Dataset;
use lance::dataset::builder::DatasetBuilder;
use lance::dataset::transaction::{Operation, TransactionBuilder};
use lance::dataset::{CommitBuilder, WriteDestination};
use lance::session::Session;
use lance_core::datatypes::Schema;
use lance_table::format::Manifest;

use crate::error::{Error, Result, Status};
use crate::location::{Location, manifests};
use crate::writer::fragment::FILE_VERSION;
use crate::writer::handler::{Handler, Seen};
use crate::writer::jobs::{Jobs, SINCE};

pub const TRANSACTIONS: &str = "_transactions";

/// Table configuration: how many rows of a run a version shows. The value is `<epoch>:<rows>`.
pub const MARK: &str = "rds.run.";

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
    pub fn key(&self) -> String {
        format!("{MARK}{}", self.run)
    }

    pub fn value(&self) -> String {
        format!("{}:{}", self.epoch, self.rows)
    }

    /// What a version says of a run: epoch and rows.
    pub fn of(manifest: &Manifest, run: &str) -> Option<(u64, u64)> {
        let (epoch, rows) = manifest.config.get(&format!("{MARK}{run}"))?.split_once(':')?;
        Some((epoch.parse().ok()?, rows.parse().ok()?))
    }
}

/// Parts of jobs to be shown.
#[derive(Clone, Debug)]
pub struct NewParts {
    pub parts: Jobs,
    /// What the table says of others is not of it, if it says that since this version.
    pub void: Option<String>,
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
    /// Parts of jobs that it shows, and no version before it; none, if it shows none.
    pub jobs: Option<NewParts>,
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

    /// The parts of jobs that a version shows, of one that is asked for or of all. What others put in the place of the
    /// table has none.
    pub async fn jobs(&self, newest: &Dataset, job: Option<&str>) -> Result<Jobs> {
        let config = &newest.manifest().config;
        let said = Jobs::of(config);
        if said.ranges(job).next().is_none() {
            return Ok(said);
        }
        let since = config.get(SINCE).and_then(|version| version.parse().ok());
        let now = newest.manifest().version;
        for version in since.unwrap_or(now).saturating_add(1)..=now {
            // A version that was removed says nothing: then the table counts as the same.
            let transaction = newest.read_transaction_by_version(version).await;
            if let Ok(Some(transaction)) = transaction
                && matches!(transaction.operation, Operation::Overwrite { .. })
            {
                return Ok(Jobs::default());
            }
        }
        Ok(said)
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
