//! SizedStruct structs: the first field is the size the caller compiled with, so that a later version can
//! add fields at the end without breaking programs built against this one.
//!
//! The rules are those of Linux' `copy_struct_from_user`: a smaller struct is filled up with zeros,
//! which mean the default; a larger one is accepted if what this version does not know is zero.

use std::mem::MaybeUninit;

use crate::error::{Error, Result};
use crate::ffi::boundary::Scope;
use crate::ffi::types::*;

/// No struct comes near it: a larger size is not a size.
const MAX_SIZE: usize = 4096;

/// # Safety
/// All-zero bytes must be a value of the type, its first field must be a `usize` that holds the
/// size of the struct, and it must be `repr(C)` without padding.
pub unsafe trait SizedStruct: Copy {
    const NAME: &'static str;
    /// Size of the struct in the first version that had it.
    const FIRST_SIZE: usize;
}

fn init_macro<T: SizedStruct>() -> String {
    format!("{}_INIT", T::NAME.to_uppercase())
}

/// The struct as this version knows it; NULL means all defaults.
///
/// # Safety
/// If not NULL, `pointer` must point to as many initialised bytes as its first field says.
pub unsafe fn read<T: SizedStruct>(_: &Scope, pointer: *const T, name: &str) -> Result<T> {
    // SAFETY: all-zero bytes are a T, by the contract of the trait.
    let mut value: T = unsafe { std::mem::zeroed() };
    if pointer.is_null() {
        return Ok(value);
    }
    // SAFETY: as this function's own contract.
    let size = unsafe { size::<T>(pointer, name) }?;
    let bytes = pointer.cast::<u8>();
    for at in size_of::<T>()..size {
        // SAFETY: `at` is below the size the caller vouches for.
        if unsafe { bytes.add(at).read() } != 0 {
            return Err(Error::not_supported(format!(
                "{name}: byte {at} of {} is set, which this version of librds does not know",
                T::NAME
            )));
        }
    }
    // SAFETY: `size` bytes can be read by the caller's promise, size_of::<T>() can be written.
    unsafe {
        bytes.copy_to_nonoverlapping((&raw mut value).cast(), size.min(size_of::<T>()));
    }
    Ok(value)
}

/// An array of sized structs, stepped by the size in the first one, which is that of all.
///
/// # Safety
/// If not NULL, `pointer` must point to `count` structs of as many initialised bytes as the first field of each says.
pub unsafe fn read_all<T: SizedStruct>(
    scope: &Scope,
    pointer: *const T,
    count: usize,
    name: &str,
) -> Result<Vec<T>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: as this function's own contract.
    let step = unsafe { size::<T>(pointer, name) }?;
    let mut all = Vec::new();
    all.try_reserve_exact(count).map_err(|_| {
        Error::invalid_argument(format!("{name}: {count} structs do not fit in memory"))
    })?;
    for index in 0..count {
        let one = pointer.wrapping_byte_add(index * step);
        let name = format!("{name}[{index}]");
        // SAFETY: as this function's own contract.
        unsafe {
            same_size(one, step, &name)?;
            all.push(read(scope, one, &name)?);
        }
    }
    Ok(all)
}

/// # Safety
/// As `size`.
unsafe fn same_size<T: SizedStruct>(pointer: *const T, step: usize, name: &str) -> Result<()> {
    // SAFETY: as this function's own contract.
    let own = unsafe { size::<T>(pointer, name) }?;
    match own == step {
        true => Ok(()),
        false => Err(Error::invalid_argument(format!(
            "{name}: struct_size is {own}, that of the first one is {step}; all must be equal"
        ))),
    }
}

/// A sized struct of the caller to be written, checked before the work whose result it takes: a
/// malformed struct must not hide that the work was done.
pub struct Out<'a, T> {
    place: Option<&'a mut MaybeUninit<T>>,
    size: usize,
}

/// NULL is an output that nobody wants.
///
/// # Safety
/// If not NULL, `pointer` must point to as many writable bytes as its first field says.
pub unsafe fn out<'a, T: SizedStruct>(
    _: &'a Scope,
    pointer: *mut T,
    name: &str,
) -> Result<Out<'a, T>> {
    if pointer.is_null() {
        return Ok(Out { place: None, size: 0 });
    }
    // SAFETY: as this function's own contract.
    let size = unsafe { size::<T>(pointer, name) }?.min(size_of::<T>());
    // SAFETY: not NULL and aligned, as `size` has checked. Of the place only `size` bytes are used.
    let place = unsafe { &mut *pointer.cast::<MaybeUninit<T>>() };
    Ok(Out { place: Some(place), size })
}

