//! A range of rows as record batches in row order: over mapped files where the rows lie plain, decoded by Lance where
//! they do not. Ids are always decoded.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::error::{Error, Result};
use crate::reader::columns::{self, Columns};
use crate::reader::rows;
use crate::reader::snapshot::Snapshot;
use crate::reader::spans::Run;

/// What is decoded at once, at least.
const ROWS_AHEAD: u64 = 8192;
const BYTES_AHEAD: u64 = 8 << 20;

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
    ahead: Option<Ahead>,
}

/// Rows that were decoded already.
struct Ahead {
    columns: Columns,
    first: u64,
    batch: RecordBatch,
}

impl Ahead {
    fn holds(&self, columns: Columns, row: u64) -> bool {
        let rows = self.first..self.first + self.batch.num_rows() as u64;
        self.columns == columns && rows.contains(&row)
    }
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
            ahead: None,
        }
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        if self.count == 0 {
            return Ok(None);
        }
        let snapshot = self.snapshot.clone();
        let most = self.batch_rows.min(self.count);
        let end = self.next + self.count;
        let batch = match snapshot.spans.run(self.next) {
            _ if !self.columns.data => self.taken(Columns::ID, end, most)?,
            Run::Unmapped(rows) => self.taken(self.columns, rows.end.min(end), most)?,
            Run::Mapped(span) => {
                let mut rows = most.min(span.rows.end - self.next);
                let mut columns = Vec::new();
                if self.columns.id {
                    let ids = self.taken(Columns::ID, end, rows)?;
                    rows = ids.num_rows() as u64;
                    columns.extend(ids.columns().first().cloned());
                }
                let stored = span.buffer(self.next..self.next + rows);
                columns.push(columns::data(snapshot.data_type(), rows as usize, stored)?);
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

    /// The next rows, at most `most`. More are decoded at once, up to `end`, and kept: that costs much the same for
    /// one row as for many.
    fn taken(&mut self, columns: Columns, end: u64, most: u64) -> Result<RecordBatch> {
        let ahead = match self.ahead.take().filter(|ahead| ahead.holds(columns, self.next)) {
            Some(ahead) => ahead,
            None => {
                let row_bytes =
                    if columns.data { self.snapshot.spec.row_bytes() as u64 } else { 1 };
                let rows = (BYTES_AHEAD / row_bytes).min(ROWS_AHEAD).max(most);
                let rows = self.next..end.min(self.next + rows);
                let batch = rows::range(&self.snapshot, rows, columns)?;
                Ahead { columns, first: self.next, batch }
            }
        };
        let skip = (self.next - ahead.first) as usize;
        let rows = (ahead.batch.num_rows() - skip).min(most as usize);
        let batch = ahead.batch.slice(skip, rows);
        self.ahead = Some(ahead);
        Ok(batch)
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
