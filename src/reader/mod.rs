//! The way out: a snapshot of a table, read by row, by id, in gathers and as a stream.
//!
//! `snapshot` is one of the `versions` of a table, all of whose files are open: `files` of which each is one `file`, with a
//! `footer` that was checked, and `deletions`. `spans` are rows that lie plain in mapped files: `gather` copies
//! from them (`copy` into memory of the caller), `columns` makes Arrow of them; what has no span `rows` has `decode`d by
//! Lance. `stream` walks a range through both, `chosen` any rows in any order, `ids` maps rows to ids, and by `id_index`
//! back. `loader` goes through the rows in batches, for training.

#![forbid(unsafe_code)]

mod chosen;
mod columns;
mod copy;
mod decode;
mod deletions;
mod file;
mod files;
mod footer;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gather;
mod id_index;
mod ids;
pub mod loader;
mod rows;
mod snapshot;
mod spans;
mod stream;
mod tail;
mod versions;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, LargeStringArray, RecordBatch, RecordBatchReader, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::location::Location;
use crate::patience::Patience;

use chosen::ChosenRows;
pub use columns::{Column, Columns};
pub use copy::Target;
use gather::{Form, Gather};
use ids::Ids;
use snapshot::{Snapshot, Wanted};
use spans::Run;
pub use stream::StreamOptions;
pub use versions::VersionOf;

/// How rows are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// From mapped files where the rows lie plain, decoded by Lance where they do not.
    #[default]
    Auto,
    /// From mapped files only.
    Mapped,
    /// Decoded by Lance only: nothing is mapped.
    Lance,
}

#[derive(Clone, Debug)]
pub struct ReaderOptions {
    /// The newest if not given.
    pub version: Option<u64>,
    /// The newest that was committed then or before, in nanoseconds since 1970.
    pub until: Option<i64>,
    pub access: Access,
    /// What the ids are called; `object_id`, if there is one, if not given.
    pub id_column: Option<String>,
    /// Whether rows of a gather that are not in memory are asked for all at once.
    pub prefetch: bool,
    /// What calls that take long ask.
    pub patience: Option<Arc<dyn Patience>>,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        Self {
            version: None,
            until: None,
            access: Access::Auto,
            id_column: None,
            prefetch: true,
            patience: None,
        }
    }
}

/// Usable from any number of threads, and from a child after `fork`. A clone is the same snapshot, for what
/// outlives the reader.
#[derive(Clone)]
pub struct Reader {
    snapshot: Arc<Snapshot>,
    access: Access,
    prefetch: bool,
    ids: Arc<Ids>,
}

impl Reader {
    pub fn open(location: Location, options: &ReaderOptions) -> Result<Self> {
        let wanted = Wanted {
            version: options.version,
            until: options.until,
            access: options.access,
            id_column: options.id_column.as_deref(),
            patience: options.patience.clone(),
        };
        let snapshot = Snapshot::open(location, &wanted)?;
        let ids = Ids::new(snapshot.rows);
        Self {
            snapshot: Arc::new(snapshot),
            access: options.access,
            prefetch: options.prefetch,
            ids: Arc::new(ids),
        }
        .checked()
    }

    fn checked(self) -> Result<Self> {
        if self.access == Access::Mapped {
            for column in &self.snapshot.columns {
                let (rows, mapped) = (self.rows(), column.spans.mapped_rows());
                if mapped != rows {
                    return Err(Error::not_supported(format!(
                        "column \"{}\": only {mapped} of {rows} rows can be mapped; open with access AUTO to \
                         read the others through Lance",
                        column.name
                    )));
                }
            }
        }
        Ok(self)
    }

    /// A reader of the newest version; none if this is it. The columns must still be of one kind.
    pub fn refreshed(&self) -> Result<Option<Self>> {
        let Some(newest) = self.snapshot.newer(self.access)? else { return Ok(None) };
        let ids = self.ids.later(self.snapshot.shared_rows(&newest), newest.rows);
        let newest = Self { snapshot: Arc::new(newest), ids: Arc::new(ids), ..*self };
        newest.checked().map(Some)
    }

