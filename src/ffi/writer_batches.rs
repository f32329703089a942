//! The functions that hand rows to a writer.

use ::arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use ::arrow::ffi_stream::FFI_ArrowArrayStream;

use crate::error::{Error, Status};
use crate::ffi::boundary::call;
use crate::ffi::types::{rds_ids, rds_tensor, rds_write_stream_options, rds_writer};
use crate::ffi::{args, arrow, convert, options, writer};

/// Writes a batch that is an Arrow record batch.
///
/// The batch is checked whole before any of it is accepted. The first batch of a table fixes the names, dtypes and
/// shapes of its tensors: from the schema metadata that a table of librds has, else from
/// the extension type `arrow.fixed_shape_tensor`, else the length of the list; a column of numbers is of scalars. Later
/// batches have the same columns, in any order. An empty batch does nothing.
///
/// @param[in] writer a writer.
/// @param[in] schema of the batch: a struct with `object_id` (utf8, large_utf8, utf8_view, binary, or
/// an integer type), and tensors (fixed_size_list, or numbers), in any order. Borrowed.
/// @param[in,out] array the batch. Moved: marked released on return, and released by the library, whether
/// the call succeeds or fails. It is copied and released before the return; with RDS_WRITER_ALIAS_ARROW its tensors
/// are kept, and its release callback may run after the return, on another thread.
/// @return RDS_OK the batch is accepted; durable as the durability of the writer says.
/// @return RDS_ERR_INVALID_HANDLE writer is no open writer.
/// @return RDS_ERR_INVALID_ARGUMENT a pointer is NULL, array or schema are released or malformed, or an id
/// or a tensor is null.
/// @return RDS_ERR_SCHEMA_MISMATCH a column is missing, occurs twice, is no tensor or none of the table's, or its
/// dtype or shape are not those of the table. After these four the writer is as it was.
/// @return RDS_ERR_NOT_SUPPORTED the dtype is not one of librds; the writer is as it was.
/// @return RDS_ERR_INVALID_STATE the process is a fork of the one that opened the writer, or another
/// thread closed the writer meanwhile; nothing of the batch is written.
/// @return RDS_ERR_NO_ROOM the queue is full, and options say not to wait, or the time of room_ms is over, or
/// rds_writer_options.waiting asked to stop waiting: nothing is accepted, and the writer is as it was.
/// @return RDS_ERR_CANCELLED rds_writer_options.waiting asked to stop waiting until the batch is durable: it is accepted,
/// and becomes durable in the background.
/// @return RDS_ERR_IO writing failed in a way that does not pass, perhaps that of an earlier batch: what was durable
/// stays so, and the writer accepts nothing more. Its durable rows wait for rds_recover() or the next writer that appends.
/// @return RDS_ERR_NOT_FOUND the directory of the table is gone; as above.
/// @return RDS_ERR_ALREADY_EXISTS another writer made the table first; as above.
/// @return RDS_ERR_COMMIT_CONFLICT the table was replaced, restored to before this run, or its columns changed so that
/// the rows do not fit, or the run was taken over by another process; as above.
/// @return RDS_ERR_COMMIT_UNKNOWN whether the version landed cannot be known; as above.
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
    call("rds_write_batch(writer, schema, array)", |scope| {
        // First of all, so that the array is released on every path.
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let array = unsafe { arrow::take_array(array) };
        let writer = writer::writer(scope, writer)?;
        // SAFETY: as above; what the Arrow C data interface lets us check is checked.
        let batch = unsafe { arrow::import_batch(scope, schema, array?) }?;
        writer.write_arrow(batch)
    })
}

/// Writes a batch that lies in plain memory: ids, and for each column a stack of as many tensors.
///
/// The batch is checked whole before any of it is accepted, then copied: the memory is the caller's
/// again when the call returns. The first batch of a table fixes the names, dtypes and shapes of its columns; later
/// ones have the same columns, in any order. An empty batch does nothing.
///
/// @param[in] writer a writer.
/// @param[in] ids one id per row. Copied.
/// @param[in] tensors shape[0] rows of each column, initialised with RDS_TENSOR_INIT. Copied.
/// @param[in] tensor_count how many columns, at least 1.
/// @return RDS_OK the batch is accepted; durable as the durability of the writer says.
/// @return RDS_ERR_INVALID_HANDLE writer is no open writer.
/// @return RDS_ERR_INVALID_ARGUMENT a pointer is NULL, a struct is malformed, the numbers of ids and
/// rows differ, an id is not UTF-8, a dimension is below 1, Lance cannot store a column of that name, or there are
/// more columns than the process may have descriptors.
/// @return RDS_ERR_SCHEMA_MISMATCH a column is missing, occurs twice or is none of the table's, or its dtype or shape
/// are not those of the table. After these three the
/// writer is as it was.
/// @return RDS_ERR_NOT_SUPPORTED a field of ids or tensors is not known to this version; the writer is
/// as it was.
/// @return RDS_ERR_INVALID_STATE the process is a fork of the one that opened the writer, or another
/// thread closed the writer meanwhile; nothing of the batch is written.
/// @return RDS_ERR_NO_ROOM the queue is full, and options say not to wait, or the time of room_ms is over, or
/// rds_writer_options.waiting asked to stop waiting: nothing is accepted, and the writer is as it was.
/// @return RDS_ERR_CANCELLED rds_writer_options.waiting asked to stop waiting until the batch is durable: it is accepted,
/// and becomes durable in the background.
/// @return RDS_ERR_IO writing failed in a way that does not pass, perhaps that of an earlier batch: what was durable
/// stays so, and the writer accepts nothing more. Its durable rows wait for rds_recover() or the next writer that appends.
/// @return RDS_ERR_NOT_FOUND the directory of the table is gone; as above.
/// @return RDS_ERR_ALREADY_EXISTS another writer made the table first; as above.
/// @return RDS_ERR_COMMIT_CONFLICT the table was replaced, restored to before this run, or its columns changed so that
/// the rows do not fit, or the run was taken over by another process; as above.
/// @return RDS_ERR_COMMIT_UNKNOWN whether the version landed cannot be known; as above.
/// @return RDS_ERR_CORRUPT the table cannot be read any more; as above.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not; as above.
/// @return RDS_ERR_PANIC a defect of librds; the writer can only be closed.
///
/// Ownership: ids, tensors and what they point to stay the caller's.
/// Thread safety: any thread; calls on one writer take turns.
/// Blocking: while more than max_queued_bytes wait to be written; with RDS_DURABILITY_BATCH until the
/// batch is durable.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_write_tensors(
    writer: *mut rds_writer,
    ids: *const rds_ids,
    tensors: *const rds_tensor,
    tensor_count: usize,
) -> Status {
    call("rds_write_tensors(writer, ids, tensors, tensor_count)", |scope| {
        let writer = writer::writer(scope, writer)?;
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (ids, tensors) =
            unsafe { (convert::ids(scope, ids)?, convert::tensors(scope, tensors, tensor_count)?) };
        writer.write_tensors(&ids, &tensors)
    })
}

