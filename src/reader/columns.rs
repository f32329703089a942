//! Columns of a table, and arrays made of what lies in memory.

use std::sync::Arc;

use arrow::array::{ArrayData, ArrayRef, FixedSizeListArray, make_array};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field as ArrowField};
use lance_core::datatypes::Schema;
use lance_table::format::Manifest;

use crate::error::{Error, Result};
use crate::plain::RowLayout;
use crate::reader::gather::Form;
use crate::reader::spans::Spans;
use crate::tensor::{DType, TensorColumn, TensorSpec};

/// A column, as Lance knows it.
pub struct Field {
    pub id: i32,
    pub schema: Arc<Schema>,
    pub arrow: ArrowField,
}

impl Field {
    pub fn of(manifest: &Manifest, name: &str) -> Result<Self> {
        let field = manifest.schema.fields.iter().find(|field| field.name == name);
        let field = field.ok_or_else(|| Error::internal("a checked column is not there"))?;
        let schema = Schema { fields: vec![field.clone()], metadata: Default::default() };
        Ok(Self { id: field.id, schema: Arc::new(schema), arrow: ArrowField::from(field) })
    }

    pub fn data_type(&self) -> &DataType {
        self.arrow.data_type()
    }
}

/// A column of tensors, and where its rows lie plain.
pub struct Column {
    pub name: String,
    /// For C, which borrows it.
    pub name_with_nul: String,
    pub spec: TensorSpec,
    /// Bytes of a row in the caller's memory.
    pub row_bytes: usize,
    pub form: Form,
    pub field: Field,
    pub spans: Spans,
}

impl Column {
    /// None of its rows is found yet.
    pub fn new(manifest: &Manifest, tensor: TensorColumn) -> Result<Self> {
        let TensorColumn { name, spec } = tensor;
        Ok(Self {
            row_bytes: spec.row_bytes(),
            form: match spec.dtype {
                DType::RDS_DTYPE_BOOL => Form::Unpacked,
                _ => Form::AsStored,
            },
            field: Field::of(manifest, &name)?,
            name_with_nul: format!("{name}\0"),
            name,
            spec,
            spans: Spans::default(),
        })
    }

    /// How rows lie in plain pages; none, if those of the column cannot.
    pub fn layout(&self) -> Option<RowLayout> {
        let is_list = matches!(self.field.data_type(), DataType::FixedSizeList(..));
        RowLayout::new(&self.spec).filter(|_| is_list)
    }

    /// `rows` rows over their bytes as they are stored: no copy.
    pub fn array(&self, rows: usize, stored: Buffer) -> Result<ArrayRef> {
        let DataType::FixedSizeList(item, length) = self.field.data_type() else {
            return Err(Error::internal("a mapped column is no fixed-size list"));
        };
        let numbers = rows * usize::try_from(*length).unwrap_or(0);
        let values = ArrayData::builder(item.data_type().clone()).len(numbers).add_buffer(stored);
        let values = make_array(values.build()?);
        Ok(Arc::new(FixedSizeListArray::try_new(item.clone(), *length, values, None)?))
    }
}

/// A choice of columns: ids, and tensors by their numbers, in that order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    pub id: bool,
    pub tensors: Vec<usize>,
}

impl Columns {
    pub fn tensor(number: usize) -> Self {
        Self { id: false, tensors: vec![number] }
    }
}
