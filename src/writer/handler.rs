//! The commit handler, which Lance asks to put a manifest in its place: the moment that counts.
//!
//! It looks whether the run's mark says that this has landed or was taken over, whether the columns are those that the
//! files were written for, and whether the number is really the next one, as the directory has it. Then
//! manifest and transaction are synced, and only then does the manifest get its name.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use arrow::datatypes::Schema as ArrowSchema;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
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

use crate::error::Error;
use crate::location::{METADATA, VERSIONS, manifests};
use crate::tensor::TableColumns;
use crate::writer::heap::failed_sync;
use crate::writer::jobs::{JOB, Jobs, SINCE};
use crate::writer::journal::sync_directory;
use crate::writer::parts::ATTEMPTS;
use crate::writer::run::RUNS;
use crate::writer::versions::{Change, MARK, Mark, TRANSACTIONS, unknown};

const HINT: &str = "latest_version_hint.json";

#[derive(Debug)]
pub enum Seen {
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
pub struct Handler {
    table: PathBuf,
    change: Option<Change>,
    seen: Mutex<Seen>,
}

impl Handler {
    pub fn new(table: &Path, change: Option<Change>) -> Self {
        Self { table: table.to_path_buf(), change, seen: Mutex::new(Seen::Nothing) }
    }

    pub fn take_seen(&self) -> Seen {
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
        // What the runs of a table said that is replaced is of another one.
        let is_new = change.schema.is_none();
        let of_jobs =
            |key: &String| [JOB, ATTEMPTS, SINCE].iter().any(|start| key.starts_with(start));
        let of_table = |key: &String| key.starts_with(METADATA) || of_jobs(key);
        let void = change.jobs.as_ref().and_then(|jobs| jobs.void.as_ref());
        let is_void = void.is_some() && manifest.config.get(SINCE) == void;
        manifest.config.retain(|key, _| {
            is_left(key) && !(is_new && of_table(key)) && !(is_void && of_jobs(key))
        });
        if let Some(new) = &change.jobs {
            let mut jobs = Jobs::of(&manifest.config);
            if !jobs.add_all(&new.parts) {
                return Err(self.stop(Seen::Before));
            }
            manifest.config.extend(jobs.config());
            manifest.config.insert(SINCE.to_string(), manifest.version.to_string());
        }
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
        TableColumns::new(&ArrowSchema::from(schema), None).ok().map(|table| table.tensors)
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
