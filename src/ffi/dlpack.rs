//! Tensors as DLPack 1.0 has them (`dlpack.h`): memory, dtype, shape, strides, and a deleter.

use std::ffi::c_void;

use arrow::buffer::Buffer;

use crate::error::{Error, Result};
use crate::tensor::DType;

const CPU: i32 = 1;
/// What `flags` may say.
const READ_ONLY: u64 = 1;
const IS_COPIED: u64 = 2;

#[repr(C)]
struct DLPackVersion {
    major: u32,
    minor: u32,
}

#[repr(C)]
struct DLDevice {
    device_type: i32,
    device_id: i32,
}

/// The type of an element.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct DLDataType {
    code: u8,
    bits: u8,
    lanes: u16,
}

#[repr(C)]
struct DLTensor {
    data: *const c_void,
    device: DLDevice,
    ndim: i32,
    dtype: DLDataType,
    shape: *const i64,
    strides: *const i64,
    byte_offset: u64,
}

#[repr(C)]
pub struct DLManagedTensorVersioned {
    version: DLPackVersion,
    manager_ctx: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut DLManagedTensorVersioned)>,
    flags: u64,
    dl_tensor: DLTensor,
}

/// A tensor and what it points to, in one allocation that its deleter frees.
#[repr(C)]
struct Managed {
    tensor: DLManagedTensorVersioned,
    bytes: Buffer,
    shape: Vec<i64>,
    strides: Vec<i64>,
}

/// What DLPack calls the elements of a dtype.
pub fn element(dtype: DType) -> Result<DLDataType> {
    use DType::*;
    const INT: u8 = 0;
    const UINT: u8 = 1;
    const FLOAT: u8 = 2;
    const BFLOAT: u8 = 4;
    const COMPLEX: u8 = 5;
    const BOOL: u8 = 6;
    let code = match dtype {
        RDS_DTYPE_BOOL => BOOL,
        RDS_DTYPE_INT8 | RDS_DTYPE_INT16 | RDS_DTYPE_INT32 | RDS_DTYPE_INT64 => INT,
        RDS_DTYPE_UINT8 | RDS_DTYPE_UINT16 | RDS_DTYPE_UINT32 | RDS_DTYPE_UINT64 => UINT,
        RDS_DTYPE_FLOAT16 | RDS_DTYPE_FLOAT32 | RDS_DTYPE_FLOAT64 => FLOAT,
        RDS_DTYPE_BFLOAT16 => BFLOAT,
        RDS_DTYPE_COMPLEX64 | RDS_DTYPE_COMPLEX128 => COMPLEX,
        other => {
            return Err(Error::not_supported(format!(
                "DLPack has no dtype {}; read the rows and view them as int64",
                other.name()
            )));
        }
    };
    Ok(DLDataType { code, bits: (dtype.bytes() * 8) as u8, lanes: 1 })
}

/// `rows` tensors of `shape` in `bytes`, in C order. `shared` is whether the bytes are the table's own.
pub fn export(
    bytes: Buffer,
    dtype: DLDataType,
    rows: u64,
    shape: &[i64],
    shared: bool,
) -> *mut DLManagedTensorVersioned {
    let shape: Vec<i64> = std::iter::once(rows as i64).chain(shape.iter().copied()).collect();
    let mut strides: Vec<i64> = shape
        .iter()
        .rev()
        .scan(1, |stride, length| {
            let this = *stride;
            *stride *= length;
            Some(this)
        })
        .collect();
    strides.reverse();
    let dl_tensor = DLTensor {
        // dlpack.h asks for NULL where there is nothing.
        data: if bytes.is_empty() { std::ptr::null() } else { bytes.as_ptr().cast() },
        device: DLDevice { device_type: CPU, device_id: 0 },
        ndim: shape.len() as i32,
        dtype,
        // Vectors keep their memory when they move.
        shape: shape.as_ptr(),
        strides: strides.as_ptr(),
        byte_offset: 0,
    };
    let tensor = DLManagedTensorVersioned {
        version: DLPackVersion { major: 1, minor: 0 },
        manager_ctx: std::ptr::null_mut(),
        deleter: Some(delete),
        flags: if shared { READ_ONLY } else { IS_COPIED },
        dl_tensor,
    };
    Box::into_raw(Box::new(Managed { tensor, bytes, shape, strides })).cast()
}

unsafe extern "C" fn delete(tensor: *mut DLManagedTensorVersioned) {
    if !tensor.is_null() {
        // SAFETY: `export` made it, and a tensor is deleted once. The tensor is the first field.
        drop(unsafe { Box::from_raw(tensor.cast::<Managed>()) });
    }
}
