//! The functions of a table that no writer has open.

use std::ffi::{c_char, c_void};

use crate::error::Status;
use crate::ffi::boundary::{call, refuse_while_logging};
use crate::ffi::types::{
    rds_commit_info, rds_commit_staged_options, rds_pack_parts_options, rds_part_callback,
    rds_recover_info, rds_recover_options, rds_token, rds_vacuum_info, rds_vacuum_options,
};
use crate::ffi::{args, convert, options};
use crate::location::Location;
use crate::runtime;
use crate::writer::{commit_staged, list_parts, pack_parts, recover, vacuum};

/// Publishes what tokens name in one version: rows come in the order of the tokens, those with a part of a job
/// in the order of the parts. Of tokens with the same part of a job, the first counts.
///
/// Files of tokens without a job become files of the table as they are. Parts of a job are packed: their rows are
/// copied into as few data files as they fill, each of 2^20 rows or a gibibyte, as one writer would have made them; a
/// processor makes a file at a time.
///
/// @param[in] path as in rds_writer_open(): the table that the writers staged for.
/// @param[in] tokens the tokens. Borrowed during the call.
/// @param[in] token_count how many.
/// @param[in] options NULL means all defaults. Copied.
/// @param[out] out_info NULL if the caller does not want it; else initialised with
/// RDS_COMMIT_INFO_INIT: the rows published. Written on success only.
/// @return RDS_OK all rows are durable and visible. If the tokens name none, there is no commit.
/// @return RDS_ERR_INVALID_ARGUMENT a pointer is NULL, a struct or a mode is malformed, or one of tokens is
/// no token, or none of the job that options name.
/// @return RDS_ERR_CORRUPT a token or a file that it names is damaged, or the table cannot be read.
/// @return RDS_ERR_NOT_FOUND a token is of another table, or its files were removed; or mode is
/// RDS_MODE_APPEND and there is no table.
/// @return RDS_ERR_ALREADY_EXISTS a token was published already or is given twice, or mode is RDS_MODE_CREATE
/// and the table exists.
/// @return RDS_ERR_SCHEMA_MISMATCH the tokens differ in dtype or shape, or the table differs in these, in its type
/// of strings or its file version.
/// @return RDS_ERR_COMMIT_CONFLICT another call published one of the tokens at the same time, or another writer
/// replaced the table meanwhile.
/// @return RDS_ERR_NOT_SUPPORTED a token, options or the table are of a kind that this version does not know.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
/// @return RDS_ERR_PANIC a defect of librds. After these failures nothing is published, and the tokens are as
/// they were; the message says which one is to blame, counted from 0.
/// @return RDS_ERR_COMMIT_UNKNOWN the disk failed when the version had got its name: all rows are visible, or none.
/// Publishing the tokens again is RDS_ERR_ALREADY_EXISTS in the first case.
///
/// Ownership: nothing is passed.
/// Thread safety: any thread.
/// Blocking: until the version is on disk.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_commit_staged(
    path: *const c_char,
    tokens: *const rds_token,
    token_count: usize,
    options: *const rds_commit_staged_options,
    out_info: *mut rds_commit_info,
) -> Status {
    call("rds_commit_staged(path, tokens, token_count, options, out_info)", |scope| {
        // SAFETY: NULL and sizes are checked; what is not NULL is as the header asks.
        let (path, tokens, mode, job, out) = unsafe {
            let path = args::text(scope, path, "path")?;
            let tokens = convert::tokens(scope, tokens, token_count)?;
            let options = options::read(scope, options, "options")?;
            let (mode, job) = convert::commit_staged_options(scope, &options)?;
            (path, tokens, mode, job, options::out(scope, out_info, "out_info")?)
        };
        refuse_while_logging()?;
        let info = commit_staged(Location::parse(path)?, &tokens, mode, job)?;
        out.set(convert::commit_info(&info));
        Ok(())
    })
}

