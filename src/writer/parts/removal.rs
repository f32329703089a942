//! How parts and what was packed of them go: with their commit, because their job was dropped, or after a while.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};
use crate::writer::parts::{JOBS, directories, directory, groups, listed, pack, waiting};
use crate::writer::run::RUNS;
use crate::writer::staging::Token;

/// How many threads remove files: each waits for a disk, or for another machine, and frees memory meanwhile.
const REMOVERS: usize = 16;
/// Fewer files than these are not worth a thread.
const LEAST_REMOVED: usize = 8;

/// Gives up what waits of a job: how many rows.
pub fn drop_job(table: &Path, job: &str) -> Result<u64> {
    let mut rows = 0;
    waiting(table, Some(job), None, &mut |_, token| {
        rows += Token::from_bytes(token).map_or(0, |token| token.rows());
        true
    })?;
    remove(&directory(table, job))?;
    remove_empty(table);
    Ok(rows)
}

/// Removes what jobs left that nobody has added to for so long: the files and their bytes.
pub fn sweep(table: &Path, older_than: Duration, dry_run: bool) -> Result<(u64, u64)> {
    let mut swept = (0, 0);
    for directory in directories(table)? {
        let mut left = Left { youngest: age(&std::fs::metadata(&directory)?), files: 0, bytes: 0 };
        left.look(&directory)?;
        if left.youngest < older_than {
            continue;
        }
        swept = (swept.0 + left.files, swept.1 + left.bytes);
        if !dry_run {
            remove(&directory)?;
        }
    }
    if !dry_run {
        remove_empty(table);
    }
    Ok(swept)
}

/// What is in the directory of a job: parts, and data files that were made of them.
struct Left {
    youngest: Duration,
    files: u64,
    bytes: u64,
}

impl Left {
    fn look(&mut self, directory: &Path) -> Result<()> {
        for entry in listed(directory)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            self.youngest = self.youngest.min(age(&metadata));
            if metadata.is_dir() {
                self.look(&entry.path())?;
            } else {
                self.files += 1;
                // What the table's data has too is no byte less.
                self.bytes += if metadata.nlink() == 1 { metadata.len() } else { 0 };
            }
        }
        Ok(())
    }
}

fn age(metadata: &std::fs::Metadata) -> Duration {
    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    SystemTime::now().duration_since(modified).unwrap_or_default()
}

/// Removes the files of parts of a job that are done, whole and half ones, and what was packed of it; all of it, if no
/// other part is there.
pub fn remove_parts(job: &Path, is_done: &dyn Fn(u64) -> bool) -> Result<()> {
    let (mut done, mut others) = (Vec::new(), false);
    let groups = groups(job)?;
    for group in &groups {
        for entry in listed(group)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            match name.split_once('-').and_then(|(number, _)| number.parse().ok()) {
                Some(number) if is_done(number) => done.push(path),
                Some(_) => others = true,
                None => {}
            }
        }
    }
    unlink(&done);
    if !others {
        return remove(job);
    }
    for group in groups {
        // Only if it is empty.
        let _ = std::fs::remove_dir(group);
    }
    // Files that are published have another name there; of other parts they are made anew.
    remove_all(&job.join(pack::PACKED))
}

/// Removes a directory and what is in it. Somebody who is late may write there meanwhile: his file goes too, and he
/// is told when he wants to give it its name.
pub fn remove(directory: &Path) -> Result<()> {
    let mut files = Vec::new();
    for group in groups(directory)? {
        files.extend(listed(&group)?.into_iter().flatten().map(|entry| entry.path()));
    }
    unlink(&files);
    remove_all(directory)
}

/// By several threads, whatever the number of processors.
fn unlink(files: &[PathBuf]) {
    let unlink = |files: &[PathBuf]| files.iter().for_each(|path| drop(std::fs::remove_file(path)));
    std::thread::scope(|scope| {
        let mut shares = files.chunks(files.len().div_ceil(REMOVERS).max(LEAST_REMOVED));
        let own = shares.next();
        for share in shares {
            let spawned = std::thread::Builder::new().spawn_scoped(scope, move || unlink(share));
            if spawned.is_err() {
                unlink(share);
            }
        }
        own.into_iter().for_each(unlink);
    });
}

fn remove_all(directory: &Path) -> Result<()> {
    for _ in 0..10 {
        match std::fs::remove_dir_all(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            removed => {
                return removed.map_err(|e| Error::from(e).context(directory.display()));
            }
        }
    }
    log::warn!("{}: others write there", directory.display());
    Ok(())
}

/// The directories that a part was in, up to that of runs, only if nobody else has written there.
pub fn remove_emptied(table: &Path, part: &Path) {
    for directory in part.ancestors().skip(1).take(2) {
        let _ = std::fs::remove_dir(directory);
    }
    remove_empty(table);
}

/// The directories of jobs and runs, only if there are none.
pub fn remove_empty(table: &Path) {
    let runs = table.join(RUNS);
    let _ = std::fs::remove_dir(runs.join(JOBS)).and_then(|()| std::fs::remove_dir(runs));
}
