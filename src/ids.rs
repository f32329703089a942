//! Object ids in every accepted form, made into one Arrow string array.

#![forbid(unsafe_code)]

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;

use crate::error::{Error, Result};
use crate::tensor::{ID_COLUMN, type_name};

/// Ids as a caller of the C surface holds them. All forms but the integers are UTF-8 in the end.
pub enum Ids<'a> {
    /// One byte buffer, and `count + 1` offsets into it.
    Utf8 {
        offsets: &'a [i64],
        bytes: &'a [u8],
    },
    /// The bytes of each id, without terminator.
    Strings(Vec<&'a [u8]>),
    /// NumPy `S<width>`: `width` bytes an id, padded with NUL.
    FixedBytes {
        bytes: &'a [u8],
        width: usize,
        count: usize,
    },
    /// NumPy `U<width>`: `width` UTF-32 code units an id in native byte order, padded with NUL.
    FixedUtf32 {
        units: &'a [u8],
        width: usize,
        count: usize,
    },
    Int64(&'a [i64]),
    Uint64(&'a [u64]),
}

impl Ids<'_> {
    pub fn len(&self) -> usize {
        match self {
            Ids::Utf8 { offsets, .. } => offsets.len().saturating_sub(1),
            Ids::Strings(strings) => strings.len(),
            Ids::FixedBytes { count, .. } | Ids::FixedUtf32 { count, .. } => *count,
            Ids::Int64(values) => values.len(),
            Ids::Uint64(values) => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id, if it is a single one that lies as it is to be, without a copy.
    pub fn single(&self) -> Option<&str> {
        let Ids::Utf8 { offsets: [start, end], bytes } = self else { return None };
        let range = usize::try_from(*start).ok()?..usize::try_from(*end).ok()?;
        std::str::from_utf8(bytes.get(range)?).ok()
    }

    /// Copies the ids into one array; no allocation per id.
    pub fn to_array(&self) -> Result<StringArray> {
        match self {
            Ids::Utf8 { offsets, bytes } => from_offsets(offsets, bytes),
            Ids::Strings(strings) => {
                let total = strings.iter().map(|s| s.len()).sum();
                let mut out = Builder::new(strings.len(), total)?;
                for id in strings {
                    out.push(id)?;
                }
                out.finish()
            }
            Ids::FixedBytes { bytes, width, count } => {
                let mut out = Builder::new(*count, bytes.len())?;
                for item in fixed_items(bytes, *width, *count) {
                    out.push(without_padding(item, 1))?;
                }
                out.finish()
            }
            Ids::FixedUtf32 { units, width, count } => {
                let mut out = Builder::new(*count, units.len() / 4)?;
                for item in fixed_items(units, *width * 4, *count) {
                    out.push_utf32(without_padding(item, 4))?;
                }
                out.finish()
            }
            Ids::Int64(values) => from_numbers(values),
            Ids::Uint64(values) => from_numbers(values),
        }
    }
}

/// The ids of a batch that arrived as Arrow: strings of any layout, UTF-8 bytes, or integers.
pub fn from_arrow(array: &ArrayRef) -> Result<StringArray> {
    let accepted = match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        other => other.is_integer(),
    };
    if !accepted {
        return Err(Error::schema_mismatch(format!(
            "column \"{ID_COLUMN}\": expected strings or integers, got {}",
            type_name(array.data_type())
        )));
    }
    if let Some(row) = (0..array.len()).find(|row| array.is_null(*row)) {
        return Err(Error::invalid_argument(format!(
            "column \"{ID_COLUMN}\": the id at index {row} is null"
        )));
    }
    // Not "safe": an id that cannot be converted is an error, not a null.
    let options = CastOptions { safe: false, ..Default::default() };
    let strings = cast_with_options(array, &DataType::Utf8, &options)
        .map_err(|e| Error::invalid_argument(format!("column \"{ID_COLUMN}\": {e}")))?;
    Ok(strings.as_string::<i32>().clone())
}

fn from_offsets(offsets: &[i64], bytes: &[u8]) -> Result<StringArray> {
    let mut narrow = Vec::with_capacity(offsets.len());
    let mut previous = 0;
    for (index, offset) in offsets.iter().enumerate() {
        if *offset < previous || *offset > bytes.len() as i64 {
            return Err(Error::invalid_argument(format!(
                "ids: offset {offset} at index {index} is below the one before it or beyond the {} bytes",
                bytes.len()
            )));
        }
        previous = *offset;
        narrow.push(i32::try_from(*offset).map_err(|_| too_many_bytes())?);
    }
    // No offset at all is no id.
    narrow.extend(narrow.is_empty().then_some(0));
    let offsets = OffsetBuffer::new(ScalarBuffer::from(narrow));
    StringArray::try_new(offsets, Buffer::from(bytes), None)
        .map_err(|e| Error::invalid_argument(format!("ids: {e}")))
}

fn from_numbers<T: itoa::Integer + Copy>(values: &[T]) -> Result<StringArray> {
    let mut digits = itoa::Buffer::new();
    let mut out = Builder::new(values.len(), values.len() * 8)?;
    for value in values {
        out.bytes.extend_from_slice(digits.format(*value).as_bytes());
        out.end_at(out.bytes.len())?;
    }
    out.finish()
}

fn fixed_items(bytes: &[u8], width: usize, count: usize) -> impl Iterator<Item = &[u8]> {
    (0..count).map(move |i| bytes.get(i * width..(i + 1) * width).unwrap_or_default())
}

/// `item` without the NUL units at its end.
fn without_padding(item: &[u8], unit: usize) -> &[u8] {
    let used = item.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    item.get(..used.next_multiple_of(unit)).unwrap_or(item)
}

fn too_many_bytes() -> Error {
    Error::invalid_argument("ids: more than 2 GiB in one batch; send smaller batches")
}

/// Offsets and bytes of the array to be.
struct Builder {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Builder {
    /// Fails where an allocation does: counts of ids that take no memory may be of any size.
    fn new(count: usize, bytes: usize) -> Result<Self> {
        let (mut offsets, mut buffer) = (Vec::new(), Vec::new());
        let room = offsets.try_reserve_exact(count.saturating_add(1));
        room.and_then(|()| buffer.try_reserve_exact(bytes)).map_err(|_| {
            Error::invalid_argument(format!("ids: {count} ids do not fit in memory"))
        })?;
        offsets.push(0);
        Ok(Self { offsets, bytes: buffer })
    }

    fn index(&self) -> usize {
        self.offsets.len() - 1
    }

    fn end_at(&mut self, end: usize) -> Result<()> {
        self.offsets.push(i32::try_from(end).map_err(|_| too_many_bytes())?);
        Ok(())
    }

    fn push(&mut self, id: &[u8]) -> Result<()> {
        if !id.is_ascii() && std::str::from_utf8(id).is_err() {
            return Err(Error::invalid_argument(format!(
                "ids: the id at index {} is not UTF-8: {:?}",
                self.index(),
                String::from_utf8_lossy(id)
            )));
        }
        self.bytes.extend_from_slice(id);
        self.end_at(self.bytes.len())
    }

    fn push_utf32(&mut self, units: &[u8]) -> Result<()> {
        for unit in units.chunks_exact(4) {
            let code = unit.iter().rev().fold(0_u32, |code, byte| code << 8 | u32::from(*byte));
            let code = if cfg!(target_endian = "big") { code.swap_bytes() } else { code };
            let character = char::from_u32(code).ok_or_else(|| {
                Error::invalid_argument(format!(
                    "ids: the id at index {} has the code {code:#x}, which is no character",
                    self.index()
                ))
            })?;
            self.bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        self.end_at(self.bytes.len())
    }

    fn finish(self) -> Result<StringArray> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        StringArray::try_new(offsets, Buffer::from(self.bytes), None)
            .map_err(|e| Error::internal(format!("ids: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BinaryArray, Int32Array, LargeStringArray, StringViewArray};

    use super::*;
    use crate::error::Status;

    fn texts(array: &StringArray) -> Vec<&str> {
        array.iter().flatten().collect()
    }

    #[test]
    fn every_form_gives_the_same_strings() {
        let wanted = ["a", "", "βb"];
        let bytes = "aβb".as_bytes();
        let offsets = [0, 1, 1, 4];
        let utf32: Vec<u8> = [['a', '\0'], ['\0', '\0'], ['β', 'b']]
            .iter()
            .flatten()
            .flat_map(|c| (*c as u32).to_ne_bytes())
            .collect();
        let fixed = [b"a\0\0".as_slice(), b"\0\0\0", "βb".as_bytes()].concat();
        for ids in [
            Ids::Utf8 { offsets: &offsets, bytes },
            Ids::Strings(vec![b"a", b"", "βb".as_bytes()]),
            Ids::FixedBytes { bytes: &fixed, width: 3, count: 3 },
            Ids::FixedUtf32 { units: &utf32, width: 2, count: 3 },
        ] {
            assert_eq!(ids.len(), 3);
            assert_eq!(texts(&ids.to_array().unwrap()), wanted);
        }
    }

    #[test]
    fn integers_become_decimal() {
        assert_eq!(
            texts(&Ids::Int64(&[-1, i64::MIN]).to_array().unwrap()),
            ["-1", "-9223372036854775808"]
        );
        assert_eq!(texts(&Ids::Uint64(&[u64::MAX]).to_array().unwrap()), ["18446744073709551615"]);
    }

    #[test]
    fn a_nul_inside_an_id_is_kept_and_padding_is_not() {
        let ids = Ids::FixedBytes { bytes: b"a\0b\0", width: 4, count: 1 };
        assert_eq!(texts(&ids.to_array().unwrap()), ["a\0b"]);
        let none = Ids::Utf8 { offsets: &[], bytes: b"a" };
        assert_eq!(none.to_array().unwrap().len(), none.len());
        let widthless = Ids::FixedBytes { bytes: b"", width: 0, count: 2 };
        assert_eq!(texts(&widthless.to_array().unwrap()), ["", ""]);
    }

    #[test]
    fn what_is_not_text_is_refused_with_its_index() {
        let surrogate: Vec<u8> = [0x41_u32, 0xd800].iter().flat_map(|c| c.to_ne_bytes()).collect();
        for (ids, part) in [
            (Ids::Strings(vec![b"ok", b"\xff"]), "index 1"),
            (Ids::FixedBytes { bytes: b"a\xc3", width: 1, count: 2 }, "index 1"),
            (Ids::FixedUtf32 { units: &surrogate, width: 1, count: 2 }, "0xd800"),
            (Ids::Utf8 { offsets: &[0, 2, 1], bytes: b"abc" }, "offset 1"),
            (Ids::Utf8 { offsets: &[0, 4], bytes: b"abc" }, "beyond"),
            (Ids::Utf8 { offsets: &[0, 1, 2], bytes: "β".as_bytes() }, "ids"),
        ] {
            let error = ids.to_array().unwrap_err();
            assert_eq!(error.status, Status::RDS_ERR_INVALID_ARGUMENT);
            assert!(error.message.contains(part), "{error}");
        }
    }

    #[test]
    fn arrow_strings_bytes_and_integers_are_accepted() {
        let arrays: [ArrayRef; 4] = [
            Arc::new(LargeStringArray::from(vec!["7", "8"])),
            Arc::new(StringViewArray::from(vec!["7", "8"])),
            Arc::new(BinaryArray::from(vec![b"7".as_slice(), b"8"])),
            Arc::new(Int32Array::from(vec![7, 8])),
        ];
        for array in &arrays {
            assert_eq!(texts(&from_arrow(array).unwrap()), ["7", "8"]);
        }
    }

    #[test]
    fn arrow_nulls_bad_bytes_and_other_types_are_refused() {
        let null: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        assert!(from_arrow(&null).unwrap_err().message.contains("index 1 is null"));
        let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![b"\xff".as_slice()]));
        assert_eq!(from_arrow(&bytes).unwrap_err().status, Status::RDS_ERR_INVALID_ARGUMENT);
        let floats: ArrayRef = Arc::new(arrow::array::Float32Array::from(vec![1.0]));
        assert_eq!(from_arrow(&floats).unwrap_err().status, Status::RDS_ERR_SCHEMA_MISMATCH);
    }
}