/// Makes a share of the data files of a job, for the commit that comes: it finds them, and makes what it does not find.
///
/// Packing copies every row once. With this many machines do it, each with a call for a share of its own, when all
/// parts are written; rds_commit_staged() with the same tokens, mode and job then does little but name the files. Or they
/// do it while parts are still written: a call with the tokens of parts that follow each other, and with
/// RDS_PACK_PARTS_MORE, makes the files that these fill, and begins the next one with what is left, unless another call
/// works on that. The next call is given all parts of a file that is not full once more. A call that is made twice, or
/// dies, is no harm. It uses one thread. Rows of large files do not stay in the page cache when they are on disk.
///
/// @param[in] path as in rds_writer_open().
/// @param[in] job the job that the tokens are all of. Borrowed during the call.
/// @param[in] tokens the tokens of all parts of the job, or of some that follow each other, in any order. Borrowed
/// during the call.
/// @param[in] token_count how many.
/// @param[in] options NULL means all defaults: all files. Copied.
/// @param[out] out_rows how many rows the whole files of this share have; NULL if the caller does not want it.
/// @return RDS_OK the files are on disk.
/// @return RDS_ERR_INVALID_ARGUMENT a pointer is NULL, a struct or a mode is malformed, the share is not below their
/// number, or one of tokens is no token, or none of the job.
/// @return RDS_ERR_CORRUPT a token or a part is damaged, or the table cannot be read.
/// @return RDS_ERR_NOT_FOUND a part was removed.
/// @return RDS_ERR_ALREADY_EXISTS a token is given twice.
/// @return RDS_ERR_SCHEMA_MISMATCH the parts differ in dtype or shape, or for RDS_MODE_APPEND the table does in these.
/// @return RDS_ERR_NOT_SUPPORTED a token, options or the table are of a kind that this version does not know.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
/// @return RDS_ERR_PANIC a defect of librds. After all failures the parts are as they were, and the call may be made
/// again.
///
/// Ownership: nothing is passed.
/// Thread safety: any thread, and beside calls for the same share.
/// Blocking: until the files are on disk. A file that another call makes is waited for: for ten seconds, then this one
/// makes it too.
/// @since 0.2
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_pack_parts(
    path: *const c_char,
    job: *const c_char,
    tokens: *const rds_token,
    token_count: usize,
    options: *const rds_pack_parts_options,
    out_rows: *mut u64,
) -> Status {
    call("rds_pack_parts(path, job, tokens, token_count, options, out_rows)", |scope| {
        // SAFETY: NULL and sizes are checked; what is not NULL is as the header asks.
        let (out, path, job, tokens, options) = unsafe {
            let out = args::optional_out(scope, out_rows, 0, "out_rows")?;
            let (path, job) = (args::text(scope, path, "path")?, args::text(scope, job, "job")?);
            let tokens = convert::tokens(scope, tokens, token_count)?;
            (out, path, job, tokens, options::read(scope, options, "options")?)
        };
        refuse_while_logging()?;
        let (mode, wanted) = convert::pack_parts_options(&options)?;
        let rows = pack_parts(Location::parse(path)?, &tokens, mode, job, wanted)?;
        out.into_iter().for_each(|out| out.set(rows));
        Ok(())
    })
}

/// Lists the parts of jobs that the newest version of a table has, and those that wait to be published.
///
/// A part waits from the time its rds_writer_stage() returns, also if its process dies then, until it is published by
/// rds_commit_staged() or removed by rds_recover() or rds_vacuum(). Of what several tasks wrote of one part one token is
/// told, the same one each time. What is damaged is left out: its part has to be written again.
///
/// @param[in] path as in rds_writer_open().
/// @param[in] job the name of one job; NULL means all of them. Borrowed during the call.
/// @param[in] part the number of one part; NULL means all of them. Borrowed during the call.
/// @param[in] each called for each, first with those that a version has, in the order of the parts of a job.
/// @param[in] user_data passed on to each.
/// @return RDS_OK all were told, or each asked to stop.
/// @return RDS_ERR_INVALID_ARGUMENT path or each is NULL, or a text is malformed.
/// @return RDS_ERR_NOT_FOUND there is nothing at path.
/// @return RDS_ERR_CORRUPT the table cannot be read.
/// @return RDS_ERR_NOT_SUPPORTED the scheme of path is not known to this build.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
/// @return RDS_ERR_PANIC a defect of librds.
///
/// Ownership: nothing is passed.
/// Thread safety: any thread, and beside any number of writers: what they stage meanwhile may be told or not.
/// Blocking: while it lists the directories of jobs, and reads the end of one file for each part that waits.
/// @since 0.2
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_list_parts(
    path: *const c_char,
    job: *const c_char,
    part: *const u64,
    each: rds_part_callback,
    user_data: *mut c_void,
) -> Status {
    call("rds_list_parts(path, job, part, each, user_data)", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (path, job, part) = unsafe {
            let path = args::text(scope, path, "path")?;
            let part = match part.is_null() {
                true => None,
                false => Some(*args::borrowed(scope, part, "part")?),
            };
            (path, convert::optional_text(scope, job, "job")?, part)
        };
        let mut each = convert::part_callback(each, user_data)?;
        refuse_while_logging()?;
        list_parts(&Location::parse(path)?, job, part, &mut each)
    })
}

