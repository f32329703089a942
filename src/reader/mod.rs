//! The way out: a snapshot of a table, read by row, by id, in gathers and as a stream.
//!
//! `snapshot` holds the Lance dataset, `files` checks its data files, `rows` gathers from it, `ids` maps rows to ids and back,
//! `stream` walks it in order, `once` is a lazy value that a `fork` cannot block.

#![forbid(unsafe_code)]

mod files;
mod ids;
mod once;
mod rows;
mod snapshot;
mod stream;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchReader, StringArray};
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};
use crate::location::Location;
use crate::tensor::{DATA_COLUMN, ID_COLUMN, TensorSpec};

use ids::IdIndex;
use once::ForkSafeOnce;
use snapshot::Snapshot;

/// A choice of the columns of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    id: bool,
    data: bool,
}

impl Columns {
    pub const ALL: Columns = Columns { id: true, data: true };
    pub const DATA: Columns = Columns { id: false, data: true };
    pub const ID: Columns = Columns { id: true, data: false };

    /// Bit 0 is `object_id`, bit 1 is `data`; none means all.
    pub fn from_bits(bits: u32) -> Result<Self> {
        match bits {
            0 | 3 => Ok(Self::ALL),
            1 => Ok(Self::ID),
            2 => Ok(Self::DATA),
            other => Err(Error::invalid_argument(format!(
                "columns is {other:#x}; 1 (object_id) and 2 (data) are possible, and 0 for both"
            ))),
        }
    }

    pub fn names(self) -> Vec<&'static str> {
        [(self.id, ID_COLUMN), (self.data, DATA_COLUMN)]
            .into_iter()
            .filter_map(|(chosen, name)| chosen.then_some(name))
            .collect()
    }
}

/// A range of rows to be streamed.
#[derive(Clone, Copy, Debug)]
pub struct StreamOptions {
    pub columns: Columns,
    pub first_row: u64,
    /// All that follow if not given.
    pub row_count: Option<u64>,
    pub batch_rows: usize,
}

/// Usable from any number of threads, and from a child after `fork`.
pub struct Reader {
    snapshot: Arc<Snapshot>,
    spec: TensorSpec,
    rows: u64,
    ids: ForkSafeOnce<ids::IdColumn>,
    index: ForkSafeOnce<IdIndex>,
}

impl Reader {
    pub fn open(location: Location, version: Option<u64>) -> Result<Self> {
        let snapshot = Snapshot::open(location, version)?;
        let spec = snapshot.spec()?;
        let rows = snapshot.count_rows()?;
        Ok(Self {
            snapshot: Arc::new(snapshot),
            spec,
            rows,
            ids: ForkSafeOnce::new(),
            index: ForkSafeOnce::new(),
        })
    }

    pub fn spec(&self) -> &TensorSpec {
        &self.spec
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub fn version(&self) -> u64 {
        self.snapshot.version()
    }

    /// Rows that are read without a call into Lance.
    pub fn mapped_rows(&self) -> u64 {
        0
    }

    pub fn schema(&self, columns: Columns) -> SchemaRef {
        self.snapshot.schema(columns)
    }

    /// One row of `data`, as an array of length 1.
    pub fn row(&self, row: u64) -> Result<ArrayRef> {
        let batch = self.take(&[row], Columns::DATA)?;
        let column = batch.columns().first().cloned();
        column.ok_or_else(|| Error::internal("a take without a column"))
    }

    /// Rows in the order given; one may be asked for more than once.
    pub fn take(&self, rows: &[u64], columns: Columns) -> Result<RecordBatch> {
        self.check(rows)?;
        rows::take(&self.snapshot, rows, columns)
    }

    /// The tensors of rows, one after the other; `out` is as long as they are.
    pub fn read(&self, rows: &[u64], out: &mut [u8]) -> Result<()> {
        self.check(rows)?;
        rows::read(&self.snapshot, &self.spec, rows, out)
    }

    /// Borrowed from the reader, which keeps all ids from the first call on.
    pub fn id(&self, row: u64) -> Result<&str> {
        self.check(&[row])?;
        self.id_column()?.get(row)
    }

    /// For each id the first row that carries it, if any does, and how many do.
    pub fn find(&self, ids: &StringArray) -> Result<Vec<(Option<u64>, u64)>> {
        let column = self.id_column()?;
        let index = self.index.get_or_try_init(|| Ok(IdIndex::new(column)))?;
        Ok(ids.iter().map(|id| index.find(column, id.unwrap_or_default())).collect())
    }

    pub fn stream(&self, options: &StreamOptions) -> Result<impl RecordBatchReader + use<>> {
        let first = options.first_row;
        let count = options.row_count.unwrap_or(self.rows.saturating_sub(first));
        if first.checked_add(count).is_none_or(|end| end > self.rows) {
            return Err(Error::out_of_range(format!(
                "{count} rows from row {first} are out of range (the table has {} rows)",
                self.rows
            )));
        }
        Ok(stream::Stream::new(self.snapshot.clone(), options, count))
    }

    fn id_column(&self) -> Result<&ids::IdColumn> {
        self.ids.get_or_try_init(|| ids::IdColumn::load(&self.snapshot, self.rows))
    }

    fn check(&self, rows: &[u64]) -> Result<()> {
        match rows.iter().find(|row| **row >= self.rows) {
            None => Ok(()),
            Some(row) => Err(Error::out_of_range(format!(
                "row {row} is out of range (the table has {} rows)",
                self.rows
            ))),
        }
    }
}

#[cfg(test)]
mod tests;
