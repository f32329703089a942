//! Rows by number, through Lance.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use lance::dataset::ProjectionRequest;

use crate::error::{Error, Result};
use crate::reader::Columns;
use crate::reader::snapshot::{Snapshot, lance};
use crate::tensor::{DATA_COLUMN, DType, TensorSpec, first_null};

/// A gather into the caller's memory goes through Lance in parts of about this size.
const PART_BYTES: usize = 32 << 20;

pub fn take(snapshot: &Snapshot, rows: &[u64], columns: Columns) -> Result<RecordBatch> {
    let schema = snapshot.schema(columns);
    if rows.is_empty() {
        return Ok(RecordBatch::new_empty(schema));
    }
    let dataset = snapshot.dataset()?;
    let projection = ProjectionRequest::from_columns(columns.names(), dataset.schema());
    let batch = lance(async { dataset.take(rows, projection).await })?;
    if batch.num_rows() != rows.len() {
        return Err(Error::corrupt(format!(
            "Lance gave {} rows for {} that were asked for",
            batch.num_rows(),
            rows.len()
        )));
    }
    under_schema(batch, schema)
}

/// The columns of `batch` in the order and with the metadata of `schema`.
pub fn under_schema(batch: RecordBatch, schema: SchemaRef) -> Result<RecordBatch> {
    let column = |name: &String| {
        let column = batch.column_by_name(name).cloned();
        column.ok_or_else(|| Error::internal(format!("Lance gave no column \"{name}\"")))
    };
    let columns = schema.fields().iter().map(|field| column(field.name()));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(schema, columns)?)
}

pub fn read(snapshot: &Snapshot, spec: &TensorSpec, rows: &[u64], out: &mut [u8]) -> Result<()> {
    let row_bytes = spec.row_bytes();
    let part = (PART_BYTES / row_bytes).max(1);
    for (rows, out) in rows.chunks(part).zip(out.chunks_mut(part * row_bytes)) {
        let batch = take(snapshot, rows, Columns::DATA)?;
        let data = batch.column_by_name(DATA_COLUMN);
        let data = data.ok_or_else(|| Error::internal("a take without data"))?;
        copy_values(data, spec, rows, out)?;
    }
    Ok(())
}

/// Copies the values of a `data` column; `rows` are the numbers of its rows, for messages.
fn copy_values(data: &dyn Array, spec: &TensorSpec, rows: &[u64], out: &mut [u8]) -> Result<()> {
    let list = data.as_fixed_size_list();
    let values = list.values();
    if let Some(index) = first_null(list) {
        return Err(Error::not_supported(format!(
            "the tensor of row {} is null or has a null in it, which plain memory cannot say; \
             read it as Arrow",
            rows.get(index).copied().unwrap_or_default()
        )));
    }
    if spec.dtype == DType::RDS_DTYPE_BOOL {
        for (out, bit) in out.iter_mut().zip(values.as_boolean().values()) {
            *out = u8::from(bit);
        }
        return Ok(());
    }
    let values = values.to_data();
    let start = values.offset() * spec.dtype.word_bytes();
    let bytes = values.buffers().first().and_then(|buffer| buffer.get(start..start + out.len()));
    let bytes = bytes.ok_or_else(|| Error::corrupt("Lance gave fewer values than rows need"))?;
    out.copy_from_slice(bytes);
    Ok(())
}
