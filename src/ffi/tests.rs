//! What only a build of its own can show: panics injected into exported functions.

use std::ffi::{CStr, CString};
use std::ptr::{null, null_mut};

use arrow::ffi::FFI_ArrowSchema;

use super::fault::arm;
use super::{error, reader, reader_ids, types, writer, writer_batches};
use crate::error::Status;

fn last_message() -> String {
    // SAFETY: never NULL, valid until the next failure on this thread.
    unsafe { CStr::from_ptr(error::rds_last_error_message()) }.to_str().unwrap().to_string()
}

fn open_writer(path: &CStr, mode: u32) -> (Status, *mut types::rds_writer) {
    let options = types::rds_writer_options {
        struct_size: size_of::<types::rds_writer_options>(),
        mode,
        durability: 0,
        checkpoint_ms: 0,
        max_queued_bytes: 0,
        visible_ms: 0,
        job: std::ptr::null(),
        part: 0,
        flags: 0,
        reserved: 0,
        waiting: None,
        user_data: null_mut(),
        columns: null(),
        column_count: 0,
        room_ms: 0,
        metadata: null(),
        metadata_count: 0,
    };
    let mut handle = null_mut();
    // SAFETY: all pointers are to live values.
    let status = unsafe { writer::rds_writer_open(path.as_ptr(), &options, &mut handle) };
    (status, handle)
}

fn write_rows(handle: *mut types::rds_writer) -> Status {
    let numbers = [1_i64, 2];
    let ids = types::rds_ids {
        struct_size: size_of::<types::rds_ids>(),
        kind: types::rds_ids_kind::RDS_IDS_INT64 as u32,
        flags: 0,
        count: 2,
        data: numbers.as_ptr().cast(),
        offsets: null(),
        item_bytes: 0,
    };
    let shape = [2_i64];
    let tensor = types::rds_tensor {
        struct_size: size_of::<types::rds_tensor>(),
        name: null(),
        dtype: crate::tensor::DType::RDS_DTYPE_INT64 as u32,
        ndim: 1,
        shape: shape.as_ptr(),
        strides: null(),
        data: numbers.as_ptr().cast(),
        flags: 0,
        reserved: 0,
    };
    // SAFETY: all pointers are to live values.
    unsafe { writer_batches::rds_write_tensors(handle, &ids, &tensor, 1) }
}

#[test]
fn a_panic_is_a_status_poisons_one_handle_and_the_process_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = CString::new(dir.path().to_str().unwrap()).unwrap();
    let (status, healthy) = open_writer(&path, 2);
    assert_eq!(status, Status::RDS_OK);
    let other = tempfile::tempdir().unwrap();
    let other_path = CString::new(other.path().to_str().unwrap()).unwrap();
    let (_, poisoned) = open_writer(&other_path, 2);

    arm(Some("rds_write_tensors"));
    assert_eq!(write_rows(poisoned), Status::RDS_ERR_PANIC);
    arm(None);
    assert!(last_message().contains("injected into rds_write_tensors"), "{}", last_message());
    assert_eq!(error::rds_last_error_status(), Status::RDS_ERR_PANIC);

    // That handle takes nothing more, names the culprit, and closes.
    assert_eq!(write_rows(poisoned), Status::RDS_ERR_PANIC);
    assert!(
        last_message().contains("unusable since a panic in rds_write_tensors"),
        "{}",
        last_message()
    );
    // SAFETY: a token, whatever it names.
    assert_eq!(unsafe { writer::rds_writer_close(poisoned) }, Status::RDS_OK);

    // The other one is as it was.
    assert_eq!(write_rows(healthy), Status::RDS_OK);
    // SAFETY: as above.
    assert_eq!(unsafe { writer::rds_writer_close(healthy) }, Status::RDS_OK);
}

#[test]
fn a_panic_in_a_reader_leaves_outputs_empty_and_the_reader_closable() {
    let dir = tempfile::tempdir().unwrap();
    let path = CString::new(dir.path().to_str().unwrap()).unwrap();
    let (_, handle) = open_writer(&path, 0);
    assert_eq!(write_rows(handle), Status::RDS_OK);
    // SAFETY: a token, whatever it names.
    assert_eq!(unsafe { writer::rds_writer_close(handle) }, Status::RDS_OK);

    let mut snapshot = null_mut();
    // SAFETY: all pointers are to live values, here and below.
    let status = unsafe { reader::rds_reader_open(path.as_ptr(), null(), &mut snapshot) };
    assert_eq!(status, Status::RDS_OK);

    let mut schema = FFI_ArrowSchema::empty();
    arm(Some("rds_reader_schema"));
    assert_eq!(
        unsafe { reader::rds_reader_schema(snapshot, null(), &mut schema) },
        Status::RDS_ERR_PANIC
    );
    arm(None);
    assert!(schema.name().is_none());
    drop(schema);
    let mut id = null();
    let mut length = 0;
    let status = unsafe { reader_ids::rds_reader_id(snapshot, 0, &mut id, &mut length) };
    assert_eq!(status, Status::RDS_ERR_PANIC, "the reader is poisoned");
    assert_eq!(unsafe { reader::rds_reader_close(snapshot) }, Status::RDS_OK);
}
