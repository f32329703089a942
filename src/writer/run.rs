//! The directory of a run, `<table>/_rds/<run>/`, and who owns it.
//!
//! The owner is a file `owner.<epoch>.<n>` that says which process it is. After each sync and before it answers
//! a caller the owner renames it to `n + 1`, or looks whether it is there. Whoever takes a run over renames it
//! away first and reads the journal afterwards, so all that was acknowledged is seen, and an owner that goes on
//! finds its file gone.
//! A run without such a file has no owner: it was left with rows that wait, or its recovery died. A run of
//! which nothing waits has a file `ended`.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::writer::journal::sync_directory;
use crate::writer::process::Process;

pub use crate::location::RUNS;

/// Says that nothing of a run waits.
pub const ENDED: &str = "ended";

/// How often an owner that writes looks whether the table is where it was.
pub const PLACED: Duration = Duration::from_millis(100);
/// How often an idle owner says that it lives.
pub const HEARTBEAT: Duration = Duration::from_secs(8);
/// How long what is published stays linked here, to be put back if a clean-up takes it.
pub const LINKED: Duration = Duration::from_secs(15 * 60);

/// A run that this process owns.
pub struct Run {
    pub id: String,
    pub table: PathBuf,
    pub directory: PathBuf,
    pub epoch: u64,
    pub(super) renamed: u64,
    pub(super) local: bool,
    /// The directory of the table, and what it is: the path may come to lead elsewhere.
    pub(super) _held: File,
    /// The run's own, which is left where it is, wherever that is by then.
    pub(super) opened: File,
    pub(super) place: (u64, u64),
    /// When the path was last seen to lead there.
    pub(super) placed: Instant,
}

impl Run {
    /// Makes the directory of a new run, and that of the table if there is none; `expected` is what the directory of a
    /// table was that is there.
    pub fn create(table: &Path, expected: Option<(u64, u64)>) -> Result<Self> {
        if expected.is_some_and(|expected| !leads_to(table, expected).unwrap_or(true)) {
            return Err(moved(table));
        }
        let id = Uuid::new_v4().simple().to_string();
        let directory = table.join(RUNS).join(&id);
        let made = make_directories(&directory)?;
        let (held, place) = hold(table)?;
        let run = Self {
            id,
            table: table.to_path_buf(),
            epoch: 1,
            renamed: 0,
            local: is_local(&held),
            _held: held,
            opened: File::open(&directory)?,
            place,
            placed: Instant::now(),
            directory,
        };
        write_owner(&run.owner())?;
        for directory in made.iter().chain([&run.directory]) {
            sync_directory(directory)?;
        }
        Ok(run)
    }

    fn owner_name(&self) -> String {
        format!("owner.{}.{}", self.epoch, self.renamed)
    }

    fn owner(&self) -> PathBuf {
        self.directory.join(self.owner_name())
    }

    /// Whether the run is still this process's. Nothing may be acknowledged before. On a file system of this host to
    /// look for the name is as good as to change it, and takes a tenth of the time; elsewhere what is seen may be
    /// old. That the table is where it was is looked for a few times a second: rows that are acknowledged in one that
    /// was moved wait in it.
    pub fn confirm(&mut self) -> Result<()> {
        if !self.local {
            return self.rename();
        }
        if self.placed.elapsed() >= PLACED {
            self.check_place()?;
            self.placed = Instant::now();
        }
        let exists = rustix::fs::Access::EXISTS;
        let none = rustix::fs::AtFlags::empty();
        match rustix::fs::accessat(&self.opened, self.owner_name(), exists, none) {
            Ok(()) => Ok(()),
            Err(_) => self.rename(),
        }
    }

    /// As `confirm`, and a sign of life.
    pub fn rename(&mut self) -> Result<()> {
        let now = self.owner();
        self.renamed += 1;
        match std::fs::rename(&now, self.owner()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.check_place()?;
                Err(taken_over(&self.id))
            }
            Err(error) => {
                self.renamed -= 1;
                Err(Error::from(error).context(format!("renaming {}", now.display())))
            }
            Ok(()) => Ok(()),
        }
    }

    pub fn is_owned(&self) -> bool {
        self.owner().exists()
    }

    /// Why something failed: all sorts of things are missing when another process has the run.
    pub fn explain(&self, error: Error) -> Error {
        match self.is_owned() || self.check_place().is_err() {
            true => error,
            false => taken_over(&self.id),
        }
    }

    pub fn check_place(&self) -> Result<()> {
        match leads_to(&self.table, self.place)? {
            true => Ok(()),
            false => Err(moved(&self.table)),
        }
    }

    /// Gives the run up with rows that wait: others may take it over.
    pub fn leave(&self) {
        let (owner, old) = (self.owner_name(), format!("old.{}.left", self.epoch));
        let left = rustix::fs::renameat(&self.opened, owner, &self.opened, old);
        left.unwrap_or_else(|e| log::warn!("run {}: cannot be left: {e}", self.id));
    }

    /// Ends the run, of which nothing waits. Only the names of published files stay, for a while.
    pub fn end(&self, published: &HashSet<String>) {
        if let Err(error) = end(&self.directory, &self.owner(), published) {
            log::warn!("run {}: {error}", self.id);
        }
    }
}

pub fn taken_over(id: &str) -> Error {
    Error::commit_conflict(format!(
        "the run {id} was taken over by another process, which makes its durable rows visible"
    ))
}

