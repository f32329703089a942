//! A tensor of a row: dtype and shape, and how Arrow stores it. `columns` says which columns of a table are tensors.

#![forbid(unsafe_code)]

mod columns;
mod fixed_shape;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, FixedSizeListArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use crate::error::{Error, Result};

pub use columns::{Form, TableColumns, TensorColumn, check_name, occurs_twice, of_batch, schema};

pub const ID_COLUMN: &str = "object_id";
pub const DATA_COLUMN: &str = "data";

/// The dimensions a row can have: NumPy's own limit.
pub const MAX_NDIM: usize = 64;

const EXTENSION_NAME: &str = "ARROW:extension:name";
const EXTENSION_METADATA: &str = "ARROW:extension:metadata";
const BFLOAT16_EXTENSION: &str = "lance.bfloat16";

/// Type of one tensor element.
///
/// The names are NumPy's. A value is inbound as `uint32_t` and checked.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types)] // the names are the C names
pub enum DType {
    /// One byte in memory, 0 or 1; one bit in the table. A row of more than 4092 is a multiple of 8: Lance has no page
    /// for others.
    RDS_DTYPE_BOOL = 1,
    RDS_DTYPE_INT8 = 2,
    RDS_DTYPE_INT16 = 3,
    RDS_DTYPE_INT32 = 4,
    RDS_DTYPE_INT64 = 5,
    RDS_DTYPE_UINT8 = 6,
    RDS_DTYPE_UINT16 = 7,
    RDS_DTYPE_UINT32 = 8,
    RDS_DTYPE_UINT64 = 9,
    RDS_DTYPE_FLOAT16 = 10,
    RDS_DTYPE_FLOAT32 = 11,
    RDS_DTYPE_FLOAT64 = 12,
    /// The upper half of a float32.
    RDS_DTYPE_BFLOAT16 = 13,
    /// Two float32: real, imaginary.
    RDS_DTYPE_COMPLEX64 = 14,
    /// Two float64: real, imaginary.
    RDS_DTYPE_COMPLEX128 = 15,
    /// int64 since 1970-01-01T00:00:00, in the named unit; likewise the next three.
    RDS_DTYPE_DATETIME64_S = 16,
    RDS_DTYPE_DATETIME64_MS = 17,
    RDS_DTYPE_DATETIME64_US = 18,
    RDS_DTYPE_DATETIME64_NS = 19,
    /// int64, in the named unit; likewise the next three.
    RDS_DTYPE_TIMEDELTA64_S = 20,
    RDS_DTYPE_TIMEDELTA64_MS = 21,
    RDS_DTYPE_TIMEDELTA64_US = 22,
    RDS_DTYPE_TIMEDELTA64_NS = 23,
}

/// One dtype: its NumPy name, NUL-terminated because C borrows it; the bytes of an element in
/// memory; the Arrow type that stores it; how many of those make one element.
struct Row(&'static str, usize, DataType, usize);

macro_rules! dtypes {
    ($($variant:ident, $name:literal, $bytes:literal, $arrow:expr, $parts:literal;)*) => {
        static DTYPES: &[DType] = &[$(DType::$variant),*];

        impl DType {
            fn row(self) -> &'static Row {
                match self {
                    $(DType::$variant => {
                        static ROW: Row = Row(concat!($name, "\0"), $bytes, $arrow, $parts);
                        &ROW
                    })*
                }
            }
        }
    };
}

