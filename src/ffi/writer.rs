//! The functions of a writer: open, make durable, close.

use std::ffi::c_char;

use crate::error::{Result, Status};
use crate::ffi::boundary::{Scope, call, refuse_while_logging};
use crate::ffi::handle::{Held, Registry};
use crate::ffi::types::{
    rds_commit_info, rds_commit_options, rds_token, rds_write_stats, rds_writer, rds_writer_options,
};
use crate::ffi::{args, convert, options};
use crate::location::Location;
use crate::process;
use crate::writer::Writer;

static WRITERS: Registry<Writer> = Registry::new("writer", 0x57);

pub fn writer(scope: &Scope, token: *const rds_writer) -> Result<Held<Writer>> {
    WRITERS.get(scope, token as u64)
}

/// Opens a writer for a table.
///
/// Nothing is written yet: a table that does not exist appears with its first version. With RDS_MODE_APPEND runs that
/// died are finished: their durable rows become visible before those of this writer. The writer belongs to the
/// process that opened it.
///
/// @param[in] path a result directory (the table is `lance_db/results.lance` in it), a path ending
/// in `.lance` (the table itself), or one of these as a `file://` URI; NUL-terminated UTF-8.
/// @param[in] options NULL means all defaults. Copied.
/// @param[out] out_writer the writer; NULL on failure.
/// @return RDS_OK the writer is open.
/// @return RDS_ERR_INVALID_ARGUMENT an argument is NULL, path is not UTF-8 or has a control character, options
/// are malformed, or the environment variable RDS_THREADS is no number of threads.
/// @return RDS_ERR_ALREADY_EXISTS mode is RDS_MODE_CREATE and the table exists, or durable rows of another run wait
/// there to become visible.
/// @return RDS_ERR_NOT_FOUND mode is RDS_MODE_APPEND and there is no table.
/// @return RDS_ERR_SCHEMA_MISMATCH mode is RDS_MODE_APPEND and options.columns are not those of the table, or it lacks columns or
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
    call("rds_writer_open(path, options, out_writer)", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (out, path, options) = unsafe {
            let out = args::out(scope, out_writer, std::ptr::null_mut(), "out_writer")?;
            let path = args::text(scope, path, "path")?;
            let options = options::read(scope, options, "options")?;
            (out, path, convert::writer_options(scope, &options)?)
        };
        refuse_while_logging()?;
        let location = Location::parse(path)?;
        let writer = process::first("rds_writer_open", || Writer::open(location, options))?;
        out.set(WRITERS.insert(writer)? as *mut rds_writer);
        Ok(())
    })
}

/// Makes everything accepted durable, and visible to readers that open afterwards: one version of the table.
///
/// With nothing new it does nothing. What fails and may pass is tried again until it succeeds; rds_writer_stats()
/// tells of it.
///
/// @param[in] writer a writer.
/// @return RDS_OK everything accepted is durable and visible.
/// @return RDS_ERR_INVALID_HANDLE writer is no open writer.
/// @return RDS_ERR_CANCELLED rds_writer_options.waiting asked to stop waiting: what was accepted stays accepted, and
/// becomes durable and visible in the background.
/// @return RDS_ERR_INVALID_STATE the durability is RDS_DURABILITY_COMMIT or the mode RDS_MODE_STAGED, the
/// process is a fork of the one that opened the writer, or another thread closed the writer meanwhile;
/// nothing changed.
/// @return RDS_ERR_IO writing failed in a way that does not pass: what was durable before stays so, and the writer
/// accepts nothing more. Its durable rows wait for rds_recover() or the next writer that appends.
/// @return RDS_ERR_NOT_FOUND the directory of the table is gone; as above.
/// @return RDS_ERR_ALREADY_EXISTS another writer made the table first; as above.
/// @return RDS_ERR_COMMIT_CONFLICT the table was replaced, restored to before this run, or the run taken over by
/// another process; as above.
/// @return RDS_ERR_COMMIT_UNKNOWN whether the version landed cannot be known; as above.
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
    call("rds_flush(writer)", |scope| self::writer(scope, writer)?.flush())
}

