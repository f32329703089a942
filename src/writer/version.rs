//! A version of the table as a writer finds it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use lance::Dataset;
use lance::dataset::builder::DatasetBuilder;
use lance::session::Session;

use crate::error::{Error, Result, Status};
use crate::location::{Location, VERSIONS};

/// How often something is tried that another writer can get in the way of.
pub(super) const ATTEMPTS: u32 = 50;

/// A version, and what tells its manifest from that of another table which took its place.
#[derive(Clone)]
pub struct Snapshot {
    pub dataset: Arc<Dataset>,
    pub manifest: PathBuf,
    pub identity: (u64, u64, i64, i64),
}

impl Snapshot {
    pub fn new(location: &Location, dataset: Dataset) -> Result<Self> {
        let name = dataset.manifest_location().path.filename().unwrap_or_default();
        let manifest = location.path().join(VERSIONS).join(name);
        let identity = identity(&std::fs::metadata(&manifest)?);
        Ok(Self { dataset: Arc::new(dataset), manifest, identity })
    }

    pub fn version(&self) -> u64 {
        self.dataset.manifest().version
    }

    pub fn is(&self, other: &Snapshot) -> bool {
        self.version() == other.version() && self.identity == other.identity
    }
}

pub fn identity(file: &Metadata) -> (u64, u64, i64, i64) {
    (file.dev(), file.ino(), file.mtime(), file.mtime_nsec())
}

pub fn is_same(one: &Option<Snapshot>, other: &Option<Snapshot>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.is(other),
        (None, None) => true,
        _ => false,
    }
}

/// A writer reads manifests only: Lance's caches, gigabytes by default, would hold nothing of use.
pub fn small_session() -> Session {
    Session::new(0, 4 << 20, Arc::default())
}

/// The newest version of the table, if there is one. A run may remove a version of its own between its
/// being found and its being read: then there is a newer one.
pub async fn load(location: &Location, session: &Arc<Session>) -> Result<Option<Snapshot>> {
    let mut attempts = 0..ATTEMPTS;
    loop {
        if !location.exists()? {
            return Ok(None);
        }
        let builder = DatasetBuilder::from_uri(location.uri()?).with_session(session.clone());
        let loaded = builder.load().await.map_err(Error::reading);
        match loaded.and_then(|dataset| Snapshot::new(location, dataset)) {
            Ok(table) => return Ok(Some(table)),
            Err(error) if error.status == Status::RDS_ERR_NOT_FOUND => {
                if location.newest_version()?.is_none() || attempts.next().is_none() {
                    return Ok(None);
                }
            }
            Err(error) => return Err(error.context(location)),
        }
    }
}