/// Writes all batches of an Arrow stream, one after the other.
///
/// Each is checked as by rds_write_batch(), the columns before the first one. What was accepted before a
/// failure stays accepted.
///
/// @param[in] writer a writer.
/// @param[in,out] stream the batches. Moved: marked released on return, and released by the library, whether
/// the call succeeds or fails. Its callbacks are called on this thread; with RDS_WRITER_ALIAS_ARROW
/// release callbacks of its batches may run after the return, on another thread.
/// @param[in] options NULL means all defaults. Borrowed during the call.
/// @param[out] out_rows how many rows the stream had; NULL if the caller does not want it.
/// @return RDS_OK all batches are accepted; durable as the durability of the writer says.
/// @return RDS_ERR_INVALID_HANDLE writer is no open writer.
/// @return RDS_ERR_INVALID_ARGUMENT a pointer is NULL, the stream is released or malformed, an id or a tensor
/// is null, or options are malformed.
/// @return RDS_ERR_SCHEMA_MISMATCH a column is missing, occurs twice, is no tensor or none of the table's, or its
/// dtype or shape are not those of the table.
/// @return RDS_ERR_NOT_SUPPORTED the dtype is not one of librds, or options have a field this version does not
/// know. After these four the writer has what it had and the batches before, and goes on.
/// @return RDS_ERR_STREAM the stream failed, as its message says; as above.
/// @return RDS_ERR_NO_ROOM as of rds_write_batch(): nothing of the batch at hand is accepted; as above.
/// @return RDS_ERR_CANCELLED options.progress asked to stop, or rds_writer_options.waiting asked not to wait until the batch
/// at hand is durable, which it becomes in the background: it is accepted; as above.
/// @return RDS_ERR_INVALID_STATE the process is a fork of the one that opened the writer, or another
/// thread closed the writer meanwhile; nothing of the batch is written.
/// @return RDS_ERR_IO writing failed, perhaps that of an earlier batch: what was durable stays so, and the writer
/// accepts nothing more.
/// @return RDS_ERR_NOT_FOUND the directory of the table is gone: what was durable stays so, and the writer
/// accepts nothing more.
/// @return RDS_ERR_ALREADY_EXISTS another writer made the table first; as above.
/// @return RDS_ERR_COMMIT_CONFLICT the table was replaced, restored to before this run, or its columns changed so that
/// the rows do not fit, or the run was taken over by another process; as above.
/// @return RDS_ERR_COMMIT_UNKNOWN whether a version landed cannot be known; as above.
/// @return RDS_ERR_CORRUPT the table cannot be read any more; as above.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not; as above.
/// @return RDS_ERR_PANIC a defect of librds; the writer can only be closed.
///
/// Ownership: stream is moved.
/// Thread safety: any thread; calls on one writer take turns batch by batch.
/// Blocking: as long as the stream takes, and while more than max_queued_bytes wait to be written.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_write_stream(
    writer: *mut rds_writer,
    stream: *mut FFI_ArrowArrayStream,
    options: *const rds_write_stream_options,
    out_rows: *mut u64,
) -> Status {
    call("rds_write_stream(writer, stream, options, out_rows)", |scope| {
        // First of all, so that the stream is released on every path.
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let stream = unsafe { arrow::StreamIn::take(stream) };
        // SAFETY: as above.
        let out = unsafe { args::optional_out(scope, out_rows, 0, "out_rows") }?;
        let writer = writer::writer(scope, writer)?;
        // SAFETY: as above.
        let options: rds_write_stream_options =
            unsafe { options::read(scope, options, "options") }?;
        let mut stream = stream?;
        let schema = stream.schema().map_err(of_stream)?;
        let mut progress = convert::progress(options.progress, options.user_data);
        let rows = writer.write_stream(&schema, stream.batches(scope), &mut progress);
        let rows = rows.map_err(of_stream)?;
        out.into_iter().for_each(|out| out.set(rows));
        Ok(())
    })
}

/// What is wrong with a batch is wrong with the stream, which is the argument.
fn of_stream(error: Error) -> Error {
    match error.status {
        Status::RDS_ERR_INVALID_ARGUMENT => error.context("stream"),
        _ => error,
    }
}