/// Makes everything accepted durable and visible, whatever the durability of the writer is, and merges small data files
/// of this writer until at most eight are left.
///
/// Files that are full are not copied, and nothing is removed: versions before name what was merged, until
/// rds_vacuum(). It may be called again; with nothing new it only reports. The writer stays open. What fails
/// and may pass is tried again until it succeeds; rds_writer_stats() tells of it. If merging fails the rows are as visible,
/// and the call succeeds.
///
/// @param[in] writer a writer.
/// @param[in] options NULL means all defaults. Borrowed during the call.
/// @param[out] out_info NULL if the caller does not want it; else initialised with
/// RDS_COMMIT_INFO_INIT. Written on success only.
/// @return RDS_OK everything accepted is durable and visible. If nothing was ever accepted, and no columns were declared, there is still no table.
/// @return RDS_ERR_INVALID_HANDLE writer is no open writer.
/// @return RDS_ERR_INVALID_ARGUMENT options or out_info are malformed; nothing changed.
/// @return RDS_ERR_NOT_SUPPORTED options have a field this version does not know; nothing changed.
/// @return RDS_ERR_CANCELLED options.progress or rds_writer_options.waiting asked to stop waiting: what was
/// accepted stays accepted, and becomes visible in the background or with the next call that waits for it; data
/// files that are not merged yet stay as they are.
/// @return RDS_ERR_INVALID_STATE the process is a fork of the one that opened the writer, another thread
/// closed the writer meanwhile, or its mode is RDS_MODE_STAGED; nothing changed.
/// @return RDS_ERR_IO writing failed in a way that does not pass: what was durable before stays so, and the writer
/// accepts nothing more. Its durable rows wait for rds_recover() or the next writer that appends.
/// @return RDS_ERR_NOT_FOUND the directory of the table is gone; as above.
/// @return RDS_ERR_ALREADY_EXISTS another writer made the table first; as above.
/// @return RDS_ERR_COMMIT_CONFLICT the table was replaced, restored to before this run, or the run taken over by
/// another process; as above.
/// @return RDS_ERR_COMMIT_UNKNOWN whether the version landed cannot be known; as above.
/// @return RDS_ERR_CORRUPT the table cannot be read any more; as above.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not; as above.
/// @return RDS_ERR_PANIC a defect of librds; the writer can only be closed.
///
/// Ownership: out_info stays the caller's.
/// Thread safety: any thread; calls on one writer take turns.
/// Blocking: until everything accepted before the call is on disk and merged.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_commit(
    writer: *mut rds_writer,
    options: *const rds_commit_options,
    out_info: *mut rds_commit_info,
) -> Status {
    call("rds_commit(writer, options, out_info)", |scope| {
        let writer = self::writer(scope, writer)?;
        // SAFETY: NULL and sizes are checked; the structs have the bytes that their sizes say.
        let (options, out) = unsafe {
            let options: rds_commit_options = options::read(scope, options, "options")?;
            (options, options::out(scope, out_info, "out_info")?)
        };
        let mut progress = convert::progress(options.progress, options.user_data);
        let info = writer.commit(convert::commit_scope(&options)?, &mut progress)?;
        out.set(convert::commit_info(&info));
        Ok(())
    })
}

/// Tells how far a writer is.
///
/// @param[in] writer a writer.
/// @param[out] out_stats initialised with RDS_WRITE_STATS_INIT.
/// @return RDS_OK out_stats is filled; also of a writer that failed.
/// @return RDS_ERR_INVALID_HANDLE writer is no open writer.
/// @return RDS_ERR_INVALID_ARGUMENT out_stats is NULL or malformed.
/// @return RDS_ERR_INVALID_STATE the process is a fork of the one that opened the writer.
/// @return RDS_ERR_PANIC a defect of librds; the writer can only be closed.
///
/// Ownership: out_stats stays the caller's.
/// Thread safety: any thread, also while others write.
/// Blocking: no.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_writer_stats(
    writer: *const rds_writer,
    out_stats: *mut rds_write_stats,
) -> Status {
    call("rds_writer_stats(writer, out_stats)", |scope| {
        let writer = self::writer(scope, writer)?;
        // SAFETY: NULL and size are checked; the struct has the bytes that its size says.
        let out = unsafe { options::required_out(scope, out_stats, "out_stats") }?;
        out.set(convert::write_stats(&writer.stats()?));
        Ok(())
    })
}

