//! Removes what no version names and nobody will: data files of writers that were killed, and others when
//! they are old.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};
use crate::location::{Location, VERSIONS};
use crate::writer::data_file::{DATA, is_ours, is_staged};
use crate::writer::history::{TRANSACTIONS, remove};
use crate::writer::named::Named;
use crate::writer::sink::LockedFile;

#[derive(Clone, Copy, Debug)]
pub struct VacuumOptions {
    /// The age from which staged files, and files of other writers, are taken for abandoned.
    pub older_than: Duration,
    /// Only count.
    pub dry_run: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VacuumInfo {
    pub removed_files: u64,
    pub removed_bytes: u64,
    /// That no version names: in use, or too young.
    pub kept_files: u64,
}

/// A file to be removed, held if it is one of librds.
struct Candidate {
    path: PathBuf,
    name: String,
    bytes: u64,
    _held: Option<LockedFile>,
}

pub async fn vacuum(location: &Location, options: VacuumOptions) -> Result<VacuumInfo> {
    if !location.exists()? {
        return Err(Error::not_found(format!("there is no table at {location}")));
    }
    let mut info = VacuumInfo::default();
    let named = Named::of(location).await?;
    let mut candidates = Vec::new();
    for directory in [DATA, TRANSACTIONS, VERSIONS] {
        for path in files(&location.path().join(directory))? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let name = name.to_string();
            let is_named = match directory {
                DATA => named.files.contains(&name),
                TRANSACTIONS => named.transactions.contains(&name),
                // Only what commits that were cut short leave there.
                _ => !name.contains(".manifest") || name.ends_with(".manifest"),
            };
            if is_named {
                continue;
            }
            match abandoned(&path, &name, directory == DATA, options.older_than)? {
                Some(candidate) => candidates.push(candidate),
                None => info.kept_files += 1,
            }
        }
    }
    // What a writer was about to commit when its file was listed is named by the time the file could be
    // held, as writers hold their files until then.
    let named = Named::of(location).await?;
    for candidate in candidates {
        if named.files.contains(&candidate.name) || named.transactions.contains(&candidate.name) {
            continue;
        }
        if !options.dry_run {
            remove(&candidate.path)?;
        }
        info.removed_files += 1;
        info.removed_bytes += candidate.bytes;
    }
    Ok(info)
}

/// The file, if it may be removed.
fn abandoned(
    path: &Path,
    name: &str,
    is_data: bool,
    older_than: Duration,
) -> Result<Option<Candidate>> {
    let gone = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    let metadata = match std::fs::metadata(path) {
        Err(error) if gone(&error) => return Ok(None),
        metadata => metadata?,
    };
    let age = SystemTime::now().duration_since(metadata.modified()?).unwrap_or_default();
    let is_old = age >= older_than;
    let held = match is_data && is_ours(name) {
        false if is_old => None,
        false => return Ok(None),
        true => match LockedFile::open(path.to_path_buf()) {
            Ok(None) => return Ok(None),
            Err(error) if gone(&error) => return Ok(None),
            // Where there are no locks age decides.
            Err(_) if is_old => None,
            Err(_) => return Ok(None),
            Ok(held) => held,
        },
    };
    if is_staged(name) && !is_old {
        return Ok(None);
    }
    let (path, name) = (path.to_path_buf(), name.to_string());
    Ok(Some(Candidate { path, name, bytes: metadata.len(), _held: held }))
}

/// The files in a directory; none, if it is not there.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    Ok(files)
}
