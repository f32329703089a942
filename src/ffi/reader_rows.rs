//! The functions that read the tensors of rows.

use std::ffi::c_void;

use ::arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};

use crate::error::{Error, Result, Status};
use crate::ffi::boundary::call;
use crate::ffi::convert::Chosen;
use crate::ffi::dlpack::{self, DLManagedTensorVersioned};
use crate::ffi::reader::reader;
use crate::ffi::types::{rds_reader, rds_rows, rds_select_options, rds_span, rds_target};
use crate::ffi::{args, arrow, convert, options};
use crate::reader::{Column, Target};

/// Tells where rows lie in memory: the run of rows around one that lie one after the other in a mapped
/// file. It is the table's own memory, without a call for each row and without a copy.
///
/// A walk over all rows: `for (row = 0; row < rows; row = span.first_row + span.row_count)`.
///
/// @param[in] reader a reader.
/// @param[in] column the number of a tensor column, from 0 on; rds_reader_column() finds it by name.
/// @param[in] row from 0 to rows - 1.
/// @param[out] out_span initialised with RDS_SPAN_INIT. Its data is NULL if the row is not mapped, or of
/// bool, which the table packs into bits: first_row and row_count are then the rows around it of which the
/// same holds, and rds_reader_read() reads them. Written on success only.
/// @return RDS_OK out_span is filled in.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_span is NULL or malformed, or there is no such column.
/// @return RDS_ERR_OUT_OF_RANGE the table has no such row.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
///
/// Ownership: data is borrowed, until the reader is closed or refreshed. It is for reading: what is written to it changes
/// neither the file nor other processes, but what this process reads of it.
/// Thread safety: any thread, many at once.
/// Blocking: never; what data points to is read from disk when it is touched, if it is not in memory.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_span(
    reader: *const rds_reader,
    column: u32,
    row: u64,
    out_span: *mut rds_span,
) -> Status {
    call("rds_reader_span(reader, column, row, out_span)", |scope| {
        let reader = self::reader(scope, reader)?;
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let out = unsafe { options::required_out(scope, out_span, "out_span") }?;
        let column = reader.column(column as usize)?;
        out.set(convert::span(column, reader.span(column, row)?));
        Ok(())
    })
}

/// Exports one row of a column: an array of length 1 and of the type that the column has in
/// rds_reader_schema(). No copy if the row is mapped.
///
/// @param[in] reader a reader.
/// @param[in] column the number of a tensor column, from 0 on; rds_reader_column() finds it by name.
/// @param[in] row from 0 to rows - 1.
/// @param[out] out_array marked released on failure.
/// @return RDS_OK out_array holds the row.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_array is NULL, or there is no such column.
/// @return RDS_ERR_OUT_OF_RANGE the table has no such row.
/// @return RDS_ERR_CORRUPT a file of the table is damaged.
/// @return RDS_ERR_NOT_FOUND a file of the table is gone.
/// @return RDS_ERR_NOT_SUPPORTED Lance cannot read the files of the table.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
///
/// Ownership: out_array is the caller's, to be released by its release callback; it may outlive the
/// reader.
/// Thread safety: any thread, many at once.
/// Blocking: reads the row from disk if it is not in memory.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_get(
    reader: *const rds_reader,
    column: u32,
    row: u64,
    out_array: *mut FFI_ArrowArray,
) -> Status {
    call("rds_reader_get(reader, column, row, out_array)", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let out = unsafe { args::out(scope, out_array, FFI_ArrowArray::empty(), "out_array") }?;
        let reader = self::reader(scope, reader)?;
        out.set(arrow::export(reader.row(column as usize, row)?.as_ref()));
        Ok(())
    })
}

