//! Pointers of the caller, checked and borrowed for the length of one call.

use std::ffi::{CStr, c_char};

use crate::error::{Error, Result};
use crate::ffi::boundary::Scope;

#[inline]
fn not_null<T>(pointer: *const T, name: &str) -> Result<()> {
    if pointer.is_null() {
        return Err(Error::invalid_argument(format!("{name} is NULL")));
    }
    if !pointer.is_aligned() {
        return Err(Error::invalid_argument(format!(
            "{name} is {pointer:p}, which is not aligned to {} bytes",
            align_of::<T>()
        )));
    }
    Ok(())
}

/// A NUL-terminated UTF-8 string.
///
/// # Safety
/// If not NULL, `pointer` must point to a NUL-terminated string.
pub unsafe fn text<'a>(_: &'a Scope, pointer: *const c_char, name: &str) -> Result<&'a str> {
    not_null(pointer, name)?;
    // SAFETY: checked against NULL; the caller's promise covers the rest.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map_err(|_| {
        Error::invalid_argument(format!("{name} is not UTF-8: {:?}", text.to_string_lossy()))
    })
}

/// `count` values; NULL is allowed where `count` is 0.
///
/// # Safety
/// If not NULL, `pointer` must point to `count` initialised values.
#[inline]
pub unsafe fn slice<'a, T>(
    _: &'a Scope,
    pointer: *const T,
    count: usize,
    name: &str,
) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    not_null(pointer, name)?;
    check_extent::<T>(count, name)?;
    // SAFETY: not NULL, aligned, of a possible extent; the caller's promise covers the rest.
    Ok(unsafe { std::slice::from_raw_parts(pointer, count) })
}

/// Room for `count` values; NULL is allowed where `count` is 0.
///
/// # Safety
/// If not NULL, `pointer` must point to memory for `count` values that nobody else uses now.
#[allow(clippy::mut_from_ref)] // the memory is the caller's; the scope lends only its lifetime
#[inline]
pub unsafe fn slice_out<'a, T>(
    _: &'a Scope,
    pointer: *mut T,
    count: usize,
    name: &str,
) -> Result<&'a mut [T]> {
    if count == 0 {
        return Ok(&mut []);
    }
    not_null(pointer, name)?;
    check_extent::<T>(count, name)?;
    // SAFETY: as in `slice`; exclusive by the caller's promise. T is plain numbers in every use.
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer, count) })
}

#[inline]
fn check_extent<T>(count: usize, name: &str) -> Result<()> {
    match count.checked_mul(size_of::<T>()) {
        Some(bytes) if bytes <= isize::MAX as usize => Ok(()),
        _ => Err(Error::invalid_argument(format!("{name}: {count} values do not fit in memory"))),
    }
}

/// An output: set to `empty` now, to the result by [`Out::set`], so that a failed call leaves it
/// empty.
pub struct Out<'a, T> {
    place: &'a mut std::mem::MaybeUninit<T>,
}

impl<T> Out<'_, T> {
    /// What is in the place is overwritten, not dropped: it is `empty` or the caller's garbage.
    pub fn set(self, value: T) {
        self.place.write(value);
    }
}

/// # Safety
/// If not NULL, `pointer` must point to memory for a `T` that nobody else uses now.
pub unsafe fn out<'a, T>(
    _: &'a Scope,
    pointer: *mut T,
    empty: T,
    name: &str,
) -> Result<Out<'a, T>> {
    not_null(pointer, name)?;
    // SAFETY: not NULL and aligned; writable and exclusive by the caller's promise.
    let place = unsafe { &mut *pointer.cast::<std::mem::MaybeUninit<T>>() };
    place.write(empty);
    Ok(Out { place })
}

/// An output that nobody wants if it is NULL.
///
/// # Safety
/// As `out`.
pub unsafe fn optional_out<'a, T>(
    scope: &'a Scope,
    pointer: *mut T,
    empty: T,
    name: &str,
) -> Result<Option<Out<'a, T>>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: as this function's own contract.
    unsafe { out(scope, pointer, empty, name) }.map(Some)
}

/// A struct of the caller.
///
/// # Safety
/// If not NULL, `pointer` must point to an initialised `T`.
pub unsafe fn borrowed<'a, T>(_: &'a Scope, pointer: *const T, name: &str) -> Result<&'a T> {
    not_null(pointer, name)?;
    // SAFETY: not NULL and aligned; initialised by the caller's promise.
    Ok(unsafe { &*pointer })
}
