//! Rows by number, decoded by Lance.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};
use crate::reader::columns::Column;
use crate::reader::snapshot::Snapshot;
use crate::tensor::{DType, first_null};

/// A gather into the caller's memory is decoded in parts of about this size.
const PART_BYTES: usize = 16 << 20;
const PART_ROWS: usize = 1 << 16;

/// How many rows are decoded at once: then a caller is asked whether to go on.
pub fn part_rows(row_bytes: usize) -> usize {
    (PART_BYTES / row_bytes.max(1)).clamp(1, PART_ROWS)
}

/// The columns of `batch` in the order and with the metadata of `schema`.
pub fn under_schema(batch: RecordBatch, schema: SchemaRef) -> Result<RecordBatch> {
    Ok(RecordBatch::try_new(schema, batch.columns().to_vec())?)
}

/// Reads the rows at `positions` of `rows` into their places in `out`, which are `stride` bytes apart.
pub fn read(
    snapshot: &Snapshot,
    column: &Column,
    rows: &[u64],
    positions: &[usize],
    out: &mut [u8],
    stride: usize,
) -> Result<()> {
    let row_bytes = column.row_bytes;
    let mut wait = snapshot.wait();
    for positions in positions.chunks(part_rows(row_bytes)) {
        let wanted = positions.iter().filter_map(|i| rows.get(*i).copied()).collect::<Vec<_>>();
        let decoded = snapshot.take(&column.field, &wanted, &mut wait)?;
        let mut values = vec![0; wanted.len() * row_bytes];
        copy_values(&decoded, column, |i| wanted.get(i).copied(), &mut values)?;
        for (i, values) in positions.iter().zip(values.chunks_exact(row_bytes)) {
            let place = out.get_mut(i * stride..i * stride + row_bytes);
            place.unwrap_or_default().copy_from_slice(values);
        }
    }
    Ok(())
}

/// Copies the values of a column; `row` numbers its rows, for messages.
pub fn copy_values(
    decoded: &ArrayRef,
    column: &Column,
    row: impl Fn(usize) -> Option<u64>,
    out: &mut [u8],
) -> Result<()> {
    let list = decoded.as_fixed_size_list_opt();
    let null = match list {
        Some(list) => first_null(list),
        // A column of numbers.
        None => (0..decoded.len()).find(|i| decoded.null_count() > 0 && decoded.is_null(*i)),
    };
    if let Some(index) = null {
        return Err(Error::not_supported(format!(
            "column \"{}\": the tensor of row {} is null or has a null in it, which plain memory cannot say; \
             read it as Arrow",
            column.name,
            row(index).unwrap_or_default()
        )));
    }
    let values = list.map_or(decoded, |list| list.values());
    if column.spec.dtype == DType::RDS_DTYPE_BOOL {
        for (out, bit) in out.iter_mut().zip(values.as_boolean().values()) {
            *out = u8::from(bit);
        }
        return Ok(());
    }
    let values = values.to_data();
    let start = values.offset() * column.spec.dtype.word_bytes();
    let bytes = values.buffers().first().and_then(|buffer| buffer.get(start..start + out.len()));
    let bytes = bytes.ok_or_else(|| Error::corrupt("Lance gave fewer values than rows need"))?;
    out.copy_from_slice(bytes);
    Ok(())
}
