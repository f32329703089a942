//! Structs of the C surface to and from those of the core.

use std::ffi::{CStr, c_char, c_void};
use std::ops::Range;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::ffi::boundary::Scope;
use crate::ffi::options::SizedStruct;
use crate::ffi::types::*;
use crate::ffi::{args, options, waiting};
use crate::ids::Ids;
use crate::reader::{Access, Columns, Reader, ReaderOptions, StreamOptions};
use crate::tensor::{DType, dtype_names};
use crate::writer::{
    CommitInfo, CommitScope, Durability, Mode, Part, RecoverInfo, RecoverOptions, TensorView,
    VacuumInfo, VacuumOptions, WriteStats, WriterOptions, WriterState,
};

/// Reads a struct that must be there, unlike options.
///
/// # Safety
/// As `options::read`.
unsafe fn required<T: SizedStruct>(scope: &Scope, pointer: *const T, name: &str) -> Result<T> {
    // SAFETY: as this function's own contract, for both.
    unsafe {
        args::borrowed(scope, pointer.cast::<usize>(), name)?;
        options::read(scope, pointer, name)
    }
}

fn count(value: u64, name: &str) -> Result<usize> {
    usize::try_from(value)
        .ok()
        .filter(|count| *count <= isize::MAX as usize)
        .ok_or_else(|| Error::invalid_argument(format!("{name} is {value}, which is too large")))
}

fn no_flags(flags: u32, known: u32, name: &str) -> Result<()> {
    if flags & !known == 0 {
        return Ok(());
    }
    Err(Error::not_supported(format!("{name} is {flags:#x}; this version knows {known:#x}")))
}

/// # Safety
/// If not NULL, `pointer` must point to an `rds_ids` whose pointers are as its kind and count say.
pub unsafe fn ids<'a>(scope: &'a Scope, pointer: *const rds_ids) -> Result<Ids<'a>> {
    // SAFETY: as this function's own contract.
    let ids = unsafe { required(scope, pointer, "ids") }?;
    no_flags(ids.flags, 0, "ids.flags")?;
    let n = count(ids.count, "ids.count")?;
    let width = count(ids.item_bytes, "ids.item_bytes")?;
    let fixed = || {
        let bytes = n.checked_mul(width).ok_or_else(|| {
            Error::invalid_argument(format!("ids: {n} ids of {width} bytes do not fit in memory"))
        })?;
        // SAFETY: `count` items of `item_bytes` bytes, by the contract.
        unsafe { args::slice(scope, ids.data.cast::<u8>(), bytes, "ids.data") }
    };
    match ids.kind {
        k if k == rds_ids_kind::RDS_IDS_UTF8 as u32 => {
            // SAFETY: count + 1 offsets, by the contract.
            let offsets = unsafe { args::slice(scope, ids.offsets, n + 1, "ids.offsets") }?;
            let bytes = offsets.last().map_or(0, |last| usize::try_from(*last).unwrap_or(0));
            // SAFETY: as many bytes as the last offset says, by the contract.
            let bytes = unsafe { args::slice(scope, ids.data.cast(), bytes, "ids.data") }?;
            Ok(Ids::Utf8 { offsets, bytes })
        }
        k if k == rds_ids_kind::RDS_IDS_CSTRINGS as u32 => {
            let data = ids.data.cast::<*const c_char>();
            // SAFETY: count pointers, by the contract.
            let pointers = unsafe { args::slice(scope, data, n, "ids.data") }?;
            let text = |(i, pointer): (usize, &*const c_char)| {
                if pointer.is_null() {
                    return Err(Error::invalid_argument(format!("ids.data[{i}] is NULL")));
                }
                // SAFETY: not NULL; NUL-terminated, by the contract.
                Ok(unsafe { CStr::from_ptr(*pointer) }.to_bytes())
            };
            Ok(Ids::Strings(pointers.iter().enumerate().map(text).collect::<Result<_>>()?))
        }
        k if k == rds_ids_kind::RDS_IDS_NUMPY_S as u32 => {
            Ok(Ids::FixedBytes { bytes: fixed()?, width, count: n })
        }
        k if k == rds_ids_kind::RDS_IDS_NUMPY_U as u32 => {
            if !width.is_multiple_of(4) {
                return Err(Error::invalid_argument(format!(
                    "ids.item_bytes is {width}; UTF-32 needs a multiple of 4"
                )));
            }
            Ok(Ids::FixedUtf32 { units: fixed()?, width: width / 4, count: n })
        }
        k if k == rds_ids_kind::RDS_IDS_INT64 as u32 => {
            // SAFETY: count numbers, by the contract.
            Ok(Ids::Int64(unsafe { args::slice(scope, ids.data.cast(), n, "ids.data") }?))
        }
        k if k == rds_ids_kind::RDS_IDS_UINT64 as u32 => {
            // SAFETY: count numbers, by the contract.
            Ok(Ids::Uint64(unsafe { args::slice(scope, ids.data.cast(), n, "ids.data") }?))
        }
        other => Err(Error::invalid_argument(format!(
            "ids.kind is {other}; 1 (UTF8) to 6 (UINT64) are possible"
        ))),
    }
}

