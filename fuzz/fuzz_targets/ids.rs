//! Ids in every form that a caller may have them in. What is accepted is what the form says, one for one.
#![no_main]

use arrow::array::{Array, StringArray};
use libfuzzer_sys::fuzz_target;
use rds::ids::Ids;
use rds_fuzz::Input;

fn numbers(bytes: &[u8]) -> Vec<i64> {
    bytes.chunks_exact(8).map(|chunk| i64::from_le_bytes(chunk.try_into().unwrap())).collect()
}

fn assert_are(array: &StringArray, expected: impl ExactSizeIterator<Item = String>) {
    assert_eq!(array.len(), expected.len());
    for (id, expected) in array.iter().zip(expected) {
        assert_eq!(id, Some(expected.as_str()));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fuzz_target!(|input: &[u8]| {
    let mut input = Input(input);
    let (form, width) = (input.byte() % 6, usize::from(input.byte()) % 9);
    let offsets: Vec<i64> = (0..input.byte() % 16).map(|_| input.number()).collect();
    let bytes = input.0;
    match form {
        0 => {
            if let Ok(array) = (Ids::Utf8 { offsets: &offsets, bytes }).to_array() {
                let range = |pair: &[i64]| text(&bytes[pair[0] as usize..pair[1] as usize]);
                assert_are(&array, offsets.windows(2).map(range));
            }
        }
        1 => {
            let parts: Vec<&[u8]> = bytes.split(|byte| *byte == b' ').collect();
            let array = Ids::Strings(parts.clone()).to_array();
            assert_eq!(array.is_ok(), parts.iter().all(|part| std::str::from_utf8(part).is_ok()));
            if let Ok(array) = array {
                assert_are(&array, parts.iter().map(|part| text(part)));
            }
        }
        2 => {
            let count = bytes.len().checked_div(width).unwrap_or(3);
            if let Ok(array) = (Ids::FixedBytes { bytes, width, count }).to_array() {
                let item = |row: usize| {
                    text(&bytes[row * width..(row + 1) * width]).trim_end_matches('\0').into()
                };
                assert_are(&array, (0..count).map(item));
            }
        }
        3 => {
            let count = bytes.len().checked_div(4 * width).unwrap_or(3);
            if let Ok(array) = (Ids::FixedUtf32 { units: bytes, width, count }).to_array() {
                let item = |row: usize| -> String {
                    let units = bytes[row * 4 * width..(row + 1) * 4 * width].chunks_exact(4);
                    let character =
                        |unit: &[u8]| char::from_u32(u32::from_ne_bytes(unit.try_into().unwrap()));
                    let text: String = units.map(|unit| character(unit).unwrap()).collect();
                    text.trim_end_matches('\0').into()
                };
                assert_are(&array, (0..count).map(item));
            }
        }
        4 => {
            let values = numbers(bytes);
            assert_are(&Ids::Int64(&values).to_array().unwrap(), values.iter().map(i64::to_string));
        }
        _ => {
            let values: Vec<u64> = numbers(bytes).into_iter().map(|value| value as u64).collect();
            assert_are(
                &Ids::Uint64(&values).to_array().unwrap(),
                values.iter().map(u64::to_string),
            );
        }
    }
});
