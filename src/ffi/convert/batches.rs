//! Batches in memory of the caller.

use std::ffi::{CStr, c_char};

use super::{count, no_flags, optional_text, required};
use crate::error::{Error, Result};
use crate::ffi::boundary::Scope;
use crate::ffi::types::*;
use crate::ffi::{args, options};
use crate::ids::Ids;
use crate::tensor::{DATA_COLUMN, DType, check_name, dtype_names};
use crate::writer::TensorView;

/// # Safety
/// If not NULL, `pointer` must point to an `rds_ids` whose pointers are as its kind and count say.
pub unsafe fn ids<'a>(scope: &'a Scope, pointer: *const rds_ids) -> Result<Ids<'a>> {
    // SAFETY: as this function's own contract.
    let ids = unsafe { required(scope, pointer, "ids") }?;
    no_flags(ids.flags, 0, "ids.flags")?;
    let n = count(ids.count, "ids.count")?;
    let width = count(ids.item_bytes as u64, "ids.item_bytes")?;
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
        k if k == rds_ids_kind::RDS_IDS_STRINGS as u32 => {
            // SAFETY: count strings, by the contract.
            let strings =
                unsafe { args::slice(scope, ids.data.cast::<rds_string>(), n, "ids.data") }?;
            let text = |(i, string): (usize, &rds_string)| {
                let name = format!("ids.data[{i}].data");
                // SAFETY: as many bytes as the string says, by the contract.
                unsafe { args::slice(scope, string.data.cast::<u8>(), string.length, &name) }
            };
            Ok(Ids::Strings(strings.iter().enumerate().map(text).collect::<Result<_>>()?))
        }
        other => Err(Error::invalid_argument(format!(
            "ids.kind is {other}; 1 (UTF8) to 7 (STRINGS) are possible"
        ))),
    }
}

/// # Safety
/// If not NULL, `pointer` must point to an `rds_tensor` whose pointers are as its shape and strides
/// say.
pub unsafe fn tensors<'a>(
    scope: &'a Scope,
    pointer: *const rds_tensor,
    count: usize,
) -> Result<Vec<(&'a str, TensorView<'a>)>> {
    if count == 0 {
        return Err(Error::invalid_argument(
            "tensor_count is 0; there must be a tensor for each column",
        ));
    }
    // SAFETY: as this function's own contract.
    unsafe {
        args::borrowed(scope, pointer.cast::<usize>(), "tensors")?;
        let tensors = options::read_all(scope, pointer, count, "tensors")?;
        let one = |(index, given)| {
            let view = tensor(scope, &given);
            view.map_err(|error: Error| error.context(format!("tensors[{index}]")))
        };
        tensors.into_iter().enumerate().map(one).collect()
    }
}

/// # Safety
/// If not NULL, `pointer` must be NUL-terminated.
pub(super) unsafe fn column_name<'a>(
    scope: &'a Scope,
    pointer: *const c_char,
    name: &str,
) -> Result<&'a str> {
    // SAFETY: as this function's own contract.
    let given = unsafe { optional_text(scope, pointer, name) }?;
    Ok(given.unwrap_or(DATA_COLUMN))
}

pub(super) fn dtype(number: u32, name: &str) -> Result<DType> {
    DType::from_number(number)
        .ok_or_else(|| Error::invalid_argument(format!("{name} is {number}: {}", dtype_names())))
}

/// # Safety
/// Pointers of `tensor` must be as its shape and strides say.
unsafe fn tensor<'a>(scope: &'a Scope, tensor: &rds_tensor) -> Result<(&'a str, TensorView<'a>)> {
    no_flags(tensor.flags, RDS_TENSOR_BYTE_SWAPPED, "flags")?;
    no_flags(tensor.reserved, 0, "reserved")?;
    let dtype = dtype(tensor.dtype, "dtype")?;
    let ndim = tensor.ndim as usize;
    if ndim == 0 || ndim > RDS_MAX_NDIM + 1 {
        return Err(Error::invalid_argument(format!(
            "ndim is {ndim}; 1 to {} are possible, the first over rows",
            RDS_MAX_NDIM + 1
        )));
    }
    // SAFETY: ndim lengths and, if there are any, ndim strides, by the contract.
    let (name, shape, strides) = unsafe {
        let name = column_name(scope, tensor.name, "name")?;
        let shape = args::slice(scope, tensor.shape, ndim, "shape")?;
        let given = if tensor.strides.is_null() { 0 } else { ndim };
        (name, shape, args::slice(scope, tensor.strides, given, "strides")?)
    };
    check_name(name).map_err(|error| error.context("name"))?;
    let strides = (!strides.is_empty()).then_some(strides);
    let layout = TensorView::layout(dtype, shape, strides)?;
    // The view begins at the lowest byte, which negative strides put before the first element.
    let start = tensor.data.cast::<u8>().wrapping_sub(layout.before);
    let start = if tensor.data.is_null() { std::ptr::null() } else { start };
    // SAFETY: the layout is what shape and strides reach, by the contract.
    let bytes = unsafe { args::slice(scope, start, layout.bytes, "data") }?;
    let swapped = tensor.flags & RDS_TENSOR_BYTE_SWAPPED != 0;
    Ok((name, TensorView::new(dtype, shape, layout, bytes, swapped)?))
}
