//! A packed file that is begun while the parts of its last rows are still written: a directory, whose name says which
//! rows it has. Who goes on with it takes it, so that one alone writes to it, and one who dies takes it with him.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, Result};
use crate::writer::grown::Grown;
use crate::writer::heap::{Heap, file_name, ids_name};
use crate::writer::journal::sync_directory;
use crate::writer::layout::Layout;
use crate::writer::parts::listed;
use crate::writer::syncer::Syncer;

const POLL: Duration = Duration::from_millis(5);

/// All that is begun of one packed file, which is told by how it begins.
pub struct Begun<'a> {
    directory: &'a Path,
    start: u64,
}

impl<'a> Begun<'a> {
    pub fn new(directory: &'a Path, start: u64) -> Self {
        Self { directory, start }
    }

    fn path(&self, rows: u64) -> PathBuf {
        self.directory.join(format!("{:016x}-{rows:016x}", self.start))
    }

    /// Which rows there are, as they are told in `path`.
    pub fn all(&self) -> Result<BTreeSet<u64>> {
        let start = format!("{:016x}-", self.start);
        let mut all = BTreeSet::new();
        for entry in listed(self.directory)? {
            let name = entry?.file_name();
            let rows = name.to_str().and_then(|name| name.strip_prefix(&start));
            all.extend(rows.and_then(|rows| u64::from_str_radix(rows, 16).ok()));
        }
        Ok(all)
    }

    /// Nobody else works on the file as long as this is held, where the file system has locks; none, if somebody does
    /// for so long. It saves work alone: what is taken is taken once.
    pub fn lock(&self, patience: Duration) -> Result<Option<File>> {
        let path = self.lock_path();
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        // Others remove the directory when it is empty.
        let mut attempts = 0..10;
        let file = loop {
            match fs::create_dir_all(self.directory).and_then(|()| options.open(&path)) {
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound && attempts.next().is_some() => {}
                file => break file.map_err(of(&path))?,
            }
        };
        let began = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() >= patience => {
                    return Ok(None);
                }
                Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(POLL),
                // There are none.
                Err(_) | Ok(()) => return Ok(Some(file)),
            }
        }
    }

    /// The file is there, or cannot be made: nobody needs to wait any more.
    pub fn done(&self) {
        let _ = fs::remove_file(self.lock_path());
    }

    fn lock_path(&self) -> PathBuf {
        self.directory.join(format!("{:016x}.lock", self.start))
    }

    /// Goes on with these rows, so many, in files of that name; none, if they are not there any more.
    pub fn take(
        &self,
        rows: u64,
        count: u64,
        name: &Name,
        layout: &Layout,
    ) -> Result<Option<Heap>> {
        match fs::rename(self.path(rows), name.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            renamed => renamed.map_err(of(name.directory))?,
        }
        let begun = Name::begun(name.directory);
        let mut columns = Vec::with_capacity(layout.columns.len());
        for (number, column) in layout.columns.iter().enumerate() {
            let path = name.column(number);
            fs::rename(begun.column(number), &path).map_err(of(&path))?;
            let grown = Grown::open(&path, Some(count * column.stride as u64));
            columns.push(grown.map_err(of(&path))?);
        }
        let ids = name.ids();
        fs::rename(begun.ids(), &ids).map_err(of(&ids))?;
        let ids = Grown::open(&ids, None).map_err(of(&ids))?;
        Ok(Some(Heap::of(name.number, count, columns, ids)))
    }

    /// Leaves what was made under `Name::begun` in this directory to others: these rows.
    pub fn keep(&self, own: &Path, mut heap: Heap, syncer: &Syncer, rows: u64) -> Result<()> {
        heap.sync(syncer)?;
        sync_directory(own)?;
        let path = self.path(rows);
        match fs::rename(own, &path) {
            // Somebody has begun the same.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            renamed => renamed.map_err(of(&path)),
        }
    }
}

/// Where a packed file is made, and what tells it from others.
#[derive(Clone, Copy)]
pub struct Name<'a> {
    pub directory: &'a Path,
    pub id: &'a str,
    pub number: u64,
}

impl<'a> Name<'a> {
    /// The directory alone tells what is begun.
    pub fn begun(directory: &'a Path) -> Self {
        Self { directory, id: "begun", number: 0 }
    }

    pub fn make(&self, layout: &Layout) -> Result<Heap> {
        fs::create_dir_all(self.directory).map_err(of(self.directory))?;
        Heap::create(self.directory, self.id, 1, self.number, layout.columns.len())
    }

    fn column(&self, column: usize) -> PathBuf {
        self.directory.join(file_name(self.id, 1, self.number, column))
    }

    fn ids(&self) -> PathBuf {
        self.directory.join(ids_name(1, self.number))
    }
}

fn of(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |error| Error::from(error).context(path.display())
}
