//! The functions of a table that no writer has open.

use std::ffi::c_char;

use crate::error::Status;
use crate::ffi::boundary::call;
use crate::ffi::types::{
    rds_commit_info, rds_commit_staged_options, rds_token, rds_vacuum_info, rds_vacuum_options,
};
use crate::ffi::{args, convert, options};
use crate::location::Location;
use crate::runtime;
use crate::writer::{commit_staged, vacuum};

/// Publishes what tokens name: one commit, in which rows come in the order of the tokens.
///
/// @param[in] path as in rds_writer_open(): the table that the writers staged for.
/// @param[in] tokens the tokens. Borrowed during the call.
/// @param[in] token_count how many.
/// @param[in] options NULL means all defaults. Copied.
/// @param[out] out_info NULL if the caller does not want it; else initialised with
/// RDS_COMMIT_INFO_INIT: the rows published. Written on success only.
/// @return RDS_OK all rows are durable and visible. If the tokens name none, there is no commit.
/// @return RDS_ERR_INVALID_ARGUMENT a pointer is NULL, a struct or a mode is malformed, or one of tokens is
/// no token.
/// @return RDS_ERR_CORRUPT a token or a file that it names is damaged, or the table cannot be read.
/// @return RDS_ERR_NOT_FOUND a token is of another table, or its files were removed; or mode is
/// RDS_MODE_APPEND and there is no table.
/// @return RDS_ERR_ALREADY_EXISTS a token was published already or is given twice, or mode is RDS_MODE_CREATE
/// and the table exists.
/// @return RDS_ERR_SCHEMA_MISMATCH the tokens differ in dtype or shape, or the table does.
/// @return RDS_ERR_COMMIT_CONFLICT another call publishes one of the tokens now, or another writer
/// replaced the table meanwhile.
/// @return RDS_ERR_NOT_SUPPORTED a token, options or the table are of a kind that this version does not know.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
/// @return RDS_ERR_PANIC a defect of librds. After any failure nothing is published, and the tokens are as
/// they were; the message says which one is to blame, counted from 0.
///
/// Ownership: nothing is passed.
/// Thread safety: any thread.
/// Blocking: until the commit is on disk. It reads every version of the table.
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
    call("rds_commit_staged", |scope| {
        // SAFETY: NULL and sizes are checked; what is not NULL is as the header asks.
        let (path, tokens, options, out) = unsafe {
            let path = args::text(scope, path, "path")?;
            let tokens = convert::tokens(scope, tokens, token_count)?;
            let options = options::read(scope, options, "options")?;
            (path, tokens, options, options::out(scope, out_info, "out_info")?)
        };
        let (location, mode) = (Location::parse(path)?, convert::commit_staged_mode(&options)?);
        let info = runtime::block_on(commit_staged(location, &tokens, mode))??;
        out.set(convert::commit_info(&info));
        Ok(())
    })
}

/// Removes files of a table that no version names: what writers left that were killed, and staged rows
/// that were not published in time.
///
/// What a writer of librds holds, in whatever process, is not touched, however old it is. Files of librds
/// that nobody holds are removed at once, staged ones and those of other writers when they are old.
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
/// Thread safety: any thread, and beside any number of writers and readers.
/// Blocking: while it reads every version of the table.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_vacuum(
    path: *const c_char,
    options: *const rds_vacuum_options,
    out_info: *mut rds_vacuum_info,
) -> Status {
    call("rds_vacuum", |scope| {
        // SAFETY: NULL and sizes are checked; what is not NULL is as the header asks.
        let (path, options, out) = unsafe {
            let path = args::text(scope, path, "path")?;
            let options = options::read(scope, options, "options")?;
            (path, options, options::out(scope, out_info, "out_info")?)
        };
        let location = Location::parse(path)?;
        let info = runtime::block_on(vacuum(&location, convert::vacuum_options(&options)?))??;
        out.set(convert::vacuum_info(&info));
        Ok(())
    })
}
