//! What makes a checkpoint survive a power failure: files before the manifest that names them, each
//! with the directory that names it.

use std::fs::File;
use std::path::Path;

use crate::error::{Error, Result};

/// Waits until a file, or the names in a directory, are on disk.
pub fn sync(path: &Path) -> Result<()> {
    let result = File::open(path).and_then(|file| file.sync_all());
    result.map_err(|e| Error::from(e).context(format!("fsync of {}", path.display())))
}

/// Syncs a directory, then the ones above up to `top`, which is not below it.
pub fn sync_directories(directory: &Path, top: &Path) -> Result<()> {
    directory.ancestors().take_while(|above| above.starts_with(top)).try_for_each(sync)
}
