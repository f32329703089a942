//! A range of rows as record batches in row order: over mapped files where the rows lie plain, decoded by Lance where
//! they do not. Ids are always decoded.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchReader};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::error::{Error, Result};
use crate::reader::columns::{Columns, Field};
use crate::reader::snapshot::Snapshot;
use crate::reader::spans::Run;

/// What is decoded at once, at least.
const ROWS_AHEAD: u64 = 8192;
const BYTES_AHEAD: u64 = 8 << 20;

/// Rows to be streamed.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    pub columns: Columns,
    pub first_row: u64,
    /// All that follow if not given.
    pub row_count: Option<u64>,
    pub batch_rows: usize,
    /// Whether tensors carry the extension type `arrow.fixed_shape_tensor`.
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
    /// Of each column, ids first: rows that were decoded already.
    ahead: Vec<Option<Ahead>>,
}

struct Ahead {
    first: u64,
    values: ArrayRef,
}

impl Ahead {
    /// Rows from `row` on.
    fn rows(&self, row: u64) -> u64 {
        let end = self.first + self.values.len() as u64;
        if row >= self.first { end.saturating_sub(row) } else { 0 }
    }
}

/// What a batch takes of a column.
enum Source {
    Mapped,
    Decoded,
}

impl Stream {
    pub fn new(
        snapshot: Arc<Snapshot>,
        options: &StreamOptions,
        count: u64,
        schema: SchemaRef,
    ) -> Self {
        let columns = options.columns.clone();
        let ahead = (0..=columns.tensors.len()).map(|_| None).collect();
        let batch_rows = options.batch_rows.max(1) as u64;
        Self { snapshot, columns, batch_rows, next: options.first_row, count, schema, ahead }
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        if self.count == 0 {
            return Ok(None);
        }
        let snapshot = self.snapshot.clone();
        let end = self.next + self.count;
        // A batch ends where a span of any of its columns does.
        let mut rows = self.batch_rows.min(self.count);
        let mut sources = Vec::new();
        for number in &self.columns.tensors {
            let (source, run) = match snapshot.column(*number)?.spans.run(self.next) {
                Run::Mapped(span) => (Source::Mapped, span.rows.end),
                Run::Unmapped(rows) => (Source::Decoded, rows.end),
            };
            rows = rows.min(run - self.next);
            sources.push((*number, source, run.min(end)));
        }
        if self.columns.id {
            rows = self.decode(0, snapshot.id()?, 1, end, rows)?;
        }
        for (at, (number, source, end)) in sources.iter().enumerate() {
            let column = snapshot.column(*number)?;
            if let Source::Decoded = source {
                rows = self.decode(at + 1, &column.field, column.row_bytes, *end, rows)?;
            }
        }
        if rows == 0 {
            return Err(Error::corrupt(format!("{} rows are missing at the end", self.count)));
        }
        let mut arrays = Vec::new();
        if self.columns.id {
            arrays.push(self.decoded(0, rows)?);
        }
        for (at, (number, source, _)) in sources.iter().enumerate() {
            let column = snapshot.column(*number)?;
            arrays.push(match (source, column.spans.run(self.next)) {
                (Source::Mapped, Run::Mapped(span)) => {
                    column.array(rows as usize, span.buffer(self.next..self.next + rows))?
                }
                _ => self.decoded(at + 1, rows)?,
            });
        }
        self.next += rows;
        self.count = self.count.saturating_sub(rows);
        Ok(Some(RecordBatch::try_new(self.schema.clone(), arrays)?))
    }

    /// Decodes the next rows of a column, if that is not done; how many of `most` there are. More are decoded at once,
    /// up to `end`, and kept: that costs much the same for one row as for many.
    fn decode(
        &mut self,
        at: usize,
        field: &Field,
        row_bytes: usize,
        end: u64,
        most: u64,
    ) -> Result<u64> {
        let known = self.ahead.get(at).and_then(|ahead| ahead.as_ref());
        let known = known.map_or(0, |ahead| ahead.rows(self.next));
        if known > 0 {
            return Ok(known.min(most));
        }
        let rows = (BYTES_AHEAD / row_bytes.max(1) as u64).min(ROWS_AHEAD).max(most);
        let rows = self.next..end.min(self.next + rows);
        let ahead = Ahead {
            first: self.next,
            values: self.snapshot.range(field, rows, &mut self.snapshot.wait())?,
        };
        let rows = ahead.rows(self.next);
        if let Some(place) = self.ahead.get_mut(at) {
            *place = Some(ahead);
        }
        Ok(rows.min(most))
    }

    fn decoded(&self, at: usize, rows: u64) -> Result<ArrayRef> {
        let ahead = self.ahead.get(at).and_then(|ahead| ahead.as_ref());
        let ahead = ahead.ok_or_else(|| Error::internal("rows that were not decoded"))?;
        Ok(ahead.values.slice((self.next - ahead.first) as usize, rows as usize))
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