/// # Safety
/// If not NULL, `pointer` must point to an `rds_tensor` whose pointers are as its shape and strides
/// say.
pub unsafe fn tensor<'a>(scope: &'a Scope, pointer: *const rds_tensor) -> Result<TensorView<'a>> {
    // SAFETY: as this function's own contract.
    let tensor = unsafe { required(scope, pointer, "tensor") }?;
    no_flags(tensor.flags, RDS_TENSOR_BYTE_SWAPPED, "tensor.flags")?;
    let dtype = DType::from_number(tensor.dtype).ok_or_else(|| {
        Error::invalid_argument(format!("tensor.dtype is {}: {}", tensor.dtype, dtype_names()))
    })?;
    let ndim = count(tensor.ndim, "tensor.ndim")?;
    if ndim == 0 || ndim > RDS_MAX_NDIM + 1 {
        return Err(Error::invalid_argument(format!(
            "tensor.ndim is {ndim}; 1 to {} are possible, the first over rows",
            RDS_MAX_NDIM + 1
        )));
    }
    // SAFETY: ndim lengths and, if there are any, ndim strides, by the contract.
    let (shape, strides) = unsafe {
        let shape = args::slice(scope, tensor.shape, ndim, "tensor.shape")?;
        let given = if tensor.strides.is_null() { 0 } else { ndim };
        (shape, args::slice(scope, tensor.strides, given, "tensor.strides")?)
    };
    let strides = (!strides.is_empty()).then_some(strides);
    let layout = TensorView::layout(dtype, shape, strides)?;
    // The view begins at the lowest byte, which negative strides put before the first element.
    let start = tensor.data.cast::<u8>().wrapping_sub(layout.before);
    let start = if tensor.data.is_null() { std::ptr::null() } else { start };
    // SAFETY: the layout is what shape and strides reach, by the contract.
    let bytes = unsafe { args::slice(scope, start, layout.bytes, "tensor.data") }?;
    let swapped = tensor.flags & RDS_TENSOR_BYTE_SWAPPED != 0;
    TensorView::new(dtype, shape, layout, bytes, swapped)
}

fn write_mode(mode: u32) -> Result<Mode> {
    match mode {
        0 => Ok(Mode::Create),
        1 => Ok(Mode::Append),
        2 => Ok(Mode::Overwrite),
        3 => Ok(Mode::Staged),
        other => Err(Error::invalid_argument(format!(
            "options.mode is {other}; 0 (CREATE) to 3 (STAGED) are possible"
        ))),
    }
}

