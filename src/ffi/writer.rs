//! The functions that write.

use std::ffi::c_char;

use ::arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};

use crate::error::{Result, Status};
use crate::ffi::boundary::{Scope, call};
use crate::ffi::handle::{Held, Registry};
use crate::ffi::types::{
    rds_commit_info, rds_commit_options, rds_ids, rds_tensor, rds_writer, rds_writer_options,
};
use crate::ffi::{args, arrow, convert, options};
use crate::location::Location;
use crate::writer::Writer;

static WRITERS: Registry<Writer> = Registry::new("writer", 0x57);

fn writer(scope: &Scope, token: *const rds_writer) -> Result<Held<Writer>> {
    WRITERS.get(scope, token as u64)
}

/// Opens a writer for a table.
///
/// Nothing is written yet: a table that does not exist appears with its first checkpoint. The
/// writer belongs to the process that opened it.
///
/// @param[in] path a result directory (the table is `lance_db/results.lance` in it), a path ending
/// in `.lance` (the table itself), or one of these as a `file://` URI; NUL-terminated UTF-8.
/// @param[in] options NULL means all defaults. Copied.
/// @param[out] out_writer the writer; NULL on failure.
/// @return RDS_OK the writer is open.
/// @return RDS_ERR_INVALID_ARGUMENT an argument is NULL, path is not UTF-8, options are malformed, or
/// the environment variable RDS_THREADS is no number of threads.
/// @return RDS_ERR_ALREADY_EXISTS mode is RDS_MODE_CREATE and the table exists.
/// @return RDS_ERR_NOT_FOUND mode is RDS_MODE_APPEND and there is no table.
/// @return RDS_ERR_SCHEMA_MISMATCH mode is RDS_MODE_APPEND and the table lacks the columns or the
/// tensor metadata, or has other columns too.
/// @return RDS_ERR_NOT_SUPPORTED the scheme of path or a field of options is not known to this build,
/// or the table is one that this version cannot add to.
/// @return RDS_ERR_CORRUPT the table cannot be read.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INVALID_STATE too many writers are open.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
/// @return RDS_ERR_PANIC a defect of librds. On any failure no writer is open.
///
/// Ownership: out_writer is the caller's, to be closed with rds_writer_close().
/// Thread safety: any thread.
/// Blocking: reads the manifest of the table, if there is one.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_writer_open(
    path: *const c_char,
    options: *const rds_writer_options,
    out_writer: *mut *mut rds_writer,
) -> Status {
    call("rds_writer_open", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (out, path, options) = unsafe {
            let out = args::out(scope, out_writer, std::ptr::null_mut(), "out_writer")?;
            let path = args::text(scope, path, "path")?;
            (out, path, options::read(scope, options, "options")?)
        };
        let writer = Writer::open(Location::parse(path)?, convert::writer_options(&options)?)?;
        out.set(WRITERS.insert(writer)? as *mut rds_writer);
        Ok(())
    })
}

/// Writes a batch that is an Arrow record batch.
///
/// The batch is checked whole before any of it is accepted. The first batch of a table fixes dtype
/// and shape: from the schema metadata `tensor_shape` and `tensor_dtype` if it has them, else from
/// the extension type `arrow.fixed_shape_tensor`, else the length of the list. An empty batch does
/// nothing.
///
/// @param[in] writer a writer.
/// @param[in] schema of the batch: a struct with `object_id` (utf8, large_utf8, utf8_view, binary, or
/// an integer type) and `data` (fixed_size_list), in any order. Borrowed.
/// @param[in,out] array the batch. Moved: marked released on return, and released by the library, whether
/// the call succeeds or fails. It is not copied: its release callback may run after the return, on another
/// thread.
/// @return RDS_OK the batch is accepted; durable as the durability of the writer says.
/// @return RDS_ERR_INVALID_HANDLE writer is no open writer.
/// @return RDS_ERR_INVALID_ARGUMENT a pointer is NULL, array or schema are released or malformed, or an id
/// or a tensor is null.
/// @return RDS_ERR_SCHEMA_MISMATCH a column is missing or of another type, there is another column, or
/// dtype or shape are not those of the table. After these four the writer is as it was.
/// @return RDS_ERR_NOT_SUPPORTED the dtype is not one of librds; the writer is as it was.
/// @return RDS_ERR_INVALID_STATE the process is a fork of the one that opened the writer, or another
/// thread closed the writer meanwhile; nothing of the batch is written.
/// @return RDS_ERR_IO writing failed, perhaps that of an earlier batch: what was durable stays so, and
/// the writer accepts nothing more.
/// @return RDS_ERR_NOT_FOUND the directory of the table is gone; as above.
/// @return RDS_ERR_ALREADY_EXISTS another writer created the table first; as above.
/// @return RDS_ERR_COMMIT_CONFLICT another writer replaced the table; as above.
/// @return RDS_ERR_CORRUPT the table cannot be read any more; as above.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not; as above.
/// @return RDS_ERR_PANIC a defect of librds; the writer can only be closed.
///
/// Ownership: array is moved, schema stays the caller's.
/// Thread safety: any thread; calls on one writer take turns.
/// Blocking: while more than max_queued_bytes wait to be written; with RDS_DURABILITY_BATCH until the
/// batch is durable.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_write_batch(
    writer: *mut rds_writer,
    schema: *const FFI_ArrowSchema,
    array: *mut FFI_ArrowArray,
) -> Status {
    call("rds_write_batch", |scope| {
        // First of all, so that the array is released on every path.
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let array = unsafe { arrow::take_array(array) };
        let writer = self::writer(scope, writer)?;
        // SAFETY: as above; what the Arrow C data interface lets us check is checked.
        let batch = unsafe { arrow::import_batch(scope, schema, array?) }?;
        writer.write_arrow(batch)
    })
}

