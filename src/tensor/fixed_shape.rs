//! The extension type `arrow.fixed_shape_tensor`, which tells the shape of a row.

use arrow::datatypes::Field;

use super::{EXTENSION_METADATA, EXTENSION_NAME, TensorSpec};
use crate::error::{Error, Result};

pub const FIXED_SHAPE_TENSOR: &str = "arrow.fixed_shape_tensor";

impl TensorSpec {
    /// A column of such tensors as the extension type `arrow.fixed_shape_tensor`: of this shape, to which
    /// a complex number adds a dimension of its two floats.
    pub fn with_fixed_shape(&self, field: &Field) -> Field {
        let mut shape = self.shape.clone();
        if self.dtype.parts() != 1 {
            shape.push(self.dtype.parts() as i64);
        }
        let mut metadata = field.metadata().clone();
        metadata.insert(EXTENSION_NAME.into(), FIXED_SHAPE_TENSOR.into());
        let shape = serde_json::json!({ "shape": shape });
        metadata.insert(EXTENSION_METADATA.into(), shape.to_string());
        field.clone().with_metadata(metadata)
    }
}

/// The shape that the `arrow.fixed_shape_tensor` extension declares, if the field has it.
/// Format: the canonical extension types of the Arrow columnar specification.
pub fn declared(data: &Field) -> Result<Option<Vec<i64>>> {
    if data.metadata().get(EXTENSION_NAME).map(String::as_str) != Some(FIXED_SHAPE_TENSOR) {
        return Ok(None);
    }
    #[derive(serde::Deserialize)]
    struct Extension {
        shape: Vec<i64>,
        permutation: Option<Vec<usize>>,
    }
    let text = data.metadata().get(EXTENSION_METADATA).map_or("", String::as_str);
    let extension: Extension = serde_json::from_str(text).map_err(|e| {
        Error::schema_mismatch(format!("{FIXED_SHAPE_TENSOR} metadata {text:?}: {e}"))
    })?;
    let is_identity = |p: &[usize]| p.iter().enumerate().all(|(i, axis)| i == *axis);
    if !extension.permutation.as_deref().is_none_or(is_identity) {
        return Err(Error::not_supported(format!(
            "{FIXED_SHAPE_TENSOR} with a permutation; send rows in C order"
        )));
    }
    Ok(Some(extension.shape))
}
