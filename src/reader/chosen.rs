//! Rows by number as record batches, in the order given.

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::error::Result;
use crate::reader::columns::Columns;
use crate::reader::{Reader, rows};

pub struct ChosenRows {
    pub reader: Reader,
    pub columns: Columns,
    pub schema: SchemaRef,
    pub rows: Vec<u64>,
    /// How many of them were given.
    pub done: usize,
    pub batch_rows: usize,
}

impl ChosenRows {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let rest = self.rows.get(self.done..).unwrap_or_default();
        let Some(part) = rest.chunks(self.batch_rows.max(1)).next() else { return Ok(None) };
        let batch = self.reader.take(part, &self.columns)?;
        self.done += part.len();
        rows::under_schema(batch, self.schema.clone()).map(Some)
    }
}

impl Iterator for ChosenRows {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().map_err(ArrowError::from).transpose()
    }
}

impl RecordBatchReader for ChosenRows {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}
