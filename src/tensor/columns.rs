//! Which columns of a table or a batch are tensors, and what the schema metadata says of them.
//!
//! A table whose only tensor is called `data` has the keys `tensor_shape` and `tensor_dtype`. Any other table that
//! librds writes has a key for each tensor, its name, with both in a JSON object. These are the formats of Hyrax up
//! to 0.12, and from 0.13 on, which parses every key: so there is no other. In tables of others a tensor is what has
//! the type of one.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, Schema};
use serde::Deserialize;

use super::{DATA_COLUMN, DType, ID_COLUMN, TensorSpec, dtype_names, missing_column, type_name};
use crate::error::{Error, Result};

/// The shape as a JSON list, `[2, 3]`; `[]` for a scalar.
const SHAPE_KEY: &str = "tensor_shape";
/// The NumPy name of the dtype, `float32`.
const DTYPE_KEY: &str = "tensor_dtype";

/// A column of tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorColumn {
    pub name: String,
    pub spec: TensorSpec,
}

impl TensorColumn {
    pub fn new(name: &str, spec: TensorSpec) -> Self {
        Self { name: name.to_string(), spec }
    }

    pub fn named(&self) -> (&str, &TensorSpec) {
        (&self.name, &self.spec)
    }
}

/// How a table says which columns are tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One, called `data`.
    Data,
    /// Each by its name.
    Named,
    /// Not at all.
    Types,
}

/// The columns of a table, in its order.
#[derive(Clone, Debug)]
pub struct TableColumns {
    pub form: Form,
    pub tensors: Vec<TensorColumn>,
    /// The column of ids, if there is one.
    pub id: Option<String>,
    /// Those that are neither.
    pub others: Vec<String>,
}

impl TableColumns {
    /// `id` names the column of ids; `object_id`, if there is one, without.
    pub fn new(schema: &Schema, id: Option<&str>) -> Result<Self> {
        let id = id_column(schema, id)?;
        let is_id = |name: &str| id.as_deref() == Some(name);
        let metadata = schema.metadata();
        let (form, tensors) = if let Some(data) = lone(metadata)? {
            let field = schema.field_with_name(DATA_COLUMN);
            let field = field.map_err(|_| missing_column(DATA_COLUMN, schema))?;
            data.check_storage(field)?;
            (Form::Data, vec![TensorColumn::new(DATA_COLUMN, data)])
        } else {
            let fields = || schema.fields().iter().filter(|field| !is_id(field.name()));
            let named = fields().map(|field| named(metadata, field).transpose());
            let named = named.flatten().collect::<Result<Vec<_>>>()?;
            if named.is_empty() {
                // What cannot be read as a tensor is left out like what is none.
                let typed = fields().filter_map(|field| typed(field).ok().flatten());
                (Form::Types, typed.collect())
            } else {
                (Form::Named, named)
            }
        };
        let is_tensor = |name: &str| tensors.iter().any(|tensor| tensor.name == name);
        let names = schema.fields().iter().map(|field| field.name());
        let others: Vec<String> =
            names.filter(|name| !is_id(name) && !is_tensor(name)).cloned().collect();
        if tensors.is_empty() {
            return Err(Error::schema_mismatch(format!(
                "the table has no tensors: {others:?} are neither numbers nor fixed-size lists of numbers"
            )));
        }
        Ok(Self { form, tensors, id, others })
    }
}

/// Ids are strings of any layout, or integers.
fn id_column(schema: &Schema, wanted: Option<&str>) -> Result<Option<String>> {
    let name = wanted.unwrap_or(ID_COLUMN);
    let Ok(field) = schema.field_with_name(name) else {
        return wanted.map_or(Ok(None), |name| Err(missing_column(name, schema)));
    };
    if field.data_type().is_string() || field.data_type().is_integer() {
        return Ok(Some(name.to_string()));
    }
    match wanted {
        None => Ok(None),
        Some(name) => Err(Error::schema_mismatch(format!(
            "column \"{name}\": expected strings or integers for ids, got {}",
            type_name(field.data_type())
        ))),
    }
}

/// The tensors of a batch that arrives as Arrow, in its order: as its metadata says, else as their types. Every
/// column but `object_id` is one.
pub fn of_batch(schema: &Schema) -> Result<Vec<TensorColumn>> {
    schema.field_with_name(ID_COLUMN).map_err(|_| missing_column(ID_COLUMN, schema))?;
    let lone = lone(schema.metadata())?;
    let mut tensors: Vec<TensorColumn> = Vec::new();
    let mut ids = 0;
    for field in schema.fields() {
        if field.name() == ID_COLUMN {
            ids += 1;
            continue;
        }
        let tensor = match &lone {
            Some(spec) if field.name() == DATA_COLUMN => {
                spec.check_storage(field)?;
                Some(TensorColumn::new(DATA_COLUMN, spec.clone()))
            }
            _ => match named(schema.metadata(), field)? {
                None => typed(field)?,
                named => named,
            },
        };
        let tensor = tensor.ok_or_else(|| no_tensor(field))?;
        if tensors.iter().any(|other| other.name == tensor.name) {
            return Err(occurs_twice(&tensor.name));
        }
        tensors.push(tensor);
    }
    match (ids, tensors.is_empty()) {
        (1, false) => Ok(tensors),
        (1, true) => Err(Error::schema_mismatch("the batch has ids and no tensors")),
        _ => Err(occurs_twice(ID_COLUMN)),
    }
}

