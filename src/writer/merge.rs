//! Merges the data files of fragments that follow each other into one, in order: rows that lie plain are
//! copied, everything else is decoded and encoded anew, into larger pages.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::StreamExt;
use lance_core::cache::LanceCache;
use lance_core::datatypes::Schema;
use lance_encoding::decoder::FilterExpression;
use lance_file::reader::{FileReader, FileReaderOptions, ReaderProjection};
use lance_file::version::ConcreteFileVersion;
use lance_file::versions::{
    reader_projection_from_column_names, reader_projection_from_whole_schema,
};
use lance_io::ReadBatchParams;
use lance_io::object_store::ObjectStore;
use lance_io::scheduler::{ScanScheduler, SchedulerConfig};
use lance_table::format::{DataFile, Fragment};
use object_store::path::Path;

use crate::error::{Error, Result};
use crate::tensor::ID_COLUMN;
use crate::writer::data_file::{Finished, OpenFile};

/// What is read ahead of the writing.
const READ_BYTES: u64 = 1 << 20;
const READ_ROWS: u32 = 1 << 14;

pub struct Merge {
    pub store: Arc<ObjectStore>,
    /// The directory of the data files.
    pub directory: Path,
    pub schema: Schema,
    pub version: ConcreteFileVersion,
    pub fragments: Vec<Fragment>,
    /// The file to be, in the same directory.
    pub path: PathBuf,
}

impl Merge {
    pub async fn run(self) -> Result<Finished> {
        let mut merged = OpenFile::create(self.path.clone(), &self.schema, self.version)?;
        let scheduler =
            ScanScheduler::new(self.store.clone(), SchedulerConfig::new(2 * READ_BYTES));
        let mut expected = 0;
        for fragment in &self.fragments {
            expected += fragment.physical_rows.unwrap_or(0);
            for file in &fragment.files {
                self.add(file, &scheduler, &mut merged).await?;
            }
        }
        let finished = merged.finish().await?;
        match finished.fragment.physical_rows {
            Some(rows) if rows == expected => Ok(finished),
            rows => Err(Error::corrupt(format!("merging read {rows:?} of {expected} rows"))),
        }
    }

    async fn add(
        &self,
        file: &DataFile,
        scheduler: &Arc<ScanScheduler>,
        merged: &mut OpenFile,
    ) -> Result<()> {
        let path = self.directory.clone().join(file.path.as_str());
        let source = scheduler.open_file(&path, &file.file_size_bytes).await?;
        let options = FileReaderOptions {
            batch_size_bytes: Some(READ_BYTES),
            ..FileReaderOptions::default()
        };
        let cache = LanceCache::no_cache();
        let reader = FileReader::try_open(source, None, Arc::default(), &cache, options).await;
        let reader = reader.map_err(Error::reading)?;
        let version = reader.metadata().version;
        if version == self.version
            && let Some(pages) = merged.pages()
            && pages.copy_plain(&self.open(file)?, reader.metadata()).await?
        {
            let schema = &reader.metadata().file_schema;
            let ids = reader_projection_from_column_names(version, schema, &[ID_COLUMN]);
            return read(&reader, ids.map_err(Error::reading)?, async |batch| {
                let ids = batch.column_by_name(ID_COLUMN);
                pages.write_column(ID_COLUMN, ids.ok_or_else(no_ids)?).await
            })
            .await;
        }
        let all = reader_projection_from_whole_schema(&reader.metadata().file_schema, version);
        read(&reader, all, async |batch| merged.write(&batch, 0).await).await
    }

    fn open(&self, file: &DataFile) -> Result<File> {
        let path = self.path.with_file_name(&file.path);
        File::open(&path).map_err(|e| Error::from(e).context(format!("opening {}", path.display())))
    }
}

fn no_ids() -> Error {
    Error::internal("ids without their column")
}

/// Decodes columns of a file.
async fn read(
    reader: &FileReader,
    columns: ReaderProjection,
    mut add: impl AsyncFnMut(RecordBatch) -> Result<()>,
) -> Result<()> {
    let all = ReadBatchParams::RangeFull;
    let filter = FilterExpression::no_filter();
    let batches = reader.read_stream_projected(all, READ_ROWS, 1, columns, filter).await;
    let mut batches = batches.map_err(Error::reading)?;
    while let Some(batch) = batches.next().await {
        add(batch.map_err(Error::reading)?).await?;
    }
    Ok(())
}
