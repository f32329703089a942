//! From an id to the rows of a part that carry it.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, StringArray};
use hashbrown::DefaultHashBuilder;

use crate::error::{Error, Result};
use crate::patience::Wait;
use crate::reader::ids::IdColumn;
use crate::runtime;

/// From an id to the rows that carry it: a hash table with open addressing. The ids themselves stay in
/// the column. Twelve bytes a row: there are half as many slots again as rows.
pub struct IdIndex {
    hasher: DefaultHashBuilder,
    /// In each slot the low bits of an id's hash above the first row with that id; or `EMPTY`.
    slots: Vec<AtomicU64>,
    /// The rows that carry the id of a first row, which is among them, where they are more than one; in order.
    repeated: HashMap<u64, Vec<u64>>,
}

const EMPTY: u64 = u64::MAX;
const ROW_BITS: u32 = 40;
const ROW_MASK: u64 = (1 << ROW_BITS) - 1;
/// After so many a caller is asked whether to go on.
const ROWS_INDEXED_AT_ONCE: u64 = 1 << 19;
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
    pub fn new(column: &IdColumn, wait: &mut Wait) -> Result<Self> {
        let rows = column.len() as u64;
        // The last value would look like an empty slot.
        if rows >= ROW_MASK {
            return Err(Error::not_supported(format!("{rows} ids are too many to be indexed")));
        }
        let length = column.len() + column.len() / 2 + 1;
        let mut slots = Vec::new();
        let reserved = slots.try_reserve_exact(length);
        reserved.map_err(|_| Error::io(format!("there is no memory to index {rows} ids")))?;
        slots.resize_with(length, || AtomicU64::new(EMPTY));
        let mut index =
            Self { hasher: DefaultHashBuilder::default(), slots, repeated: HashMap::new() };
        let mut later = Vec::new();
        for start in (0..rows).step_by(ROWS_INDEXED_AT_ONCE as usize) {
            wait.ask_if_due()?;
            let rows = start..rows.min(start + ROWS_INDEXED_AT_ONCE);
            let count = rows.end - rows.start;
            let parts = runtime::parts(count as usize, ROWS_PER_THREAD as usize) as u64;
            let part_rows = count.div_ceil(parts).max(1);
            let parts = rows.clone().step_by(part_rows as usize);
            let parts = parts.map(|start| start..rows.end.min(start + part_rows)).collect();
            later.extend(runtime::in_parallel(parts, |part: Range<u64>| {
                part.filter_map(|row| index.insert(column, row)).collect::<Vec<_>>()
            }));
        }
        for row in later.into_iter().flatten() {
            let first = column.at(row).and_then(|id| index.first(column, id)).unwrap_or(row);
            index.repeated.entry(first).or_insert_with(|| vec![first]).push(row);
        }
        index.repeated.values_mut().for_each(|rows| rows.sort_unstable());
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
        let more = || first.and_then(|row| self.repeated.get(&row)).map(|rows| rows.len() as u64);
        let count = if self.repeated.is_empty() { None } else { more() };
        count.unwrap_or(u64::from(first.is_some()))
    }

    /// The rows that carry the id whose first row this is.
    pub fn rows(&self, first: Option<u64>) -> Vec<u64> {
        let Some(first) = first else { return Vec::new() };
        self.repeated.get(&first).cloned().unwrap_or_else(|| vec![first])
    }

    /// As `Ids::find`, of a part.
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
