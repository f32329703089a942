//! Data files of Lance, which anybody may have written.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: rds_fuzz::allow_caught_panics(), |file: &[u8]| {
    let _ = rds::reader::fuzzing::footer(file);
});
