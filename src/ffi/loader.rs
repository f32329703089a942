//! The functions that go through the rows of tables in batches.

use std::ffi::c_int;

use crate::error::{Error, Result, Status};
use crate::ffi::boundary::{Scope, call, refuse_while_logging};
use crate::ffi::handle::{Held, Registry};
use crate::ffi::types::{
    RDS_POSITION_BYTES, rds_load_stats, rds_loader, rds_loader_batch, rds_loader_options,
    rds_position, rds_reader,
};
use crate::ffi::{args, convert, options};
use crate::reader::loader::Loader;

static LOADERS: Registry<Loader> = Registry::new("loader", 0x4c);

fn loader(scope: &Scope, token: *const rds_loader) -> Result<Held<Loader>> {
    LOADERS.get(scope, token as u64)
}

/// Opens a loader: it gives the rows of a table, or of several that it mixes, batch by batch and epoch after epoch, and
/// each row of an epoch once. It keeps the snapshots that the readers show now, whatever becomes of these.
///
/// @param[in] reader a reader; NULL with RDS_LOADER_NO_TABLE only. It is not needed afterwards.
/// @param[in] options how many rows a batch has, in which order, of which columns; a batch size must be given. Copied.
/// @param[out] out_loader the loader; NULL on failure.
/// @return RDS_OK the loader stands before the first row of options.epoch.
/// @return RDS_ERR_INVALID_HANDLE reader or one of options.others is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_loader or options are NULL or malformed; there is no such column, rank or
/// worker; the tail is dropped and leaves no step; memory of the caller is too small; or a batch needs more than
/// options.max_bytes.
/// @return RDS_ERR_OUT_OF_RANGE a table does not have all the rows asked for.
/// @return RDS_ERR_SCHEMA_MISMATCH another table lacks a column chosen, or has it with another dtype or shape.
/// @return RDS_ERR_NOT_SUPPORTED a field of options is not known to this build.
/// @return RDS_ERR_INVALID_STATE too many loaders are open.
/// @return RDS_ERR_IO there is no memory for the list of rows.
/// @return RDS_ERR_PANIC a defect of librds. On any failure no loader is open.
///
/// Ownership: out_loader is the caller's, to be closed with rds_loader_close(). Memory of options.targets is written
/// to by other threads until then.
/// Thread safety: any thread. In a forked child a loader of the parent goes on from where it was there, with threads and
/// buffers of its own; memory of options.targets is written to by both.
/// Blocking: never; nothing is read, and no thread starts, before the first batch is asked for.
/// @since 0.2
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_loader_open(
    reader: *const rds_reader,
    options: *const rds_loader_options,
    out_loader: *mut *mut rds_loader,
) -> Status {
    call("rds_loader_open(reader, options, out_loader)", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (out, options) = unsafe {
            let out = args::out(scope, out_loader, std::ptr::null_mut(), "out_loader")?;
            (out, options::read(scope, options, "options")?)
        };
        refuse_while_logging()?;
        // SAFETY: as above.
        let options = unsafe { convert::loader_options(scope, reader, &options) }?;
        out.set(LOADERS.insert(Loader::open(options)?)? as *mut rds_loader);
        Ok(())
    })
}

