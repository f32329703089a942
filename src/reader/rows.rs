//! Rows by number, decoded by Lance.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};
use crate::reader::Columns;
use crate::reader::snapshot::Snapshot;
use crate::tensor::{DATA_COLUMN, DType, TensorSpec, first_null};

/// A gather into the caller's memory is decoded in parts of about this size.
pub(super) const PART_BYTES: usize = 32 << 20;

pub fn take(snapshot: &Snapshot, rows: &[u64], columns: Columns) -> Result<RecordBatch> {
    batch(snapshot.schema(columns), |name| snapshot.take(name, rows))
}

pub fn range(snapshot: &Snapshot, rows: Range<u64>, columns: Columns) -> Result<RecordBatch> {
    batch(snapshot.schema(columns), |name| snapshot.range(name, rows.clone()))
}

fn batch(schema: SchemaRef, column: impl Fn(&str) -> Result<ArrayRef>) -> Result<RecordBatch> {
    let columns = schema.fields().iter().map(|field| column(field.name()));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(schema, columns)?)
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

/// Reads the rows at `positions` of `rows` into their places in `out`.
pub fn read(snapshot: &Snapshot, rows: &[u64], positions: &[usize], out: &mut [u8]) -> Result<()> {
    let row_bytes = snapshot.spec.row_bytes();
    for positions in positions.chunks((PART_BYTES / row_bytes).max(1)) {
        let wanted = positions.iter().filter_map(|i| rows.get(*i).copied()).collect::<Vec<_>>();
        let batch = take(snapshot, &wanted, Columns::DATA)?;
        let mut values = vec![0; wanted.len() * row_bytes];
        copy_values(&batch, &snapshot.spec, |i| wanted.get(i).copied(), &mut values)?;
        for (i, values) in positions.iter().zip(values.chunks_exact(row_bytes)) {
            let place = out.get_mut(i * row_bytes..(i + 1) * row_bytes);
            place.unwrap_or_default().copy_from_slice(values);
        }
    }
    Ok(())
}

/// Copies the values of the column `data`; `row` numbers its rows, for messages.
pub fn copy_values(
    batch: &RecordBatch,
    spec: &TensorSpec,
    row: impl Fn(usize) -> Option<u64>,
    out: &mut [u8],
) -> Result<()> {
    let data = batch.column_by_name(DATA_COLUMN);
    let list = data.ok_or_else(|| Error::internal("a batch without data"))?.as_fixed_size_list();
    let values = list.values();
    if let Some(index) = first_null(list) {
        return Err(Error::not_supported(format!(
            "the tensor of row {} is null or has a null in it, which plain memory cannot say; \
             read it as Arrow",
            row(index).unwrap_or_default()
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
