//! The functions that open a snapshot, tell of it, and stream it.

use std::ffi::c_char;

use ::arrow::ffi::FFI_ArrowSchema;
use ::arrow::ffi_stream::FFI_ArrowArrayStream;

use crate::error::{Result, Status};
use crate::ffi::boundary::{Scope, call, refuse_while_logging};
use crate::ffi::handle::{Held, Registry};
use crate::ffi::types::{
    rds_column_info, rds_reader, rds_reader_options, rds_select_options, rds_stream_options,
    rds_table_info,
};
use crate::ffi::{args, arrow, convert, options};
use crate::location::Location;
use crate::process;
use crate::reader::Reader;

static READERS: Registry<Reader> = Registry::new("reader", 0x52);

#[inline(always)]
pub(super) fn reader(scope: &Scope, token: *const rds_reader) -> Result<Held<Reader>> {
    READERS.get(scope, token as u64)
}

/// Opens a reader: a snapshot of a table, which later writes do not change.
///
/// Every data file is opened once, its end checked, and read on whatever becomes of its name: a commit, a clean-up
/// or a removal changes nothing of an open reader. Files with plain rows are mapped into memory where the system
/// allows it, unless access is RDS_ACCESS_LANCE; maps are private, so what is written to a row stays in the process.
/// Lance never changes a file. If somebody else cuts a mapped one short, reading a mapped row that is gone
/// ends the process (SIGBUS), and so do a disk that fails and a server of NFS that has removed the file; what
/// is decoded gives RDS_ERR_IO or RDS_ERR_CORRUPT. Opening never does.
///
/// @param[in] path a result directory (the table is `lance_db/results.lance` in it), a path ending
/// in `.lance` (the table itself), or one of these as a `file://` URI; NUL-terminated UTF-8.
/// @param[in] options NULL means all defaults. Copied.
/// @param[out] out_reader the reader; NULL on failure.
/// @return RDS_OK the reader is open.
/// @return RDS_ERR_INVALID_ARGUMENT an argument is NULL, path is not UTF-8 or has a control character, options
/// are malformed, or the environment variable RDS_THREADS is no number of threads.
/// @return RDS_ERR_NOT_FOUND there is no table, it has no such version or none that old, or a file of it is gone.
/// @return RDS_ERR_SCHEMA_MISMATCH the table has no tensors, its metadata do not fit its columns, or id_column is none
/// of its columns or one of neither strings nor integers.
/// @return RDS_ERR_NOT_SUPPORTED the scheme of path or a field of options is not known to this build,
/// or the dtype or the format of the table is not; or access is RDS_ACCESS_MAPPED, and not every row
/// can be mapped.
/// @return RDS_ERR_CORRUPT a file of the table is damaged.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INVALID_STATE too many readers are open.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
/// @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop.
/// @return RDS_ERR_PANIC a defect of librds. On any failure no reader is open.
///
/// Ownership: out_reader is the caller's, to be closed with rds_reader_close().
/// Thread safety: any thread.
/// Blocking: reads the manifest of the table and the end of each of its data files.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_open(
    path: *const c_char,
    options: *const rds_reader_options,
    out_reader: *mut *mut rds_reader,
) -> Status {
    call("rds_reader_open(path, options, out_reader)", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (out, path, options) = unsafe {
            let out = args::out(scope, out_reader, std::ptr::null_mut(), "out_reader")?;
            let path = args::text(scope, path, "path")?;
            (out, path, options::read(scope, options, "options")?)
        };
        refuse_while_logging()?;
        let location = Location::parse(path)?;
        // SAFETY: as above.
        let options = unsafe { convert::reader_options(scope, &options) }?;
        let reader = process::first("rds_reader_open", || Reader::open(location, &options))?;
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
/// Ownership: the reader is freed, and with it what rds_reader_id() and rds_reader_span() lent.
/// Thread safety: any thread; a call that is inside the reader ends unharmed.
/// Blocking: never.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_close(reader: *mut rds_reader) -> Status {
    call("rds_reader_close(reader)", |_| READERS.remove(reader as u64).map(drop))
}

/// Moves a reader to the newest version of its table, if that is another one, also a reader that was opened
/// with an older version. Files that did not change stay mapped, and columns keep their numbers; new ones get
/// higher ones. Ids that were loaded are kept if rows were only added; others are loaded when they are next asked for.
///
/// @param[in] reader a reader.
/// @param[out] out_changed 1 if the reader shows another version now, 0 if it was the newest already; 0 on
/// failure. NULL if the caller does not want it.
/// @return RDS_OK the reader shows the newest version.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_changed is not aligned.
/// @return RDS_ERR_NOT_FOUND the table or a file of it is gone.
/// @return RDS_ERR_SCHEMA_MISMATCH a column of the newest version is of another dtype or shape, or gone, or it has
/// no tensors or ids any more.
/// @return RDS_ERR_NOT_SUPPORTED the reader was opened with RDS_ACCESS_MAPPED, and not every row of the
/// newest version can be mapped; or its format is not known to this build.
/// @return RDS_ERR_CORRUPT a file of the table is damaged.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
/// @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop; the reader is as it was.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed. On any other failure the
/// reader shows what it showed before.
///
/// Ownership: if the version changed, what rds_reader_id() and rds_reader_span() lent is freed; what was
/// exported stays valid.
/// Thread safety: any thread; a call that is inside the reader goes on with the version it began with.
/// Blocking: reads the manifest of the table and the end of each new data file.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_refresh(
    reader: *mut rds_reader,
    out_changed: *mut u32,
) -> Status {
    call("rds_reader_refresh(reader, out_changed)", |scope| {
        // SAFETY: NULL is an output nobody wants; what is not NULL is as the header asks.
        let out = unsafe { args::optional_out(scope, out_changed, 0, "out_changed") }?;
        let mut changed = 0;
        loop {
            let current = self::reader(scope, reader)?;
            let Some(newest) = current.refreshed()? else { break };
            changed = 1;
            if READERS.replace(reader as u64, &current, newest)? {
                break;
            }
            // Another thread refreshed or closed the reader meanwhile: look again.
        }
        if let Some(out) = out {
            out.set(changed);
        }
        Ok(())
    })
}