dtypes! {
    RDS_DTYPE_BOOL, "bool", 1, DataType::Boolean, 1;
    RDS_DTYPE_INT8, "int8", 1, DataType::Int8, 1;
    RDS_DTYPE_INT16, "int16", 2, DataType::Int16, 1;
    RDS_DTYPE_INT32, "int32", 4, DataType::Int32, 1;
    RDS_DTYPE_INT64, "int64", 8, DataType::Int64, 1;
    RDS_DTYPE_UINT8, "uint8", 1, DataType::UInt8, 1;
    RDS_DTYPE_UINT16, "uint16", 2, DataType::UInt16, 1;
    RDS_DTYPE_UINT32, "uint32", 4, DataType::UInt32, 1;
    RDS_DTYPE_UINT64, "uint64", 8, DataType::UInt64, 1;
    RDS_DTYPE_FLOAT16, "float16", 2, DataType::Float16, 1;
    RDS_DTYPE_FLOAT32, "float32", 4, DataType::Float32, 1;
    RDS_DTYPE_FLOAT64, "float64", 8, DataType::Float64, 1;
    RDS_DTYPE_BFLOAT16, "bfloat16", 2, DataType::FixedSizeBinary(2), 1;
    RDS_DTYPE_COMPLEX64, "complex64", 8, DataType::Float32, 2;
    RDS_DTYPE_COMPLEX128, "complex128", 16, DataType::Float64, 2;
    RDS_DTYPE_DATETIME64_S, "datetime64[s]", 8, DataType::Timestamp(TimeUnit::Second, None), 1;
    RDS_DTYPE_DATETIME64_MS, "datetime64[ms]", 8, DataType::Timestamp(TimeUnit::Millisecond, None), 1;
    RDS_DTYPE_DATETIME64_US, "datetime64[us]", 8, DataType::Timestamp(TimeUnit::Microsecond, None), 1;
    RDS_DTYPE_DATETIME64_NS, "datetime64[ns]", 8, DataType::Timestamp(TimeUnit::Nanosecond, None), 1;
    RDS_DTYPE_TIMEDELTA64_S, "timedelta64[s]", 8, DataType::Duration(TimeUnit::Second), 1;
    RDS_DTYPE_TIMEDELTA64_MS, "timedelta64[ms]", 8, DataType::Duration(TimeUnit::Millisecond), 1;
    RDS_DTYPE_TIMEDELTA64_US, "timedelta64[us]", 8, DataType::Duration(TimeUnit::Microsecond), 1;
    RDS_DTYPE_TIMEDELTA64_NS, "timedelta64[ns]", 8, DataType::Duration(TimeUnit::Nanosecond), 1;
}

impl DType {
    pub fn all() -> impl Iterator<Item = DType> {
        DTYPES.iter().copied()
    }

    pub fn from_number(number: u32) -> Option<DType> {
        DType::all().find(|dtype| *dtype as u32 == number)
    }

    pub fn from_name(name: &str) -> Option<DType> {
        DType::all().find(|dtype| dtype.name() == name)
    }

    pub fn name(self) -> &'static str {
        self.name_with_nul().trim_end_matches('\0')
    }

    pub fn name_with_nul(self) -> &'static str {
        self.row().0
    }

    /// Bytes of one element in the caller's memory.
    pub fn bytes(self) -> usize {
        self.row().1
    }

    /// Bytes of one number within an element, as byte order sees it: 4 in a complex64.
    pub fn word_bytes(self) -> usize {
        self.bytes() / self.parts()
    }

    fn parts(self) -> usize {
        self.row().3
    }

    fn arrow_item(self) -> Field {
        let item = Field::new("item", self.row().2.clone(), true);
        match self {
            DType::RDS_DTYPE_BFLOAT16 => item.with_metadata(HashMap::from([
                (EXTENSION_NAME.to_string(), BFLOAT16_EXTENSION.to_string()),
                // Lance compares the metadata of the field with one that always has this key.
                (EXTENSION_METADATA.to_string(), String::new()),
            ])),
            _ => item,
        }
    }

    /// The dtype whose natural storage `item` is. Complex has none: only metadata can say it.
    fn from_arrow_item(item: &Field) -> Option<DType> {
        DType::all().filter(|dtype| dtype.parts() == 1).find(|dtype| dtype.is_stored_as(item))
    }

    fn is_stored_as(self, item: &Field) -> bool {
        let extension = item.metadata().get(EXTENSION_NAME).map(String::as_str);
        let stored = match item.data_type() {
            // What zone a moment is shown in does not change it.
            DataType::Timestamp(unit, _) => DataType::Timestamp(*unit, None),
            other => other.clone(),
        };
        stored == self.row().2
            && (self == DType::RDS_DTYPE_BFLOAT16) == (extension == Some(BFLOAT16_EXTENSION))
    }
}

/// Shape and dtype of every row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    pub dtype: DType,
    /// Of one row, C order; empty for a scalar.
    pub shape: Vec<i64>,
    /// Elements of one row: the product of the shape, at least 1.
    pub elements: usize,
}

impl TensorSpec {
    /// Refuses what a row cannot be: an empty or negative dimension, too many of them, or more
    /// numbers than an Arrow fixed-size list can hold.
    pub fn new(dtype: DType, shape: &[i64]) -> Result<Self> {
        if shape.len() > MAX_NDIM {
            return Err(Error::invalid_argument(format!(
                "a row has {} dimensions; at most {MAX_NDIM} are possible",
                shape.len()
            )));
        }
        let mut elements = 1_i64;
        for dim in shape {
            if *dim < 1 {
                return Err(Error::invalid_argument(format!(
                    "shape {shape:?} of a row has the dimension {dim}; each must be at least 1"
                )));
            }
            elements = elements.checked_mul(*dim).unwrap_or(i64::MAX);
        }
        let numbers = elements.saturating_mul(dtype.parts() as i64);
        if numbers > i64::from(i32::MAX) {
            return Err(Error::invalid_argument(format!(
                "shape {shape:?} of {} is too large for a row: at most {} numbers fit",
                dtype.name(),
                i32::MAX
            )));
        }
        Ok(Self { dtype, shape: shape.to_vec(), elements: elements as usize })
    }

