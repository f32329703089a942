//! A range of rows as record batches in row order: over mapped files where the rows lie plain, taken
//! through Lance where they do not. Ids come through Lance always.
//!
//! Lance's scanner is not used: its cache of query sessions is locked for the whole process, and a `fork`
//! at that moment would hang the child.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::error::{Error, Result};
use crate::reader::columns::{self, Columns};
use crate::reader::rows;
use crate::reader::snapshot::Snapshot;
use crate::reader::spans::Run;

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
        }
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        if self.count == 0 {
            return Ok(None);
        }
        let (first, most) = (self.next, self.batch_rows.min(self.count));
        let batch = match self.snapshot.spans.run(first) {
            _ if !self.columns.data => self.taken(first + most, Columns::ID)?,
            Run::Unmapped(rows) => self.taken(rows.end.min(first + most), self.columns)?,
            Run::Mapped(span) => {
                let end = span.rows.end.min(first + most);
                let mut columns = Vec::new();
                if self.columns.id {
                    columns.extend(self.taken(end, Columns::ID)?.columns().first().cloned());
                }
                let (data_type, stored) = (self.snapshot.data_type()?, span.buffer(first..end));
                columns.push(columns::data(data_type, (end - first) as usize, stored)?);
                RecordBatch::try_new(self.schema.clone(), columns)?
            }
        };
        let rows = batch.num_rows() as u64;
        if rows == 0 {
            return Err(Error::corrupt(format!("{} rows are missing at the end", self.count)));
        }
        self.next += rows;
        self.count = self.count.saturating_sub(rows);
        rows::under_schema(batch, self.schema.clone()).map(Some)
    }

    /// The rows from the next one to `end`, through Lance.
    fn taken(&self, end: u64, columns: Columns) -> Result<RecordBatch> {
        let rows: Vec<u64> = (self.next..end).collect();
        rows::take(&self.snapshot, &rows, columns)
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
