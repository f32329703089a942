//! The way out: a snapshot of a table, read by row, by id, in gathers and as a stream.
//!
//! `snapshot` is one version of a table, all of whose files are open: `files` of which each is one `file`, with a
//! `footer` that was checked, and `deletions`. `spans` are rows that lie plain in mapped files: `gather` copies
//! from them, `columns` makes Arrow of them; what has no span `rows` has `decode`d by Lance. `stream` walks a range
//! through both, `chosen` any rows in any order, `ids` maps rows to ids and back.

#![forbid(unsafe_code)]

mod chosen;
mod columns;
mod decode;
mod deletions;
mod file;
mod files;
mod footer;
mod gather;
mod ids;
mod rows;
mod snapshot;
mod spans;
mod stream;
mod tail;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, LargeStringArray, RecordBatch, RecordBatchReader, StringArray};
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};
use crate::location::Location;
use crate::process::ProcessOnce;
use crate::tensor::{DType, TensorSpec};

use chosen::ChosenRows;
pub use columns::Columns;
use gather::{Form, Gather};
use ids::{IdColumn, IdIndex};
use snapshot::Snapshot;
use spans::Run;
pub use stream::StreamOptions;

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

#[derive(Clone, Copy, Debug)]
pub struct ReaderOptions {
    /// The newest if not given.
    pub version: Option<u64>,
    pub access: Access,
    /// Whether rows of a gather that are not in memory are asked for all at once.
    pub prefetch: bool,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        Self { version: None, access: Access::Auto, prefetch: true }
    }
}

/// Usable from any number of threads, and from a child after `fork`. A clone is the same snapshot, for what
/// outlives the reader.
#[derive(Clone)]
pub struct Reader {
    snapshot: Arc<Snapshot>,
    options: ReaderOptions,
    row_bytes: usize,
    ids: Arc<ProcessOnce<IdColumn>>,
    index: Arc<ProcessOnce<IdIndex>>,
}

impl Reader {
    pub fn open(location: Location, options: ReaderOptions) -> Result<Self> {
        Self::of(Snapshot::open(location, options.version, options.access, None)?, options)
    }

    fn of(snapshot: Snapshot, options: ReaderOptions) -> Result<Self> {
        let (rows, mapped) = (snapshot.spans.rows(), snapshot.spans.mapped_rows());
        if options.access == Access::Mapped && mapped != rows {
            return Err(Error::not_supported(format!(
                "only {mapped} of {rows} rows can be mapped; open with access AUTO to read the others \
                 through Lance"
            )));
        }
        Ok(Self {
            row_bytes: snapshot.spec.row_bytes(),
            snapshot: Arc::new(snapshot),
            options,
            ids: Arc::new(ProcessOnce::new()),
            index: Arc::new(ProcessOnce::new()),
        })
    }

    /// A reader of the newest version; none if this is it. The rows must still be of one kind.
    pub fn refreshed(&self) -> Result<Option<Self>> {
        let Some(newest) = self.snapshot.newer(self.options.access)? else { return Ok(None) };
        if newest.spec != *self.spec() {
            return Err(Error::schema_mismatch(format!(
                "version {} of the table has rows of {} {:?}, this reader has rows of {} {:?}; open \
                 another reader",
                newest.version(),
                newest.spec.dtype.name(),
                newest.spec.shape,
                self.spec().dtype.name(),
                self.spec().shape
            )));
        }
        Self::of(newest, self.options).map(Some)
    }

    pub fn spec(&self) -> &TensorSpec {
        &self.snapshot.spec
    }

    /// Bytes of a row in the caller's memory.
    #[inline]
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    pub fn rows(&self) -> u64 {
        self.snapshot.spans.rows()
    }

    pub fn version(&self) -> u64 {
        self.snapshot.version()
    }

    /// In nanoseconds since 1970.
    pub fn committed_at(&self) -> i64 {
        i64::try_from(self.snapshot.committed_at()).unwrap_or(i64::MAX)
    }

