//! The functions that tell what runs said of themselves, and which versions there are.

use std::ffi::c_char;

use crate::error::{Error, Status};
use crate::ffi::boundary::call;
use crate::ffi::reader::reader;
use crate::ffi::types::{rds_reader, rds_string, rds_version_info};
use crate::ffi::{args, convert, options};

/// Lends what a run said under a key: rds_writer_options.metadata.
///
/// @param[in] reader a reader.
/// @param[in] key NUL-terminated UTF-8.
/// @param[out] out_value the value; nothing on failure.
/// @return RDS_OK out_value is the value.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT an argument is NULL, or key is not UTF-8.
/// @return RDS_ERR_NOT_FOUND no run said anything under this key.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
///
/// Ownership: out_value is borrowed, until the reader is closed or refreshed.
/// Thread safety: any thread, many at once.
/// Blocking: never.
/// @since 0.2
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_metadata(
    reader: *const rds_reader,
    key: *const c_char,
    out_value: *mut rds_string,
) -> Status {
    call("rds_reader_metadata(reader, key, out_value)", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (out, key) = unsafe {
            let out = args::out(scope, out_value, convert::NO_STRING, "out_value")?;
            (out, args::text(scope, key, "key"))
        };
        let (reader, key) = (self::reader(scope, reader)?, key?);
        let found = reader.metadata().iter().find(|(own, _)| own == key);
        let (_, value) = found.ok_or_else(|| {
            let keys: Vec<&str> = reader.metadata().iter().map(|(key, _)| key.as_str()).collect();
            Error::not_found(format!("no metadata under the key {key:?}; there are {keys:?}"))
        })?;
        out.set(convert::string(value));
        Ok(())
    })
}

/// Lends a key and what a run said under it, by number: keys are sorted.
///
/// @param[in] reader a reader.
/// @param[in] index from 0 to rds_table_info.metadata_count - 1.
/// @param[out] out_key the key; nothing on failure.
/// @param[out] out_value the value; nothing on failure.
/// @return RDS_OK out_key and out_value are what was said.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_key or out_value are NULL.
/// @return RDS_ERR_OUT_OF_RANGE there are not as many keys.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
///
/// Ownership: out_key and out_value are borrowed, until the reader is closed or refreshed.
/// Thread safety: any thread, many at once.
/// Blocking: never.
/// @since 0.2
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_metadata_at(
    reader: *const rds_reader,
    index: u64,
    out_key: *mut rds_string,
    out_value: *mut rds_string,
) -> Status {
    call("rds_reader_metadata_at(reader, index, out_key, out_value)", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (out_key, out_value) = unsafe {
            let out_key = args::out(scope, out_key, convert::NO_STRING, "out_key");
            (out_key, args::out(scope, out_value, convert::NO_STRING, "out_value")?)
        };
        let (out_key, reader) = (out_key?, self::reader(scope, reader)?);
        let count = reader.metadata().len();
        let said = usize::try_from(index).ok().and_then(|index| reader.metadata().get(index));
        let (key, value) = said.ok_or_else(|| {
            Error::out_of_range(format!(
                "index is {index}; the table has metadata under {count} keys"
            ))
        })?;
        out_key.set(convert::string(key));
        out_value.set(convert::string(value));
        Ok(())
    })
}

/// Tells which versions the table of a reader has now, oldest first. One that is damaged is left out, and logged.
///
/// @param[in] reader a reader.
/// @param[out] out_versions room for capacity of them, each initialised with RDS_VERSION_INFO_INIT: the oldest. NULL
/// only if capacity is 0. Written on success only.
/// @param[in] capacity how many there is room for.
/// @param[out] out_count how many versions there are, which may be more; 0 on failure.
/// @return RDS_OK out_versions and out_count are filled in.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT an argument is NULL or malformed.
/// @return RDS_ERR_NOT_SUPPORTED a version is of a format that this build does not know.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
///
/// Ownership: out_versions stay the caller's.
/// Thread safety: any thread, many at once.
/// Blocking: reads the manifests of all versions.
/// @since 0.2
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_versions(
    reader: *const rds_reader,
    out_versions: *mut rds_version_info,
    capacity: u64,
    out_count: *mut u64,
) -> Status {
    call("rds_reader_versions(reader, out_versions, capacity, out_count)", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let out = unsafe { args::out(scope, out_count, 0, "out_count") }?;
        let room = options::room_for(out_versions, capacity, "out_versions")?.min(MOST_VERSIONS);
        // SAFETY: as above.
        let places = unsafe { options::out_all(scope, out_versions, room, "out_versions") }?;
        let versions = self::reader(scope, reader)?.versions()?;
        places.into_iter().zip(&versions).for_each(|(out, of)| out.set(convert::version_info(of)));
        out.set(versions.len() as u64);
        Ok(())
    })
}

/// No table has more versions that anybody asks for.
const MOST_VERSIONS: usize = 1 << 24;