/// Gives the next batch: what this rank and worker take of the next step, gathered.
///
/// A loop over an epoch: `while (rds_loader_next(loader, &batch) == RDS_OK && batch.step_rows != 0)`, with
/// rds_loader_release() at the end of its body. After the last step of an epoch one call gives a batch with step_rows 0;
/// the next one begins the next epoch.
///
/// @param[in] loader a loader.
/// @param[out] out_batch initialised with RDS_LOADER_BATCH_INIT. Written on success only.
/// @return RDS_OK out_batch is the batch, and the loader stands behind its step.
/// @return RDS_ERR_INVALID_HANDLE loader is no open loader.
/// @return RDS_ERR_INVALID_ARGUMENT out_batch is NULL or malformed.
/// @return RDS_ERR_NO_ROOM all buffers are lent; release one. The loader is as it was.
/// @return RDS_ERR_CANCELLED rds_loader_options.waiting asked to stop, or the loader was closed meanwhile; as above.
/// @return RDS_ERR_NOT_SUPPORTED the tensor of a row is null, or Lance cannot read the files of the table; as above.
/// @return RDS_ERR_CORRUPT a file of the table is damaged; as above.
/// @return RDS_ERR_NOT_FOUND a file of the table is gone; as above.
/// @return RDS_ERR_IO the operating system refused, or there is no memory for a buffer; as above.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not; as above.
/// @return RDS_ERR_PANIC a defect of librds; the loader can only be closed.
///
/// Ownership: what out_batch points to is lent, until it is released or the loader is closed; it may be written to.
/// Thread safety: any thread, many at once: each gets another batch. One of them is told of the end of the epoch, and the
/// others go on into the next one.
/// Blocking: until the batch is gathered. It is ready, as a rule, if the caller was slower than memory or disk.
/// @since 0.2
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_loader_next(
    loader: *mut rds_loader,
    out_batch: *mut rds_loader_batch,
) -> Status {
    call("rds_loader_next(loader, out_batch)", |scope| {
        let loader = self::loader(scope, loader)?;
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let out = unsafe { options::required_out(scope, out_batch, "out_batch") }?;
        out.set(convert::loader_batch(&loader.next()?));
        Ok(())
    })
}

/// Gives the memory of a batch back, for another one.
///
/// @param[in] loader a loader.
/// @param[in] buffer rds_loader_batch.buffer; 0 does nothing.
/// @return RDS_OK the memory is not the caller's any more.
/// @return RDS_ERR_INVALID_HANDLE loader is no open loader.
/// @return RDS_ERR_INVALID_ARGUMENT no batch has that buffer: it was released.
/// @return RDS_ERR_PANIC a defect of librds; the loader can only be closed.
///
/// Ownership: what the batch pointed to must not be used any more.
/// Thread safety: any thread.
/// Blocking: never.
/// @since 0.2
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_loader_release(loader: *mut rds_loader, buffer: u64) -> Status {
    call("rds_loader_release(loader, buffer)", |scope| self::loader(scope, loader)?.release(buffer))
}

/// Tells where a loader is: behind the last step that rds_loader_next() gave, whatever was gathered ahead.
///
/// @param[in] loader a loader.
/// @param[out] out_position the position; zeros on failure.
/// @return RDS_OK out_position is the position, the same on all ranks that are behind the same step.
/// @return RDS_ERR_INVALID_HANDLE loader is no open loader.
/// @return RDS_ERR_INVALID_ARGUMENT out_position is NULL.
/// @return RDS_ERR_PANIC a defect of librds; the loader can only be closed.
///
/// Ownership: nothing is passed.
/// Thread safety: any thread.
/// Blocking: never.
/// @since 0.2
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_loader_state(
    loader: *const rds_loader,
    out_position: *mut rds_position,
) -> Status {
    call("rds_loader_state(loader, out_position)", |scope| {
        let none = rds_position { bytes: [0; RDS_POSITION_BYTES] };
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let out = unsafe { args::out(scope, out_position, none, "out_position") }?;
        out.set(rds_position { bytes: self::loader(scope, loader)?.state() });
        Ok(())
    })
}

/// Moves a loader to a position, of its own or of another loader over the same rows in the same order: ranks, workers,
/// batch size and tail may be others.
///
/// @param[in] loader a loader.
/// @param[in] position as of rds_loader_state(). Its seed becomes that of the loader. NULL for the two that follow.
/// @param[in] epoch without position: the epoch. With one 0.
/// @param[in] consumed without position: how many rows of the epoch come before. With one 0.
/// @return RDS_OK the next batch is of the step behind the position.
/// @return RDS_ERR_INVALID_HANDLE loader is no open loader.
/// @return RDS_ERR_INVALID_ARGUMENT position is none, or damaged; or it is of another table, version, list of rows,
/// order or weights, which the message names; or an epoch has fewer rows than are consumed.
/// @return RDS_ERR_NOT_SUPPORTED position is of a format that this version does not know.
/// @return RDS_ERR_PANIC a defect of librds; the loader can only be closed. On any other failure it is where it was.
///
/// Ownership: batches that are lent stay so.
/// Thread safety: any thread.
/// Blocking: never.
/// @since 0.2
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_loader_seek(
    loader: *mut rds_loader,
    position: *const rds_position,
    epoch: u64,
    consumed: u64,
) -> Status {
    call("rds_loader_seek(loader, position, epoch, consumed)", |scope| {
        let loader = self::loader(scope, loader)?;
        if position.is_null() {
            return loader.seek(epoch, consumed);
        }
        if (epoch, consumed) != (0, 0) {
            return Err(Error::invalid_argument("position is given, and epoch or consumed too"));
        }
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        loader.restore(&unsafe { args::borrowed(scope, position, "position") }?.bytes)
    })
}

