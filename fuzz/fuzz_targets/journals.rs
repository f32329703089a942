//! Segments of the journal of a run: as they are, and of records whose checksums are right. The journal of a
//! shorter file is never longer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rds::writer::fuzzing::{id_block, journal};
use rds_fuzz::Input;

const ALIGN: usize = 64;

/// Kind, what is said of the record before, and what it says, for each record.
fn records(mut input: Input) -> Vec<u8> {
    let mut segment = Vec::new();
    let mut sequence = input.number();
    while !input.is_empty() {
        let (kind, step, synced) = (input.byte(), input.byte(), input.byte());
        let length = usize::from(input.byte()) << (kind >> 6);
        let said = input.part(length);
        sequence = sequence.wrapping_add(if step == 0 { 1 } else { step.into() });
        let start = segment.len();
        segment.extend(b"RDSJ");
        segment.extend(u32::from(kind & 7).to_le_bytes());
        segment.extend(sequence.to_le_bytes());
        segment.extend((said.len() as u64).to_le_bytes());
        segment.extend(sequence.wrapping_sub(i64::from(synced)).to_le_bytes());
        segment.extend(crc32c::crc32c(said).to_le_bytes());
        segment.extend(1_u64.to_le_bytes());
        segment.extend(crc32c::crc32c(&segment[start..]).to_le_bytes());
        segment.extend(said);
        segment.resize(segment.len().next_multiple_of(ALIGN), 0);
    }
    segment
}

fuzz_target!(|input: &[u8]| {
    id_block(input);
    let _ = journal(input);
    let segment = records(Input(input));
    if let Ok(whole) = journal(&segment) {
        let cut = segment.len() / 2 / ALIGN * ALIGN;
        let shorter = journal(&segment[..cut]);
        assert!(shorter.is_ok_and(|records| records <= whole));
    }
});
