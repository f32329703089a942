//! Data files of a run: the one being written, and those that wait for the commit that names them.

use std::num::NonZero;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use lance_core::datatypes::Schema;
use lance_file::version::ConcreteFileVersion;
use lance_file::versions::{create_writer, data_file_columns};
use lance_file::writer::{FileWriteSummary, FileWriter, FileWriterOptions};
use lance_table::format::{DataFile, Fragment};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::writer::page_file::PageFile;
use crate::writer::sink::{LockedFile, Sink};

/// A file ends at either: a table of results has few, large files.
pub(super) const MAX_ROWS: u64 = 1 << 20;
pub(super) const MAX_BYTES: u64 = 1 << 30;

/// What Lance's file writer collects for a page of a column.
const PAGE_BYTES: u64 = 4 << 20;

/// Data files in the directory of a table.
pub const DATA: &str = "data";

/// What names of data files begin with: they tell which were made by librds, and by which run.
const PREFIX: &str = "rds-";
/// Of files that wait for their token to be published, when no process holds them any more.
const STAGED_PREFIX: &str = "rds-staged-";

pub fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX)
}

pub fn is_staged(name: &str) -> bool {
    name.starts_with(STAGED_PREFIX)
}

/// How full a file of that size is; 1 ends it.
pub fn fullness(rows: u64, bytes: u64) -> f64 {
    (rows as f64 / MAX_ROWS as f64).max(bytes as f64 / MAX_BYTES as f64)
}

/// Names the data files of one run.
pub struct Names {
    directory: PathBuf,
    prefix: String,
    next: u64,
}

impl Names {
    pub fn new(table: &Path, staged: bool) -> Self {
        let prefix = if staged { STAGED_PREFIX } else { PREFIX };
        let prefix = format!("{prefix}{}-", Uuid::new_v4().simple());
        Self { directory: table.join(DATA), prefix, next: 0 }
    }

    pub fn next(&mut self) -> PathBuf {
        self.next += 1;
        self.directory.join(format!("{}{}.lance", self.prefix, self.next))
    }

    /// Whether a data file is of this run.
    pub fn has(&self, name: &str) -> bool {
        name.starts_with(&self.prefix)
    }
}

/// A file that is whole, and in no version of the table yet.
pub struct Finished {
    pub fragment: Fragment,
    pub file: LockedFile,
}

impl Finished {
    pub fn new(
        file: LockedFile,
        schema: &Schema,
        version: ConcreteFileVersion,
        summary: FileWriteSummary,
    ) -> Result<Self> {
        let name = file.path().file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| Error::internal("a data file without a name"))?;
        let (fields, columns) = data_file_columns(version, schema);
        let size = NonZero::new(summary.size_bytes);
        let mut fragment = Fragment::new(0);
        fragment.files.push(DataFile::new(name, fields, columns, version, size, None));
        fragment.physical_rows = Some(summary.num_rows as usize);
        Ok(Self { fragment, file })
    }
}

/// The file that rows are encoded into; nothing is left of it if it is dropped.
pub struct OpenFile {
    schema: Schema,
    version: ConcreteFileVersion,
    writer: Writer,
    file: LockedFile,
    rows: u64,
    bytes: u64,
}

enum Writer {
    Pages(Box<PageFile>),
    /// Of file versions that only tables of others have.
    Lance(FileWriter),
}

impl OpenFile {
    pub fn create(path: PathBuf, schema: &Schema, version: ConcreteFileVersion) -> Result<Self> {
        let (sink, file) = Sink::create(path)?;
        let writer = match PageFile::knows(version) {
            true => Writer::Pages(Box::new(PageFile::new(sink, schema, version)?)),
            false => {
                let options = FileWriterOptions {
                    data_cache_bytes: Some(PAGE_BYTES * schema.fields.len() as u64),
                    // Batches are small and owned: a copy on their way into a page would be of no use.
                    keep_original_array: Some(true),
                    ..FileWriterOptions::default()
                };
                Writer::Lance(create_writer(version, Box::new(sink), schema.clone(), options)?)
            }
        };
        Ok(Self { schema: schema.clone(), version, writer, file, rows: 0, bytes: 0 })
    }

    pub async fn write(&mut self, batch: &RecordBatch, bytes: u64) -> Result<()> {
        match &mut self.writer {
            Writer::Pages(file) => file.write(batch).await?,
            Writer::Lance(file) => file.write_batch(batch).await?,
        }
        self.rows += batch.num_rows() as u64;
        self.bytes += bytes;
        Ok(())
    }

    /// The pages, if this file can have plain ones.
    pub fn pages(&mut self) -> Option<&mut PageFile> {
        match &mut self.writer {
            Writer::Pages(file) => Some(file),
            Writer::Lance(_) => None,
        }
    }

    pub fn fullness(&self) -> f64 {
        fullness(self.rows, self.bytes)
    }

    /// Ends the file.
    pub async fn finish(self) -> Result<Finished> {
        let summary = match self.writer {
            Writer::Pages(file) => file.finish().await?,
            Writer::Lance(mut file) => file.finish().await?,
        };
        Finished::new(self.file, &self.schema, self.version, summary)
    }
}