pub fn occurs_twice(name: &str) -> Error {
    Error::schema_mismatch(format!("column \"{name}\" occurs twice"))
}

fn no_tensor(field: &Field) -> Error {
    Error::schema_mismatch(format!(
        "column \"{}\": expected a fixed-size list of numbers, or numbers, got {}; {}",
        field.name(),
        type_name(field.data_type()),
        dtype_names()
    ))
}

/// What the metadata says of a lone `data`. A column may be called `tensor_shape`: then the value is an object.
fn lone(metadata: &HashMap<String, String>) -> Result<Option<TensorSpec>> {
    let (Some(shape), Some(dtype)) = (metadata.get(SHAPE_KEY), metadata.get(DTYPE_KEY)) else {
        return Ok(None);
    };
    if shape.trim_start().starts_with('{') {
        return Ok(None);
    }
    let dims: Vec<i64> = serde_json::from_str(shape).map_err(|_| {
        Error::schema_mismatch(format!(
            "{SHAPE_KEY} is {shape:?}; a JSON list of integers was expected, like \"[2, 3]\""
        ))
    })?;
    said(&dims, dtype).map(Some)
}

fn said(dims: &[i64], dtype: &str) -> Result<TensorSpec> {
    let dtype = DType::from_name(dtype).ok_or_else(|| {
        Error::not_supported(format!("{DTYPE_KEY} is {dtype:?}: {}", dtype_names()))
    })?;
    let spec = TensorSpec::new(dtype, dims);
    spec.map_err(|e| Error::schema_mismatch(&e.message).context(SHAPE_KEY))
}

/// What the metadata says of a column by its name. Keys of others are not ours.
fn named(metadata: &HashMap<String, String>, field: &Field) -> Result<Option<TensorColumn>> {
    #[derive(Deserialize)]
    struct Said {
        tensor_shape: Vec<i64>,
        tensor_dtype: String,
    }
    let of = |error: Error| error.context(format!("column \"{}\"", field.name()));
    let Some(text) = metadata.get(field.name()) else { return Ok(None) };
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return Ok(None) };
    if value.get(SHAPE_KEY).is_none() && value.get(DTYPE_KEY).is_none() {
        return Ok(None);
    }
    let value: Said = serde_json::from_value(value).map_err(|error| {
        of(Error::schema_mismatch(format!(
            "its metadata is {text:?}, which says no tensor: {error}"
        )))
    })?;
    let spec = said(&value.tensor_shape, &value.tensor_dtype).map_err(of)?;
    spec.check_storage(field)?;
    Ok(Some(TensorColumn::new(field.name(), spec)))
}

fn typed(field: &Field) -> Result<Option<TensorColumn>> {
    let of = |error: Error| error.context(format!("column \"{}\"", field.name()));
    let spec = TensorSpec::from_field(field).map_err(of)?;
    Ok(spec.map(|spec| TensorColumn::new(field.name(), spec)))
}

/// The schema of a table that librds writes.
pub fn schema<'a>(tensors: impl Iterator<Item = (&'a str, &'a TensorSpec)>) -> Schema {
    let tensors: Vec<_> = tensors.collect();
    let metadata = match tensors.as_slice() {
        [(DATA_COLUMN, spec)] => HashMap::from([
            (SHAPE_KEY.to_string(), spec.shape_json()),
            (DTYPE_KEY.to_string(), spec.dtype.name().to_string()),
        ]),
        named => named.iter().map(|(name, spec)| (name.to_string(), spec.json())).collect(),
    };
    // To compress ids takes as long as to write all the rest of a table of narrow rows, and to load them longer.
    let plain = HashMap::from([("lance-encoding:compression".to_string(), "none".to_string())]);
    let id = Field::new(ID_COLUMN, DataType::Utf8, true).with_metadata(plain);
    let fields = tensors.iter().map(|(name, spec)| spec.field(name));
    Schema::new_with_metadata([id].into_iter().chain(fields).collect::<Vec<_>>(), metadata)
}

impl TensorSpec {
    /// As Python's `json.dumps` writes it.
    fn json(&self) -> String {
        let (shape, dtype) = (self.shape_json(), self.dtype.name());
        format!("{{\"{SHAPE_KEY}\": {shape}, \"{DTYPE_KEY}\": \"{dtype}\"}}")
    }
}

/// Whether Lance can store a column of that name beside ids.
pub fn check_name(name: &str) -> Result<()> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name == ID_COLUMN {
        "that is the column of ids"
    } else if name.contains(['.', '`']) {
        "Lance does not store names with a dot or a backtick"
    } else if name.contains('\0') {
        "it has a NUL character"
    } else if lance_core::is_system_column(name) {
        "Lance has a column of its own that is called so"
    } else {
        return Ok(());
    };
    Err(Error::invalid_argument(format!("a tensor cannot be called {name:?}: {why}")))
}
