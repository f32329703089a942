//! What the versions of a table name, all that there are.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use lance_io::object_store::ObjectStore;
use lance_table::io::manifest::read_manifest;

use crate::error::{Error, Result, Status};
use crate::location::{Location, VERSIONS, manifests};

/// Where Lance keeps the branches of a table, each a table of its own that may name files of this one.
const BRANCHES: &str = "tree";

#[derive(Default)]
pub struct Named {
    /// Data files, by name: it is unique.
    pub files: HashSet<String>,
    pub transactions: HashSet<String>,
}

impl Named {
    pub async fn of(location: &Location) -> Result<Self> {
        let (store, _) = ObjectStore::from_uri(&location.uri()?).await?;
        loop {
            let mut named = Self::default();
            match named.add_table(&store, location.path()).await {
                Ok(()) => return Ok(named),
                // A run removed a version of its own meanwhile: a newer one has what it named.
                Err(error) if error.status == Status::RDS_ERR_NOT_FOUND => {}
                Err(error) => return Err(error.context(location)),
            }
        }
    }

    async fn add_table(&mut self, store: &ObjectStore, table: &Path) -> Result<()> {
        let mut tables = vec![table.to_path_buf()];
        find_tables(&table.join(BRANCHES), &mut tables)?;
        for table in tables {
            if !table.join(VERSIONS).exists() {
                continue;
            }
            for path in manifests(&table)?.into_values() {
                self.add_manifest(store, &path).await?;
            }
        }
        Ok(())
    }

    async fn add_manifest(&mut self, store: &ObjectStore, path: &Path) -> Result<()> {
        let path = object_store::path::Path::from_absolute_path(path)
            .map_err(|e| Error::internal(format!("{}: {e}", path.display())))?;
        let manifest = read_manifest(store, &path, None).await.map_err(Error::reading)?;
        let files = manifest.fragments.iter().flat_map(|fragment| &fragment.files);
        self.files.extend(files.map(|file| file.path.clone()));
        self.transactions.extend(manifest.transaction_file);
        Ok(())
    }
}

/// Directories below that hold versions.
fn find_tables(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    if !directory.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.join(VERSIONS).is_dir() {
            found.push(path.clone());
        }
        find_tables(&path, found)?;
    }
    Ok(())
}
