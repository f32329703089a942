//! The functions that go from rows to ids and from ids to rows.

use std::ffi::c_char;

use ::arrow::array::Array;
use ::arrow::datatypes::Field;
use ::arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};

use crate::error::{Error, Status};
use crate::ffi::boundary::call;
use crate::ffi::reader::reader;
use crate::ffi::types::{rds_ids, rds_reader};
use crate::ffi::{args, arrow, convert};
use crate::tensor::ID_COLUMN;

/// What rds_reader_find() gives for an id that no row carries.
pub const RDS_ROW_NONE: u64 = u64::MAX;

/// Lends the id of a row.
///
/// @param[in] reader a reader.
/// @param[in] row from 0 to rows - 1.
/// @param[out] out_id the bytes of the id, UTF-8, not NUL-terminated; NULL on failure.
/// @param[out] out_length how many bytes; 0 on failure.
/// @return RDS_OK out_id and out_length are the id.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_id or out_length are NULL.
/// @return RDS_ERR_SCHEMA_MISMATCH the table has no ids.
/// @return RDS_ERR_OUT_OF_RANGE the table has no such row.
/// @return RDS_ERR_NOT_SUPPORTED the id of the row is null, or Lance cannot read the files of the table.
/// @return RDS_ERR_CORRUPT a file of the table is damaged.
/// @return RDS_ERR_NOT_FOUND a file of the table is gone.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
/// @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop; the reader is as it was.
/// @return RDS_ERR_INVALID_STATE called inside of waiting by a call that loads or indexes the ids; as above.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
///
/// Ownership: out_id is borrowed, until the reader is closed or refreshed.
/// Thread safety: any thread, many at once.
/// Blocking: the first call on a reader loads all its ids; later ones never.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_id(
    reader: *const rds_reader,
    row: u64,
    out_id: *mut *const c_char,
    out_length: *mut usize,
) -> Status {
    call("rds_reader_id(reader, row, out_id, out_length)", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (out_id, out_length) = unsafe {
            let out_id = args::out(scope, out_id, std::ptr::null(), "out_id");
            (out_id, args::out(scope, out_length, 0, "out_length")?)
        };
        let (out_id, reader) = (out_id?, self::reader(scope, reader)?);
        let id = reader.id(row)?;
        out_id.set(id.as_ptr().cast());
        out_length.set(id.len());
        Ok(())
    })
}

/// Exports the ids of a range of rows as one Arrow array of large_utf8, whatever the layout of strings
/// or integers in the table: no copy, but of rows that a refresh added together with others.
///
/// @param[in] reader a reader.
/// @param[in] first_row the first row.
/// @param[in] row_count how many; 0 gives an empty array.
/// @param[out] out_schema NULL if the caller does not want it; marked released on failure.
/// @param[out] out_array marked released on failure.
/// @return RDS_OK out_array holds the ids; one that is null in the table is null in it.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT out_array is NULL.
/// @return RDS_ERR_SCHEMA_MISMATCH the table has no ids.
/// @return RDS_ERR_OUT_OF_RANGE the table does not have all the rows asked for.
/// @return RDS_ERR_NOT_SUPPORTED Lance cannot read the files of the table.
/// @return RDS_ERR_CORRUPT a file of the table is damaged.
/// @return RDS_ERR_NOT_FOUND a file of the table is gone.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
/// @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop; the reader is as it was.
/// @return RDS_ERR_INVALID_STATE called inside of waiting by a call that loads or indexes the ids; as above.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
///
/// Ownership: out_schema and out_array are the caller's, to be released by their release callbacks;
/// they may outlive the reader.
/// Thread safety: any thread, many at once.
/// Blocking: the first call on a reader loads all its ids; later ones never.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_ids(
    reader: *const rds_reader,
    first_row: u64,
    row_count: u64,
    out_schema: *mut FFI_ArrowSchema,
    out_array: *mut FFI_ArrowArray,
) -> Status {
    call("rds_reader_ids(reader, first_row, row_count, out_schema, out_array)", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (out_schema, out) = unsafe {
            let empty = FFI_ArrowSchema::empty();
            let out_schema = args::optional_out(scope, out_schema, empty, "out_schema");
            (out_schema, args::out(scope, out_array, FFI_ArrowArray::empty(), "out_array"))
        };
        // Both are empty before either is refused.
        let (out_schema, out) = (out_schema?, out?);
        let ids = self::reader(scope, reader)?.ids(first_row, row_count)?;
        if let Some(out_schema) = out_schema {
            let field = Field::new(ID_COLUMN, ids.data_type().clone(), true);
            out_schema.set(FFI_ArrowSchema::try_from(&field)?);
        }
        out.set(arrow::export(&ids));
        Ok(())
    })
}