/// # Safety
/// `options.job` must be NULL or NUL-terminated.
pub unsafe fn writer_options(scope: &Scope, options: &rds_writer_options) -> Result<WriterOptions> {
    let known = RDS_WRITER_ALIAS_ARROW | RDS_WRITER_WAITING_MAIN_THREAD;
    no_flags(options.flags, known, "options.flags")?;
    no_flags(options.reserved, 0, "options.reserved")?;
    // SAFETY: as this function's own contract.
    let job = unsafe { optional_text(scope, options.job, "options.job") }?;
    let mode = write_mode(options.mode)?;
    let checkpoint_ms = if options.checkpoint_ms == 0 { 1000 } else { options.checkpoint_ms };
    let durability = match options.durability {
        0 => Durability::Interval(Duration::from_millis(checkpoint_ms)),
        1 => Durability::Batch,
        2 => Durability::Commit,
        other => {
            return Err(Error::invalid_argument(format!(
                "options.durability is {other}; 0 (INTERVAL), 1 (BATCH) and 2 (COMMIT) are possible"
            )));
        }
    };
    let max_queued_bytes = match options.max_queued_bytes {
        0 => 64 << 20,
        bytes => count(bytes, "options.max_queued_bytes")?,
    };
    let visible_ms = if options.visible_ms == 0 { 10_000 } else { options.visible_ms };
    let part = job.map(|job| Part { job: job.to_string(), number: options.part });
    if part.is_some() && mode != Mode::Staged {
        return Err(Error::invalid_argument(
            "options.job is given, and options.mode is not 3 (STAGED); only tokens are parts of a job",
        ));
    }
    if options.part != 0 && part.is_none() {
        return Err(Error::invalid_argument(format!(
            "options.part is {}, and options.job is NULL; a part is one of a job",
            options.part
        )));
    }
    Ok(WriterOptions {
        mode,
        durability,
        max_queued_bytes,
        visible: Duration::from_millis(visible_ms),
        part,
        alias: options.flags & RDS_WRITER_ALIAS_ARROW != 0,
        patience: waiting::patience(options),
    })
}

/// # Safety
/// `pointer` must be NULL or NUL-terminated.
unsafe fn optional_text<'a>(
    scope: &'a Scope,
    pointer: *const c_char,
    name: &str,
) -> Result<Option<&'a str>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: as this function's own contract.
    unsafe { args::text(scope, pointer, name) }.map(Some)
}

/// # Safety
/// `options.run` must be NULL or NUL-terminated.
pub unsafe fn recover_options(
    scope: &Scope,
    options: &rds_recover_options,
) -> Result<RecoverOptions> {
    let known =
        RDS_RECOVER_ONTO_REPLACED | RDS_RECOVER_DROP | RDS_RECOVER_TAKE_OVER | RDS_RECOVER_DRY_RUN;
    no_flags(options.flags, known, "options.flags")?;
    no_flags(options.reserved, 0, "options.reserved")?;
    // SAFETY: as this function's own contract.
    let run = unsafe { optional_text(scope, options.run, "options.run") }?;
    let has = |flag| options.flags & flag != 0;
    if has(RDS_RECOVER_DROP) && has(RDS_RECOVER_ONTO_REPLACED) {
        return Err(Error::invalid_argument(
            "options.flags has both RDS_RECOVER_DROP and RDS_RECOVER_ONTO_REPLACED; choose one",
        ));
    }
    Ok(RecoverOptions {
        run: run.map(str::to_string),
        onto_replaced: has(RDS_RECOVER_ONTO_REPLACED),
        drop: has(RDS_RECOVER_DROP),
        take_over: has(RDS_RECOVER_TAKE_OVER),
        dry_run: has(RDS_RECOVER_DRY_RUN),
    })
}

pub fn recover_info(info: &RecoverInfo) -> rds_recover_info {
    rds_recover_info {
        struct_size: size_of::<rds_recover_info>(),
        recovered_runs: info.recovered_runs,
        recovered_rows: info.recovered_rows,
        dropped_runs: info.dropped_runs,
        dropped_rows: info.dropped_rows,
        waiting_runs: info.waiting_runs,
        waiting_rows: info.waiting_rows,
        live_runs: info.live_runs,
        staged_runs: info.staged_runs,
    }
}

pub fn commit_scope(options: &rds_commit_options) -> Result<CommitScope> {
    no_flags(options.flags, RDS_COMMIT_MERGE_ALL, "options.flags")?;
    no_flags(options.reserved, 0, "options.reserved")?;
    match options.flags & RDS_COMMIT_MERGE_ALL {
        0 => Ok(CommitScope::Run),
        _ => Ok(CommitScope::Table),
    }
}

