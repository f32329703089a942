//! Configuration of the global runtime.

use crate::error::{Error, Status};
use crate::ffi::boundary::{call, refuse_while_logging};
use crate::ffi::options;
use crate::ffi::types::rds_runtime_options;
use crate::runtime;

/// Sets how the runtime of the library runs. Optional; call it before the first call that opens a
/// table, which starts the runtime.
///
/// @param[in] options NULL means all defaults. Copied.
/// @return RDS_OK the runtime will start so.
/// @return RDS_ERR_INVALID_ARGUMENT options are malformed, or worker_threads is above 1024.
/// @return RDS_ERR_NOT_SUPPORTED options have a field this version does not know.
/// @return RDS_ERR_INVALID_STATE the runtime runs already and goes on as it was.
/// @return RDS_ERR_PANIC a defect of librds.
///
/// Ownership: options stay the caller's.
/// Thread safety: any thread.
/// Blocking: never.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_runtime_configure(options: *const rds_runtime_options) -> Status {
    call("rds_runtime_configure(options)", |scope| {
        refuse_while_logging()?;
        // SAFETY: NULL and sizes are checked; the struct has the bytes that its size says.
        let options = unsafe { options::read(scope, options, "options") }?;
        let threads = usize::try_from(options.worker_threads)
            .map_err(|_| Error::invalid_argument("options.worker_threads is too large"))?;
        runtime::configure(threads)
    })
}