/// Writes a batch that lies in plain memory: ids, and a stack of as many tensors.
///
/// The batch is checked whole before any of it is accepted, then copied: the memory is the caller's
/// again when the call returns. The first batch of a table fixes dtype and shape. An empty batch does
/// nothing.
///
/// @param[in] writer a writer.
/// @param[in] ids one id per row. Copied.
/// @param[in] tensor shape[0] rows. Copied.
/// @return RDS_OK the batch is accepted; durable as the durability of the writer says.
/// @return RDS_ERR_INVALID_HANDLE writer is no open writer.
/// @return RDS_ERR_INVALID_ARGUMENT a pointer is NULL, a struct is malformed, the numbers of ids and
/// rows differ, an id is not UTF-8, or a dimension is below 1.
/// @return RDS_ERR_SCHEMA_MISMATCH dtype or shape are not those of the table. After these three the
/// writer is as it was.
/// @return RDS_ERR_NOT_SUPPORTED a field of ids or tensor is not known to this version; the writer is
/// as it was.
/// @return RDS_ERR_INVALID_STATE the process is a fork of the one that opened the writer, or another
/// thread closed the writer meanwhile; nothing of the batch is written.
/// @return RDS_ERR_IO writing failed, perhaps that of an earlier batch: what was durable stays so, and
/// the writer accepts nothing more.
/// @return RDS_ERR_NOT_FOUND the directory of the table is gone; as above.
/// @return RDS_ERR_ALREADY_EXISTS another writer created the table first; as above.
/// @return RDS_ERR_COMMIT_CONFLICT another writer replaced the table; as above.
/// @return RDS_ERR_CORRUPT the table cannot be read any more; as above.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not; as above.
/// @return RDS_ERR_PANIC a defect of librds; the writer can only be closed.
///
/// Ownership: ids, tensor and what they point to stay the caller's.
/// Thread safety: any thread; calls on one writer take turns.
/// Blocking: while more than max_queued_bytes wait to be written; with RDS_DURABILITY_BATCH until the
/// batch is durable.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_write_tensors(
    writer: *mut rds_writer,
    ids: *const rds_ids,
    tensor: *const rds_tensor,
) -> Status {
    call("rds_write_tensors", |scope| {
        let writer = self::writer(scope, writer)?;
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (ids, tensor) = unsafe { (convert::ids(scope, ids)?, convert::tensor(scope, tensor)?) };
        writer.write_tensors(&ids, &tensor)
    })
}

