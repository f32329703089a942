//! The data file that a run writes to: for each tensor column its rows, one after the other from the first
//! byte on, and a file of ids beside them. It becomes a file of Lance when `finish` puts ids and footer
//! behind the rows; until then it grows batch by batch.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::runtime;
use crate::writer::batch::{Batch, Block, IdBlock};
use crate::writer::finish::{Rows, Source};
use crate::writer::fragment::{Finished, Target};
use crate::writer::grown::{End, Grown};
use crate::writer::layout::Layout;
use crate::writer::records::Extent;
use crate::writer::syncer::{Pending, Syncer};

/// A file ends at either: a table of results has few, large files.
pub const MAX_ROWS: u64 = 1 << 20;
pub const MAX_BYTES: u64 = 1 << 30;

/// How much is written before the disk is set to work on it, unless the heap says less.
const SYNC_BYTES: u64 = 16 << 20;

/// What was written to each file, ids first.
pub type Written = Vec<(u64, u32)>;

/// Rows that are written: their ids, and those of each column.
pub struct Part<'a> {
    pub ids: &'a IdBlock,
    pub columns: Vec<&'a [u8]>,
}

impl<'a> From<&'a Batch> for Part<'a> {
    fn from(batch: &'a Batch) -> Self {
        Self { ids: &batch.ids, columns: batch.slices() }
    }
}

impl<'a> From<&'a Block> for Part<'a> {
    fn from(block: &'a Block) -> Self {
        Self { ids: &block.ids, columns: block.columns() }
    }
}

fn write(ends: &[End], parts: &[Part], checksum: bool) -> Result<Written> {
    let ids = parts.iter().map(|part| part.ids.encode()).collect::<Vec<_>>();
    let ids: Vec<&[u8]> = ids.iter().map(Vec::as_slice).collect();
    let [end_of_ids, ends @ ..] = ends else { return Err(Error::internal("no file of ids")) };
    let ids = end_of_ids.write(&ids, checksum);
    let columns = ends.iter().enumerate().map(|(column, end)| {
        let rows: Vec<&[u8]> =
            parts.iter().filter_map(|part| part.columns.get(column).copied()).collect();
        end.write(&rows, checksum)
    });
    [ids].into_iter().chain(columns).collect()
}

/// A sync that goes on beside the writing, and what is on disk when it is done.
struct Behind {
    done: Pending<()>,
    extent: Extent,
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
    behind: Option<Behind>,
    /// What is known to be on disk.
    pub synced: Option<Extent>,
}

/// How many rows go into a file that has so many, and so many bytes of them.
pub fn room(layout: &Layout, rows: u64, bytes: u64) -> u64 {
    let by_bytes = (MAX_BYTES.saturating_sub(bytes)).div_ceil(layout.stride().max(1) as u64);
    (MAX_ROWS - rows.min(MAX_ROWS)).min(by_bytes)
}

/// The name of a file of a run, in its directory as in that of the table's data.
pub fn file_name(run: &str, epoch: u64, number: u64, column: usize) -> String {
    match column {
        0 => format!("rds-{run}-{epoch}-{number}.lance"),
        column => format!("rds-{run}-{epoch}-{number}-{column}.lance"),
    }
}

