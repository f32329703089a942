//! The file of a part of a job: as it is, and with blocks whose lengths and checksums are right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rds::writer::fuzzing::part;
use rds_fuzz::Input;

/// Rows, what the block says that it has behind its head, and what it has.
fn blocks(mut input: Input) -> Vec<u8> {
    let mut file = Vec::new();
    while !input.is_empty() {
        let (rows, more, length) = (input.byte(), input.byte(), input.byte());
        let said = input.part(length.into());
        let bytes = said.len() as u64 + u64::from(more & 1);
        let mut head = u32::from(rows).to_le_bytes().to_vec();
        head.extend(bytes.to_le_bytes());
        head.extend(crc32c::crc32c(said).to_le_bytes());
        file.extend(crc32c::crc32c(&head).to_le_bytes());
        file.extend(head);
        file.extend(said);
    }
    file
}

fuzz_target!(|input: &[u8]| {
    part(input);
    part(&blocks(Input(input)));
});
