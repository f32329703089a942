//! A range of rows as record batches in row order: over mapped files where the rows lie plain, through
//! Lance where they do not. Ids come through Lance always.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use futures::TryStreamExt;
use lance::dataset::scanner::DatasetRecordBatchStream;

use crate::error::{Error, Result};
use crate::reader::columns::{self, Columns};
use crate::reader::rows;
use crate::reader::snapshot::{Snapshot, lance};
use crate::reader::spans::Run;

/// Batches of one stream that Lance may decode ahead of the consumer.
const READAHEAD: usize = 2;

/// A range of rows to be streamed.
#[derive(Clone, Copy, Debug)]
pub struct StreamOptions {
    pub columns: Columns,
    pub first_row: u64,
    /// All that follow if not given.
    pub row_count: Option<u64>,
    pub batch_rows: usize,
    /// Whether `data` carries the extension type `arrow.fixed_shape_tensor`.
    pub fixed_shape_tensor: bool,
}

pub struct Stream {
    snapshot: Arc<Snapshot>,
    columns: Columns,
    batch_rows: u64,
    /// The next row, and how many are to come.
    next: u64,
    count: u64,
    schema: SchemaRef,
    scan: Option<Scan>,
}

/// What Lance reads for a stream.
struct Scan {
    columns: Columns,
    /// The row after its last one.
    end: u64,
    /// The process it was started in.
    process: u32,
    batches: DatasetRecordBatchStream,
    /// What the stream has not taken of the last batch.
    left: Option<RecordBatch>,
}

impl Stream {
    pub fn new(snapshot: Arc<Snapshot>, options: &StreamOptions, count: u64) -> Self {
        let schema = snapshot.schema(options.columns);
        Self {
            schema: match options.fixed_shape_tensor {
                true => snapshot.spec.with_fixed_shape(&schema),
                false => schema,
            },
            snapshot,
            columns: options.columns,
            batch_rows: options.batch_rows.max(1) as u64,
            next: options.first_row,
            count,
            scan: None,
        }
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        if self.count == 0 {
            return Ok(None);
        }
        let snapshot = self.snapshot.clone();
        let batch = match snapshot.spans.run(self.next) {
            _ if !self.columns.data => self.scanned(Columns::ID, self.count, self.count)?,
            Run::Unmapped(rows) => {
                let count = self.count.min(rows.end - self.next);
                self.scanned(self.columns, count, count)?
            }
            Run::Mapped(span) => {
                let mut count = self.batch_rows.min(self.count).min(span.rows.end - self.next);
                let mut columns = Vec::new();
                if self.columns.id {
                    let ids = self.scanned(Columns::ID, self.count, count)?;
                    count = ids.num_rows() as u64;
                    columns.extend(ids.columns().first().cloned());
                }
                let stored = span.buffer(self.next..self.next + count);
                columns.push(columns::data(snapshot.data_type()?, count as usize, stored)?);
                RecordBatch::try_new(self.schema.clone(), columns)?
            }
        };
        let rows = batch.num_rows() as u64;
        self.next += rows;
        self.count = self.count.saturating_sub(rows);
        rows::under_schema(batch, self.schema.clone()).map(Some)
    }

    /// The next rows from Lance, at most `most` and at least one; `count` is how many will be asked
    /// for, of these columns, one after the other.
    fn scanned(&mut self, columns: Columns, count: u64, most: u64) -> Result<RecordBatch> {
        self.forget_what_is_not_ours();
        let mut scan = match self.scan.take() {
            Some(scan) if scan.columns == columns && self.next < scan.end => scan,
            _ => self.start(columns, count)?,
        };
        while scan.left.as_ref().is_none_or(|left| left.num_rows() == 0) {
            let batch = lance(async { scan.batches.try_next().await })?;
            scan.left = Some(batch.ok_or_else(|| {
                Error::corrupt(format!("{} rows are missing at the end", self.count))
            })?);
        }
        let left = scan.left.take().ok_or_else(|| Error::internal("a batch was lost"))?;
        let rows = left.num_rows().min(most.min(self.batch_rows) as usize);
        scan.left = Some(left.slice(rows, left.num_rows() - rows));
        self.scan = Some(scan);
        Ok(left.slice(0, rows))
    }

    fn start(&self, columns: Columns, count: u64) -> Result<Scan> {
        let dataset = self.snapshot.dataset()?;
        let mut scanner = dataset.scan();
        scanner
            .project(&columns.names())?
            .scan_in_order(true)
            .batch_size(self.batch_rows as usize)
            .batch_readahead(READAHEAD)
            .limit(Some(count as i64), Some(self.next as i64))?;
        let batches = lance(async move { scanner.try_into_stream().await })?;
        let end = self.next + count;
        Ok(Scan { columns, end, process: std::process::id(), batches, left: None })
    }

    /// A scan started by the parent of this process waits for tasks that only the parent has: it is
    /// left alone, and another one goes on where it stopped.
    fn forget_what_is_not_ours(&mut self) {
        if self.scan.as_ref().is_some_and(|scan| scan.process != std::process::id()) {
            std::mem::forget(self.scan.take());
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
