//! The ids of a table: loaded whole on first use, and indexed on the first look-up.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{
    Array, ArrayRef, AsArray, GenericStringArray, LargeStringArray, OffsetSizeTrait, StringArray,
    UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use hashbrown::DefaultHashBuilder;

use crate::error::{Error, Result};
use crate::reader::snapshot::Snapshot;
use crate::runtime;
use crate::tensor::ID_COLUMN;

/// Ids are decoded in parts of so many rows, and several parts at once: what is decoded and not yet put with the
/// others is memory that nobody keeps.
const ROWS_AT_ONCE: u64 = 1 << 16;

/// The id of each row, in row order.
pub struct IdColumn {
    ids: LargeStringArray,
    /// As the table has it: 32-bit offsets, 64-bit ones, or views.
    data_type: DataType,
}

impl IdColumn {
    pub fn load(snapshot: &Snapshot) -> Result<Self> {
        let rows = snapshot.spans.rows();
        let mut ids = Growing::new(rows)?;
        for first in (0..rows).step_by(ROWS_AT_ONCE as usize) {
            for part in snapshot.parts(ID_COLUMN, first..rows.min(first + ROWS_AT_ONCE))? {
                ids.append(&part)?;
            }
        }
        Ok(Self { ids: ids.finish()?, data_type: snapshot.id_type().clone() })
    }

    pub fn get(&self, row: u64) -> Result<&str> {
        self.at(row).ok_or_else(|| Error::not_supported(format!("the id of row {row} is null")))
    }

    #[inline]
    fn at(&self, row: u64) -> Option<&str> {
        let row = usize::try_from(row).ok().filter(|row| *row < self.ids.len())?;
        self.ids.is_valid(row).then(|| self.ids.value(row))
    }

    /// The ids of a range of rows, which are the table's: no copy.
    pub fn range(&self, rows: Range<u64>) -> LargeStringArray {
        self.ids.slice(rows.start as usize, (rows.end - rows.start) as usize)
    }

