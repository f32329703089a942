//! Structs of the C surface to and from those of the core.

use std::ffi::{CStr, c_char};
use std::ops::Range;

use crate::error::{Error, Result};
use crate::ffi::boundary::Scope;
use crate::ffi::options::SizedStruct;
use crate::ffi::types::*;
use crate::ffi::{args, options};
use crate::ids::Ids;
use crate::reader::{Access, Columns, Reader, ReaderOptions, StreamOptions};
use crate::tensor::{DType, dtype_names};
use crate::writer::{CommitInfo, Durability, Mode, TensorView, WriterOptions};

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

pub fn writer_options(options: &rds_writer_options) -> Result<WriterOptions> {
    let mode = match options.mode {
        0 => Mode::Create,
        1 => Mode::Append,
        2 => Mode::Overwrite,
        other => {
            return Err(Error::invalid_argument(format!(
                "options.mode is {other}; 0 (CREATE), 1 (APPEND) and 2 (OVERWRITE) are possible"
            )));
        }
    };
    let checkpoint_ms = if options.checkpoint_ms == 0 { 1000 } else { options.checkpoint_ms };
    let durability = match options.durability {
        0 => Durability::Interval(std::time::Duration::from_millis(checkpoint_ms)),
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
    Ok(WriterOptions { mode, durability, max_queued_bytes })
}

/// Tells the caller's callback how far a commit is; false asks to stop.
pub fn progress(options: &rds_commit_options) -> impl FnMut(u64, u64) -> bool {
    let (callback, user_data) = (options.progress, options.user_data);
    move |done, total| match callback {
        None => true,
        // SAFETY: the contract of the header; called on the thread of the caller, during its call.
        Some(callback) => unsafe { callback(user_data, done, total) == 0 },
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

pub fn stream_options(options: &rds_stream_options) -> Result<StreamOptions> {
    no_flags(options.flags, RDS_STREAM_FIXED_SHAPE_TENSOR, "options.flags")?;
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