/// An output that must be there.
///
/// # Safety
/// As `out`.
pub unsafe fn required_out<'a, T: SizedStruct>(
    scope: &'a Scope,
    pointer: *mut T,
    name: &str,
) -> Result<Out<'a, T>> {
    if pointer.is_null() {
        return Err(Error::invalid_argument(format!("{name} is NULL")));
    }
    // SAFETY: as this function's own contract.
    unsafe { out(scope, pointer, name) }
}

/// How many structs the caller says there is room for, of which perhaps not all are used; an error if that is more than
/// any memory has.
pub fn room_for<T: SizedStruct>(pointer: *const T, count: u64, name: &str) -> Result<usize> {
    let fits =
        count.checked_mul(size_of::<T>() as u64).is_some_and(|bytes| bytes <= isize::MAX as u64);
    match fits {
        true if pointer.is_null() && count != 0 => {
            Err(Error::invalid_argument(format!("{name} is NULL, and there is room for {count}")))
        }
        true => Ok(count as usize),
        false => {
            Err(Error::invalid_argument(format!("{name}: {count} structs do not fit in memory")))
        }
    }
}

/// An array of outputs, stepped by the size in the first one, which is that of all.
///
/// # Safety
/// If not NULL, `pointer` must point to `count` structs of as many writable bytes as the first field of each says.
pub unsafe fn out_all<'a, T: SizedStruct>(
    scope: &'a Scope,
    pointer: *mut T,
    count: usize,
    name: &str,
) -> Result<Vec<Out<'a, T>>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: as this function's own contract.
    let step = unsafe { size::<T>(pointer, name) }?;
    let one = |index: usize| {
        let place = pointer.wrapping_byte_add(index.wrapping_mul(step));
        let name = format!("{name}[{index}]");
        // SAFETY: as above.
        unsafe {
            same_size(place.cast_const(), step, &name)?;
            required_out(scope, place, &name)
        }
    };
    (0..count).map(one).collect()
}

impl<T: SizedStruct> Out<'_, T> {
    /// Writes as much of `value` as the caller's version of the struct has. The caller's size stays
    /// in the first field.
    pub fn set(self, value: T) {
        let Some(place) = self.place else { return };
        let head = size_of::<usize>();
        // SAFETY: both sides have `size` bytes, which is at least the first field.
        unsafe {
            (&raw const value).cast::<u8>().add(head).copy_to_nonoverlapping(
                place.as_mut_ptr().cast::<u8>().add(head),
                self.size - head,
            );
        }
    }
}

/// The size in the first field, checked.
///
/// # Safety
/// If not NULL, `pointer` must point to a `usize`.
unsafe fn size<T: SizedStruct>(pointer: *const T, name: &str) -> Result<usize> {
    if pointer.is_null() {
        return Err(Error::invalid_argument(format!("{name} is NULL")));
    }
    if !pointer.is_aligned() {
        return Err(Error::invalid_argument(format!(
            "{name} is {pointer:p}; it must be a valid pointer"
        )));
    }
    // SAFETY: not NULL, aligned; a `usize` is there by the contract of the trait.
    let size = unsafe { pointer.cast::<usize>().read() };
    if size < T::FIRST_SIZE || size > MAX_SIZE {
        return Err(Error::invalid_argument(format!(
            "{name}: struct_size is {size}, and {} has {} bytes; initialise it with {}",
            T::NAME,
            size_of::<T>(),
            init_macro::<T>()
        )));
    }
    Ok(size)
}

macro_rules! sized {
    ($($name:ident: $first_size:literal;)*) => {$(
        // SAFETY: repr(C), begins with `struct_size: usize`, made of integers and pointers only,
        // for which zero is a value; the size below rules out padding at the end.
        unsafe impl SizedStruct for $name {
            const NAME: &'static str = stringify!($name);
            const FIRST_SIZE: usize = $first_size;
        }
        const _: () = assert!(size_of::<$name>() >= $first_size);
    )*};
}

sized! {
    rds_error: 32;
    rds_ids: 48;
    rds_tensor: 56;
    rds_column_spec: 32;
    rds_writer_options: 120;
    rds_commit_options: 32;
    rds_commit_info: 40;
    rds_write_stream_options: 24;
    rds_write_stats: 72;
    rds_commit_staged_options: 16;
    rds_pack_parts_options: 40;
    rds_vacuum_options: 24;
    rds_vacuum_info: 32;
    rds_recover_options: 24;
    rds_recover_info: 72;
    rds_reader_options: 56;
    rds_span: 40;
    rds_table_info: 48;
    rds_column_info: 568;
    rds_version_info: 32;
    rds_rows: 40;
    rds_target: 40;
    rds_select_options: 32;
    rds_stream_options: 64;
    rds_loader_table: 40;
    rds_loader_weights: 40;
    rds_loader_options: 208;
    rds_loader_batch: 88;
    rds_load_stats: 104;
    rds_runtime_options: 16;
}