/// Opens another reader of the same version: it shares maps and ids, and is refreshed and closed on its own.
///
/// @param[in] reader a reader.
/// @param[out] out_reader the other one; NULL on failure.
/// @return RDS_OK the other reader is open.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_reader is NULL.
/// @return RDS_ERR_INVALID_STATE too many readers are open.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed. On any failure no other reader is open.
///
/// Ownership: out_reader is the caller's, to be closed with rds_reader_close().
/// Thread safety: any thread, many at once.
/// Blocking: never.
/// @since 0.2
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_clone(
    reader: *const rds_reader,
    out_reader: *mut *mut rds_reader,
) -> Status {
    call("rds_reader_clone(reader, out_reader)", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let out = unsafe { args::out(scope, out_reader, std::ptr::null_mut(), "out_reader") }?;
        let clone = Reader::clone(&*self::reader(scope, reader)?);
        out.set(READERS.insert(clone)? as *mut rds_reader);
        Ok(())
    })
}

/// Tells rows, version, and how many tensor columns there are.
///
/// @param[in] reader a reader.
/// @param[out] out_info initialised with RDS_TABLE_INFO_INIT. Written on success only.
/// @return RDS_OK out_info is filled in.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_info is NULL or malformed.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
///
/// Ownership: out_info stays the caller's.
/// Thread safety: any thread, many at once.
/// Blocking: never.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_info(
    reader: *const rds_reader,
    out_info: *mut rds_table_info,
) -> Status {
    call("rds_reader_info(reader, out_info)", |scope| {
        let reader = self::reader(scope, reader)?;
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let out = unsafe { options::required_out(scope, out_info, "out_info") }?;
        out.set(convert::table_info(&reader));
        Ok(())
    })
}

/// Finds the number of a tensor column.
///
/// Numbers count from 0 in the order of the table, and stay as they are as long as the reader is open.
///
/// @param[in] reader a reader.
/// @param[in] name of the column; NUL-terminated UTF-8.
/// @param[out] out_column the number; 0 on failure.
/// @return RDS_OK out_column is the number.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT an argument is NULL, or name is not UTF-8.
/// @return RDS_ERR_NOT_FOUND no tensor column is called so.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
///
/// Ownership: nothing is passed.
/// Thread safety: any thread, many at once.
/// Blocking: never.
/// @since 0.2
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_column(
    reader: *const rds_reader,
    name: *const c_char,
    out_column: *mut u32,
) -> Status {
    call("rds_reader_column(reader, name, out_column)", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (out, name) = unsafe {
            let out = args::out(scope, out_column, 0, "out_column")?;
            (out, args::text(scope, name, "name"))
        };
        let reader = self::reader(scope, reader)?;
        out.set(reader.number(name?)? as u32);
        Ok(())
    })
}

