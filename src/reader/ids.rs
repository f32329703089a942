//! The ids of a table: loaded whole on first use, and indexed on the first look-up. A later version keeps what it
//! shares with an earlier one.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{
    Array, ArrayRef, AsArray, GenericStringArray, LargeStringArray, OffsetSizeTrait, StringArray,
    UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, concat, interleave, take};
use arrow::datatypes::DataType;

use crate::error::{Error, Result};
use crate::process::ProcessOnce;
use crate::reader::id_index::IdIndex;
use crate::reader::snapshot::Snapshot;

/// Ids are decoded in parts of so many rows, and several parts at once: what is decoded and not yet put with the
/// others is memory that nobody keeps.
const ROWS_AT_ONCE: u64 = 1 << 16;

/// The ids of all rows, in parts that follow each other: of a version that was opened one, of those that rows were
/// added to a few.
pub struct Ids {
    parts: Vec<Arc<Part>>,
}

struct Part {
    rows: Range<u64>,
    column: ProcessOnce<IdColumn>,
    index: ProcessOnce<IdIndex>,
}

impl Part {
    fn new(rows: Range<u64>) -> Arc<Self> {
        Arc::new(Self { rows, column: ProcessOnce::new(), index: ProcessOnce::new() })
    }

    fn len(&self) -> u64 {
        self.rows.end - self.rows.start
    }

    fn column(&self, snapshot: &Snapshot) -> Result<&IdColumn> {
        if let Some(column) = self.column.get() {
            return Ok(column);
        }
        let (mut wait, load) = (snapshot.wait(), || IdColumn::load(snapshot, self.rows.clone()));
        self.column.get_or_init_unless(load, || wait.for_another())
    }

    fn index(&self, snapshot: &Snapshot) -> Result<(&IdColumn, &IdIndex)> {
        let column = self.column(snapshot)?;
        if let Some(index) = self.index.get() {
            return Ok((column, index));
        }
        let (mut wait, make) = (snapshot.wait(), || IdIndex::new(column, &mut snapshot.wait()));
        Ok((column, self.index.get_or_init_unless(make, || wait.for_another())?))
    }
}

impl Ids {
    pub fn new(rows: u64) -> Self {
        Self { parts: vec![Part::new(0..rows)] }
    }

    /// Those of a later version of so many rows, of which the first `shared` are the same. A part that is not larger
    /// than what follows it is loaded anew with that: so parts stay few, and an id is loaded again seldom.
    pub fn later(&self, shared: u64, rows: u64) -> Self {
        let kept = self.parts.iter();
        let kept = kept.take_while(|part| part.rows.end <= shared && part.column.get().is_some());
        let mut parts: Vec<_> = kept.cloned().collect();
        while parts.last().is_some_and(|last| last.len() <= rows - last.rows.end) {
            parts.pop();
        }
        let known = parts.last().map_or(0, |last| last.rows.end);
        if known < rows || parts.is_empty() {
            parts.push(Part::new(known..rows));
        }
        Self { parts }
    }

    /// The part that has a row, which the table has.
    fn part(&self, row: u64) -> Result<&Part> {
        let after = self.parts.partition_point(|part| part.rows.start <= row);
        let part = self.parts.get(after.saturating_sub(1));
        part.map(AsRef::as_ref).ok_or_else(|| Error::internal("a row without a part"))
    }

    pub fn get(&self, snapshot: &Snapshot, row: u64) -> Result<&str> {
        let part = self.part(row)?;
        let id = part.column(snapshot)?.at(row - part.rows.start);
        id.ok_or_else(|| Error::not_supported(format!("the id of row {row} is null")))
    }

    /// The ids of a range of rows: no copy of those of one part.
    pub fn range(&self, snapshot: &Snapshot, rows: Range<u64>) -> Result<LargeStringArray> {
        let mut ids = Vec::new();
        for part in &self.parts {
            let (start, end) = (rows.start.max(part.rows.start), rows.end.min(part.rows.end));
            // Of no rows too, the ids are those of a part.
            if start < end || start == end && ids.is_empty() {
                let column = part.column(snapshot)?;
                let first = (start - part.rows.start) as usize;
                ids.push(column.ids.slice(first, (end - start) as usize));
            }
        }
        if let [one] = ids.as_slice() {
            return Ok(one.clone());
        }
        let parts: Vec<&dyn Array> = ids.iter().map(|ids| ids as &dyn Array).collect();
        Ok(concat(&parts)?.as_string::<i64>().clone())
    }

    /// The ids of rows, of the type that the table has.
    pub fn take(&self, snapshot: &Snapshot, rows: &[u64]) -> Result<ArrayRef> {
        let columns = self.parts.iter().map(|part| part.column(snapshot));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let taken = match columns.as_slice() {
            [one] => take(&one.ids, &UInt64Array::from(rows.to_vec()), None)?,
            _ => {
                let arrays: Vec<&dyn Array> =
                    columns.iter().map(|column| &column.ids as &dyn Array).collect();
                let place = |row: &u64| {
                    let part = self.parts.partition_point(|part| part.rows.start <= *row) - 1;
                    let first = self.parts.get(part).map_or(0, |part| part.rows.start);
                    (part, (row - first) as usize)
                };
                interleave(&arrays, &rows.iter().map(place).collect::<Vec<_>>())?
            }
        };
        Ok(cast(&taken, snapshot.id()?.data_type())?)
    }

