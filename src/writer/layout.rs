//! The tensor columns of a table that is written, and which batches fit them.

use std::collections::HashSet;

use arrow::datatypes::{DataType, Schema};

use crate::error::{Error, Result};
use crate::plain::RowLayout;
use crate::tensor::{ID_COLUMN, TableColumns, TensorColumn, TensorSpec, check_name, occurs_twice};

/// A tensor column, and how its rows wait: as they lie in a plain page, or as in memory of the caller where
/// a row does not fill its last byte.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: String,
    pub spec: TensorSpec,
    pub plain: Option<RowLayout>,
    /// Bytes from one row to the next.
    pub stride: usize,
}

impl Column {
    pub fn new(name: &str, spec: TensorSpec) -> Self {
        let plain = RowLayout::new(&spec);
        let stride = plain.map_or(spec.row_bytes(), |layout| layout.stride);
        Self { name: name.to_string(), spec, plain, stride }
    }

    /// That files from version 2.1 on can have such rows: Lance has a page for all others.
    pub fn check_bits(&self) -> Result<()> {
        let bits = self.spec.elements;
        match self.plain.is_none() && bits > MOST_BITS {
            false => Ok(()),
            true => Err(Error::invalid_argument(format!(
                "column \"{}\": a row has {bits} booleans, which do not fill its last byte, and of such rows Lance \
                 stores at most {MOST_BITS}; make them {}, or write uint8",
                self.name,
                bits.next_multiple_of(8)
            ))),
        }
    }
}

/// Sixteen rows are to take less than what Lance allows a mini-block, `MAX_MINIBLOCK_BYTES`.
const MOST_BITS: usize = 4092;

/// The tensor columns of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    pub columns: Vec<Column>,
}

impl Layout {
    /// Of a table to be made; its columns come in this order.
    pub fn new<'a>(tensors: impl Iterator<Item = (&'a str, &'a TensorSpec)>) -> Result<Self> {
        let column = |(name, spec): (&str, &TensorSpec)| {
            check_name(name).map(|()| Column::new(name, spec.clone()))
        };
        let columns = tensors.map(column).collect::<Result<Vec<_>>>()?;
        columns.iter().try_for_each(Column::check_bits)?;
        let mut names = HashSet::new();
        match columns.iter().find(|column| !names.insert(column.name.as_str())) {
            None => Ok(Self { columns }),
            Some(column) => Err(occurs_twice(&column.name)),
        }
    }

    /// Of a table that exists, perhaps made by others.
    pub fn of_table(schema: &Schema) -> Result<Self> {
        let table = TableColumns::new(schema, Some(ID_COLUMN))?;
        let refused = |name: &str, why: &str| {
            let name = format!("column \"{name}\" of the table");
            Err(Error::schema_mismatch(format!("{name}: {why}; only ids and tensors are written")))
        };
        if let Some(other) = table.others.first() {
            return refused(other, "it is neither of ids nor of tensors");
        }
        if !schema.field_with_name(ID_COLUMN)?.data_type().is_string() {
            return refused(ID_COLUMN, "the ids are no strings");
        }
        for tensor in &table.tensors {
            let field = schema.field_with_name(&tensor.name)?;
            if !matches!(field.data_type(), DataType::FixedSizeList(..)) {
                return refused(&tensor.name, "its numbers are no fixed-size lists");
            }
        }
        let column = |tensor: TensorColumn| Column::new(&tensor.name, tensor.spec);
        Ok(Self { columns: table.tensors.into_iter().map(column).collect() })
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// That these are the tensors of the table, in any order.
    pub fn check<'a>(
        &self,
        tensors: impl Iterator<Item = (&'a str, &'a TensorSpec)> + Clone,
    ) -> Result<()> {
        // Most batches have them in the same order.
        let mut given = tensors.clone();
        let is = |own: &Column| {
            given.next().is_some_and(|(name, spec)| own.name == name && own.spec == *spec)
        };
        if self.columns.iter().all(is) && given.next().is_none() {
            return Ok(());
        }
        let mut missing: Vec<&str> =
            self.columns.iter().map(|column| column.name.as_str()).collect();
        for (name, spec) in tensors {
            let Some(own) = self.column(name) else {
                return Err(Error::schema_mismatch(format!(
                    "column \"{name}\" is none of the table's, which are {}",
                    self.names()
                )));
            };
            let before = missing.len();
            missing.retain(|missing| *missing != name);
            if missing.len() == before {
                return Err(occurs_twice(name));
            }
            if own.spec != *spec {
                return Err(Error::schema_mismatch(format!(
                    "column \"{name}\": expected rows of {}, got {spec}",
                    own.spec
                )));
            }
        }
        match missing.first() {
            None => Ok(()),
            Some(name) => Err(Error::schema_mismatch(format!(
                "column \"{name}\" is missing; those of the table are {}",
                self.names()
            ))),
        }
    }

    /// What is of each column, from that of a layout with the same columns in some order.
    pub fn of_other<T: Clone>(&self, other: &Self, columns: &[T]) -> Result<Vec<T>> {
        let of = |column: &Column| {
            let place = other.columns.iter().position(|other| other.name == column.name);
            place.and_then(|place| columns.get(place)).cloned()
        };
        let found: Option<Vec<T>> = self.columns.iter().map(of).collect();
        found.ok_or_else(|| Error::internal("a batch without a column of its layout"))
    }

    fn names(&self) -> String {
        let names = self.columns.iter().map(|column| format!("\"{}\"", column.name));
        names.collect::<Vec<_>>().join(", ")
    }

    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorSpec)> + Clone {
        self.columns.iter().map(|column| (column.name.as_str(), &column.spec))
    }

    /// Bytes of the tensors of a row, as they are stored.
    pub fn stride(&self) -> usize {
        self.columns.iter().map(|column| column.stride).sum()
    }

    /// The same as in the caller's memory.
    pub fn row_bytes(&self) -> usize {
        self.columns.iter().map(|column| column.spec.row_bytes()).sum()
    }
}
