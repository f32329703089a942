//! Versions of the library, of its interface, and of what it was built with.

use std::ffi::c_char;

use crate::error::{Error, Status};
use crate::ffi::boundary::call;

/// The version of the interface: major * 1000 + minor. Within one major version functions, fields
/// and values are only added.
pub const RDS_ABI_VERSION: u32 = 1000;

/// Returns the version of the library, `0.2.0`.
///
/// @return a static string, never NULL.
///
/// Ownership: static; do not free.
/// Thread safety: any thread.
/// Blocking: never.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn rds_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Returns the version of the interface that the library has: compare it with RDS_ABI_VERSION of
/// the header, or let rds_check_abi() do it.
///
/// @return major * 1000 + minor.
///
/// Ownership: nothing is passed.
/// Thread safety: any thread.
/// Blocking: never.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn rds_abi_version() -> u32 {
    RDS_ABI_VERSION
}

/// Checks that a program built against a header runs with this library.
///
/// @param[in] abi_version RDS_ABI_VERSION of the header the caller was compiled with.
/// @return RDS_OK the library has everything that header declares.
/// @return RDS_ERR_NOT_SUPPORTED the header is newer than the library, or of another major version.
///
/// Ownership: nothing is passed.
/// Thread safety: any thread.
/// Blocking: never.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn rds_check_abi(abi_version: u32) -> Status {
    call("rds_check_abi(abi_version)", |_| {
        let same_major = abi_version / 1000 == RDS_ABI_VERSION / 1000;
        if same_major && abi_version <= RDS_ABI_VERSION && abi_version != 0 {
            return Ok(());
        }
        Err(Error::not_supported(format!(
            "abi_version is {abi_version}: the caller was built for that of the interface, the library has \
             {RDS_ABI_VERSION}; build against the header of the library"
        )))
    })
}

/// Returns what the library was built from, one `name version` per line: librds, lance, arrow, rustc.
///
/// @return a static string, never NULL.
///
/// Ownership: static; do not free.
/// Thread safety: any thread.
/// Blocking: never.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn rds_build_info() -> *const c_char {
    // The versions come from Cargo.lock, by way of build.rs.
    concat!(
        "librds ",
        env!("CARGO_PKG_VERSION"),
        "\nlance ",
        env!("RDS_LANCE_VERSION"),
        "\narrow ",
        env!("RDS_ARROW_VERSION"),
        "\nrustc ",
        env!("RDS_RUSTC_VERSION"),
        "\0"
    )
    .as_ptr()
    .cast()
}