/// Tells the caller's callback how far a call is; false asks to stop.
pub fn progress(
    callback: rds_progress_callback,
    user_data: *mut c_void,
) -> impl FnMut(u64, u64) -> bool {
    move |done, total| match callback {
        None => true,
        // SAFETY: the contract of the header; called on the thread of the caller, during its call.
        Some(callback) => unsafe { callback(user_data, done, total) == 0 },
    }
}

pub fn write_stats(stats: &WriteStats) -> rds_write_stats {
    let mut failure_message = [0; RDS_FAILURE_BYTES];
    if let Some(failure) = &stats.failure {
        // Whole characters, and a NUL behind them.
        let end = failure.message.floor_char_boundary(RDS_FAILURE_BYTES - 1);
        let text = failure.message.get(..end).unwrap_or_default().bytes();
        failure_message.iter_mut().zip(text).for_each(|(out, byte)| *out = byte as c_char);
    }
    rds_write_stats {
        struct_size: size_of::<rds_write_stats>(),
        accepted_rows: stats.accepted_rows,
        accepted_bytes: stats.accepted_bytes,
        durable_rows: stats.durable_rows,
        durable_bytes: stats.durable_bytes,
        queued_rows: stats.queued_rows,
        queued_bytes: stats.queued_bytes,
        checkpoints: stats.checkpoints,
        blocked_ns: u64::try_from(stats.blocked.as_nanos()).unwrap_or(u64::MAX),
        visible_rows: stats.visible_rows,
        versions: stats.versions,
        state: match stats.state {
            WriterState::Running => rds_writer_state::RDS_WRITER_RUNNING as u32,
            WriterState::Retrying => rds_writer_state::RDS_WRITER_RETRYING as u32,
            WriterState::Failed => rds_writer_state::RDS_WRITER_FAILED as u32,
        },
        failure: stats.failure.as_ref().map_or(0, |failure| failure.status as u32),
        failure_message,
        merged_rows: stats.merged_rows,
        to_merge_rows: stats.to_merge_rows,
    }
}

/// # Safety
/// If not NULL, `pointer` must point to `count` tokens, whose pointers are as their lengths say.
pub unsafe fn tokens(
    scope: &Scope,
    pointer: *const rds_token,
    length: usize,
) -> Result<Vec<&[u8]>> {
    // SAFETY: as this function's own contract.
    let tokens = unsafe { args::slice(scope, pointer, length, "tokens") }?;
    let bytes = |(index, token): (usize, &rds_token)| {
        // SAFETY: as above.
        unsafe { args::slice(scope, token.data, token.length, &format!("tokens[{index}].data")) }
    };
    tokens.iter().enumerate().map(bytes).collect()
}

pub fn commit_staged_mode(options: &rds_commit_staged_options) -> Result<Mode> {
    no_flags(options.flags, 0, "options.flags")?;
    match write_mode(options.mode)? {
        Mode::Staged => Err(Error::invalid_argument(
            "options.mode is 3 (STAGED), which publishes nothing; choose CREATE, APPEND or OVERWRITE",
        )),
        mode => Ok(mode),
    }
}

pub fn vacuum_options(options: &rds_vacuum_options) -> Result<VacuumOptions> {
    no_flags(options.flags, RDS_VACUUM_DRY_RUN | RDS_VACUUM_KEEP_VERSIONS, "options.flags")?;
    no_flags(options.reserved, 0, "options.reserved")?;
    let older_than_ms = match options.older_than_ms {
        0 => 7 * 24 * 3600 * 1000,
        given => given,
    };
    Ok(VacuumOptions {
        older_than: Duration::from_millis(older_than_ms),
        keep_versions: options.flags & RDS_VACUUM_KEEP_VERSIONS != 0,
        dry_run: options.flags & RDS_VACUUM_DRY_RUN != 0,
    })
}

pub fn vacuum_info(info: &VacuumInfo) -> rds_vacuum_info {
    rds_vacuum_info {
        struct_size: size_of::<rds_vacuum_info>(),
        removed_files: info.removed_files,
        removed_bytes: info.removed_bytes,
        kept_files: info.kept_files,
        removed_versions: info.removed_versions,
    }
}