    /// By their numbers.
    pub fn columns(&self) -> &[Column] {
        &self.snapshot.columns
    }

    #[inline]
    pub fn column(&self, number: usize) -> Result<&Column> {
        self.snapshot.column(number)
    }

    pub fn number(&self, name: &str) -> Result<usize> {
        self.snapshot.number(name)
    }

    pub fn form(&self) -> crate::tensor::Form {
        self.snapshot.form
    }

    /// What runs said of themselves, sorted by their keys.
    pub fn metadata(&self) -> &[(String, String)] {
        &self.snapshot.metadata
    }

    /// The versions that the table has now, oldest first.
    pub fn versions(&self) -> Result<Vec<VersionOf>> {
        self.snapshot.versions()
    }

    pub fn has_ids(&self) -> bool {
        self.snapshot.has_ids()
    }

    #[inline]
    pub fn rows(&self) -> u64 {
        self.snapshot.rows
    }

    pub fn version(&self) -> u64 {
        self.snapshot.version()
    }

    /// In nanoseconds since 1970.
    pub fn committed_at(&self) -> i64 {
        i64::try_from(self.snapshot.committed_at()).unwrap_or(i64::MAX)
    }

    pub fn schema(&self, columns: &Columns, fixed_shape_tensor: bool) -> Result<SchemaRef> {
        let schema = self.snapshot.schema(columns)?;
        if !fixed_shape_tensor {
            return Ok(schema);
        }
        let ids = usize::from(columns.id);
        let fields = schema.fields().iter().enumerate().map(|(i, field)| {
            let number = i.checked_sub(ids).and_then(|i| columns.tensors.get(i));
            let column = number.and_then(|number| self.columns().get(*number));
            let is_list = matches!(field.data_type(), DataType::FixedSizeList(..));
            match column.filter(|_| is_list) {
                Some(column) => column.spec.with_fixed_shape(field),
                None => field.as_ref().clone(),
            }
        });
        let fields: Vec<Field> = fields.collect();
        Ok(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
    }

    /// The rows around `row` that lie one after the other in memory, as the caller has them, or that do
    /// not: then without bytes. Those of bool are packed bits, which no caller's are.
    #[inline]
    pub fn span<'a>(&self, column: &'a Column, row: u64) -> Result<(Range<u64>, Option<&'a [u8]>)> {
        self.check(&[row])?;
        Ok(match column.spans.run(row) {
            Run::Unmapped(rows) => (rows, None),
            Run::Mapped(span) => {
                let rows = span.rows.clone();
                (rows.clone(), (column.form == Form::AsStored).then(|| span.bytes(rows)))
            }
        })
    }

    /// One row of a column, as an array of length 1: no copy of a mapped row.
    pub fn row(&self, column: usize, row: u64) -> Result<ArrayRef> {
        let column = self.column(column)?;
        if let Some(span) = column.spans.find(row) {
            return column.array(1, span.buffer(row..row + 1));
        }
        self.check(&[row])?;
        self.snapshot.take(&column.field, &[row], &mut self.snapshot.wait())
    }

    /// Rows in the order given; one may be asked for more than once.
    pub fn take(&self, rows: &[u64], columns: &Columns) -> Result<RecordBatch> {
        self.check(rows)?;
        let schema = self.schema(columns, false)?;
        let mut taken = Vec::new();
        if columns.id {
            taken.push(self.ids.take(&self.snapshot, rows)?);
        }
        for number in &columns.tensors {
            let column = self.column(*number)?;
            let stride = column.spans.stride();
            let is_mapped =
                !rows.is_empty() && rows.iter().all(|row| column.spans.find(*row).is_some());
            taken.push(match is_mapped {
                false => self.snapshot.take(&column.field, rows, &mut self.snapshot.wait())?,
                true => {
                    let mut stored = zeros(rows.len() * stride)?;
                    let gather = self.gather_of(column);
                    let gather =
                        Gather { form: Form::AsStored, row_bytes: stride, stride, ..gather };
                    self.gather_all(&gather, rows, &mut stored)?;
                    column.array(rows.len(), stored.into())?
                }
            });
        }
        Ok(RecordBatch::try_new(schema, taken)?)
    }