/// Exports rows as one struct array, in the order asked for; a row may be asked for twice.
///
/// @param[in] reader a reader.
/// @param[in] rows count rows, each from 0 to the table's rows - 1. NULL only if count is 0.
/// @param[in] count how many; 0 gives an empty array.
/// @param[in] options which columns; NULL means all. Copied.
/// @param[out] out_schema NULL if the caller does not want it; marked released on failure.
/// @param[out] out_array marked released on failure.
/// @return RDS_OK out_array holds the rows.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT rows or out_array are NULL, options are malformed, or there is no such column.
/// @return RDS_ERR_SCHEMA_MISMATCH ids are asked for alone, and the table has none.
/// @return RDS_ERR_OUT_OF_RANGE the table has no such row.
/// @return RDS_ERR_CORRUPT a file of the table is damaged.
/// @return RDS_ERR_NOT_FOUND a file of the table is gone.
/// @return RDS_ERR_NOT_SUPPORTED Lance cannot read the files of the table.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
/// @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop; the reader is as it was.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
///
/// Ownership: out_schema and out_array are the caller's, to be released by their release callbacks;
/// they may outlive the reader.
/// Thread safety: any thread, many at once.
/// Blocking: reads the rows from disk if they are not in memory.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_take(
    reader: *const rds_reader,
    rows: *const u64,
    count: u64,
    options: *const rds_select_options,
    out_schema: *mut FFI_ArrowSchema,
    out_array: *mut FFI_ArrowArray,
) -> Status {
    call("rds_reader_take(reader, rows, count, options, out_schema, out_array)", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (out_schema, out, rows, options) = unsafe {
            let out_schema =
                args::optional_out(scope, out_schema, FFI_ArrowSchema::empty(), "out_schema");
            let out = args::out(scope, out_array, FFI_ArrowArray::empty(), "out_array");
            let options = options::read(scope, options, "options");
            (out_schema, out, args::slice(scope, rows, count as usize, "rows"), options)
        };
        // Both are empty before either is refused.
        let (out_schema, out) = (out_schema?, out?);
        let (reader, rows) = (self::reader(scope, reader)?, rows?);
        // SAFETY: as above.
        let (columns, fixed_shape_tensor) = unsafe { convert::select(scope, &reader, &options?) }?;
        let batch = reader.take(rows, &columns)?;
        let schema = reader.schema(&columns, fixed_shape_tensor)?;
        if let Some(out_schema) = out_schema {
            out_schema.set(FFI_ArrowSchema::try_from(schema.as_ref())?);
        }
        out.set(arrow::export_batch(batch));
        Ok(())
    })
}

/// Copies the tensors of rows into memory of the caller, one after the other in C order, in the order
/// asked for; a row may be asked for twice. rds_reader_gather() fills several columns in one call.
///
/// @param[in] reader a reader.
/// @param[in] column the number of a tensor column, from 0 on; rds_reader_column() finds it by name.
/// @param[in] rows count rows, each from 0 to the table's rows - 1. NULL only if count is 0.
/// @param[in] count how many.
/// @param[out] out_data room for count * row_bytes bytes, any alignment. Unspecified on failure.
/// @param[in] out_bytes how many bytes out_data has room for.
/// @return RDS_OK the first count * row_bytes bytes of out_data are the tensors.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT rows or out_data are NULL, out_bytes is too small, or there is no such column.
/// @return RDS_ERR_OUT_OF_RANGE the table has no such row.
/// @return RDS_ERR_NOT_SUPPORTED the tensor of a row is null, or Lance cannot read the files of the table.
/// @return RDS_ERR_CORRUPT a file of the table is damaged.
/// @return RDS_ERR_NOT_FOUND a file of the table is gone.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
/// @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop; the reader is as it was.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
///
/// Ownership: rows and out_data stay the caller's.
/// Thread safety: any thread, many at once, into different memory. A large gather uses several threads
/// itself.
/// Blocking: reads the rows from disk if they are not in memory.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_read(
    reader: *const rds_reader,
    column: u32,
    rows: *const u64,
    count: u64,
    out_data: *mut c_void,
    out_bytes: usize,
) -> Status {
    call("rds_reader_read(reader, column, rows, count, out_data, out_bytes)", |scope| {
        let reader = self::reader(scope, reader)?;
        let column = reader.column(column as usize)?;
        let needed = bytes_of(column, count, out_bytes)?;
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (rows, out) = unsafe {
            let rows = args::slice(scope, rows, count as usize, "rows")?;
            (rows, args::slice_out(scope, out_data.cast::<u8>(), needed, "out_data")?)
        };
        reader.read(column, rows, out)
    })
}

