//! The functions that read the tensors of rows.

use std::ffi::c_void;

use ::arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};

use crate::error::{Error, Result, Status};
use crate::ffi::boundary::call;
use crate::ffi::dlpack::{self, DLManagedTensorVersioned};
use crate::ffi::reader::reader;
use crate::ffi::types::{rds_reader, rds_span};
use crate::ffi::{args, arrow, convert, options};
use crate::reader::{Columns, Reader};

/// Tells where rows lie in memory: the run of rows around one that lie one after the other in a mapped
/// file. It is the table's own memory, without a call for each row and without a copy.
///
/// A walk over all rows: `for (row = 0; row < rows; row = span.first_row + span.row_count)`.
///
/// @param[in] reader a reader.
/// @param[in] row from 0 to rows - 1.
/// @param[out] out_span initialised with RDS_SPAN_INIT. Its data is NULL if the row is not mapped, or of
/// bool, which the table packs into bits: first_row and row_count are then the rows around it of which the
/// same holds, and rds_reader_read() reads them. Written on success only.
/// @return RDS_OK out_span is filled in.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_span is NULL or malformed.
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
    row: u64,
    out_span: *mut rds_span,
) -> Status {
    call("rds_reader_span", |scope| {
        let reader = self::reader(scope, reader)?;
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let out = unsafe { options::required_out(scope, out_span, "out_span") }?;
        out.set(convert::span(&reader, reader.span(row)?));
        Ok(())
    })
}

/// Exports one row of `data`: an array of length 1 and of the type of the child `data` in
/// rds_reader_schema(). No copy if the row is mapped.
///
/// @param[in] reader a reader.
/// @param[in] row from 0 to rows - 1.
/// @param[out] out_array marked released on failure.
/// @return RDS_OK out_array holds the row.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_array is NULL.
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
    row: u64,
    out_array: *mut FFI_ArrowArray,
) -> Status {
    call("rds_reader_get", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let out = unsafe { args::out(scope, out_array, FFI_ArrowArray::empty(), "out_array") }?;
        let reader = self::reader(scope, reader)?;
        out.set(arrow::export(reader.row(row)?.as_ref()));
        Ok(())
    })
}

/// Exports rows as one struct array, in the order asked for; a row may be asked for twice.
///
/// @param[in] reader a reader.
/// @param[in] rows count rows, each from 0 to the table's rows - 1. NULL only if count is 0.
/// @param[in] count how many; 0 gives an empty array.
/// @param[in] columns or-ed rds_columns; 0 means all.
/// @param[out] out_schema NULL if the caller does not want it; marked released on failure.
/// @param[out] out_array marked released on failure.
/// @return RDS_OK out_array holds the rows.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT rows or out_array are NULL, or columns has an unknown bit.
/// @return RDS_ERR_OUT_OF_RANGE the table has no such row.
/// @return RDS_ERR_CORRUPT a file of the table is damaged.
/// @return RDS_ERR_NOT_FOUND a file of the table is gone.
/// @return RDS_ERR_NOT_SUPPORTED Lance cannot read the files of the table.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
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
    count: usize,
    columns: u32,
    out_schema: *mut FFI_ArrowSchema,
    out_array: *mut FFI_ArrowArray,
) -> Status {
    call("rds_reader_take", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (out_schema, out, rows) = unsafe {
            let out_schema =
                args::optional_out(scope, out_schema, FFI_ArrowSchema::empty(), "out_schema")?;
            let out = args::out(scope, out_array, FFI_ArrowArray::empty(), "out_array")?;
            (out_schema, out, args::slice(scope, rows, count, "rows"))
        };
        let (reader, rows) = (self::reader(scope, reader)?, rows?);
        let batch = reader.take(rows, Columns::from_bits(columns)?)?;
        if let Some(out_schema) = out_schema {
            out_schema.set(FFI_ArrowSchema::try_from(batch.schema_ref().as_ref())?);
        }
        out.set(arrow::export_batch(batch));
        Ok(())
    })
}

