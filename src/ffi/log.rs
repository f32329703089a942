//! Log messages of librds and of the crates it is made of, handed to a callback of the caller.

use std::ffi::{CString, c_char, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use log::{LevelFilter, Log, Metadata, Record};

use crate::error::{Error, Status};
use crate::ffi::boundary::{call, refuse_while_logging, while_logging};
use crate::ffi::types::rds_log_callback;

struct Sink {
    callback: unsafe extern "C" fn(*mut c_void, u32, *const c_char, *const c_char),
    user_data: *mut c_void,
}

// SAFETY: the callback and its data are declared usable from any thread by the header.
unsafe impl Send for Sink {}
// SAFETY: as above.
unsafe impl Sync for Sink {}

static SINK: ArcSwapOption<Sink> = ArcSwapOption::const_empty();

struct Forward;

impl Log for Forward {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let Some(sink) = SINK.load_full() else { return };
        let text = |s: String| CString::new(s.replace('\0', "\\0")).unwrap_or_default();
        let target = text(record.target().to_string());
        let message = text(record.args().to_string());
        let level = record.level() as u32;
        // SAFETY: the caller vouches for the callback until it sets another; the strings live here.
        while_logging(|| unsafe {
            (sink.callback)(sink.user_data, level, target.as_ptr(), message.as_ptr());
        });
    }

    fn flush(&self) {}
}

/// Sets the callback that receives log messages up to a level. Without one nothing is logged.
///
/// @param[in] level an rds_log_level: the most detailed level to receive; RDS_LOG_OFF for none.
/// @param[in] callback NULL for none. Called from any thread, from several at once; a message that
/// is being delivered while the callback is replaced may still arrive at the old one. Functions of readers,
/// writers and tables are refused inside it, by RDS_ERR_INVALID_STATE, and so is the next batch of a stream.
/// @param[in] user_data handed to the callback as it is; may be NULL. Not freed.
/// @return RDS_OK messages go to the callback from now on.
/// @return RDS_ERR_INVALID_ARGUMENT level is no rds_log_level; nothing changed.
/// @return RDS_ERR_INVALID_STATE the call is made inside a log callback; nothing changed.
/// @return RDS_ERR_PANIC a defect of librds.
///
/// Ownership: user_data stays the caller's, and must live until another callback is set and no call of
/// this one runs any more; best as long as the process.
/// Thread safety: any thread.
/// Blocking: never.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_set_log_callback(
    level: u32,
    callback: rds_log_callback,
    user_data: *mut c_void,
) -> Status {
    call("rds_set_log_callback(level, callback, user_data)", |_| {
        refuse_while_logging()?;
        let filter = LevelFilter::iter().nth(level as usize).ok_or_else(|| {
            Error::invalid_argument(format!("level is {level}; 0 (off) to 5 (trace) are possible"))
        })?;
        SINK.store(callback.map(|callback| Arc::new(Sink { callback, user_data })));
        static INSTALLED: AtomicBool = AtomicBool::new(false);
        if !INSTALLED.swap(true, Ordering::Relaxed) {
            // Fails only where a Rust host that links the rlib has a logger: then that one is used.
            let _ = log::set_logger(&Forward);
        }
        log::set_max_level(if callback.is_some() { filter } else { LevelFilter::Off });
        Ok(())
    })
}