/// Copies the same rows of several columns into memory of the caller, each to places that are a distance apart: into
/// an array for each column, or into records that have one behind the other.
///
/// @param[in] reader a reader.
/// @param[in] rows which, in the order wanted, also twice: a list, or a first row with a step. Borrowed during the call.
/// @param[in] targets where each column is put, each initialised with RDS_TARGET_INIT. One column may be put twice, and
/// places of one target may lie between those of another. Borrowed during the call; the memory is unspecified on failure.
/// @param[in] target_count how many; 0 copies nothing.
/// @return RDS_OK row i of column c is at data + i * stride of its target.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT rows or targets are NULL or malformed, a target is too small, its stride is
/// below the bytes of a row, or there is no such column.
/// @return RDS_ERR_OUT_OF_RANGE the table does not have all the rows asked for; no memory was written.
/// @return RDS_ERR_NOT_SUPPORTED a tensor is null, or Lance cannot read the files of the table.
/// @return RDS_ERR_CORRUPT a file of the table is damaged.
/// @return RDS_ERR_NOT_FOUND a file of the table is gone.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
/// @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop; the reader is as it was.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
///
/// Ownership: rows, targets and their memory stay the caller's.
/// Thread safety: any thread, many at once, into different memory. A large gather uses several threads
/// itself.
/// Blocking: reads the rows from disk if they are not in memory.
/// @since 0.2
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_gather(
    reader: *const rds_reader,
    rows: *const rds_rows,
    targets: *const rds_target,
    target_count: usize,
) -> Status {
    call("rds_reader_gather(reader, rows, targets, target_count)", |scope| {
        let reader = self::reader(scope, reader)?;
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (rows, targets) = unsafe {
            let targets = convert::targets(scope, &reader, targets, target_count)?;
            (convert::rows(scope, &reader, rows)?, targets)
        };
        let needed = targets.iter().enumerate().map(|(i, target)| target.bytes_of(i, rows.len()));
        let needed = needed.collect::<Result<Vec<_>>>()?;
        let lend = |number: usize| {
            let target = targets.get(number).zip(needed.get(number));
            let (target, bytes) = target.ok_or_else(|| Error::internal("no such target"))?;
            // SAFETY: NULL is checked; of the memory there is as much as the target says, and one is lent at a time.
            let memory = unsafe {
                args::slice_out(scope, target.data, *bytes, &format!("targets[{number}]: data"))
            }?;
            Ok(Target { column: target.column, memory, stride: target.stride })
        };
        match rows {
            Chosen::List(rows) => reader.gather(&rows, targets.len(), lend),
            Chosen::Range(first, count) => reader.gather_range(first, count, targets.len(), lend),
        }
    })
}