/// Tells name, dtype and shape of a tensor column.
///
/// @param[in] reader a reader.
/// @param[in] column the number of a tensor column, from 0 on.
/// @param[out] out_info initialised with RDS_COLUMN_INFO_INIT. Written on success only.
/// @return RDS_OK out_info is filled in.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_info is NULL or malformed, or there is no such column.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
///
/// Ownership: out_info stays the caller's; the name of the column in it is borrowed, until the reader is closed or
/// refreshed, that of the dtype is static.
/// Thread safety: any thread, many at once.
/// Blocking: never.
/// @since 0.2
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_column_info(
    reader: *const rds_reader,
    column: u32,
    out_info: *mut rds_column_info,
) -> Status {
    call("rds_reader_column_info(reader, column, out_info)", |scope| {
        let reader = self::reader(scope, reader)?;
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let out = unsafe { options::required_out(scope, out_info, "out_info") }?;
        out.set(convert::column_info(reader.column(column as usize)?));
        Ok(())
    })
}

/// Exports the schema of the table: a struct with the ids and the tensors (fixed_size_list), and the metadata that say
/// what these are.
///
/// @param[in] reader a reader.
/// @param[in] options which columns; NULL means all. Copied.
/// @param[out] out_schema marked released on failure.
/// @return RDS_OK out_schema is the schema.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_schema is NULL, options are malformed, or there is no such column.
/// @return RDS_ERR_NOT_SUPPORTED options have a field this version does not know.
/// @return RDS_ERR_SCHEMA_MISMATCH ids are asked for alone, and the table has none.
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
    options: *const rds_select_options,
    out_schema: *mut FFI_ArrowSchema,
) -> Status {
    call("rds_reader_schema(reader, options, out_schema)", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (out, options) = unsafe {
            let out = args::out(scope, out_schema, FFI_ArrowSchema::empty(), "out_schema")?;
            (out, options::read(scope, options, "options"))
        };
        let reader = self::reader(scope, reader)?;
        // SAFETY: as above.
        let (columns, fixed_shape_tensor) = unsafe { convert::select(scope, &reader, &options?) }?;
        let schema = reader.schema(&columns, fixed_shape_tensor)?;
        out.set(FFI_ArrowSchema::try_from(schema.as_ref())?);
        Ok(())
    })
}

/// Exports a range of rows as a stream of record batches, in row order, or with RDS_STREAM_ROWS any rows in any
/// order. A batch of mapped rows of a range is the
/// memory of the file, not a copy of it, and does not cross the end of a span: tensors without ids, with batch_rows
/// large enough, come as one batch for each span. Ids are of the type that the table has.
///
/// @param[in] reader a reader.
/// @param[in] options NULL means all defaults: every row, all columns. Copied.
/// @param[out] out_stream marked released on failure.
/// @return RDS_OK out_stream is the stream. It reports its own errors, as the Arrow C stream interface
/// says; they become the last error of the thread too, and a stream that failed goes on failing.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_stream is NULL, options are malformed, or there is no such column.
/// @return RDS_ERR_SCHEMA_MISMATCH ids are asked for alone, and the table has none.
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
    call("rds_reader_stream(reader, options, out_stream)", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (out, options) = unsafe {
            let out = args::out(scope, out_stream, FFI_ArrowArrayStream::empty(), "out_stream")?;
            (out, options::read(scope, options, "options"))
        };
        let (reader, options) = (self::reader(scope, reader)?, options?);
        // SAFETY: as above.
        let rows = unsafe { convert::stream_rows(scope, &options) }?;
        // SAFETY: as above.
        let options = unsafe { convert::stream_options(scope, &reader, &options) }?;
        out.set(arrow::export_stream(match rows {
            None => Box::new(reader.stream(&options)?),
            Some(rows) => Box::new(reader.stream_of(rows, &options)?),
        }));
        Ok(())
    })
}
