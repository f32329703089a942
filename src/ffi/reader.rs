//! The functions that read.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use ::arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use ::arrow::ffi_stream::FFI_ArrowArrayStream;

use crate::error::{Error, Result, Status};
use crate::ffi::boundary::{Scope, call};
use crate::ffi::handle::{Entry, Registry};
use crate::ffi::types::{rds_reader, rds_reader_options, rds_stream_options, rds_table_info};
use crate::ffi::{args, arrow, convert, options};
use crate::location::Location;
use crate::reader::{Columns, Reader};

static READERS: Registry<Reader> = Registry::new("reader", 0x52);

pub(super) fn reader(scope: &Scope, token: *const rds_reader) -> Result<Arc<Entry<Reader>>> {
    READERS.get(scope, token as u64)
}

/// Opens a reader: a snapshot of a table, which later writes do not change.
///
/// @param[in] path a result directory (the table is `lance_db/results.lance` in it), a path ending
/// in `.lance` (the table itself), or one of these as a `file://` URI; NUL-terminated UTF-8.
/// @param[in] options NULL means all defaults. Copied.
/// @param[out] out_reader the reader; NULL on failure.
/// @return RDS_OK the reader is open.
/// @return RDS_ERR_INVALID_ARGUMENT an argument is NULL, path is not UTF-8, options are malformed, or
/// the environment variable RDS_THREADS is no number of threads.
/// @return RDS_ERR_NOT_FOUND there is no table, or it has no such version.
/// @return RDS_ERR_SCHEMA_MISMATCH the table lacks the columns or the tensor metadata, or these do not
/// fit each other.
/// @return RDS_ERR_NOT_SUPPORTED the scheme of path or a field of options is not known to this build,
/// or the dtype or the format of the table is not.
/// @return RDS_ERR_CORRUPT the table cannot be read.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INVALID_STATE too many readers are open.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
/// @return RDS_ERR_PANIC a defect of librds. On any failure no reader is open.
///
/// Ownership: out_reader is the caller's, to be closed with rds_reader_close().
/// Thread safety: any thread.
/// Blocking: reads the manifest of the table.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_open(
    path: *const c_char,
    options: *const rds_reader_options,
    out_reader: *mut *mut rds_reader,
) -> Status {
    call("rds_reader_open", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (out, path, options) = unsafe {
            let out = args::out(scope, out_reader, std::ptr::null_mut(), "out_reader")?;
            let path = args::text(scope, path, "path")?;
            (out, path, options::read(scope, options, "options")?)
        };
        let version = (options.version != 0).then_some(options.version);
        let reader = Reader::open(Location::parse(path)?, version)?;
        out.set(READERS.insert(reader)? as *mut rds_reader);
        Ok(())
    })
}

/// Closes a reader. What was exported from it stays valid; what was borrowed does not.
///
/// @param[in] reader a reader.
/// @return RDS_OK the reader is closed.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader; NULL and a second close are that too.
/// @return RDS_ERR_PANIC a defect of librds.
///
/// Ownership: the reader is freed, and with it what rds_reader_id() lent.
/// Thread safety: any thread; a call that is inside the reader ends unharmed.
/// Blocking: never.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_close(reader: *mut rds_reader) -> Status {
    call("rds_reader_close", |_| READERS.remove(reader as u64).map(drop))
}

/// Tells rows, version, dtype and shape.
///
/// @param[in] reader a reader.
/// @param[out] out_info initialised with RDS_TABLE_INFO_INIT. Written on success only.
/// @return RDS_OK out_info is filled in.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_info is NULL or malformed.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
///
/// Ownership: out_info stays the caller's; the name of the dtype in it is static.
/// Thread safety: any thread, many at once.
/// Blocking: never.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_info(
    reader: *const rds_reader,
    out_info: *mut rds_table_info,
) -> Status {
    call("rds_reader_info", |scope| {
        let reader = self::reader(scope, reader)?;
        if out_info.is_null() {
            return Err(Error::invalid_argument("out_info is NULL"));
        }
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let out = unsafe { options::out(scope, out_info, "out_info") }?;
        out.set(convert::table_info(&reader.value));
        Ok(())
    })
}