    /// Rows that are read without a call into Lance.
    pub fn mapped_rows(&self) -> u64 {
        self.snapshot.spans.mapped_rows()
    }

    pub fn schema(&self, columns: Columns) -> SchemaRef {
        self.snapshot.schema(columns)
    }

    /// The rows around `row` that lie one after the other in memory, as the caller has them, or that do
    /// not: then without bytes. Those of bool are packed bits, which no caller's are.
    pub fn span(&self, row: u64) -> Result<(Range<u64>, Option<&[u8]>)> {
        self.check(&[row])?;
        Ok(match self.snapshot.spans.run(row) {
            Run::Unmapped(rows) => (rows, None),
            Run::Mapped(span) => {
                let rows = span.rows.clone();
                (rows.clone(), (self.form() == Form::AsStored).then(|| span.bytes(rows)))
            }
        })
    }

    /// One row of `data`, as an array of length 1: no copy of a mapped row.
    pub fn row(&self, row: u64) -> Result<ArrayRef> {
        if let Some(span) = self.snapshot.spans.find(row) {
            return columns::data(self.snapshot.data_type(), 1, span.buffer(row..row + 1));
        }
        let batch = self.take(&[row], Columns::DATA)?;
        let column = batch.columns().first().cloned();
        column.ok_or_else(|| Error::internal("a take without a column"))
    }

    /// Rows in the order given; one may be asked for more than once.
    pub fn take(&self, rows: &[u64], columns: Columns) -> Result<RecordBatch> {
        self.check(rows)?;
        let spans = &self.snapshot.spans;
        let unmapped = || rows.iter().any(|row| spans.find(*row).is_none());
        if rows.is_empty() || columns.data && unmapped() {
            return rows::take(&self.snapshot, rows, columns);
        }
        let mut taken = Vec::new();
        if columns.id {
            taken.push(self.id_column()?.take(rows)?);
        }
        if columns.data {
            let mut stored = zeros(rows.len() * spans.stride())?;
            self.gather(Form::AsStored, spans.stride()).run(rows, &mut stored);
            taken.push(columns::data(self.snapshot.data_type(), rows.len(), stored.into())?);
        }
        Ok(RecordBatch::try_new(self.schema(columns), taken)?)
    }

    /// The tensors of rows, one after the other; `out` is as long as they are.
    #[inline]
    pub fn read(&self, rows: &[u64], out: &mut [u8]) -> Result<()> {
        if let [row] = rows
            && let Some(span) = self.snapshot.spans.find(*row)
        {
            self.form().copy(span.row(*row), out);
            return Ok(());
        }
        let unmapped = self.gather(self.form(), self.row_bytes).run(rows, out);
        if unmapped.is_empty() {
            return Ok(());
        }
        self.check(rows)?;
        rows::read(&self.snapshot, rows, &unmapped, out)
    }

    /// The tensors of a range of rows, one after the other; `out` is as long as they are.
    pub fn read_range(&self, first: u64, count: u64, mut out: &mut [u8]) -> Result<()> {
        let rows = self.range(first, count)?;
        let mut next = rows.start;
        while next < rows.end {
            let run = self.snapshot.spans.run(next);
            let end = rows.end.min(match &run {
                Run::Mapped(span) => span.rows.end,
                Run::Unmapped(rows) => rows.end,
            });
            let (part, rest) = out.split_at_mut((end - next) as usize * self.row_bytes);
            match run {
                Run::Mapped(span) => self.form().copy(span.bytes(next..end), part),
                Run::Unmapped(_) => self.read_decoded(next..end, part)?,
            }
            (next, out) = (end, rest);
        }
        Ok(())
    }

