//! A batch as the table stores it, made from Arrow or from plain memory, and checked whole.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, MutableArrayData, RecordBatch, StringArray,
    make_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::ids::{self, Ids};
use crate::tensor::{
    DATA_COLUMN, ID_COLUMN, TensorSpec, check_id_column, first_null, missing_column, type_name,
};
use crate::writer::TensorView;
use crate::writer::pool::Pool;

/// Bytes that are not worth a copy.
const SMALL: usize = 4096;

/// The columns of a table, with the spec of its rows.
#[derive(Debug)]
pub struct Layout {
    pub spec: TensorSpec,
    pub schema: SchemaRef,
}

impl Layout {
    /// Of a table that librds makes.
    pub fn new(spec: TensorSpec) -> Result<Self> {
        let schema = Arc::new(spec.schema());
        Ok(Self { spec, schema })
    }

    /// Of a table that exists, perhaps made by others.
    pub fn of_table(schema: SchemaRef) -> Result<Self> {
        check_columns(&schema)?;
        check_id_column(&schema)?;
        let spec = TensorSpec::from_table_schema(&schema)?;
        Ok(Self { spec, schema })
    }

    pub fn check(&self, spec: &TensorSpec) -> Result<()> {
        if *spec == self.spec {
            return Ok(());
        }
        Err(Error::schema_mismatch(format!(
            "expected rows of {} {:?}, got {} {:?}",
            self.spec.dtype.name(),
            self.spec.shape,
            spec.dtype.name(),
            spec.shape
        )))
    }

    /// The columns in the order and the string type of the table.
    fn batch(&self, ids: StringArray, data: ArrayRef) -> Result<RecordBatch> {
        let ids: ArrayRef = Arc::new(ids);
        let strict = CastOptions { safe: false, ..Default::default() };
        let columns = self.schema.fields().iter().map(|field| match field.name().as_str() {
            // Not "safe", which would make a null of what does not convert.
            ID_COLUMN => cast_with_options(&ids, field.data_type(), &strict),
            _ => Ok(data.clone()),
        });
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

/// Both columns are there, and no other.
pub fn check_columns(schema: &Schema) -> Result<()> {
    for name in [ID_COLUMN, DATA_COLUMN] {
        schema.field_with_name(name).map_err(|_| missing_column(name, schema))?;
    }
    let known = |name: &String| name == ID_COLUMN || name == DATA_COLUMN;
    match schema.fields().iter().find(|field| !known(field.name())) {
        Some(other) => Err(Error::schema_mismatch(format!(
            "column \"{}\": a table of results has \"{ID_COLUMN}\" and \"{DATA_COLUMN}\" only",
            other.name()
        ))),
        None if schema.fields().len() > 2 => Err(Error::schema_mismatch("a column occurs twice")),
        None => Ok(()),
    }
}

pub fn from_arrow(layout: &Layout, batch: &RecordBatch) -> Result<RecordBatch> {
    let column =
        |name| batch.column_by_name(name).ok_or_else(|| missing_column(name, batch.schema_ref()));
    let ids = ids::from_arrow(&owned(column(ID_COLUMN)?))?;
    let data = owned(column(DATA_COLUMN)?);
    let list = data.as_fixed_size_list_opt().ok_or_else(|| {
        Error::schema_mismatch(format!(
            "column \"{DATA_COLUMN}\": expected {}, got {}",
            type_name(&layout.spec.arrow_type()),
            type_name(data.data_type())
        ))
    })?;
    refuse_nulls(list)?;
    let field = layout.schema.field_with_name(DATA_COLUMN)?;
    layout.batch(ids, retyped(list, field.data_type())?)
}

pub fn from_memory(
    layout: &Layout,
    ids: &Ids,
    tensors: &TensorView,
    pool: &Arc<Pool>,
) -> Result<RecordBatch> {
    let ids = ids.to_array()?;
    let field = layout.schema.field_with_name(DATA_COLUMN)?;
    layout.batch(ids, tensors.to_array(field.data_type(), pool)?)
}

/// The array, copied if it is a slice of a much larger one, which it would keep in memory as long as it
/// is queued, and which the encoder would take for its size.
fn owned(array: &ArrayRef) -> ArrayRef {
    let data = array.to_data();
    match data.get_slice_memory_size() {
        Ok(bytes) if array.get_array_memory_size() > 2 * bytes + SMALL => {
            let mut copy = MutableArrayData::new(vec![&data], false, data.len());
            copy.extend(0, 0, data.len());
            make_array(copy.freeze())
        }
        _ => array.clone(),
    }
}

fn refuse_nulls(list: &FixedSizeListArray) -> Result<()> {
    match first_null(list) {
        None => Ok(()),
        Some(row) => Err(Error::invalid_argument(format!(
            "column \"{DATA_COLUMN}\": the tensor at index {row} is null or has a null in it"
        ))),
    }
}

/// The same values under the type of the table, which may name or annotate the item differently.
fn retyped(list: &FixedSizeListArray, data_type: &DataType) -> Result<ArrayRef> {
    let data = list.to_data().into_builder().data_type(data_type.clone()).nulls(None).build()?;
    Ok(make_array(data))
}
