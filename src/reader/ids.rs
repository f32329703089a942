//! The ids of a table: loaded whole on first use, and indexed on the first look-up.

use std::hash::BuildHasher;

use arrow::array::{Array, ArrayRef, AsArray, LargeStringArray};
use arrow::compute::{cast, concat};
use arrow::datatypes::DataType;
use futures::TryStreamExt;
use hashbrown::{DefaultHashBuilder, HashTable};

use crate::error::{Error, Result};
use crate::reader::snapshot::{Snapshot, lance};
use crate::tensor::ID_COLUMN;

/// The id of each row, in row order.
pub struct IdColumn {
    ids: LargeStringArray,
}

impl IdColumn {
    pub fn load(snapshot: &Snapshot, rows: u64) -> Result<Self> {
        let dataset = snapshot.dataset()?;
        let batches = lance(async move {
            let mut scanner = dataset.scan();
            scanner.project(&[ID_COLUMN])?.scan_in_order(true);
            scanner.try_into_stream().await?.try_collect::<Vec<_>>().await
        })?;
        // 64-bit offsets: the ids of a large table may be more than 2 GiB.
        let columns = batches.iter().flat_map(|batch| batch.columns());
        let columns = columns.map(|column| Ok(cast(column, &DataType::LargeUtf8)?));
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        let columns: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
        let ids = match columns.as_slice() {
            [] => LargeStringArray::new_null(0),
            columns => concat(columns)?.as_string::<i64>().clone(),
        };
        if ids.len() as u64 != rows {
            return Err(Error::corrupt(format!(
                "column \"{ID_COLUMN}\" has {} values for {rows} rows",
                ids.len()
            )));
        }
        Ok(Self { ids })
    }

    pub fn get(&self, row: u64) -> Result<&str> {
        self.at(row).ok_or_else(|| Error::not_supported(format!("the id of row {row} is null")))
    }

    fn at(&self, row: u64) -> Option<&str> {
        let row = usize::try_from(row).ok().filter(|row| *row < self.ids.len())?;
        self.ids.is_valid(row).then(|| self.ids.value(row))
    }
}

/// From an id to the rows that carry it. The ids themselves stay in the column.
pub struct IdIndex {
    hasher: DefaultHashBuilder,
    /// The first row of each id.
    first: HashTable<u64>,
    /// How many rows carry the id of a first row, where it is more than one.
    repeated: std::collections::HashMap<u64, u64>,
}

impl IdIndex {
    pub fn new(column: &IdColumn) -> Self {
        let mut index = Self {
            hasher: DefaultHashBuilder::default(),
            first: HashTable::with_capacity(column.ids.len()),
            repeated: Default::default(),
        };
        for (row, id) in (0_u64..).zip(column.ids.iter()) {
            if let Some(id) = id {
                index.insert(column, row, id);
            }
        }
        index
    }

    fn insert(&mut self, column: &IdColumn, row: u64, id: &str) {
        let hasher = &self.hasher;
        let entry = self.first.entry(
            hasher.hash_one(id),
            |other| column.at(*other) == Some(id),
            |other| hasher.hash_one(column.at(*other).unwrap_or_default()),
        );
        match entry {
            hashbrown::hash_table::Entry::Vacant(vacant) => {
                vacant.insert(row);
            }
            hashbrown::hash_table::Entry::Occupied(first) => {
                *self.repeated.entry(*first.get()).or_insert(1) += 1;
            }
        }
    }

    /// The first row with the id, and how many there are.
    pub fn find(&self, column: &IdColumn, id: &str) -> (Option<u64>, u64) {
        let same = |row: &u64| column.at(*row) == Some(id);
        match self.first.find(self.hasher.hash_one(id), same) {
            None => (None, 0),
            Some(row) => (Some(*row), self.repeated.get(row).copied().unwrap_or(1)),
        }
    }
}