    /// Bytes of one row in the caller's memory.
    pub fn row_bytes(&self) -> usize {
        self.elements * self.dtype.bytes()
    }

    /// Numbers of one row in the table, and the bits of each: two floats make a complex.
    pub fn stored_numbers(&self) -> (usize, usize) {
        let bits = match self.dtype {
            DType::RDS_DTYPE_BOOL => 1,
            dtype => dtype.word_bytes() * 8,
        };
        (self.elements * self.dtype.parts(), bits)
    }

    /// The type of a column of such tensors.
    pub fn arrow_type(&self) -> DataType {
        let numbers = (self.elements * self.dtype.parts()) as i32;
        DataType::FixedSizeList(Arc::new(self.dtype.arrow_item()), numbers)
    }

    /// A column of a table that librds writes.
    pub fn field(&self, name: &str) -> Field {
        let mut encoding =
            HashMap::from([("lance-encoding:compression".to_string(), "none".to_string())]);
        // Full-zip keeps the rows of a page in one plain buffer, which a reader can map. It takes
        // whole bytes only: a row of bits that does not fill its last byte is left to Lance.
        if self.dtype != DType::RDS_DTYPE_BOOL || self.elements.is_multiple_of(8) {
            encoding.insert("lance-encoding:structural-encoding".into(), "fullzip".into());
        }
        Field::new(name, self.arrow_type(), true).with_metadata(encoding)
    }

    /// Python's way of writing the list, byte for byte: `[2, 3]`.
    fn shape_json(&self) -> String {
        let dims: Vec<String> = self.shape.iter().map(i64::to_string).collect();
        format!("[{}]", dims.join(", "))
    }

    /// What a column is by its type: a list of numbers of fixed size has one dimension, or those that the
    /// extension type `arrow.fixed_shape_tensor` declares; a column of numbers is of scalars. None, if it is no
    /// tensor.
    fn from_field(field: &Field) -> Result<Option<Self>> {
        let DataType::FixedSizeList(item, length) = field.data_type() else {
            return DType::from_arrow_item(field).map(|dtype| Self::new(dtype, &[])).transpose();
        };
        match DType::from_arrow_item(item) {
            Some(dtype) if *length > 0 => {
                let shape = fixed_shape::declared(field)?;
                let shape = shape.unwrap_or_else(|| vec![i64::from(*length)]);
                let spec = Self::new(dtype, &shape)?;
                spec.check_storage(field).map(|()| Some(spec))
            }
            _ => Ok(None),
        }
    }

    fn check_storage(&self, field: &Field) -> Result<()> {
        let expected = self.arrow_type();
        let stored = match (field.data_type(), &expected) {
            (DataType::FixedSizeList(item, n), DataType::FixedSizeList(_, m)) => {
                n == m && self.dtype.is_stored_as(item)
            }
            _ => false,
        };
        if stored {
            return Ok(());
        }
        Err(Error::schema_mismatch(format!(
            "column \"{}\": expected {} for {} {:?}, got {}",
            field.name(),
            type_name(&expected),
            self.dtype.name(),
            self.shape,
            type_name(field.data_type())
        )))
    }
}

impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.dtype.name(), self.shape)
    }
}

/// The first row that is null or has a null in it.
pub fn first_null(list: &FixedSizeListArray) -> Option<usize> {
    let values = list.values();
    let length = list.value_length().max(1) as usize;
    let find = |array: &dyn Array| match array.null_count() {
        0 => None,
        _ => (0..array.len()).find(|i| array.is_null(*i)),
    };
    find(list).or_else(|| find(values).map(|i| i / length))
}

pub fn missing_column(name: &str, schema: &Schema) -> Error {
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    Error::schema_mismatch(format!("no column \"{name}\"; the columns are {names:?}"))
}

/// `fixed_size_list<float32>[512]`, shorter than Arrow's own display.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::FixedSizeList(item, length) => {
            format!("fixed_size_list<{}>[{length}]", type_name(item.data_type()))
        }
        DataType::List(item) => format!("list<{}>", type_name(item.data_type())),
        DataType::LargeList(item) => format!("large_list<{}>", type_name(item.data_type())),
        other => other.to_string().to_lowercase(),
    }
}

pub fn dtype_names() -> String {
    let names: Vec<&str> = DType::all().map(DType::name).collect();
    format!("the dtypes are {}", names.join(", "))
}

#[cfg(test)]
mod tests;