/// Copies the tensors of rows into memory of the caller, one after the other in C order, in the order
/// asked for; a row may be asked for twice.
///
/// @param[in] reader a reader.
/// @param[in] rows count rows, each from 0 to the table's rows - 1. NULL only if count is 0.
/// @param[in] count how many.
/// @param[out] out_data room for count * row_bytes bytes, any alignment. Unspecified on failure.
/// @param[in] out_bytes how many bytes out_data has room for.
/// @return RDS_OK the first count * row_bytes bytes of out_data are the tensors.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT rows or out_data are NULL, or out_bytes is too small.
/// @return RDS_ERR_OUT_OF_RANGE the table has no such row.
/// @return RDS_ERR_NOT_SUPPORTED the tensor of a row is null, or Lance cannot read the files of the table.
/// @return RDS_ERR_CORRUPT a file of the table is damaged.
/// @return RDS_ERR_NOT_FOUND a file of the table is gone.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
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
    rows: *const u64,
    count: usize,
    out_data: *mut c_void,
    out_bytes: usize,
) -> Status {
    call("rds_reader_read", |scope| {
        let reader = self::reader(scope, reader)?;
        let needed = bytes_of(&reader, count as u64, out_bytes)?;
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (rows, out) = unsafe {
            let rows = args::slice(scope, rows, count, "rows")?;
            (rows, args::slice_out(scope, out_data.cast::<u8>(), needed, "out_data")?)
        };
        reader.read(rows, out)
    })
}

/// Copies the tensors of a range of rows into memory of the caller, one after the other in C order.
///
/// @param[in] reader a reader.
/// @param[in] first_row the first row.
/// @param[in] row_count how many; 0 copies nothing.
/// @param[out] out_data room for row_count * row_bytes bytes, any alignment. Unspecified on failure.
/// @param[in] out_bytes how many bytes out_data has room for.
/// @return RDS_OK the first row_count * row_bytes bytes of out_data are the tensors.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_data is NULL, or out_bytes is too small.
/// @return RDS_ERR_OUT_OF_RANGE the table does not have all the rows asked for.
/// @return RDS_ERR_NOT_SUPPORTED the tensor of a row is null, or Lance cannot read the files of the table.
/// @return RDS_ERR_CORRUPT a file of the table is damaged.
/// @return RDS_ERR_NOT_FOUND a file of the table is gone.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
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
    first_row: u64,
    row_count: u64,
    out_data: *mut c_void,
    out_bytes: usize,
) -> Status {
    call("rds_reader_read_range", |scope| {
        let reader = self::reader(scope, reader)?;
        let needed = bytes_of(&reader, row_count, out_bytes)?;
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let out = unsafe { args::slice_out(scope, out_data.cast::<u8>(), needed, "out_data") }?;
        reader.read_range(first_row, row_count, out)
    })
}

/// Exports a range of rows as one DLPack tensor: the rows first, then the shape of a row, in C order, on
/// the CPU. No copy if one span holds the rows: the tensor has DLPACK_FLAG_BITMASK_READ_ONLY then, else
/// DLPACK_FLAG_BITMASK_IS_COPIED.
///
/// @param[in] reader a reader.
/// @param[in] first_row the first row.
/// @param[in] row_count how many; 0 gives an empty tensor.
/// @param[out] out_tensor the tensor, as dlpack.h declares it (DLPack 1.0); NULL on failure.
/// @return RDS_OK out_tensor is the tensor.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_tensor is NULL.
/// @return RDS_ERR_OUT_OF_RANGE the table does not have all the rows asked for.
/// @return RDS_ERR_NOT_SUPPORTED DLPack has no such dtype (datetime64, timedelta64), the tensor of a row is
/// null, or Lance cannot read the files of the table.
/// @return RDS_ERR_CORRUPT a file of the table is damaged.
/// @return RDS_ERR_NOT_FOUND a file of the table is gone.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
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
    first_row: u64,
    row_count: u64,
    out_tensor: *mut *mut DLManagedTensorVersioned,
) -> Status {
    call("rds_reader_dlpack", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let out = unsafe { args::out(scope, out_tensor, std::ptr::null_mut(), "out_tensor") }?;
        let reader = self::reader(scope, reader)?;
        let element = dlpack::element(reader.spec().dtype)?;
        let (bytes, shared) = reader.tensor(first_row, row_count)?;
        out.set(dlpack::export(bytes, element, row_count, &reader.spec().shape, shared));
        Ok(())
    })
}

fn bytes_of(reader: &Reader, rows: u64, out_bytes: usize) -> Result<usize> {
    let needed = rows.saturating_mul(reader.row_bytes() as u64);
    if (out_bytes as u64) < needed {
        return Err(Error::invalid_argument(format!(
            "out_bytes is {out_bytes}; {rows} rows need {needed}"
        )));
    }
    Ok(needed as usize)
}