/// Copies the tensors of a range of rows into memory of the caller, one after the other in C order.
///
/// @param[in] reader a reader.
/// @param[in] column the number of a tensor column, from 0 on; rds_reader_column() finds it by name.
/// @param[in] first_row the first row.
/// @param[in] row_count how many; 0 copies nothing.
/// @param[out] out_data room for row_count * row_bytes bytes, any alignment. Unspecified on failure.
/// @param[in] out_bytes how many bytes out_data has room for.
/// @return RDS_OK the first row_count * row_bytes bytes of out_data are the tensors.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_data is NULL, out_bytes is too small, or there is no such column.
/// @return RDS_ERR_OUT_OF_RANGE the table does not have all the rows asked for.
/// @return RDS_ERR_NOT_SUPPORTED the tensor of a row is null, or Lance cannot read the files of the table.
/// @return RDS_ERR_CORRUPT a file of the table is damaged.
/// @return RDS_ERR_NOT_FOUND a file of the table is gone.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
/// @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop; the reader is as it was.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
///
/// Ownership: out_data stays the caller's.
/// Thread safety: any thread, many at once, into different memory.
/// Blocking: reads the rows from disk if they are not in memory.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_read_range(
    reader: *const rds_reader,
    column: u32,
    first_row: u64,
    row_count: u64,
    out_data: *mut c_void,
    out_bytes: usize,
) -> Status {
    call(
        "rds_reader_read_range(reader, column, first_row, row_count, out_data, out_bytes)",
        |scope| {
            let reader = self::reader(scope, reader)?;
            let column = reader.column(column as usize)?;
            let needed = bytes_of(column, row_count, out_bytes)?;
            // SAFETY: NULL is checked; what is not NULL is as the header asks.
            let out = unsafe { args::slice_out(scope, out_data.cast::<u8>(), needed, "out_data") }?;
            reader.read_range(column, first_row, row_count, out)
        },
    )
}

/// Exports a range of rows as one DLPack tensor: the rows first, then the shape of a row, in C order, on
/// the CPU. No copy if one span holds the rows: the tensor has DLPACK_FLAG_BITMASK_READ_ONLY then, else
/// DLPACK_FLAG_BITMASK_IS_COPIED.
///
/// @param[in] reader a reader.
/// @param[in] column the number of a tensor column, from 0 on; rds_reader_column() finds it by name.
/// @param[in] first_row the first row.
/// @param[in] row_count how many; 0 gives an empty tensor.
/// @param[out] out_tensor the tensor, as dlpack.h declares it (DLPack 1.0); NULL on failure.
/// @return RDS_OK out_tensor is the tensor.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_tensor is NULL, or there is no such column.
/// @return RDS_ERR_OUT_OF_RANGE the table does not have all the rows asked for.
/// @return RDS_ERR_NOT_SUPPORTED DLPack has no such dtype (datetime64, timedelta64), the tensor of a row is
/// null, or Lance cannot read the files of the table.
/// @return RDS_ERR_CORRUPT a file of the table is damaged.
/// @return RDS_ERR_NOT_FOUND a file of the table is gone.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
/// @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop; the reader is as it was.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
///
/// Ownership: out_tensor is the caller's, to be released by its deleter; it may outlive the reader.
/// Thread safety: any thread, many at once. The deleter may be called on any thread.
/// Blocking: reads the rows from disk if they are to be copied and not in memory.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_dlpack(
    reader: *const rds_reader,
    column: u32,
    first_row: u64,
    row_count: u64,
    out_tensor: *mut *mut DLManagedTensorVersioned,
) -> Status {
    call("rds_reader_dlpack(reader, column, first_row, row_count, out_tensor)", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let out = unsafe { args::out(scope, out_tensor, std::ptr::null_mut(), "out_tensor") }?;
        let reader = self::reader(scope, reader)?;
        let column = reader.column(column as usize)?;
        let element = dlpack::element(column.spec.dtype)?;
        let (bytes, shared) = reader.tensor(column, first_row, row_count)?;
        out.set(dlpack::export(bytes, element, row_count, &column.spec.shape, shared));
        Ok(())
    })
}

fn bytes_of(column: &Column, rows: u64, out_bytes: usize) -> Result<usize> {
    let needed = rows.saturating_mul(column.row_bytes as u64);
    if (out_bytes as u64) < needed {
        return Err(Error::invalid_argument(format!(
            "out_bytes is {out_bytes}; {rows} rows need {needed}"
        )));
    }
    Ok(needed as usize)
}
