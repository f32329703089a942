//! Tokens of `rds_writer_stage`, as they come from other machines: as they are, and with the checksum that is right.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &[u8]| {
    let _ = rds::writer::fuzzing::token(json);
    for kind in [b"RDSTOKEN", b"RDSTPART"] {
        let mut token = [kind.as_slice(), &3_u32.to_le_bytes(), json].concat();
        token.extend(crc32fast::hash(&token).to_le_bytes());
        let _ = rds::writer::fuzzing::token(&token);
    }
});
