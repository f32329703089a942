//! A range of rows as record batches in row order.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use futures::TryStreamExt;
use lance::dataset::scanner::DatasetRecordBatchStream;

use crate::error::{Error, Result};
use crate::reader::snapshot::{Snapshot, lance};
use crate::reader::{StreamOptions, rows};

/// Batches of one stream that Lance may decode ahead of the consumer.
const READAHEAD: usize = 2;

pub struct Stream {
    snapshot: Arc<Snapshot>,
    options: StreamOptions,
    /// Rows still to come.
    count: u64,
    schema: SchemaRef,
    /// Started by the first batch asked for, in the process that asks.
    batches: Option<DatasetRecordBatchStream>,
    process: u32,
}

impl Stream {
    pub fn new(snapshot: Arc<Snapshot>, options: &StreamOptions, count: u64) -> Self {
        let schema = snapshot.schema(options.columns);
        Self { snapshot, options: *options, count, schema, batches: None, process: 0 }
    }

    /// A stream started by the parent of this process waits for tasks that only the parent has: it is
    /// left alone, and another one goes on where it stopped.
    fn forget_what_is_not_ours(&mut self) {
        if self.process != std::process::id() {
            std::mem::forget(self.batches.take());
        }
    }

    fn start(&mut self) -> Result<DatasetRecordBatchStream> {
        self.process = std::process::id();
        let dataset = self.snapshot.dataset()?;
        let mut scanner = dataset.scan();
        scanner
            .project(&self.options.columns.names())?
            .scan_in_order(true)
            .batch_size(self.options.batch_rows)
            .batch_readahead(READAHEAD)
            .limit(Some(self.count as i64), Some(self.options.first_row as i64))?;
        lance(async move { scanner.try_into_stream().await })
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        if self.count == 0 {
            return Ok(None);
        }
        self.forget_what_is_not_ours();
        let mut batches = match self.batches.take() {
            Some(batches) => batches,
            None => self.start()?,
        };
        let batch = lance(async { batches.try_next().await })?;
        self.batches = Some(batches);
        match batch {
            None => Err(Error::corrupt(format!("{} rows are missing at the end", self.count))),
            Some(batch) => {
                let rows = batch.num_rows() as u64;
                self.options.first_row += rows;
                self.count = self.count.saturating_sub(rows);
                rows::under_schema(batch, self.schema.clone()).map(Some)
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.forget_what_is_not_ours();
    }
}

impl Iterator for Stream {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().map_err(ArrowError::from).transpose()
    }
}

impl RecordBatchReader for Stream {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}
