//! What makes a checkpoint survive a power failure: files before the manifest that names them, each
//! with the directory that names it.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

fn sync(path: &Path) -> Result<()> {
    let result = File::open(path).and_then(|file| file.sync_all());
    result.map_err(|e| Error::from(e).context(format!("fsync of {}", path.display())))
}

/// Syncs files, then their directories and the ones above up to `top`, which is not above the files.
pub async fn sync_files(files: Vec<PathBuf>, top: PathBuf) -> Result<()> {
    let task = tokio::task::spawn_blocking(move || {
        let mut directories: Vec<&Path> = Vec::new();
        for file in &files {
            sync(file)?;
            let above = file.ancestors().skip(1).take_while(|dir| dir.starts_with(&top));
            directories.extend(above);
        }
        directories.sort_unstable();
        directories.dedup();
        // The deepest first.
        directories.into_iter().rev().try_for_each(sync)
    });
    task.await.map_err(|e| Error::internal(format!("fsync: {e}")))?
}