/// Exports the schema of the table: a struct with `object_id` (utf8) and `data` (fixed_size_list),
/// and the metadata `tensor_shape` and `tensor_dtype`.
///
/// @param[in] reader a reader.
/// @param[out] out_schema marked released on failure.
/// @return RDS_OK out_schema is the schema.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_schema is NULL.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
///
/// Ownership: out_schema is the caller's, to be released by its release callback; it may outlive the
/// reader.
/// Thread safety: any thread, many at once.
/// Blocking: never.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_schema(
    reader: *const rds_reader,
    out_schema: *mut FFI_ArrowSchema,
) -> Status {
    call("rds_reader_schema", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let out = unsafe { args::out(scope, out_schema, FFI_ArrowSchema::empty(), "out_schema") }?;
        let reader = self::reader(scope, reader)?;
        out.set(FFI_ArrowSchema::try_from(reader.value.schema(Columns::ALL).as_ref())?);
        Ok(())
    })
}

/// Exports one row of `data`: an array of length 1 and of the type of the child `data` in
/// rds_reader_schema().
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
        out.set(arrow::export(reader.value.row(row)?.as_ref()));
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
            let out_schema = arrow::optional_schema_out(scope, out_schema)?;
            let out = args::out(scope, out_array, FFI_ArrowArray::empty(), "out_array")?;
            (out_schema, out, args::slice(scope, rows, count, "rows"))
        };
        let (reader, rows) = (self::reader(scope, reader)?, rows?);
        let batch = reader.value.take(rows, Columns::from_bits(columns)?)?;
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
/// Thread safety: any thread, many at once, into different memory.
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
        let needed = count.saturating_mul(reader.value.spec().row_bytes());
        if out_bytes < needed {
            return Err(Error::invalid_argument(format!(
                "out_bytes is {out_bytes}; {count} rows need {needed}"
            )));
        }
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (rows, out) = unsafe {
            let rows = args::slice(scope, rows, count, "rows")?;
            (rows, args::slice_out(scope, out_data.cast::<u8>(), needed, "out_data")?)
        };
        reader.value.read(rows, out)
    })
}

/// Exports a range of rows as a stream of record batches, in row order.
///
/// @param[in] reader a reader.
/// @param[in] options NULL means all defaults: every row, all columns. Copied.
/// @param[out] out_stream marked released on failure.
/// @return RDS_OK out_stream is the stream. It reports its own errors, as the Arrow C stream interface
/// says; they become the last error of the thread too, and a stream that failed goes on failing.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_stream is NULL, or options are malformed.
/// @return RDS_ERR_NOT_SUPPORTED options have a field this version does not know.
/// @return RDS_ERR_OUT_OF_RANGE the table does not have all the rows asked for.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
///
/// Ownership: out_stream is the caller's, to be released by its release callback; it and its batches may
/// outlive the reader.
/// Thread safety: any thread, many at once. The stream may be moved between threads, and is for one at
/// a time.
/// Blocking: never; the stream blocks while it reads from disk.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_stream(
    reader: *const rds_reader,
    options: *const rds_stream_options,
    out_stream: *mut FFI_ArrowArrayStream,
) -> Status {
    call("rds_reader_stream", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (out, options) = unsafe {
            let out = args::out(scope, out_stream, FFI_ArrowArrayStream::empty(), "out_stream")?;
            (out, options::read(scope, options, "options"))
        };
        let (reader, options) = (self::reader(scope, reader)?, options?);
        let stream = reader.value.stream(&convert::stream_options(&options)?)?;
        out.set(arrow::export_stream(Box::new(stream)));
        Ok(())
    })
}