/// Makes everything accepted durable and visible to readers that open afterwards: a checkpoint.
///
/// With nothing new it does nothing.
///
/// @param[in] writer a writer.
/// @return RDS_OK everything accepted is durable.
/// @return RDS_ERR_INVALID_HANDLE writer is no open writer.
/// @return RDS_ERR_INVALID_STATE the durability is RDS_DURABILITY_COMMIT, the process is a fork of the
/// one that opened the writer, or another thread closed the writer meanwhile; nothing changed.
/// @return RDS_ERR_IO writing failed: what was durable before stays so, and the
/// writer accepts nothing more.
/// @return RDS_ERR_NOT_FOUND the directory of the table is gone; as above.
/// @return RDS_ERR_ALREADY_EXISTS another writer created the table first; as above.
/// @return RDS_ERR_COMMIT_CONFLICT another writer replaced the table; as above.
/// @return RDS_ERR_CORRUPT the table cannot be read any more; as above.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not; as above.
/// @return RDS_ERR_PANIC a defect of librds; the writer can only be closed.
///
/// Ownership: nothing is passed.
/// Thread safety: any thread; calls on one writer take turns.
/// Blocking: until everything accepted before the call is on disk.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_flush(writer: *mut rds_writer) -> Status {
    call("rds_flush", |scope| self::writer(scope, writer)?.flush())
}

/// Makes everything accepted durable and visible, whatever the durability of the writer is.
///
/// It may be called again; with nothing new it only reports. The writer stays open.
///
/// @param[in] writer a writer.
/// @param[in] options NULL means all defaults. Borrowed during the call.
/// @param[out] out_info NULL if the caller does not want it; else initialised with
/// RDS_COMMIT_INFO_INIT. Written on success only.
/// @return RDS_OK everything accepted is durable. If nothing was ever accepted there is still no table.
/// @return RDS_ERR_INVALID_HANDLE writer is no open writer.
/// @return RDS_ERR_INVALID_ARGUMENT options or out_info are malformed; nothing changed.
/// @return RDS_ERR_NOT_SUPPORTED options have a field this version does not know; nothing changed.
/// @return RDS_ERR_CANCELLED options.progress asked to stop waiting: what was accepted stays accepted,
/// and becomes durable in the background or with the next call that waits for it.
/// @return RDS_ERR_INVALID_STATE the process is a fork of the one that opened the writer, or another
/// thread closed the writer meanwhile; nothing changed.
/// @return RDS_ERR_IO writing failed: what was durable before stays so, and the
/// writer accepts nothing more.
/// @return RDS_ERR_NOT_FOUND the directory of the table is gone; as above.
/// @return RDS_ERR_ALREADY_EXISTS another writer created the table first; as above.
/// @return RDS_ERR_COMMIT_CONFLICT another writer replaced the table; as above.
/// @return RDS_ERR_CORRUPT the table cannot be read any more; as above.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not; as above.
/// @return RDS_ERR_PANIC a defect of librds; the writer can only be closed.
///
/// Ownership: out_info stays the caller's.
/// Thread safety: any thread; calls on one writer take turns.
/// Blocking: until everything accepted before the call is on disk.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_commit(
    writer: *mut rds_writer,
    options: *const rds_commit_options,
    out_info: *mut rds_commit_info,
) -> Status {
    call("rds_commit", |scope| {
        let writer = self::writer(scope, writer)?;
        // SAFETY: NULL and sizes are checked; the structs have the bytes that their sizes say.
        let (options, out) = unsafe {
            let options = options::read(scope, options, "options")?;
            (options, options::out(scope, out_info, "out_info")?)
        };
        let info = writer.commit(&mut convert::progress(&options))?;
        out.set(convert::commit_info(&info));
        Ok(())
    })
}

/// Closes a writer: makes durable what was accepted, and frees it.
///
/// The handle is gone whatever is returned. With RDS_DURABILITY_COMMIT what was not committed is
/// dropped.
///
/// @param[in] writer a writer.
/// @return RDS_OK everything accepted is durable (RDS_DURABILITY_COMMIT: everything committed).
/// @return RDS_ERR_INVALID_HANDLE writer is no open writer; NULL and a second close are that too.
/// @return RDS_ERR_INVALID_STATE the process is a fork of the one that opened the writer, whose rows
/// are not touched.
/// @return RDS_ERR_IO writing failed: what was durable before stays so, the rest is lost.
/// @return RDS_ERR_NOT_FOUND the directory of the table is gone; as above.
/// @return RDS_ERR_ALREADY_EXISTS another writer created the table first; as above.
/// @return RDS_ERR_COMMIT_CONFLICT another writer replaced the table; as above.
/// @return RDS_ERR_CORRUPT the table cannot be read any more; as above.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not; as above.
/// @return RDS_ERR_PANIC a defect of librds; as above.
///
/// Ownership: the writer is freed.
/// Thread safety: any thread; a call that is inside the writer ends first.
/// Blocking: until everything accepted is on disk.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_writer_close(writer: *mut rds_writer) -> Status {
    call("rds_writer_close", |_| WRITERS.remove(writer as u64)?.close())
}