pub fn commit_info(info: &CommitInfo) -> rds_commit_info {
    rds_commit_info {
        struct_size: size_of::<rds_commit_info>(),
        rows: info.rows,
        tensor_bytes: info.tensor_bytes,
        version: info.version,
        data_files: info.data_files,
    }
}

pub fn table_info(reader: &Reader) -> rds_table_info {
    let spec = reader.spec();
    let mut shape = [0; RDS_MAX_NDIM];
    for (out, dim) in shape.iter_mut().zip(&spec.shape) {
        *out = *dim;
    }
    rds_table_info {
        struct_size: size_of::<rds_table_info>(),
        rows: reader.rows(),
        version: reader.version(),
        row_bytes: spec.row_bytes() as u64,
        dtype_name: spec.dtype.name_with_nul().as_ptr().cast(),
        dtype: spec.dtype as u32,
        ndim: spec.shape.len() as u32,
        shape,
        mapped_rows: reader.mapped_rows(),
        committed_at: reader.committed_at(),
    }
}

pub fn reader_options(options: &rds_reader_options) -> Result<ReaderOptions> {
    no_flags(options.flags, RDS_READER_NO_PREFETCH, "options.flags")?;
    let access = match options.access {
        0 => Access::Auto,
        1 => Access::Mapped,
        2 => Access::Lance,
        other => {
            return Err(Error::invalid_argument(format!(
                "options.access is {other}; 0 (AUTO), 1 (MAPPED) and 2 (LANCE) are possible"
            )));
        }
    };
    Ok(ReaderOptions {
        version: (options.version != 0).then_some(options.version),
        access,
        prefetch: options.flags & RDS_READER_NO_PREFETCH == 0,
    })
}

pub fn span(reader: &Reader, (rows, bytes): (Range<u64>, Option<&[u8]>)) -> rds_span {
    rds_span {
        struct_size: size_of::<rds_span>(),
        first_row: rows.start,
        row_count: rows.end - rows.start,
        data: bytes.map_or(std::ptr::null(), |bytes| bytes.as_ptr().cast()),
        stride: bytes.map_or(0, |_| reader.row_bytes() as u64),
    }
}

/// The rows of a stream that are not a range.
///
/// # Safety
/// `options.rows` must be NULL or point to `options.row_count` rows.
pub unsafe fn stream_rows(scope: &Scope, options: &rds_stream_options) -> Result<Option<Vec<u64>>> {
    let unused = |what: &str| Error::invalid_argument(format!("options.{what} is given"));
    if options.flags & RDS_STREAM_ROWS == 0 {
        return match options.rows.is_null() {
            true => Ok(None),
            false => Err(unused("rows").context("options.flags lack RDS_STREAM_ROWS")),
        };
    }
    if options.first_row != 0 {
        return Err(unused("first_row").context("options.flags have RDS_STREAM_ROWS"));
    }
    let count = count(options.row_count, "options.row_count")?;
    // SAFETY: as this function's own contract.
    let rows = unsafe { args::slice(scope, options.rows, count, "options.rows") }?;
    let mut copy = Vec::new();
    copy.try_reserve_exact(count)
        .map_err(|_| Error::io(format!("there is no memory for {count} numbers of rows")))?;
    copy.extend_from_slice(rows);
    Ok(Some(copy))
}

pub fn stream_options(options: &rds_stream_options) -> Result<StreamOptions> {
    no_flags(options.flags, RDS_STREAM_FIXED_SHAPE_TENSOR | RDS_STREAM_ROWS, "options.flags")?;
    Ok(StreamOptions {
        columns: Columns::from_bits(options.columns)?,
        first_row: options.first_row,
        row_count: (options.row_count != 0).then_some(options.row_count),
        batch_rows: match options.batch_rows {
            0 => 8192,
            // More at once than Lance can give is no different from all it can give.
            rows => usize::try_from(rows.min(u64::from(u32::MAX))).unwrap_or(usize::MAX),
        },
        fixed_shape_tensor: options.flags & RDS_STREAM_FIXED_SHAPE_TENSOR != 0,
    })
}