    /// The ids of rows, of the type that the table has.
    pub fn take(&self, rows: &[u64]) -> Result<ArrayRef> {
        let rows = UInt64Array::from(rows.to_vec());
        Ok(cast(&take(&self.ids, &rows, None)?, &self.data_type)?)
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

/// From an id to the rows that carry it: a hash table with open addressing. The ids themselves stay in
/// the column. Twelve bytes a row: there are half as many slots again as rows.
pub struct IdIndex {
    hasher: DefaultHashBuilder,
    /// In each slot the low bits of an id's hash above the first row with that id; or `EMPTY`.
    slots: Vec<AtomicU64>,
    /// How many rows carry the id of a first row, where it is more than one.
    repeated: HashMap<u64, u64>,
}

const EMPTY: u64 = u64::MAX;
const ROW_BITS: u32 = 40;
const ROW_MASK: u64 = (1 << ROW_BITS) - 1;
/// Fewer are not worth another thread.
const ROWS_PER_THREAD: u64 = 1 << 16;
/// Ids looked up at once, so that their cache misses overlap.
const BATCH: usize = 32;

/// Where an id is searched for.
#[derive(Clone, Copy, Default)]
struct Probe {
    slot: usize,
    /// The hash as it stands in a slot, above the row.
    tag: u64,
    /// What was in the slot.
    found: u64,
}

impl IdIndex {
    pub fn new(column: &IdColumn) -> Result<Self> {
        let rows = column.ids.len() as u64;
        // The last value would look like an empty slot.
        if rows >= ROW_MASK {
            return Err(Error::not_supported(format!("{rows} ids are too many to be indexed")));
        }
        let length = column.ids.len() + column.ids.len() / 2 + 1;
        let mut slots = Vec::new();
        let reserved = slots.try_reserve_exact(length);
        reserved.map_err(|_| Error::io(format!("there is no memory to index {rows} ids")))?;
        slots.resize_with(length, || AtomicU64::new(EMPTY));
        let mut index =
            Self { hasher: DefaultHashBuilder::default(), slots, repeated: HashMap::new() };
        let parts = runtime::parts(rows as usize, ROWS_PER_THREAD as usize) as u64;
        let part_rows = rows.div_ceil(parts).max(1);
        let parts = (0..rows).step_by(part_rows as usize);
        let parts = parts.map(|start| start..rows.min(start + part_rows)).collect();
        let later = runtime::in_parallel(parts, |part: Range<u64>| {
            part.filter_map(|row| index.insert(column, row)).collect::<Vec<_>>()
        });
        for row in later.into_iter().flatten() {
            let first = column.at(row).and_then(|id| index.first(column, id));
            *index.repeated.entry(first.unwrap_or(row)).or_insert(1) += 1;
        }
        Ok(index)
    }

    fn probe(&self, id: &str) -> Probe {
        let hash = self.hasher.hash_one(id);
        // The high bits choose the slot, without a division; the low ones tell ids apart.
        let slot = (u128::from(hash) * self.slots.len() as u128) >> 64;
        let slot = slot as usize;
        let found = self.slots.get(slot).map_or(EMPTY, |slot| slot.load(Ordering::Relaxed));
        Probe { slot, tag: hash << ROW_BITS, found }
    }

    fn slots_from(&self, slot: usize) -> impl Iterator<Item = &AtomicU64> {
        let (before, after) = self.slots.split_at(slot.min(self.slots.len()));
        after.iter().chain(before)
    }

    /// Gives the row its slot, or the slot of its id to whichever row comes first; returns the one that
    /// got none. Rows without an id have no slot.
    fn insert(&self, column: &IdColumn, row: u64) -> Option<u64> {
        let id = column.at(row)?;
        let probe = self.probe(id);
        let value = probe.tag | row;
        for slot in self.slots_from(probe.slot) {
            let mut found = slot.load(Ordering::Relaxed);
            while found == EMPTY || self.is(column, found, probe, id) {
                // A row beyond any other gives way to every row.
                let other = if found == EMPTY { ROW_MASK } else { found & ROW_MASK };
                if other <= row {
                    return Some(row);
                }
                match slot.compare_exchange(found, value, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(EMPTY) => return None,
                    Ok(_) => return Some(other),
                    Err(changed) => found = changed,
                }
            }
        }
        // There are more slots than rows.
        None
    }

    #[inline]
    fn is(&self, column: &IdColumn, found: u64, probe: Probe, id: &str) -> bool {
        found & !ROW_MASK == probe.tag && column.at(found & ROW_MASK) == Some(id)
    }

    fn at(&self, column: &IdColumn, probe: Probe, id: &str) -> Option<u64> {
        if probe.found == EMPTY || self.is(column, probe.found, probe, id) {
            return (probe.found != EMPTY).then_some(probe.found & ROW_MASK);
        }
        self.slots_from(probe.slot)
            .map(|slot| slot.load(Ordering::Relaxed))
            .take_while(|found| *found != EMPTY)
            .find(|found| self.is(column, *found, probe, id))
            .map(|found| found & ROW_MASK)
    }

    /// The first row that carries an id, if any does.
    pub fn first(&self, column: &IdColumn, id: &str) -> Option<u64> {
        self.at(column, self.probe(id), id)
    }

    /// How many rows carry the id whose first row this is.
    #[inline]
    pub fn count(&self, first: Option<u64>) -> u64 {
        let more = || first.and_then(|row| self.repeated.get(&row).copied());
        let count = if self.repeated.is_empty() { None } else { more() };
        count.unwrap_or(u64::from(first.is_some()))
    }

    /// Tells `found` of each id, in order: its place, the first row that carries it, if any does, and
    /// how many do.
    pub fn find(
        &self,
        column: &IdColumn,
        ids: &StringArray,
        mut found: impl FnMut(usize, Option<u64>, u64),
    ) {
        let mut probes = [Probe::default(); BATCH];
        let id = |i: usize| if i < ids.len() { ids.value(i) } else { "" };
        for start in (0..ids.len()).step_by(BATCH) {
            let places = start..ids.len().min(start + BATCH);
            for (probe, i) in probes.iter_mut().zip(places.clone()) {
                *probe = self.probe(id(i));
            }
            for (probe, i) in probes.iter().zip(places) {
                let row = self.at(column, *probe, id(i));
                found(i, row, self.count(row));
            }
        }
    }
}
