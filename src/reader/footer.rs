//! The metadata of a data file, checked against the file's real length before anybody follows it: a
//! damaged count or offset would have Lance allocate without bounds, which ends the process, and a
//! span point to memory that is not the file's.
//!
//! The footer is that of the Lance file format, version 2 (`file2.proto` of lance-file): the offsets
//! of the column metadata, of the table of its parts and of the table of global buffers (u64), the
//! lengths of the second and the first of these tables (u32), the version (2 * u16) and the magic;
//! little-endian, 40 bytes. The first global buffer is the file's descriptor.

use std::ops::Range;

use lance_file::format::pb::FileDescriptor;
use lance_file::format::pbfile::ColumnMetadata;
use prost::Message;

use crate::error::{Error, Result};

const FOOTER_BYTES: usize = 40;
const TABLE_ENTRY_BYTES: usize = 16;

pub struct Footer {
    pub columns: Vec<ColumnMetadata>,
    pub rows: u64,
}

impl Footer {
    /// Reads the end of `file`, which is all its bytes. Every range in the result lies in the file.
    pub fn parse(file: &[u8]) -> Result<Self> {
        let end = file.len().checked_sub(FOOTER_BYTES);
        let end =
            end.ok_or_else(|| Error::corrupt(format!("the file has {} bytes only", file.len())))?;
        let footer = file.get(end..).unwrap_or_default();
        if footer.get(36..) != Some(b"LANC") {
            return Err(Error::corrupt("the file does not end as a Lance file does"));
        }
        let (metadata, parts, buffers) =
            (number(footer, 0, 8), number(footer, 8, 8), number(footer, 16, 8));
        if !(metadata <= parts && parts <= buffers && buffers <= end as u64) {
            return Err(Error::corrupt("the footer points out of the file"));
        }
        let columns = table(file, parts..buffers, number(footer, 28, 4))?
            .into_iter()
            .map(|part| ColumnMetadata::decode(part).map_err(|error| undecodable("column", error)))
            .collect::<Result<Vec<_>>>()?;
        columns.iter().try_for_each(|column| check_buffers(column, file.len()))?;
        let global = table(file, buffers..end as u64, number(footer, 24, 4))?;
        let descriptor = global.first().ok_or_else(|| Error::corrupt("the file has no schema"))?;
        let descriptor = FileDescriptor::decode(*descriptor);
        let rows = descriptor.map_err(|error| undecodable("schema", error))?.length;
        Ok(Self { columns, rows })
    }
}

fn undecodable(what: &str, error: prost::DecodeError) -> Error {
    Error::corrupt(format!("the metadata of a {what} cannot be decoded: {error}"))
}

/// A little-endian number.
fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    let field = bytes.get(at..at + width).unwrap_or_default();
    field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The parts of the file that a table of offsets and sizes, somewhere in `range`, names.
fn table(file: &[u8], range: Range<u64>, entries: u64) -> Result<Vec<&[u8]>> {
    let bytes = entries * TABLE_ENTRY_BYTES as u64;
    if bytes > range.end - range.start {
        return Err(Error::corrupt(format!("the footer counts {entries} parts, which do not fit")));
    }
    let entries = part(file, range.start, bytes)?.chunks_exact(TABLE_ENTRY_BYTES);
    entries.map(|entry| part(file, number(entry, 0, 8), number(entry, 8, 8))).collect()
}

fn check_buffers(column: &ColumnMetadata, length: usize) -> Result<()> {
    let pages = column.pages.iter().map(|page| (&page.buffer_offsets, &page.buffer_sizes));
    let own = (&column.buffer_offsets, &column.buffer_sizes);
    for (offsets, sizes) in pages.chain([own]) {
        if offsets.len() != sizes.len() {
            return Err(Error::corrupt("a page has more offsets than sizes, or fewer"));
        }
        for (offset, size) in offsets.iter().zip(sizes) {
            range(length, *offset, *size)?;
        }
    }
    Ok(())
}

fn part(file: &[u8], offset: u64, size: u64) -> Result<&[u8]> {
    Ok(file.get(range(file.len(), offset, size)?).unwrap_or_default())
}

fn range(length: usize, offset: u64, size: u64) -> Result<Range<usize>> {
    match offset.checked_add(size) {
        Some(end) if end <= length as u64 => Ok(offset as usize..end as usize),
        _ => Err(Error::corrupt(format!(
            "{size} bytes at {offset} lie outside the file, which has {length}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    /// A file without columns: a descriptor of 5 rows, the tables, the footer.
    fn file() -> Vec<u8> {
        let descriptor = FileDescriptor { schema: None, length: 5 }.encode_to_vec();
        let length = descriptor.len() as u64;
        let mut file = descriptor;
        file.extend([0_u64.to_le_bytes(), length.to_le_bytes()].concat());
        file.extend([length, length, length].map(u64::to_le_bytes).concat());
        file.extend([1_u32, 0].map(u32::to_le_bytes).concat());
        file.extend([2, 0, 2, 0]);
        file.extend(b"LANC");
        file
    }

    #[test]
    fn a_file_tells_its_rows() {
        let footer = Footer::parse(&file()).unwrap();
        assert_eq!((footer.rows, footer.columns.len()), (5, 0));
    }

    #[test]
    fn whatever_is_wrong_is_an_error() {
        let whole = file();
        for length in 0..whole.len() {
            let error = Footer::parse(&whole[..length]).err().unwrap();
            assert_eq!(error.status, Status::RDS_ERR_CORRUPT, "{length}");
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                // Right or refused; never a panic, and never a range beyond the file.
                let _ = Footer::parse(&damaged);
            }
        }
    }

    #[test]
    fn buffers_beyond_the_file_are_refused() {
        let column = |offset, size| ColumnMetadata {
            buffer_offsets: vec![offset],
            buffer_sizes: vec![size],
            ..Default::default()
        };
        assert!(check_buffers(&column(90, 10), 100).is_ok());
        for (offset, size) in [(90, 11), (101, 0), (u64::MAX, 1), (1, u64::MAX)] {
            let error = check_buffers(&column(offset, size), 100).unwrap_err();
            assert_eq!(error.status, Status::RDS_ERR_CORRUPT);
        }
        let uneven = ColumnMetadata { buffer_offsets: vec![1], ..Default::default() };
        assert!(check_buffers(&uneven, 100).is_err());
    }
}
