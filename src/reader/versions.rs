//! The versions of a table, and the manifest of one of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lance_table::format::{Manifest, is_detached_version};

use crate::error::{Error, Result, Status};
use crate::location::{Location, VERSIONS, manifests};
use crate::manifest;
use crate::reader::snapshot::Wanted;

/// Which version of a table, when it was committed, and how many rows it has, if that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionOf {
    pub version: u64,
    pub committed_at: i64,
    pub rows: Option<u64>,
}

impl VersionOf {
    fn new(manifest: &Manifest) -> Self {
        let rows = manifest.fragments.iter().map(|fragment| fragment.num_rows());
        Self {
            version: manifest.version,
            committed_at: i64::try_from(manifest.timestamp_nanos).unwrap_or(i64::MAX),
            rows: rows.map(|rows| rows.map(|rows| rows as u64)).sum(),
        }
    }
}

/// The versions of a table that can be opened, oldest first.
pub fn versions(location: &Location) -> Result<Vec<VersionOf>> {
    let manifests = manifests_of(location)?;
    manifests.values().filter_map(|path| version_of(location, path).transpose()).collect()
}

/// None, if it cannot be opened.
fn version_of(location: &Location, path: &Path) -> Result<Option<VersionOf>> {
    match manifest::read(path) {
        // A clean-up was faster.
        Err(error) if error.status == Status::RDS_ERR_NOT_FOUND => Ok(None),
        Err(error) if error.status == Status::RDS_ERR_CORRUPT => {
            log::warn!("{location}: {error}");
            Ok(None)
        }
        manifest => Ok(Some(VersionOf::new(&manifest?))),
    }
}

fn manifests_of(location: &Location) -> Result<BTreeMap<u64, PathBuf>> {
    match manifests(location.path()) {
        Err(error) if error.status == Status::RDS_ERR_NOT_FOUND => Ok(BTreeMap::new()),
        found => found,
    }
}

/// The newest version that was committed at a moment or before.
fn version_at(location: &Location, until: i64) -> Result<u64> {
    let mut oldest = String::new();
    for path in manifests_of(location)?.values().rev() {
        let Some(version) = version_of(location, path)? else { continue };
        if version.committed_at <= until {
            return Ok(version.version);
        }
        let (number, time) = (version.version, version.committed_at);
        oldest = format!("; the oldest, {number}, is of {time} ns");
    }
    Err(Error::not_found(format!(
        "no version of the table at {location} was committed until {until} ns after 1970{oldest}"
    )))
}

/// The manifest of a version, the newest if none is given, and which one that is.
pub fn read_manifest(location: &Location, wanted: &Wanted) -> Result<(u64, Result<Manifest>)> {
    let manifests = manifests_of(location)?;
    let newest = manifests.last_key_value().map(|(newest, _)| *newest);
    let version = match wanted.until {
        Some(until) => Some(version_at(location, until)?),
        None => wanted.version,
    };
    let wanted = version.or(newest);
    let wanted =
        wanted.ok_or_else(|| Error::not_found(format!("there is no table at {location}")))?;
    let detached = location.path().join(VERSIONS).join(format!("d{wanted}.manifest"));
    let path = match manifests.get(&wanted) {
        Some(path) => path,
        None if is_detached_version(wanted) && detached.exists() => &detached,
        None => {
            return Err(Error::not_found(format!(
                "there is no version {wanted} of a table at {location}"
            )));
        }
    };
    let read = manifest::read(path).map_err(|error| match error.status {
        Status::RDS_ERR_CORRUPT => {
            let mut older = manifests.range(..wanted).rev().take(OLDER_TRIED);
            let good = older.find(|(_, path)| manifest::read(path).is_ok());
            let hint = good.map(|(good, _)| format!("; version {good} can be opened"));
            Error::corrupt(format!("{}{}", error.message, hint.unwrap_or_default()))
        }
        _ => error,
    });
    Ok((wanted, read))
}

/// How many versions before a damaged one are looked at for one that is not.
const OLDER_TRIED: usize = 8;
