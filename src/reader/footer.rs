//! The end of a data file of Lance 2: what it has, checked before anything of it is used.
//!
//! A file ends with 40 bytes (`format.md` of lance-file, little-endian): where the metadata of columns begins, where
//! the tables of their places and of the global buffers begin (u64 each), the numbers of global buffers and of
//! columns (u32), the version (two u16), `LANC`. An entry of a table is a position and a size, u64 each. The first
//! global buffer is the file's descriptor.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use lance_file::format::pb::FileDescriptor;
use lance_file::format::pbfile::ColumnMetadata;
use lance_file::reader::{CachedFileMetadata, FileReader};
use lance_file::version::ConcreteFileVersion;
use lance_io::object_store::ObjectStore;
use lance_io::scheduler::{ScanScheduler, SchedulerConfig};
use prost::Message;

use crate::error::{Error, Result};
use crate::manifest;
use crate::reader::decode;
use crate::reader::tail::Tail;

const FOOTER_BYTES: u64 = 40;
const TABLE_ENTRY_BYTES: u64 = 16;
/// What most files need, so that one read is enough.
const FIRST_READ: u64 = 4096;
/// What describes a file is a small part of it.
const MOST_BYTES: u64 = 64 << 20;
/// What a page says takes more; columns of pages that say less unfold to many times their bytes.
const LEAST_PAGE_BYTES: usize = 12;
const MOST_PAGE_ROWS: u64 = 1 << 32;

pub struct Footer {
    pub rows: u64,
    pub version: ConcreteFileVersion,
    /// The end of the file, from the descriptor on.
    tail: Bytes,
    size: u64,
    /// Where the metadata of each column lies.
    columns: Vec<Range<u64>>,
}

impl Footer {
    /// Reads the end of a file of so many bytes.
    pub fn read(size: u64, read: impl Fn(Range<u64>) -> Result<Bytes>) -> Result<Self> {
        if size < FOOTER_BYTES {
            return Err(Error::corrupt(format!("the file has {size} bytes only")));
        }
        let mut tail = read(size - size.min(FIRST_READ)..size)?;
        let end = size - FOOTER_BYTES;
        let footer = tail.slice(tail.len() - FOOTER_BYTES as usize..);
        if footer.get(36..) != Some(b"LANC") {
            return Err(Error::corrupt("the file does not end as a Lance file does"));
        }
        let version = (number(&footer, 32, 2) as u16, number(&footer, 34, 2) as u16);
        let version = ConcreteFileVersion::from_footer_numbers(version.0, version.1);
        let version = version.map_err(|e| Error::not_supported(e.to_string()))?;
        if version == ConcreteFileVersion::V1 {
            return Err(Error::not_supported("it is of Lance's first format, which is not read"));
        }
        let (metadata, parts, buffers) =
            (number(&footer, 0, 8), number(&footer, 8, 8), number(&footer, 16, 8));
        let (global, columns) = (number(&footer, 24, 4), number(&footer, 28, 4));
        let fits = metadata <= parts && parts <= buffers && buffers <= end;
        let fits = fits && buffers - parts == columns * TABLE_ENTRY_BYTES;
        if !fits || global == 0 || global * TABLE_ENTRY_BYTES > end - buffers {
            return Err(Error::corrupt("the footer points out of the file"));
        }
        let mut from = |start: u64| -> Result<(Bytes, u64)> {
            let known = size - tail.len() as u64;
            if size - start > MOST_BYTES {
                return Err(Error::not_supported(format!(
                    "what describes the file takes {} bytes of it",
                    size - start
                )));
            }
            if start < known {
                tail = [read(start..known)?, tail.clone()].concat().into();
            }
            Ok((tail.clone(), size - tail.len() as u64))
        };
        let (bytes, start) = from(metadata)?;
        let global = table(&bytes, start, buffers, global);
        let inside = |part: &Range<u64>| part.start <= part.end && part.end <= size;
        if let Some(part) = global.iter().find(|part| !inside(part)) {
            return Err(Error::corrupt(format!("a part at {} lies outside the file", part.start)));
        }
        let columns = table(&bytes, start, parts, columns);
        let mut before = metadata;
        for column in &columns {
            if column.start < before || column.end < column.start || column.end > parts {
                return Err(Error::corrupt("columns overlap, or lie outside their place"));
            }
            before = column.end;
        }
        let descriptor = global.first().cloned().unwrap_or(0..0);
        if descriptor.start > metadata {
            return Err(Error::corrupt("the schema lies behind the columns"));
        }
        let (tail, start) = from(descriptor.start)?;
        let rows = rows(&tail, start, descriptor)?;
        let footer = Self { rows, version, tail, size, columns };
        (0..footer.columns.len()).try_for_each(|column| footer.check_pages(column))?;
        Ok(footer)
    }