    /// Tells `found` of each id, in order: its place, the first row that carries it, if any does, and
    /// how many do.
    pub fn find(
        &self,
        snapshot: &Snapshot,
        ids: &StringArray,
        mut found: impl FnMut(usize, Option<u64>, u64),
    ) -> Result<()> {
        if let [part] = self.parts.as_slice() {
            let (column, index) = part.index(snapshot)?;
            index.find(column, ids, found);
            return Ok(());
        }
        let mut all = vec![(None, 0); ids.len()];
        for part in &self.parts {
            let (column, index) = part.index(snapshot)?;
            index.find(column, ids, |i, row, count| {
                if let Some((first, counted)) = all.get_mut(i) {
                    *first = first.or(row.map(|row| part.rows.start + row));
                    *counted += count;
                }
            });
        }
        all.into_iter().enumerate().for_each(|(i, (row, count))| found(i, row, count));
        Ok(())
    }

    /// As `find`, of one id.
    #[inline]
    pub fn find_one(&self, snapshot: &Snapshot, id: &str) -> Result<(Option<u64>, u64)> {
        let (mut first, mut count) = (None, 0);
        for part in &self.parts {
            let (column, index) = part.index(snapshot)?;
            let row = index.first(column, id);
            first = first.or(row.map(|row| part.rows.start + row));
            count += index.count(row);
        }
        Ok((first, count))
    }

    /// All rows that carry an id, in order.
    pub fn rows_of(&self, snapshot: &Snapshot, id: &str) -> Result<Vec<u64>> {
        let mut rows = Vec::new();
        for part in &self.parts {
            let (column, index) = part.index(snapshot)?;
            let of_part = index.rows(index.first(column, id));
            rows.extend(of_part.into_iter().map(|row| part.rows.start + row));
        }
        Ok(rows)
    }
}

/// The id of each row of a part, in row order.
pub struct IdColumn {
    ids: LargeStringArray,
}

impl IdColumn {
    fn load(snapshot: &Snapshot, rows: Range<u64>) -> Result<Self> {
        let field = snapshot.id()?;
        let mut ids = Growing::new(rows.end - rows.start)?;
        let mut wait = snapshot.wait();
        for first in rows.clone().step_by(ROWS_AT_ONCE as usize) {
            let rows = first..rows.end.min(first + ROWS_AT_ONCE);
            for part in snapshot.parts(field, rows, &mut wait)? {
                ids.append(&part)?;
            }
        }
        Ok(Self { ids: ids.finish()? })
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    #[inline]
    pub fn at(&self, row: u64) -> Option<&str> {
        let row = usize::try_from(row).ok().filter(|row| *row < self.ids.len())?;
        self.ids.is_valid(row).then(|| self.ids.value(row))
    }
}

/// Ids that are put together: 64-bit offsets, because those of a large table may be more than 2 GiB.
struct Growing {
    offsets: Vec<i64>,
    bytes: Vec<u8>,
    nulls: NullBufferBuilder,
}

impl Growing {
    fn new(rows: u64) -> Result<Self> {
        let mut offsets = Vec::new();
        let length = usize::try_from(rows).ok().and_then(|rows| rows.checked_add(1));
        let reserved = length.is_some_and(|length| offsets.try_reserve_exact(length).is_ok());
        if !reserved {
            return Err(Error::io(format!("there is no memory for the ids of {rows} rows")));
        }
        offsets.push(0);
        Ok(Self { offsets, bytes: Vec::new(), nulls: NullBufferBuilder::new(0) })
    }

    fn append(&mut self, part: &ArrayRef) -> Result<()> {
        match part.data_type() {
            DataType::Utf8 => self.append_strings(part.as_string::<i32>()),
            DataType::LargeUtf8 => self.append_strings(part.as_string::<i64>()),
            _ => self.append_strings(cast(part, &DataType::LargeUtf8)?.as_string::<i64>()),
        }
    }

    fn append_strings<O: OffsetSizeTrait>(&mut self, part: &GenericStringArray<O>) -> Result<()> {
        let (first, last) = match part.value_offsets() {
            [first, .., last] => (first.as_usize(), last.as_usize()),
            _ => return Ok(()),
        };
        let bytes = part.value_data().get(first..last).unwrap_or_default();
        let reserved = self.bytes.try_reserve(bytes.len());
        reserved.map_err(|_| Error::io("there is no memory for the ids"))?;
        let end = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        let later = part.value_offsets().iter().skip(1);
        self.offsets.extend(later.map(|offset| (end + offset.as_usize() - first) as i64));
        match part.nulls() {
            Some(nulls) => self.nulls.append_buffer(nulls),
            None => self.nulls.append_n_non_nulls(part.len()),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<LargeStringArray> {
        let offsets = OffsetBuffer::new(self.offsets.into());
        Ok(LargeStringArray::try_new(offsets, self.bytes.into(), self.nulls.finish())?)
    }
}
