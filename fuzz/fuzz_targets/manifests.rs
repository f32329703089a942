//! What a version of a table says of itself, which anybody may have written.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: rds_fuzz::allow_caught_panics(), |message: &[u8]| {
    let _ = rds::reader::fuzzing::manifest(message);
});
