//! The data file that a run writes to: for each tensor column its rows, one after the other from the first
//! byte on, and a file of ids beside them. It becomes a file of Lance when `finish` puts ids and footer
//! behind the rows; until then it grows batch by batch.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::writer::batch::{Batch, IdBlock, Layout};
use crate::writer::journal::Extent;
use crate::writer::syncer::{Pending, Syncer};

/// A file ends at either: a table of results has few, large files.
pub const MAX_ROWS: u64 = 1 << 20;
pub const MAX_BYTES: u64 = 1 << 30;

/// How much is written before the disk is set to work on it, unless the heap says less.
const SYNC_BYTES: u64 = 32 << 20;

/// A file that only grows, with the checksum of all that is in it.
pub struct Grown {
    pub path: PathBuf,
    pub file: Arc<File>,
    pub bytes: u64,
    /// CRC-32C from the first byte on.
    pub crc: u32,
    unsynced: u64,
    behind: Option<Pending>,
}

impl Grown {
    fn create(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Self { path, file: Arc::new(file), bytes: 0, crc: 0, unsynced: 0, behind: None })
    }

    /// After a failure nothing counts as written: the next attempt writes the same place.
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.bytes)
    }

    /// Adds a part of another file. The system copies it, without a way through our memory if it can.
    pub fn copy(&mut self, from: &File, range: Range<u64>) -> io::Result<()> {
        let (mut from, mut to) = (from, &*self.file);
        from.seek(SeekFrom::Start(range.start))?;
        to.seek(SeekFrom::Start(self.bytes))?;
        let bytes = range.end - range.start;
        if io::copy(&mut from.take(bytes), &mut to)? != bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.bytes += bytes;
        self.unsynced += bytes;
        Ok(())
    }

    fn count(&mut self, bytes: &[u8], checksum: bool) {
        self.bytes += bytes.len() as u64;
        self.unsynced += bytes.len() as u64;
        if checksum {
            self.crc = crc32c::crc32c_append(self.crc, bytes);
        }
    }

    /// The result of a sync that has ended; starts another one if there is enough to sync.
    fn sync_behind(&mut self, bytes: u64, syncer: &Syncer) -> io::Result<()> {
        if let Some(result) = self.behind.as_ref().and_then(Pending::poll) {
            self.behind = None;
            result?;
        }
        if self.behind.is_none() && self.unsynced >= bytes {
            self.unsynced = 0;
            self.behind = Some(syncer.sync(&self.file));
        }
        Ok(())
    }

    /// Begins to sync what is not; an error of a sync on the way is told to this file only, and must not be
    /// missed.
    fn start_sync(&mut self, syncer: &Syncer) -> io::Result<Option<Pending>> {
        if let Some(behind) = self.behind.take() {
            behind.wait()?;
        }
        Ok((std::mem::take(&mut self.unsynced) > 0).then(|| syncer.sync(&self.file)))
    }
}

pub struct Heap {
    pub number: u64,
    pub rows: u64,
    pub columns: Vec<Grown>,
    pub ids: Grown,
    /// How much is written before the disk is set to work on it.
    pub sync_bytes: u64,
    /// How far the file of ids was synced: rows, bytes and their checksum.
    ids_synced: (u64, u64, u32),
}

/// The name of a file of a run, in its directory as in that of the table's data.
pub fn file_name(run: &str, epoch: u64, number: u64, column: usize) -> String {
    match column {
        0 => format!("rds-{run}-{epoch}-{number}.lance"),
        column => format!("rds-{run}-{epoch}-{number}-{column}.lance"),
    }
}

impl Heap {
    pub fn create(
        directory: &Path,
        run: &str,
        epoch: u64,
        number: u64,
        columns: usize,
    ) -> Result<Self> {
        let create = |name: String| {
            let path = directory.join(name);
            Grown::create(path.clone())
                .map_err(|e| Error::from(e).context(format!("making {}", path.display())))
        };
        let ids = create(format!("{epoch}-{number}.ids"))?;
        let columns = (0..columns).map(|column| create(file_name(run, epoch, number, column)));
        let heap = columns.collect::<Result<Vec<_>>>();
        match heap {
            Ok(columns) => Ok(Self {
                number,
                rows: 0,
                columns,
                ids,
                sync_bytes: SYNC_BYTES,
                ids_synced: (0, 0, 0),
            }),
            Err(error) => {
                // The next attempt makes all of them.
                let _ = std::fs::remove_file(&ids.path);
                for column in 0..columns_made(directory, run, epoch, number) {
                    let _ =
                        std::fs::remove_file(directory.join(file_name(run, epoch, number, column)));
                }
                Err(error)
            }
        }
    }

