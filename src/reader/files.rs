//! The data files of a snapshot, checked once before Lance decodes them: a damaged count or offset
//! would have it allocate without bounds, which ends the process, or panic.
//!
//! The footer is that of the Lance file format, version 2: the offsets of the column metadata, of the
//! table of its parts and of the table of global buffers (u64), the lengths of the second and the first
//! of these tables (u32), the version (2 * u16) and the magic; little-endian, 40 bytes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use lance_file::format::pbfile::ColumnMetadata;
use lance_file::reader::FileReader;
use lance_io::object_store::ObjectStore;
use lance_io::scheduler::{ScanScheduler, SchedulerConfig};
use lance_io::utils::CachedFileSize;
use lance_table::format::Fragment;
use object_store::path::Path as ObjectPath;

use crate::error::{Error, Result};
use crate::location::Location;

const FOOTER_BYTES: u64 = 40;
const TABLE_ENTRY_BYTES: u64 = 16;
const DATA: &str = "data";
/// Files checked at once: enough to keep a disk busy.
const CONCURRENCY: usize = 16;

/// A data file, as the manifest names it.
struct Named {
    name: String,
    /// Rows of its fragment, if the manifest says.
    rows: Option<u64>,
}

/// Checks all data files that lie in the directory of the table.
pub async fn check(location: &Location, fragments: &[Fragment]) -> Result<()> {
    let (store, base) = ObjectStore::from_uri(&location.uri()?).await.map_err(Error::reading)?;
    let scheduler = ScanScheduler::new(store.clone(), SchedulerConfig::max_bandwidth(&store));
    let checks: Vec<_> = local_files(fragments)
        .into_iter()
        .map(|file| {
            let local = location.path().join(DATA).join(&file.name);
            let path = base.clone().join(DATA).join(file.name.as_str());
            let scheduler = scheduler.clone();
            async move {
                let checked = check_file(&scheduler, &local, &path, file.rows).await;
                checked.map_err(|error| error.context(local.display()))
            }
        })
        .collect();
    futures::stream::iter(checks).buffer_unordered(CONCURRENCY).try_collect().await
}

/// Not those in other directories, and not those of Lance's first format, which has another footer.
fn local_files(fragments: &[Fragment]) -> Vec<Named> {
    let mut files = Vec::new();
    for fragment in fragments {
        for file in &fragment.files {
            if file.base_id.is_none() && (file.file_major_version, file.file_minor_version) > (0, 2)
            {
                let rows = fragment.physical_rows.map(|rows| rows as u64);
                files.push(Named { name: file.path.clone(), rows });
            }
        }
    }
    files
}

async fn check_file(
    scheduler: &Arc<ScanScheduler>,
    local: &Path,
    path: &ObjectPath,
    rows: Option<u64>,
) -> Result<()> {
    let length = check_footer(local)?;
    let size = CachedFileSize::new(length);
    let file = scheduler.open_file(path, &size).await.map_err(Error::reading)?;
    let metadata = FileReader::read_all_metadata(&file).await.map_err(Error::reading)?;
    check_buffers(&metadata.column_metadatas, length)?;
    match rows {
        Some(rows) if rows != metadata.num_rows => Err(Error::corrupt(format!(
            "the file has {} rows, the manifest says {rows}",
            metadata.num_rows
        ))),
        _ => Ok(()),
    }
}

/// Checks that what the footer points to lies in the file; returns the length of the file.
fn check_footer(path: &Path) -> Result<u64> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let end = length.checked_sub(FOOTER_BYTES);
    let end = end.ok_or_else(|| Error::corrupt(format!("the file has {length} bytes only")))?;
    let footer = read_at(&file, end, FOOTER_BYTES)?;
    let number = |at: usize, bytes: usize| -> u64 {
        let field = footer.get(at..at + bytes).unwrap_or_default();
        field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    if footer.get(36..) != Some(b"LANC") {
        return Err(Error::corrupt("the file does not end as a Lance file does"));
    }
    let (columns, column_table, buffer_table) = (number(0, 8), number(8, 8), number(16, 8));
    let (buffers, parts) = (number(24, 4), number(28, 4));
    if !(columns <= column_table && column_table <= buffer_table && buffer_table <= end) {
        return Err(Error::corrupt("the footer points out of the file"));
    }
    for (table, entries, limit) in
        [(column_table, parts, buffer_table), (buffer_table, buffers, end)]
    {
        let bytes = entries * TABLE_ENTRY_BYTES;
        if bytes > limit - table {
            return Err(Error::corrupt(format!(
                "the footer counts {entries} parts, which do not fit"
            )));
        }
        for entry in read_at(&file, table, bytes)?.chunks_exact(TABLE_ENTRY_BYTES as usize) {
            let (offset, size) = entry.split_at(8);
            let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
            check_range(number(offset), number(size), length)?;
        }
    }
    Ok(length)
}

fn read_at(file: &File, offset: u64, bytes: u64) -> Result<Vec<u8>> {
    let mut buffer = vec![0; bytes as usize];
    file.read_exact_at(&mut buffer, offset)?;
    Ok(buffer)
}

fn check_buffers(columns: &[ColumnMetadata], length: u64) -> Result<()> {
    for column in columns {
        let pages = column.pages.iter().map(|page| (&page.buffer_offsets, &page.buffer_sizes));
        let own = (&column.buffer_offsets, &column.buffer_sizes);
        for (offsets, sizes) in pages.chain([own]) {
            if offsets.len() != sizes.len() {
                return Err(Error::corrupt("a page has more offsets than sizes, or fewer"));
            }
            for (offset, size) in offsets.iter().zip(sizes) {
                check_range(*offset, *size, length)?;
            }
        }
    }
    Ok(())
}

fn check_range(offset: u64, size: u64, length: u64) -> Result<()> {
    match offset.checked_add(size) {
        Some(end) if end <= length => Ok(()),
        _ => Err(Error::corrupt(format!(
            "{size} bytes at {offset} lie outside the file, which has {length}"
        ))),
    }
}