/// Makes the rows of runs visible that were durable when their process died, in order, each once.
///
/// A writer that opens with RDS_MODE_APPEND does the same. A run is dead if its process is gone; if that ran on
/// another host or in another container, after thirty seconds without a sign of it.
///
/// @param[in] path as in rds_writer_open().
/// @param[in] options NULL means all defaults. Copied.
/// @param[out] out_info NULL if the caller does not want it; else initialised with
/// RDS_RECOVER_INFO_INIT. Written on success only.
/// @return RDS_OK done; there may have been nothing to do.
/// @return RDS_ERR_INVALID_ARGUMENT a pointer is NULL or a struct is malformed; nothing changed.
/// @return RDS_ERR_NOT_FOUND there is nothing at path, or no such run; nothing changed.
/// @return RDS_ERR_NOT_SUPPORTED the scheme of path or a field of options is not known to this build, or a journal
/// is of a later version; nothing changed.
/// @return RDS_ERR_COMMIT_CONFLICT the table of a run was replaced, or its owner took it back. This and what
/// follows is told of the first run that failed: its rows wait as before, and all other runs are dealt with.
/// @return RDS_ERR_ALREADY_EXISTS a run was to make a table that another one made.
/// @return RDS_ERR_SCHEMA_MISMATCH the columns of the table changed so that the rows do not fit.
/// @return RDS_ERR_CORRUPT a journal, a file that it names, or the table is damaged.
/// @return RDS_ERR_COMMIT_UNKNOWN whether a version of a run landed cannot be known.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
/// @return RDS_ERR_PANIC a defect of librds.
///
/// Ownership: nothing is passed.
/// Thread safety: any thread, and beside any number of writers and readers.
/// Blocking: while it reads what is durable and copies files that were not finished; half a minute for an owner
/// elsewhere.
/// @since 0.2
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_recover(
    path: *const c_char,
    options: *const rds_recover_options,
    out_info: *mut rds_recover_info,
) -> Status {
    call("rds_recover(path, options, out_info)", |scope| {
        // SAFETY: NULL and sizes are checked; what is not NULL is as the header asks.
        let (path, options, out) = unsafe {
            let path = args::text(scope, path, "path")?;
            let options = options::read(scope, options, "options")?;
            let options = convert::recover_options(scope, &options)?;
            (path, options, options::out(scope, out_info, "out_info")?)
        };
        refuse_while_logging()?;
        let location = Location::parse(path)?;
        let info = runtime::block_on(recover(&location, &options))??;
        out.set(convert::recover_info(&info));
        Ok(())
    })
}

/// Removes versions of a table that were replaced, and files that no version names, from an age on.
///
/// Versions that tags or branches refer to and detached ones stay, with what they name; the newest one too.
/// Runs whose rows wait, and tokens without a job, stay at any age: rds_recover() deals with them. Parts of jobs that
/// were not published go, if none of their job was written for that age.
///
/// @param[in] path as in rds_writer_open().
/// @param[in] options NULL means all defaults. Copied.
/// @param[out] out_info NULL if the caller does not want it; else initialised with
/// RDS_VACUUM_INFO_INIT. Written on success only.
/// @return RDS_OK done.
/// @return RDS_ERR_INVALID_ARGUMENT a pointer is NULL or a struct is malformed; nothing changed.
/// @return RDS_ERR_NOT_FOUND there is nothing at path.
/// @return RDS_ERR_CORRUPT a version of the table cannot be read, so what it names is not known; nothing
/// changed.
/// @return RDS_ERR_NOT_SUPPORTED the scheme of path or a field of options is not known to this build; nothing
/// changed.
/// @return RDS_ERR_IO the operating system refused; some files may be removed.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not; nothing changed.
/// @return RDS_ERR_PANIC a defect of librds; some files may be removed.
///
/// Ownership: nothing is passed.
/// Thread safety: any thread, and beside any number of writers and readers. With an age below that of what
/// others of Lance are about to commit, their files are removed too.
/// Blocking: while it reads every version of the table.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_vacuum(
    path: *const c_char,
    options: *const rds_vacuum_options,
    out_info: *mut rds_vacuum_info,
) -> Status {
    call("rds_vacuum(path, options, out_info)", |scope| {
        // SAFETY: NULL and sizes are checked; what is not NULL is as the header asks.
        let (path, options, out) = unsafe {
            let path = args::text(scope, path, "path")?;
            let options = options::read(scope, options, "options")?;
            (path, options, options::out(scope, out_info, "out_info")?)
        };
        refuse_while_logging()?;
        let location = Location::parse(path)?;
        let info = runtime::block_on(vacuum(&location, convert::vacuum_options(&options)?))??;
        out.set(convert::vacuum_info(&info));
        Ok(())
    })
}