/// Tells where a loader is, how long it was waited for, and what memory it has.
///
/// @param[in] loader a loader.
/// @param[out] out_stats initialised with RDS_LOAD_STATS_INIT. Written on success only.
/// @return RDS_OK out_stats is filled in.
/// @return RDS_ERR_INVALID_HANDLE loader is no open loader.
/// @return RDS_ERR_INVALID_ARGUMENT out_stats is NULL or malformed.
/// @return RDS_ERR_PANIC a defect of librds; the loader can only be closed.
///
/// Ownership: out_stats stays the caller's.
/// Thread safety: any thread.
/// Blocking: never.
/// @since 0.2
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_loader_stats(
    loader: *const rds_loader,
    out_stats: *mut rds_load_stats,
) -> Status {
    call("rds_loader_stats(loader, out_stats)", |scope| {
        let loader = self::loader(scope, loader)?;
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let out = unsafe { options::required_out(scope, out_stats, "out_stats") }?;
        out.set(convert::load_stats(&loader.stats()));
        Ok(())
    })
}

/// Gives a file descriptor for poll(), select() or epoll: it is readable while a batch is ready, or the end of an epoch or
/// an error is. Nothing becomes ready while all buffers are lent. The first call has the loader gather from now on.
///
/// @param[in] loader a loader that has threads.
/// @param[out] out_fd the descriptor; -1 on failure.
/// @return RDS_OK out_fd is the descriptor, the same each time.
/// @return RDS_ERR_INVALID_HANDLE loader is no open loader.
/// @return RDS_ERR_INVALID_ARGUMENT out_fd is NULL.
/// @return RDS_ERR_INVALID_STATE the loader has no threads, so that nothing is ready before it is asked for.
/// @return RDS_ERR_IO the process has no descriptor left.
/// @return RDS_ERR_PANIC a defect of librds; the loader can only be closed.
///
/// Ownership: out_fd is the loader's, until it is closed; it is to be waited for, and neither read nor closed. A forked
/// child has one of its own, for which it asks again.
/// Thread safety: any thread.
/// Blocking: never.
/// @since 0.2
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_loader_fd(loader: *mut rds_loader, out_fd: *mut c_int) -> Status {
    call("rds_loader_fd(loader, out_fd)", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let out = unsafe { args::out(scope, out_fd, -1, "out_fd") }?;
        out.set(self::loader(scope, loader)?.fd()?);
        Ok(())
    })
}

/// Closes a loader. A call that waits in it ends with RDS_ERR_CANCELLED.
///
/// @param[in] loader a loader.
/// @return RDS_OK the loader is closed.
/// @return RDS_ERR_INVALID_HANDLE loader is no open loader; NULL and a second close are that too.
/// @return RDS_ERR_PANIC a defect of librds.
///
/// Ownership: what batches point to is freed, also of those that were not released; memory of the caller is not
/// written to any more. The descriptor of rds_loader_fd() is closed.
/// Thread safety: any thread; a call that is inside the loader ends unharmed.
/// Blocking: until the batches that are being gathered are.
/// @since 0.2
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_loader_close(loader: *mut rds_loader) -> Status {
    call("rds_loader_close(loader)", |_| {
        LOADERS.remove(loader as u64)?.stop();
        Ok(())
    })
}