    /// The tensors of a range of rows as the caller has them, and whether they are the table's own
    /// memory: no copy if one span holds them.
    pub fn tensor(&self, first: u64, count: u64) -> Result<(Buffer, bool)> {
        let rows = self.range(first, count)?;
        if self.form() == Form::AsStored
            && let Some(span) = self.snapshot.spans.find(rows.start)
            && rows.end <= span.rows.end
        {
            return Ok((span.buffer(rows), true));
        }
        let mut copy = zeros(count as usize * self.row_bytes)?;
        self.read_range(first, count, &mut copy)?;
        Ok((copy.into(), false))
    }

    /// Borrowed from the reader, which keeps all ids from the first call on.
    pub fn id(&self, row: u64) -> Result<&str> {
        self.check(&[row])?;
        self.id_column()?.get(row)
    }

    /// The ids of a range of rows: no copy.
    pub fn ids(&self, first: u64, count: u64) -> Result<LargeStringArray> {
        let rows = self.range(first, count)?;
        Ok(self.id_column()?.range(rows))
    }

    /// Tells `found` of each id, in order: its place, the first row that carries it, if any does, and
    /// how many do.
    pub fn find(
        &self,
        ids: &StringArray,
        found: impl FnMut(usize, Option<u64>, u64),
    ) -> Result<()> {
        let column = self.id_column()?;
        let index = self.index.get_or_try_init(|| IdIndex::new(column))?;
        index.find(column, ids, found);
        Ok(())
    }

    /// As `find`, of one id.
    pub fn find_one(&self, id: &str, found: impl FnOnce(usize, Option<u64>, u64)) -> Result<()> {
        let column = self.id_column()?;
        let index = self.index.get_or_try_init(|| IdIndex::new(column))?;
        let row = index.first(column, id);
        found(0, row, index.count(row));
        Ok(())
    }

    pub fn stream(&self, options: &StreamOptions) -> Result<impl RecordBatchReader + use<>> {
        let first = options.first_row;
        let count = options.row_count.unwrap_or(self.rows().saturating_sub(first));
        self.range(first, count)?;
        Ok(stream::Stream::new(self.snapshot.clone(), options, count))
    }

    /// Rows in the order given, as `take` has them; of `options` the range does not count.
    pub fn stream_of(
        &self,
        rows: Vec<u64>,
        options: &StreamOptions,
    ) -> Result<impl RecordBatchReader + use<>> {
        self.check(&rows)?;
        let schema = self.schema(options.columns);
        Ok(ChosenRows {
            reader: self.clone(),
            columns: options.columns,
            schema: match options.fixed_shape_tensor {
                true => self.spec().with_fixed_shape(&schema),
                false => schema,
            },
            rows,
            done: 0,
            batch_rows: options.batch_rows,
        })
    }

    fn id_column(&self) -> Result<&IdColumn> {
        self.ids.get_or_try_init(|| IdColumn::load(&self.snapshot))
    }

    #[inline]
    fn form(&self) -> Form {
        match self.spec().dtype {
            DType::RDS_DTYPE_BOOL => Form::Unpacked,
            _ => Form::AsStored,
        }
    }

    fn gather(&self, form: Form, row_bytes: usize) -> Gather<'_> {
        Gather { spans: &self.snapshot.spans, form, row_bytes, prefetch: self.options.prefetch }
    }

    fn read_decoded(&self, rows: Range<u64>, mut out: &mut [u8]) -> Result<()> {
        let options = StreamOptions {
            columns: Columns::DATA,
            first_row: rows.start,
            row_count: Some(rows.end - rows.start),
            batch_rows: (rows::PART_BYTES / self.row_bytes).max(1),
            fixed_shape_tensor: false,
        };
        let mut first = rows.start;
        for batch in self.stream(&options)? {
            let batch = batch?;
            let part = out.split_at_mut(batch.num_rows() * self.row_bytes);
            rows::copy_values(&batch, self.spec(), |i| Some(first + i as u64), part.0)?;
            (first, out) = (first + batch.num_rows() as u64, part.1);
        }
        Ok(())
    }

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