/// Makes durable what was written since the writer was opened or last staged, and gives a token for it, which carries
/// the part of the writer's options.
///
/// No version of the table names these rows yet: rds_commit_staged() publishes them, in any process and on
/// any host that sees the same directory. If nothing was written, the token publishes nothing. The writer
/// stays open, and may stage again, unless options gave it a part of a job: a part has one token.
///
/// A part of a job is there whole or not at all. It survives the death of its process at once, and a power failure when
/// the system has written it, on Linux within half a minute: what that damaged is found by its checksum. With
/// RDS_DURABILITY_BATCH it is on disk when this returns. Until it is published rds_list_parts() tells of it.
///
/// @param[in] writer a writer whose mode is RDS_MODE_STAGED.
/// @param[out] out_token the token; below 64 KiB but for the list of data files and the name of the job. NULL and 0 on
/// failure.
/// @return RDS_OK the rows wait to be published, on disk unless they are a part of a job.
/// @return RDS_ERR_INVALID_HANDLE writer is no open writer.
/// @return RDS_ERR_INVALID_ARGUMENT out_token is NULL; nothing changed.
/// @return RDS_ERR_INVALID_STATE the mode is another one, the part of a job is staged already, the process is a fork of
/// the one that opened the writer, or another thread closed the writer meanwhile; nothing changed.
/// @return RDS_ERR_CANCELLED rds_writer_options.waiting asked to stop waiting: the token is made in the background,
/// and the next rds_writer_stage() gives it; what is written in between goes into the one after.
/// @return RDS_ERR_IO writing failed: the rows since the last token are lost, and the writer accepts nothing
/// more. Of a part nothing is lost, and the call may be made again.
/// @return RDS_ERR_NOT_FOUND the directory of the table is gone, as above; or that of the job, as it was committed or
/// vacuumed.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not; as above.
/// @return RDS_ERR_PANIC a defect of librds; the writer can only be closed.
///
/// Ownership: the token is borrowed until the writer is closed.
/// Thread safety: any thread; calls on one writer take turns.
/// Blocking: until everything accepted before the call is on disk.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_writer_stage(
    writer: *mut rds_writer,
    out_token: *mut rds_token,
) -> Status {
    call("rds_writer_stage(writer, out_token)", |scope| {
        let none = rds_token { data: std::ptr::null(), length: 0 };
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let token = unsafe { args::out(scope, out_token, none, "out_token") }?;
        let bytes = self::writer(scope, writer)?.stage()?;
        token.set(rds_token { data: bytes.as_ptr(), length: bytes.len() });
        Ok(())
    })
}

/// Closes a writer: makes visible what was accepted, leaves one data file per 2^20 rows or GiB, and frees it.
///
/// The handle is gone whatever is returned. With RDS_DURABILITY_COMMIT what was not committed is
/// dropped. What fails and may pass is tried again for some seconds.
///
/// @param[in] writer a writer.
/// @return RDS_OK everything accepted is durable and visible (RDS_DURABILITY_COMMIT: everything committed).
/// @return RDS_ERR_INVALID_HANDLE writer is no open writer; NULL and a second close are that too.
/// @return RDS_ERR_INVALID_STATE the process is a fork of the one that opened the writer, whose rows
/// are not touched.
/// @return RDS_ERR_CANCELLED rds_writer_options.waiting asked to stop waiting: the writer is closed, in the
/// background. If the process ends before that is done, or it fails, what was durable stays so and, if it is not
/// visible, waits for rds_recover() or the next writer that appends; the rest is lost.
/// @return RDS_ERR_IO writing failed: what was durable before stays so and, if it is not visible, waits for
/// rds_recover() or the next writer that appends; the rest is lost.
/// @return RDS_ERR_NOT_FOUND the directory of the table is gone; as above.
/// @return RDS_ERR_ALREADY_EXISTS another writer made the table first; as above.
/// @return RDS_ERR_COMMIT_CONFLICT the table was replaced, restored to before this run, or the run taken over by
/// another process; as above.
/// @return RDS_ERR_COMMIT_UNKNOWN whether the version landed cannot be known; as above.
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
    call("rds_writer_close(writer)", |_| WRITERS.remove(writer as u64)?.close())
}

/// Closes a writer and drops what is not durable.
///
/// The handle is gone whatever is returned. What is durable stays and becomes visible, if that can be done at once;
/// otherwise it waits for rds_recover() or the next writer that appends. What a token of rds_writer_stage() names stays.
///
/// @param[in] writer a writer.
/// @return RDS_OK nothing is left of what was not durable.
/// @return RDS_ERR_INVALID_HANDLE writer is no open writer; NULL and a second close are that too.
/// @return RDS_ERR_INVALID_STATE the process is a fork of the one that opened the writer, whose rows
/// are not touched.
/// @return RDS_ERR_CANCELLED rds_writer_options.waiting asked to stop waiting: the writer is closed, in the
/// background.
/// @return RDS_ERR_IO writing had failed before, which no call has told yet; what was durable stays so.
/// @return RDS_ERR_NOT_FOUND the directory of the table is gone; as above.
/// @return RDS_ERR_ALREADY_EXISTS another writer made the table first; as above.
/// @return RDS_ERR_COMMIT_CONFLICT the table was replaced, or the run taken over; as above.
/// @return RDS_ERR_COMMIT_UNKNOWN whether a version landed cannot be known; as above.
/// @return RDS_ERR_CORRUPT the table cannot be read any more; as above.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not; as above.
/// @return RDS_ERR_PANIC a defect of librds; as above.
///
/// Ownership: the writer is freed.
/// Thread safety: any thread; a call that is inside the writer ends first.
/// Blocking: until a checkpoint that has begun is done.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_writer_abort(writer: *mut rds_writer) -> Status {
    call("rds_writer_abort(writer)", |_| WRITERS.remove(writer as u64)?.abort())
}
