//! Batches from outside, by the Arrow C data interface: taken as what they are or refused, and released once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rds::error::Status;
use rds::ffi::arrow::{import_batch, take_array};
use rds::ffi::boundary::call;
use rds_fuzz::Input;
use rds_fuzz::arrow::Tree;

fuzz_target!(init: rds_fuzz::allow_caught_panics(), |input: &[u8]| {
    let mut tree = Tree::new(&mut Input(input));
    let status = call("fuzz()", |scope| {
        // SAFETY: what the tree makes is as the interface says, where it cannot be checked.
        let batch = unsafe {
            let array = take_array(tree.array().cast())?;
            import_batch(scope, tree.schema().cast(), array)?
        };
        rds::writer::fuzzing::from_arrow(&batch)
    });
    assert!(!matches!(status, Status::RDS_ERR_PANIC | Status::RDS_ERR_INTERNAL));
    assert_eq!(tree.released(), 1);
});