    /// How many rows go in until the file is full.
    pub fn room(&self, layout: &Layout) -> usize {
        let by_bytes = (MAX_BYTES.saturating_sub(self.bytes())).div_ceil(layout.stride() as u64);
        (MAX_ROWS - self.rows.min(MAX_ROWS)).min(by_bytes) as usize
    }

    pub fn bytes(&self) -> u64 {
        self.columns.iter().map(|column| column.bytes).sum()
    }

    /// Adds the rows of a batch: all of them or, after an error, none. `checksum`: whether an extent will be
    /// asked for.
    pub fn append(&mut self, batch: &Batch, checksum: bool, syncer: &Syncer) -> Result<()> {
        self.append_rows(&batch.ids, &batch.slices(), checksum, syncer)
    }

    pub fn append_rows(
        &mut self,
        ids: &IdBlock,
        columns: &[&[u8]],
        checksum: bool,
        syncer: &Syncer,
    ) -> Result<()> {
        let of = |path: &Path| {
            let path = path.display().to_string();
            move |error: io::Error| Error::from(error).context(format!("writing {path}"))
        };
        let rows = ids.lengths.len() as u64;
        let ids = ids.encode();
        self.ids.write(&ids).map_err(of(&self.ids.path))?;
        for (column, rows) in self.columns.iter().zip(columns) {
            column.write(rows).map_err(of(&column.path))?;
        }
        self.ids.count(&ids, checksum);
        for (column, rows) in self.columns.iter_mut().zip(columns) {
            column.count(rows, checksum);
        }
        self.rows += rows;
        for column in &mut self.columns {
            column.sync_behind(self.sync_bytes, syncer).map_err(failed_sync(&column.path))?;
        }
        Ok(())
    }

    /// Adds ids of rows that were copied.
    pub fn append_ids(&mut self, ids: &IdBlock) -> Result<()> {
        let ids = ids.encode();
        self.ids.write(&ids)?;
        self.ids.count(&ids, false);
        Ok(())
    }

    /// What is in the files, ids only so far as they were synced if others are in the journal.
    pub fn extent(&self) -> Extent {
        let (ids_rows, bytes, crc) = self.ids_synced;
        Extent {
            number: self.number,
            rows: self.rows,
            ids_rows,
            ids: (bytes, crc),
            columns: self.columns.iter().map(|column| (column.bytes, column.crc)).collect(),
        }
    }

    /// Begins to sync all of it, or all but the ids.
    pub fn start_sync(&mut self, ids: bool, syncer: &Syncer) -> Result<Vec<Pending>> {
        let mut pending = Vec::new();
        if ids {
            self.ids_synced = (self.rows, self.ids.bytes, self.ids.crc);
        }
        for grown in self.columns.iter_mut().chain(ids.then_some(&mut self.ids)) {
            pending.extend(grown.start_sync(syncer).map_err(failed_sync(&grown.path))?);
        }
        Ok(pending)
    }

    /// All of it is on disk when this returns.
    pub fn sync(&mut self, syncer: &Syncer) -> Result<()> {
        for pending in self.start_sync(true, syncer)? {
            pending.wait().map_err(failed_sync(&self.ids.path))?;
        }
        Ok(())
    }

    /// Gives up the files.
    pub fn remove(self) {
        for grown in self.columns.iter().chain([&self.ids]) {
            let removed = std::fs::remove_file(&grown.path);
            removed.unwrap_or_else(|e| log::warn!("cannot remove {}: {e}", grown.path.display()));
        }
    }
}

fn columns_made(directory: &Path, run: &str, epoch: u64, number: u64) -> usize {
    (0..)
        .take_while(|column| directory.join(file_name(run, epoch, number, *column)).exists())
        .count()
}

/// The kernel may mark pages clean that it could not write: the next sync would lie, so this is final.
pub fn failed_sync(path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let path = path.display().to_string();
    move |error| Error::io(format!("fsync of {path}: {error}"))
}