/// Finds the rows that carry ids.
///
/// @param[in] reader a reader.
/// @param[in] ids the ids to find. Borrowed during the call.
/// @param[out] out_rows room for ids.count rows: the first row with the id, RDS_ROW_NONE if no row has
/// it. Written on success only.
/// @param[out] out_counts NULL if the caller does not want it; room for ids.count numbers: how many rows
/// carry the id. Written on success only.
/// @return RDS_OK out_rows and out_counts are filled in; that an id is absent is no error.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT ids is NULL, out_rows is NULL with ids.count above 0, ids is malformed, or an id is
/// not UTF-8.
/// @return RDS_ERR_SCHEMA_MISMATCH the table has no ids.
/// @return RDS_ERR_NOT_SUPPORTED a field of ids is not known to this version, or Lance cannot read the
/// files of the table.
/// @return RDS_ERR_CORRUPT a file of the table is damaged.
/// @return RDS_ERR_NOT_FOUND a file of the table is gone.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
/// @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop; the reader is as it was.
/// @return RDS_ERR_INVALID_STATE called inside of waiting by a call that loads or indexes the ids; as above.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
///
/// Ownership: everything stays the caller's.
/// Thread safety: any thread, many at once, into different memory.
/// Blocking: the first call on a reader loads all its ids and builds the index; later ones never.
/// @since 0.1
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_find(
    reader: *const rds_reader,
    ids: *const rds_ids,
    out_rows: *mut u64,
    out_counts: *mut u64,
) -> Status {
    call("rds_reader_find(reader, ids, out_rows, out_counts)", |scope| {
        let reader = self::reader(scope, reader)?;
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (ids, out_rows, out_counts) = unsafe {
            let ids = convert::ids(scope, ids)?;
            let out_rows = args::slice_out(scope, out_rows, ids.len(), "out_rows")?;
            let wanted = if out_counts.is_null() { 0 } else { ids.len() };
            (ids, out_rows, args::slice_out(scope, out_counts, wanted, "out_counts")?)
        };
        let found = |i: usize, row: Option<u64>, count: u64| {
            if let Some(out) = out_rows.get_mut(i) {
                *out = row.unwrap_or(RDS_ROW_NONE);
            }
            if let Some(out) = out_counts.get_mut(i) {
                *out = count;
            }
        };
        match ids.single() {
            Some(id) => reader.find_one(id, found),
            None => reader.find(&ids.to_array()?, found),
        }
    })
}

/// Finds all rows that carry an id.
///
/// @param[in] reader a reader.
/// @param[in] id its bytes, UTF-8. NULL only if length is 0. Borrowed during the call.
/// @param[in] length how many.
/// @param[out] out_rows room for capacity rows: the first ones, in order. NULL only if capacity is 0.
/// @param[in] capacity how many rows there is room for.
/// @param[out] out_count how many rows carry the id, which may be more than there is room for; 0 on failure.
/// @return RDS_OK out_count and out_rows are filled in; that no row carries the id is no error.
/// @return RDS_ERR_INVALID_HANDLE reader is no open reader.
/// @return RDS_ERR_INVALID_ARGUMENT a pointer is NULL, or id is not UTF-8.
/// @return RDS_ERR_SCHEMA_MISMATCH the table has no ids.
/// @return RDS_ERR_NOT_SUPPORTED Lance cannot read the files of the table.
/// @return RDS_ERR_CORRUPT a file of the table is damaged.
/// @return RDS_ERR_NOT_FOUND a file of the table is gone.
/// @return RDS_ERR_IO the operating system refused.
/// @return RDS_ERR_INTERNAL Lance failed in a way it should not.
/// @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop; the reader is as it was.
/// @return RDS_ERR_INVALID_STATE called inside of waiting by a call that loads or indexes the ids; as above.
/// @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
///
/// Ownership: everything stays the caller's.
/// Thread safety: any thread, many at once, into different memory.
/// Blocking: the first call on a reader loads all its ids and builds the index; later ones never.
/// @since 0.2
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rds_reader_find_all(
    reader: *const rds_reader,
    id: *const c_char,
    length: usize,
    out_rows: *mut u64,
    capacity: u64,
    out_count: *mut u64,
) -> Status {
    call("rds_reader_find_all(reader, id, length, out_rows, capacity, out_count)", |scope| {
        // SAFETY: NULL is checked; what is not NULL is as the header asks.
        let (out, id, rows) = unsafe {
            let out = args::out(scope, out_count, 0, "out_count")?;
            let id = args::slice(scope, id.cast::<u8>(), length, "id")?;
            (out, id, args::slice_out(scope, out_rows, capacity as usize, "out_rows")?)
        };
        let id = std::str::from_utf8(id);
        let id =
            id.map_err(|error| Error::invalid_argument(format!("id is not UTF-8: {error}")))?;
        let found = self::reader(scope, reader)?.rows_of(id)?;
        rows.iter_mut().zip(&found).for_each(|(out, row)| *out = *row);
        out.set(found.len() as u64);
        Ok(())
    })
}
