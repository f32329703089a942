//! Merges the data files of fragments that follow each other into one, in order.

use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt;
use lance_core::cache::LanceCache;
use lance_core::datatypes::Schema;
use lance_encoding::decoder::FilterExpression;
use lance_file::concat::{
    EncodedFileInput, FileConcatOptions, FileConcatResult, FileConcatTarget, concat_files,
};
use lance_file::reader::{FileReader, FileReaderOptions};
use lance_file::version::ConcreteFileVersion;
use lance_file::writer::FileWriteSummary;
use lance_io::ReadBatchParams;
use lance_io::object_store::ObjectStore;
use lance_io::scheduler::{FileScheduler, ScanScheduler, SchedulerConfig};
use lance_table::format::Fragment;
use object_store::path::Path;

use crate::error::{Error, Result};
use crate::writer::data_file::{Finished, OpenFile};
use crate::writer::sink::Sink;

/// Files of this size have large pages, which are copied as they are; those of smaller ones are put
/// together, by being encoded anew.
const LARGE_FILE: u64 = 16 << 20;
/// What is read ahead of the writing.
const READ_BYTES: u64 = 4 << 20;
const READ_ROWS: u32 = 1 << 16;

pub struct Merge {
    pub store: Arc<ObjectStore>,
    /// The directory of the data files.
    pub directory: Path,
    pub schema: Schema,
    pub version: ConcreteFileVersion,
    pub fragments: Vec<Fragment>,
    /// The file to be.
    pub path: PathBuf,
}

impl Merge {
    pub async fn run(self) -> Result<Finished> {
        let sizes = self.fragments.iter().flat_map(|f| &f.files).map(|f| f.file_size_bytes.get());
        let bytes: u64 = sizes.map(|size| size.map_or(0, u64::from)).sum();
        let inputs = self.inputs().await?;
        if bytes >= LARGE_FILE * inputs.len() as u64
            && let Some(finished) = self.copy(&inputs).await?
        {
            return Ok(finished);
        }
        self.encode(&inputs).await
    }

    async fn inputs(&self) -> Result<Vec<(FileScheduler, u64)>> {
        let config = SchedulerConfig::new(2 * READ_BYTES);
        let scheduler = ScanScheduler::new(self.store.clone(), config);
        let mut inputs = Vec::new();
        for fragment in &self.fragments {
            let rows = fragment.physical_rows.unwrap_or(0) as u64;
            for file in &fragment.files {
                let path = self.directory.clone().join(file.path.as_str());
                inputs.push((scheduler.open_file(&path, &file.file_size_bytes).await?, rows));
            }
        }
        Ok(inputs)
    }

    /// Pages as they are; nothing, if Lance cannot do that with these files.
    async fn copy(&self, inputs: &[(FileScheduler, u64)]) -> Result<Option<Finished>> {
        let target = FileConcatTarget::new(self.version, Arc::new(self.schema.clone()));
        let input = |(file, rows): &(FileScheduler, u64)| {
            EncodedFileInput::new(file.clone()).with_expected_num_rows(*rows)
        };
        let inputs: Vec<_> = inputs.iter().map(input).collect();
        let mut locked = None;
        let output = async || {
            let (sink, file) = Sink::create(self.path.clone())?;
            locked = Some(file);
            Ok(Box::new(sink) as Box<_>)
        };
        let options = FileConcatOptions {
            read_batch_bytes: READ_BYTES as usize,
            ..FileConcatOptions::default()
        };
        match concat_files(&target, &inputs, output, options).await.map_err(Error::reading)? {
            FileConcatResult::Written(output) => {
                let file = locked.ok_or_else(|| Error::internal("a merge without a file"))?;
                let summary =
                    FileWriteSummary { num_rows: output.num_rows, size_bytes: output.size_bytes };
                Finished::new(file, &self.schema, self.version, summary).map(Some)
            }
            FileConcatResult::Unsupported(reason) => {
                log::debug!("data files are merged by encoding them anew: {reason}");
                Ok(None)
            }
            FileConcatResult::Reused(..) => Err(Error::internal("one file is no merge")),
        }
    }

    async fn encode(&self, inputs: &[(FileScheduler, u64)]) -> Result<Finished> {
        let mut merged = OpenFile::create(self.path.clone(), &self.schema, self.version)?;
        let mut expected = 0;
        for (file, rows) in inputs {
            expected += rows;
            let options = FileReaderOptions {
                batch_size_bytes: Some(READ_BYTES),
                ..FileReaderOptions::default()
            };
            let cache = LanceCache::no_cache();
            let reader =
                FileReader::try_open(file.clone(), None, Arc::default(), &cache, options).await;
            let reader = reader.map_err(Error::reading)?;
            let all = ReadBatchParams::RangeFull;
            let batches = reader.read_stream(all, READ_ROWS, 1, FilterExpression::no_filter());
            let mut batches = batches.await.map_err(Error::reading)?;
            while let Some(batch) = batches.next().await {
                merged.write(&batch.map_err(Error::reading)?, 0).await?;
            }
        }
        let finished = merged.finish().await?;
        match finished.fragment.physical_rows {
            Some(rows) if rows as u64 == expected => Ok(finished),
            rows => Err(Error::corrupt(format!("merging read {rows:?} of {expected} rows"))),
        }
    }
}