    fn bytes(&self, part: Range<u64>) -> &[u8] {
        slice(&self.tail, self.size - self.tail.len() as u64, part)
    }

    fn of(&self, column: usize) -> Result<&[u8]> {
        let part = self.columns.get(column).cloned().ok_or_else(|| {
            Error::corrupt(format!("the file has no column {column}, of which the manifest speaks"))
        })?;
        Ok(self.bytes(part))
    }

    fn check_pages(&self, column: usize) -> Result<()> {
        const PAGES: u64 = 2;
        let (count, bytes) = manifest::parts(self.of(column)?, PAGES)?;
        match bytes < count * LEAST_PAGE_BYTES {
            true => Err(Error::corrupt(format!("{count} pages of a column say nothing"))),
            false => Ok(()),
        }
    }

    /// What is said of a column. Every range in it lies in the file, its pages are as many rows as the file
    /// has, and no two of them share bytes.
    pub fn column(&self, column: usize) -> Result<ColumnMetadata> {
        let metadata = ColumnMetadata::decode(self.of(column)?);
        let metadata = metadata.map_err(|error| undecodable("column", &error))?;
        check_buffers(&metadata, self.size)?;
        let mut rows = 0_u64;
        for page in &metadata.pages {
            if page.length > MOST_PAGE_ROWS {
                return Err(Error::corrupt(format!("a page of {} rows", page.length)));
            }
            rows += page.length;
        }
        if rows != self.rows {
            return Err(Error::corrupt(format!(
                "the pages of a column have {rows} rows, the file has {}",
                self.rows
            )));
        }
        Ok(metadata)
    }

    /// The same as Lance's decoders need it, of all columns.
    pub fn for_lance(&self) -> Result<Arc<CachedFileMetadata>> {
        let tail = Arc::new(Tail::new(self.tail.clone(), self.size));
        let read = decode::run(async {
            let config = SchedulerConfig::new(MOST_BYTES).with_lite_scheduler();
            let scheduler = ScanScheduler::new(Arc::new(ObjectStore::memory()), config);
            FileReader::read_all_metadata(&scheduler.open_reader(tail)).await
        });
        Ok(Arc::new(read?))
    }
}

fn undecodable(what: &str, error: &prost::DecodeError) -> Error {
    Error::corrupt(format!("the metadata of a {what} cannot be decoded: {error}"))
}

/// A little-endian number.
fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    let field = bytes.get(at..at + width).unwrap_or_default();
    field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A part of the file, of which `bytes` are what is from `start` on.
fn slice(bytes: &[u8], start: u64, part: Range<u64>) -> &[u8] {
    let at = |position: u64| position.saturating_sub(start) as usize;
    bytes.get(at(part.start)..at(part.end)).unwrap_or_default()
}

/// The parts that a table of positions and sizes names; those beyond all numbers end before they begin.
fn table(bytes: &[u8], start: u64, at: u64, entries: u64) -> Vec<Range<u64>> {
    let entries = slice(bytes, start, at..at + entries * TABLE_ENTRY_BYTES);
    let entries = entries.chunks_exact(TABLE_ENTRY_BYTES as usize);
    let part = |entry: &[u8]| {
        let start = number(entry, 0, 8);
        start..start.checked_add(number(entry, 8, 8)).unwrap_or(0)
    };
    entries.map(part).collect()
}

fn rows(tail: &[u8], start: u64, descriptor: Range<u64>) -> Result<u64> {
    let descriptor = FileDescriptor::decode(slice(tail, start, descriptor));
    let descriptor = descriptor.map_err(|error| undecodable("schema", &error))?;
    let schema = descriptor.schema.ok_or_else(|| Error::corrupt("the file has no schema"))?;
    manifest::check_field_depth(schema.fields.iter().map(|field| (field.id, field.parent_id)))?;
    Ok(descriptor.length)
}

