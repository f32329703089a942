//! Which rows of a fragment are deleted, as a file beside the data says (`deletion.rs` of lance-table): an Arrow file
//! with one batch of row numbers, or a Roaring bitmap.

use std::io::Cursor;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::buffer::Buffer;
use arrow::datatypes::UInt32Type;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::{Block, Message, MetadataVersion, root_as_footer, root_as_message};
use lance_table::format::{DeletionFile, DeletionFileType};
use lance_table::io::deletion::relative_deletion_file_path;
use roaring::RoaringBitmap;

use crate::error::{Error, Result, caught};
use crate::reader::file::Opened;

/// A row takes four bytes, whatever stands around them.
const BYTES_AROUND: u64 = 64 << 10;
/// Rows of one container of a bitmap, and what it takes of memory at most.
const CONTAINER_ROWS: u64 = 1 << 16;
const COOKIE: u32 = 12346;
const COOKIE_WITH_RUNS: u32 = 12347;

/// Rows that are gone, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted(Vec<u32>);

impl Deleted {
    pub fn read(root: &Path, fragment: u64, file: &DeletionFile, rows: u64) -> Result<Self> {
        let path = root.join(relative_deletion_file_path(fragment, file));
        let opened = Opened::open(&path)?;
        let read = || -> Result<Vec<u32>> {
            let size = opened.identity.size;
            if size > rows.saturating_mul(4).saturating_add(BYTES_AROUND) {
                return Err(Error::corrupt(format!(
                    "{size} bytes for {rows} rows that may be deleted"
                )));
            }
            let bytes = opened.read(0..size)?;
            let mut deleted = match file.file_type {
                DeletionFileType::Array => array(Buffer::from(bytes), rows)?,
                DeletionFileType::Bitmap => bitmap(&bytes, rows)?,
            };
            deleted.sort_unstable();
            deleted.dedup();
            if deleted.last().is_some_and(|last| u64::from(*last) >= rows) {
                return Err(Error::corrupt(format!("rows are deleted that are beyond {rows}")));
            }
            match file.num_deleted_rows {
                Some(said) if said != deleted.len() => Err(Error::corrupt(format!(
                    "{} rows are deleted, the manifest says {said}",
                    deleted.len()
                ))),
                _ => Ok(deleted),
            }
        };
        caught(read).map(Self).map_err(|error| error.context(path.display()))
    }

    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// Which row of the fragment is the one with so many that are left before it.
    pub fn physical(&self, left: u64) -> u64 {
        let mut gone = (0, self.0.len());
        while gone.0 < gone.1 {
            let middle = gone.0 + (gone.1 - gone.0) / 2;
            // So many rows are left before that one.
            let before = self.0.get(middle).map_or(u64::MAX, |row| u64::from(*row) - middle as u64);
            gone = if before <= left { (middle + 1, gone.1) } else { (gone.0, middle) };
        }
        left + gone.0 as u64
    }
}

fn broken(what: impl std::fmt::Display) -> Error {
    Error::corrupt(format!("the deleted rows cannot be read: {what}"))
}

/// Every length is checked before memory is asked for.
fn array(file: Buffer, rows: u64) -> Result<Vec<u32>> {
    const END: usize = 10;
    let end = file.len().checked_sub(END).ok_or_else(|| broken("the file is too short"))?;
    let tail = file.get(end..).and_then(|tail| tail.first_chunk().copied());
    let length = read_footer_length(tail.unwrap_or_default()).map_err(broken)?;
    let start = end.checked_sub(length).ok_or_else(|| broken("its footer is too long"))?;
    let footer = root_as_footer(file.get(start..end).unwrap_or_default()).map_err(broken)?;
    let schema = footer.schema().ok_or_else(|| broken("it has no schema"))?;
    let field = schema.fields().filter(|fields| fields.len() == 1).map(|fields| fields.get(0));
    let number = field.and_then(|field| field.type_as_int());
    if !number.is_some_and(|number| number.bitWidth() == 32 && !number.is_signed()) {
        return Err(broken("it is no column of row numbers"));
    }
    let (Some(blocks), None) = (footer.recordBatches(), field.and_then(|field| field.dictionary()))
    else {
        return Err(broken("it has no batch"));
    };
    if blocks.len() != 1 || footer.dictionaries().is_some_and(|blocks| !blocks.is_empty()) {
        return Err(broken(format!("it has {} batches", blocks.len())));
    }
    let block: &Block = blocks.get(0);
    let part = |start: i64, length: i64| {
        let (start, length) = (usize::try_from(start).ok()?, usize::try_from(length).ok()?);
        let end = start.checked_add(length)?;
        (end <= file.len()).then(|| file.slice_with_length(start, length))
    };
    let length = i64::from(block.metaDataLength()).checked_add(block.bodyLength());
    let data = length.and_then(|length| part(block.offset(), length));
    let data = data.ok_or_else(|| broken("its batch lies outside"))?;
    let head = usize::try_from(block.metaDataLength()).ok().filter(|head| *head <= data.len());
    let head = head.ok_or_else(|| broken("its batch lies outside"))?;
    check_batch(&data, head, rows)?;
    let decoder = FileDecoder::new(fb_to_schema(schema).into(), MetadataVersion::V5);
    let batch = decoder.read_record_batch(block, &data).map_err(broken)?;
    let batch = batch.ok_or_else(|| broken("it has no batch"))?;
    let numbers =
        batch.columns().first().and_then(|column| column.as_primitive_opt::<UInt32Type>());
    match numbers {
        Some(numbers) if numbers.null_count() == 0 => Ok(numbers.values().to_vec()),
        _ => Err(broken("it is no column of row numbers without nulls")),
    }
}