/// The name of the file of ids.
pub fn ids_name(epoch: u64, number: u64) -> String {
    format!("{epoch}-{number}.ids")
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
        let ids = create(ids_name(epoch, number))?;
        let columns = (0..columns).map(|column| create(file_name(run, epoch, number, column)));
        let heap = columns.collect::<Result<Vec<_>>>();
        match heap {
            Ok(columns) => Ok(Self::of(number, 0, columns, ids)),
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

    /// Of these files, as far as they are written.
    pub fn of(number: u64, rows: u64, columns: Vec<Grown>, ids: Grown) -> Self {
        Self {
            number,
            rows,
            columns,
            ids,
            sync_bytes: SYNC_BYTES,
            ids_synced: (0, 0, 0),
            behind: None,
            synced: None,
        }
    }

    /// How many rows go in until the file is full.
    pub fn room(&self, layout: &Layout) -> usize {
        room(layout, self.rows, self.bytes()) as usize
    }

    /// Makes a data file of it, on disk under its name; ids have no file of their own any more.
    pub fn into_file(self, layout: &Layout, target: &Target) -> Result<Finished> {
        let rows_of = |grown: &Grown| Rows { path: grown.path.clone(), file: grown.file.clone() };
        let source = Source {
            number: self.number,
            first_row: 0,
            rows: self.rows,
            columns: self.columns.iter().map(rows_of).collect(),
            ids: self.ids.path.clone(),
            layout,
        };
        let finished = runtime::block_on(source.finish(target)).flatten().and_then(|finished| {
            let directory = self.ids.path.parent().unwrap_or(Path::new("."));
            for file in &finished.files {
                let path = directory.join(&file.name);
                File::open(&path)?.sync_all().map_err(failed_sync(&path))?;
            }
            Ok(finished)
        });
        match &finished {
            Ok(finished) => {
                let is_named = |path: &Path| {
                    let name = path.file_name().and_then(|name| name.to_str());
                    finished.files.iter().any(|file| Some(file.name.as_str()) == name)
                };
                // Columns that were encoded lie in another file.
                for grown in self.columns.iter().chain([&self.ids]) {
                    if !is_named(&grown.path) {
                        let _ = std::fs::remove_file(&grown.path);
                    }
                }
            }
            Err(_) => self.remove(),
        }
        finished
    }

    pub fn bytes(&self) -> u64 {
        self.columns.iter().map(|column| column.bytes).sum()
    }

    /// Adds rows: all of them or, after an error, none. `checksum`: whether an extent will be asked for.
    pub fn append(&mut self, parts: &[Part], checksum: bool, syncer: &Syncer) -> Result<()> {
        let written = write(&self.ends(), parts, checksum)?;
        let rows = parts.iter().map(|part| part.ids.lengths.len()).sum();
        self.appended(rows, &written, syncer)
    }

    fn ends(&self) -> Vec<End> {
        [&self.ids].into_iter().chain(&self.columns).map(Grown::end).collect()
    }

    /// Begins to add rows beside the thread that writes. Nothing else is added before `appended` says that they
    /// are there.
    pub fn start_append(&self, block: &Arc<Block>, syncer: &Syncer) -> Pending<Written> {
        let (ends, block) = (self.ends(), block.clone());
        syncer.run(move || write(&ends, &[(&*block).into()], true).map_err(io::Error::other))
    }

    /// Rows were written.
    pub fn appended(&mut self, rows: usize, written: &Written, syncer: &Syncer) -> Result<()> {
        let files = [&mut self.ids].into_iter().chain(&mut self.columns);
        files.zip(written).for_each(|(file, (bytes, crc))| file.count(*bytes, *crc));
        self.rows += rows as u64;
        self.sync_behind(syncer)
    }

    /// Takes note of a sync that has ended; starts another one if there is enough to sync.
    pub fn sync_behind(&mut self, syncer: &Syncer) -> Result<()> {
        let done = self.behind.as_ref().and_then(|behind| behind.done.poll());
        if let Some(result) = done {
            self.end_behind(result)?;
        }
        let unsynced: u64 = self.columns.iter().map(|column| column.unsynced).sum();
        if self.behind.is_none() && unsynced >= self.sync_bytes {
            let done = self.start(true, None, syncer);
            let ids = (self.ids.bytes, self.ids.crc);
            let extent = Extent { ids_rows: self.rows, ids, ..self.extent() };
            self.behind = Some(Behind { done, extent });
        }
        Ok(())
    }

    /// An error on the way is told once, and must not be missed.
    fn end_behind(&mut self, result: io::Result<()>) -> Result<()> {
        result.map_err(failed_sync(&self.ids.path))?;
        if let Some(Behind { extent, .. }) = self.behind.take() {
            self.ids_synced = (extent.ids_rows, extent.ids.0, extent.ids.1);
            self.synced = Some(extent);
        }
        Ok(())
    }

    /// `before`: what is told of that too.
    fn start(&mut self, ids: bool, before: Option<Behind>, syncer: &Syncer) -> Pending<()> {
        let grown = self.columns.iter_mut().chain(ids.then_some(&mut self.ids));
        let unsynced = grown.filter_map(|grown| {
            let some = std::mem::take(&mut grown.unsynced) > 0;
            some.then(|| (grown.file.clone(), grown.passing))
        });
        let files: Vec<(Arc<File>, bool)> = unsynced.collect();
        syncer.run(move || {
            before.map_or(Ok(()), |before| before.done.wait())?;
            files.iter().try_for_each(|(file, passing)| {
                file.sync_data()?;
                if *passing {
                    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
                }
                Ok(())
            })
        })
    }

    /// Adds ids of rows that were copied.
    pub fn append_ids(&mut self, ids: &IdBlock) -> Result<()> {
        let (bytes, crc) = self.ids.end().write(&[&ids.encode()], false)?;
        self.ids.count(bytes, crc);
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

    /// Begins to sync all of it, or all but the ids; `end_sync` must come after it.
    pub fn start_sync(&mut self, ids: bool, syncer: &Syncer) -> Result<Pending<()>> {
        if ids {
            self.ids_synced = (self.rows, self.ids.bytes, self.ids.crc);
        } else if let Some(behind) = &self.behind {
            let result = behind.done.wait();
            self.end_behind(result)?;
        }
        let before = self.behind.take();
        Ok(self.start(ids, before, syncer))
    }

    /// All that was there when the sync began is on disk when this returns.
    pub fn end_sync(&mut self, sync: &Pending<()>) -> Result<()> {
        sync.wait().map_err(failed_sync(&self.ids.path))?;
        self.synced = Some(self.extent());
        Ok(())
    }

    /// All of it is on disk when this returns.
    pub fn sync(&mut self, syncer: &Syncer) -> Result<()> {
        let sync = self.start_sync(true, syncer)?;
        self.end_sync(&sync)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_written_one_after_the_other_wherever_the_file_stands() {
        let dir = tempfile::tempdir().unwrap();
        let mut heap = Heap::create(dir.path(), "r", 1, 0, 2).unwrap();
        let ids = IdBlock { lengths: vec![1, 2], bytes: b"abc".to_vec() };
        let part = |one, other| Part { ids: &ids, columns: vec![one, other] };
        let syncer = Syncer::start();
        heap.append(&[part(b"11".as_slice(), b"".as_slice())], true, &syncer).unwrap();
        // More than the system takes at once.
        let many: Vec<Part> = (0..3000).map(|_| part(b"23", b"x")).collect();
        heap.append(&many, true, &syncer).unwrap();
        heap.append(&[part(b"", b"y"), part(b"44", b"")], true, &syncer).unwrap();
        let columns = [format!("11{}44", "23".repeat(3000)), format!("{}y", "x".repeat(3000))];
        for (grown, written) in heap.columns.iter().zip(&columns) {
            assert_eq!(std::fs::read_to_string(&grown.path).unwrap(), *written);
            assert_eq!(grown.crc, crc32c::crc32c(written.as_bytes()));
            assert_eq!(grown.bytes, written.len() as u64);
        }
        assert_eq!(std::fs::read(&heap.ids.path).unwrap(), ids.encode().repeat(3003));
        assert_eq!(heap.rows, 2 * 3003);
    }
}