/// Whether a path still leads to a directory.
fn leads_to(path: &Path, place: (u64, u64)) -> Result<bool> {
    match std::fs::metadata(path) {
        Ok(now) => Ok((now.dev(), now.ino()) == place),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn moved(table: &Path) -> Error {
    Error::not_found(format!(
        "the table at {} was removed or replaced while it was written",
        table.display()
    ))
}

pub fn hold(table: &Path) -> Result<(File, (u64, u64))> {
    let held = File::open(table)?;
    let metadata = held.metadata()?;
    Ok((held, (metadata.dev(), metadata.ino())))
}

/// Makes directories, and says which of those above have a new name in them.
fn make_directories(path: &Path) -> Result<Vec<PathBuf>> {
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
    // A vacuum removes the directory of all runs when it is empty.
    (0..10)
        .map(|_| std::fs::create_dir_all(path))
        .find(|made| !matches!(made, Err(e) if e.kind() == io::ErrorKind::NotFound))
        .unwrap_or_else(|| std::fs::create_dir_all(path))
        .map_err(|e| Error::from(e).context(path.display()))?;
    Ok(missing.iter().filter_map(|path| path.parent().map(Path::to_path_buf)).collect())
}

/// Whether names on this file system are known to the kernel of this host first.
pub fn is_local(directory: &File) -> bool {
    // ext4, XFS, btrfs, F2FS, ZFS, tmpfs: magic(5) of statfs(2).
    const LOCAL: [u64; 6] =
        [0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010, 0x2FC1_2FC1, 0x0102_1994];
    rustix::fs::fstatfs(directory).is_ok_and(|stat| LOCAL.contains(&(stat.f_type as u64)))
}

pub fn write_owner(path: &Path) -> Result<()> {
    let text = serde_json::to_vec(&Process::this())
        .map_err(|e| Error::internal(format!("the owner of a run: {e}")))?;
    let written = std::fs::write(path, text);
    written.map_err(|e| Error::from(e).context(format!("writing {}", path.display())))
}

fn end(directory: &Path, owner: &Path, published: &HashSet<String>) -> Result<()> {
    let ended = directory.join(ENDED);
    std::fs::rename(owner, &ended)?;
    File::open(&ended)?.set_modified(SystemTime::now())?;
    // Before anything goes that the journal speaks of.
    sync_directory(directory)?;
    let mut linked = false;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let has_two_names = entry.metadata().is_ok_and(|file| file.nlink() > 1);
        if name.to_str().is_some_and(|name| published.contains(name)) || has_two_names {
            linked = true;
        } else if name != ENDED {
            std::fs::remove_file(entry.path())?;
        }
    }
    if !linked {
        std::fs::remove_dir_all(directory)?;
        // Only if that was the last one.
        let _ = directory.parent().map(std::fs::remove_dir);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;
    use crate::writer::runs::{Found, Standing, runs};

    fn only(table: &Path) -> Found {
        runs(table).unwrap().pop().unwrap()
    }

    #[test]
    fn a_run_that_was_taken_over_is_not_confirmed() {
        let place = tempfile::tempdir().unwrap();
        let table = place.path().join("a").join("t.lance");
        let mut run = Run::create(&table, None).unwrap();
        run.confirm().unwrap();
        let found = only(&table);
        assert_eq!(found.standing().unwrap(), Standing::Alive);
        let mut second = found.take_over(&table, found.epoch().unwrap()).unwrap().unwrap();
        assert_eq!((second.epoch, &second.id), (2, &run.id));
        assert_eq!(run.confirm().unwrap_err().status, Status::RDS_ERR_COMMIT_CONFLICT);
        second.confirm().unwrap();
        second.leave();
        assert_eq!(found.standing().unwrap(), Standing::Dead);
        let third = found.take_over(&table, found.epoch().unwrap()).unwrap().unwrap();
        assert_eq!(third.epoch, 3);
        third.end(&HashSet::new());
        assert!(runs(&table).unwrap().is_empty(), "nothing of it was published");
    }

    #[test]
    fn a_process_that_is_gone_is_dead_and_one_elsewhere_is_unknown() {
        let place = tempfile::tempdir().unwrap();
        let table = place.path().join("t.lance");
        let run = Run::create(&table, None).unwrap();
        let write = |process: &Process| {
            std::fs::write(run.owner(), serde_json::to_vec(process).unwrap()).unwrap();
            only(&table).standing().unwrap()
        };
        let this = Process::this;
        assert_eq!(write(&this()), Standing::Alive);
        assert_eq!(write(&Process { start: 1, ..this() }), Standing::Dead);
        assert_eq!(write(&Process { pid: u32::MAX, ..this() }), Standing::Dead);
        assert!(matches!(write(&Process { boot: "x".into(), ..this() }), Standing::Unknown(_)));
        assert!(matches!(
            write(&Process { namespace: "x".into(), ..this() }),
            Standing::Unknown(_)
        ));
    }

    #[test]
    fn a_table_that_was_moved_away_ends_the_run() {
        let place = tempfile::tempdir().unwrap();
        let table = place.path().join("t.lance");
        let mut run = Run::create(&table, None).unwrap();
        std::fs::rename(&table, place.path().join("u.lance")).unwrap();
        std::thread::sleep(PLACED);
        assert_eq!(run.confirm().unwrap_err().status, Status::RDS_ERR_NOT_FOUND);
        std::fs::create_dir(&table).unwrap();
        assert_eq!(run.confirm().unwrap_err().status, Status::RDS_ERR_NOT_FOUND);
        // For itself it can be taken over where it is now.
        let moved = place.path().join("u.lance");
        assert!(only(&moved).take_over(&moved, 1).unwrap().is_some());
    }
}