/// The message of a batch: its buffers lie in its body, and what is compressed says a length that may be.
fn check_batch(data: &Buffer, head: usize, rows: u64) -> Result<()> {
    let (message, body) =
        (data.get(..head).unwrap_or_default(), data.get(head..).unwrap_or_default());
    // A marker of four bytes and a length come first, or only the length.
    let skip = if message.starts_with(&[0xff; 4]) { 8 } else { 4 };
    let message: Message =
        root_as_message(message.get(skip..).unwrap_or_default()).map_err(broken)?;
    let batch = message.header_as_record_batch().ok_or_else(|| broken("it has no batch"))?;
    let most = rows.saturating_mul(4).saturating_add(64);
    if !u64::try_from(batch.length()).is_ok_and(|length| length <= rows) {
        return Err(broken(format!("{} rows of {rows}", batch.length())));
    }
    for buffer in batch.buffers().into_iter().flatten() {
        let range =
            usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
        let part = range.and_then(|(start, length)| body.get(start..start.checked_add(length)?));
        let part = part.ok_or_else(|| broken("a buffer lies outside"))?;
        if batch.compression().is_some() && !part.is_empty() {
            let said = part.first_chunk().copied().map_or(i64::MAX, i64::from_le_bytes);
            // -1: it is not compressed.
            if said != -1 && !u64::try_from(said).is_ok_and(|said| said <= most) {
                return Err(broken(format!("a buffer of {said} bytes for {rows} rows")));
            }
        }
    }
    Ok(())
}

fn bitmap(bytes: &[u8], rows: u64) -> Result<Vec<u32>> {
    let cookie = bytes.first_chunk().copied().map_or(0, u32::from_le_bytes);
    let containers = match (cookie, cookie & 0xffff) {
        (COOKIE, _) => bytes
            .get(4..8)
            .and_then(|size| size.first_chunk().copied())
            .map_or(0, u32::from_le_bytes),
        (_, COOKIE_WITH_RUNS) => (cookie >> 16) + 1,
        _ => return Err(broken("it is no bitmap")),
    };
    if u64::from(containers) > rows.div_ceil(CONTAINER_ROWS) {
        return Err(broken(format!("{containers} containers for {rows} rows")));
    }
    let bitmap = RoaringBitmap::deserialize_from(Cursor::new(bytes)).map_err(broken)?;
    if bitmap.len() > rows {
        return Err(broken(format!("{} rows of {rows}", bitmap.len())));
    }
    Ok(bitmap.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_left_are_counted_past_those_that_are_not() {
        let gone = Deleted(vec![0, 1, 4, 9]);
        let physical: Vec<u64> = (0..6).map(|left| gone.physical(left)).collect();
        assert_eq!(physical, [2, 3, 5, 6, 7, 8]);
        assert_eq!(Deleted::default().physical(3), 3);
        assert_eq!(Deleted(vec![2]).physical(2), 3);
    }

    #[test]
    fn a_bitmap_is_read_and_a_damaged_one_is_refused() {
        let map: RoaringBitmap = (0..5000).chain([70_000]).collect();
        let mut bytes = Vec::new();
        map.serialize_into(&mut bytes).unwrap();
        assert_eq!(bitmap(&bytes, 80_000).unwrap().len(), 5001);
        assert!(bitmap(&bytes, 60_000).is_err(), "a container too many");
        for at in 0..bytes.len().min(64) {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                let _ = bitmap(&damaged, 80_000);
            }
        }
    }
}