    /// Borrowed from the reader, which keeps all ids from the first call on.
    pub fn id(&self, row: u64) -> Result<&str> {
        self.check(&[row])?;
        self.ids.get(&self.snapshot, row)
    }

    /// The ids of a range of rows: no copy, but of those that a refresh added with others.
    pub fn ids(&self, first: u64, count: u64) -> Result<LargeStringArray> {
        let rows = self.range(first, count)?;
        self.ids.range(&self.snapshot, rows)
    }

    /// Tells `found` of each id, in order: its place, the first row that carries it, if any does, and
    /// how many do.
    pub fn find(
        &self,
        ids: &StringArray,
        found: impl FnMut(usize, Option<u64>, u64),
    ) -> Result<()> {
        self.ids.find(&self.snapshot, ids, found)
    }

    /// As `find`, of one id.
    pub fn find_one(&self, id: &str, found: impl FnOnce(usize, Option<u64>, u64)) -> Result<()> {
        let (row, count) = self.ids.find_one(&self.snapshot, id)?;
        found(0, row, count);
        Ok(())
    }

    /// All rows that carry an id, in order.
    pub fn rows_of(&self, id: &str) -> Result<Vec<u64>> {
        self.ids.rows_of(&self.snapshot, id)
    }

    pub fn stream(&self, options: &StreamOptions) -> Result<impl RecordBatchReader + use<>> {
        let first = options.first_row;
        let count = options.row_count.unwrap_or(self.rows().saturating_sub(first));
        self.range(first, count)?;
        let schema = self.schema(&options.columns, options.fixed_shape_tensor)?;
        Ok(stream::Stream::new(self.snapshot.clone(), options, count, schema))
    }

    /// Rows in the order given, as `take` has them; of `options` the range does not count.
    pub fn stream_of(
        &self,
        rows: Vec<u64>,
        options: &StreamOptions,
    ) -> Result<impl RecordBatchReader + use<>> {
        self.check(&rows)?;
        Ok(ChosenRows {
            reader: self.clone(),
            columns: options.columns.clone(),
            schema: self.schema(&options.columns, options.fixed_shape_tensor)?,
            rows,
            done: 0,
            batch_rows: options.batch_rows,
        })
    }

    #[inline]
    fn check(&self, rows: &[u64]) -> Result<()> {
        match rows.iter().find(|row| **row >= self.rows()) {
            None => Ok(()),
            Some(row) => Err(Error::out_of_range(format!(
                "row {row} is out of range (the table has {} rows)",
                self.rows()
            ))),
        }
    }

    fn range(&self, first: u64, count: u64) -> Result<Range<u64>> {
        let end = first.checked_add(count).filter(|end| *end <= self.rows());
        end.map(|end| first..end).ok_or_else(|| {
            Error::out_of_range(format!(
                "{count} rows from row {first} are out of range (the table has {} rows)",
                self.rows()
            ))
        })
    }
}

/// Memory for a copy, of a size that the caller chose: too much of it is an error.
fn zeros(bytes: usize) -> Result<Vec<u8>> {
    let mut memory = Vec::new();
    let refused = |_| Error::io(format!("there is no memory for {bytes} bytes"));
    memory.try_reserve_exact(bytes).map_err(refused)?;
    memory.resize(bytes, 0);
    Ok(memory)
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod mapped_tests;
#[cfg(test)]
mod tests;