fn check_buffers(column: &ColumnMetadata, size: u64) -> Result<()> {
    let pages = column.pages.iter().map(|page| (&page.buffer_offsets, &page.buffer_sizes));
    let own = (&column.buffer_offsets, &column.buffer_sizes);
    let mut parts = Vec::new();
    for (offsets, sizes) in pages.chain([own]) {
        if offsets.len() != sizes.len() {
            return Err(Error::corrupt("a page has more offsets than sizes, or fewer"));
        }
        for (offset, length) in offsets.iter().zip(sizes) {
            match offset.checked_add(*length) {
                Some(end) if end <= size => parts.push((*offset, end)),
                _ => {
                    return Err(Error::corrupt(format!(
                        "{length} bytes at {offset} lie outside the file, which has {size}"
                    )));
                }
            }
        }
    }
    parts.retain(|(start, end)| start < end);
    parts.sort_unstable();
    let overlap = |pair: &[(u64, u64)]| matches!(pair, [(_, end), (next, _)] if next < end);
    match parts.windows(2).any(overlap) {
        true => Err(Error::corrupt("pages of a column overlap")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    /// A file without columns: a descriptor of 5 rows, the tables, the footer.
    fn file() -> Vec<u8> {
        let schema = Some(Default::default());
        let descriptor = FileDescriptor { schema, length: 5 }.encode_to_vec();
        let length = descriptor.len() as u64;
        let mut file = descriptor;
        file.extend([0_u64.to_le_bytes(), length.to_le_bytes()].concat());
        file.extend([length, length, length].map(u64::to_le_bytes).concat());
        file.extend([1_u32, 0].map(u32::to_le_bytes).concat());
        file.extend([2, 0, 1, 0]);
        file.extend(b"LANC");
        file
    }

    fn read(file: &[u8]) -> Result<Footer> {
        let part = |range: Range<u64>| {
            Ok(Bytes::copy_from_slice(&file[range.start as usize..range.end as usize]))
        };
        Footer::read(file.len() as u64, part)
    }

    #[test]
    fn a_file_tells_its_rows() {
        let footer = read(&file()).unwrap();
        assert_eq!((footer.rows, footer.columns.len()), (5, 0));
        assert_eq!(footer.for_lance().unwrap().num_rows, 5);
        // As far from its end as it may be.
        let mut long = vec![0; 3 * FIRST_READ as usize];
        let tail = file();
        let footer_at = tail.len() - FOOTER_BYTES as usize;
        long.splice(0..0, tail[..footer_at - 16].iter().copied());
        let at = long.len() as u64;
        long.extend(&tail[footer_at - 16..footer_at]);
        long.extend([at, at, at].map(u64::to_le_bytes).concat());
        long.extend(&tail[footer_at + 24..]);
        assert_eq!(read(&long).unwrap().rows, 5);
    }

    #[test]
    fn whatever_is_wrong_is_an_error() {
        let whole = file();
        for length in 0..whole.len() {
            let error = read(&whole[..length]).err().unwrap();
            assert_eq!(error.status, Status::RDS_ERR_CORRUPT, "{length}");
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                // Right or refused; never a panic, and never a range beyond the file.
                let _ = read(&damaged).map(|footer| footer.for_lance());
            }
        }
    }

    #[test]
    fn a_description_as_large_as_memory_is_refused() {
        // The schema lies at the start of a sparse file.
        let whole = file();
        let (body, footer) = whole.split_at(whole.len() - FOOTER_BYTES as usize - 16);
        let size = 3 << 30;
        let tables = size - footer.len() as u64;
        let mut end = footer.to_vec();
        for at in [16, 24, 32] {
            end[at..at + 8].copy_from_slice(&tables.to_le_bytes());
        }
        let part = |range: Range<u64>| {
            assert!(range.end - range.start <= FIRST_READ, "{range:?}");
            let byte = |at: u64| match (body.get(at as usize), at.checked_sub(tables)) {
                (Some(byte), _) => *byte,
                (_, Some(at)) => end[at as usize],
                _ => 0,
            };
            Ok(range.map(byte).collect::<Vec<u8>>().into())
        };
        let error = Footer::read(size, part).err().unwrap();
        assert_eq!(error.status, Status::RDS_ERR_NOT_SUPPORTED);
    }

    #[test]
    fn buffers_beyond_the_file_and_shared_ones_are_refused() {
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
        let shared = ColumnMetadata {
            buffer_offsets: vec![20, 0, 30],
            buffer_sizes: vec![10, 21, 5],
            ..Default::default()
        };
        assert!(check_buffers(&shared, 100).is_err());
    }
}
