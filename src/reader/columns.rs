//! Columns made of what lies in memory: `data` over the bytes of rows, `object_id` over loaded ids.

use std::sync::Arc;

use arrow::array::{ArrayData, ArrayRef, FixedSizeListArray, make_array};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::tensor::{DATA_COLUMN, ID_COLUMN};

/// A choice of the columns of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    pub id: bool,
    pub data: bool,
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

    fn names(self) -> Vec<&'static str> {
        [(self.id, ID_COLUMN), (self.data, DATA_COLUMN)]
            .into_iter()
            .filter_map(|(chosen, name)| chosen.then_some(name))
            .collect()
    }

    /// The schema of these columns of a table, with its metadata.
    pub fn of(self, schema: &Schema) -> SchemaRef {
        let fields: Vec<_> = self
            .names()
            .into_iter()
            .filter_map(|name| schema.field_with_name(name).ok().cloned())
            .collect();
        Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
    }
}

/// `rows` rows of `data` over their bytes as they are stored: no copy.
pub fn data(data_type: &DataType, rows: usize, stored: Buffer) -> Result<ArrayRef> {
    let DataType::FixedSizeList(item, length) = data_type else {
        return Err(Error::internal(format!("column \"{DATA_COLUMN}\" is {data_type}")));
    };
    let numbers = rows * usize::try_from(*length).unwrap_or(0);
    let values = ArrayData::builder(item.data_type().clone()).len(numbers).add_buffer(stored);
    let values = make_array(values.build()?);
    Ok(Arc::new(FixedSizeListArray::try_new(item.clone(), *length, values, None)?))
}
