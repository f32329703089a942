//! The rows of a table that lie plain in mapped files: found once, when the table is opened.
//!
//! Every data file is looked at, so that a damaged one is known before anybody reads; those whose
//! pages of `data` are plain stay mapped. What has no span is read through Lance: fragments with
//! deleted rows, overlays, files in other places or of other formats, pages that are not plain.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow::buffer::Buffer;
use lance_table::format::{DataFile, Fragment};

use crate::error::{Error, Result};
use crate::map::Map;
use crate::plain::RowLayout;
use crate::reader::footer::Footer;
use crate::runtime;

/// The directory of a table's data files.
const DATA: &str = "data";
/// Fewer files are not worth another thread.
const FILES_PER_THREAD: usize = 32;

/// A run of rows in a mapped file.
#[derive(Clone)]
pub struct Span {
    pub rows: Range<u64>,
    /// The rows, one after the other, and nothing else.
    buffer: Buffer,
    stride: usize,
}

impl Span {
    /// The bytes of rows of the span, as they are stored; empty if one is not in it.
    #[inline]
    pub fn bytes(&self, rows: Range<u64>) -> &[u8] {
        self.buffer.get(self.range(rows)).unwrap_or_default()
    }

    /// The same as a buffer that keeps the file mapped.
    pub fn buffer(&self, rows: Range<u64>) -> Buffer {
        let range = self.range(rows);
        self.buffer.slice_with_length(range.start, range.len())
    }

    #[inline]
    pub fn row(&self, row: u64) -> &[u8] {
        self.bytes(row..row + 1)
    }

    #[inline]
    fn range(&self, rows: Range<u64>) -> Range<usize> {
        let at = |row: u64| row.wrapping_sub(self.rows.start) as usize * self.stride;
        at(rows.start)..at(rows.end)
    }
}

/// What is known of a row.
pub enum Run<'a> {
    Mapped(&'a Span),
    /// The rows around it that no span holds.
    Unmapped(Range<u64>),
}

/// Runs of plain pages of a file, by the rows of its fragment; none if the file has no `data`.
type Pages = Arc<Vec<(Range<u64>, Buffer)>>;

/// A file as the manifest names it, and which of its columns is `data`. A file never changes, so what
/// was found in it holds for every version of the table.
type FileKey = (String, Option<usize>);

pub struct Spans {
    /// The first row of each span: what a look-up walks.
    firsts: Vec<u64>,
    spans: Vec<Span>,
    files: HashMap<FileKey, Pages>,
    rows: u64,
    stride: usize,
}

/// The data files of a table to be looked at.
pub struct Source<'a> {
    /// The directory of the table.
    pub table: &'a Path,
    /// Each with the rows that are left in it.
    pub fragments: &'a [(Fragment, u64)],
    /// The field id of `data`.
    pub field: i32,
    /// None if nothing is to be mapped.
    pub layout: Option<RowLayout>,
    /// Of an earlier version of the same table.
    pub known: Option<&'a Spans>,
}

impl Spans {
    pub fn open(source: &Source) -> Result<Self> {
        let mut wanted = Vec::new();
        for (fragment, _) in source.fragments {
            for file in fragment.files.iter().filter(|file| is_local(file)) {
                let column = source.layout.and_then(|_| data_column(fragment, file, source.field));
                wanted.push(((file.path.clone(), column), fragment.physical_rows));
            }
        }
        let files = look_at(source, &wanted)?;
        let stride = source.layout.map_or(0, |layout| layout.stride);
        let mut spans = Self { firsts: Vec::new(), spans: Vec::new(), files, rows: 0, stride };
        for (fragment, rows) in source.fragments {
            spans.add_fragment(fragment, *rows, source);
        }
        spans.firsts = spans.spans.iter().map(|span| span.rows.start).collect();
        Ok(spans)
    }

    fn add_fragment(&mut self, fragment: &Fragment, rows: u64, source: &Source) {
        let first = self.rows;
        self.rows += rows;
        for file in &fragment.files {
            let column = data_column(fragment, file, source.field);
            let pages = self.files.get(&(file.path.clone(), column)).cloned();
            for (rows, buffer) in pages.iter().flat_map(|pages| pages.iter()) {
                let rows = first + rows.start..first + rows.end;
                self.spans.push(Span { rows, buffer: buffer.clone(), stride: self.stride });
            }
        }
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes of a row as it is stored.
    pub fn stride(&self) -> usize {
        self.stride
    }

    pub fn mapped_rows(&self) -> u64 {
        self.spans.iter().map(|span| span.rows.end - span.rows.start).sum()
    }

    /// The span that holds a row, if one does.
    #[inline]
    pub fn find(&self, row: u64) -> Option<&Span> {
        let next = self.firsts.partition_point(|first| *first <= row);
        self.spans.get(next.wrapping_sub(1)).filter(|span| row < span.rows.end)
    }

    /// The span that holds a row, or how far none does. The row is one of the table's.
    pub fn run(&self, row: u64) -> Run<'_> {
        let next = self.firsts.partition_point(|first| *first <= row);
        match next.checked_sub(1).and_then(|before| self.spans.get(before)) {
            Some(span) if row < span.rows.end => Run::Mapped(span),
            before => Run::Unmapped(
                before.map_or(0, |span| span.rows.end)
                    ..self.firsts.get(next).copied().unwrap_or(self.rows),
            ),
        }
    }
}

/// Not those of Lance's first format, which has another footer.
fn is_local(file: &DataFile) -> bool {
    file.base_id.is_none() && (file.file_major_version, file.file_minor_version) > (0, 2)
}

/// Which column of `file` is `data`, if its pages may be mapped.
fn data_column(fragment: &Fragment, file: &DataFile, field: i32) -> Option<usize> {
    let version = (file.file_major_version, file.file_minor_version);
    // Deleted rows shift those after them, and an overlay has other values for some.
    let as_written = fragment.deletion_file.is_none() && fragment.overlays.is_empty();
    let known_format = matches!(version, (2, 0..=2)) && is_local(file);
    if !as_written || !known_format || fragment.physical_rows.is_none() {
        return None;
    }
    let position = file.fields.iter().position(|id| *id == field)?;
    file.column_indices.get(position).and_then(|column| usize::try_from(*column).ok())
}

/// Looks at files that are not known yet, several at once.
fn look_at(
    source: &Source,
    wanted: &[(FileKey, Option<usize>)],
) -> Result<HashMap<FileKey, Pages>> {
    let look = |(key, rows): &(FileKey, Option<usize>)| -> Result<(FileKey, Pages)> {
        if let Some(pages) = source.known.and_then(|known| known.files.get(key)) {
            return Ok((key.clone(), pages.clone()));
        }
        let path = source.table.join(DATA).join(&key.0);
        let pages = plain_pages(&path, key.1, *rows, source.layout);
        Ok((key.clone(), Arc::new(pages.map_err(|error| error.context(path.display()))?)))
    };
    let parts = runtime::parts(wanted.len(), FILES_PER_THREAD);
    let parts: Vec<_> = wanted.chunks(wanted.len().div_ceil(parts).max(1)).collect();
    let looked_at = runtime::in_parallel(parts, |part| part.iter().map(look).collect::<Vec<_>>());
    looked_at.into_iter().flatten().collect()
}

fn plain_pages(
    path: &Path,
    column: Option<usize>,
    rows: Option<usize>,
    layout: Option<RowLayout>,
) -> Result<Vec<(Range<u64>, Buffer)>> {
    let map = Map::open(path)?;
    let footer = Footer::parse(map.bytes())?;
    if let Some(rows) = rows.filter(|rows| *rows as u64 != footer.rows) {
        return Err(Error::corrupt(format!(
            "the file has {} rows, the manifest says {rows}",
            footer.rows
        )));
    }
    let (Some(column), Some(layout)) = (column, layout) else { return Ok(Vec::new()) };
    let column = footer.columns.get(column).ok_or_else(|| {
        Error::corrupt(format!("the file has no column {column}, of which the manifest speaks"))
    })?;
    let mut plain: Vec<(Range<u64>, Range<usize>)> = Vec::new();
    let mut first = 0_u64;
    for page in &column.pages {
        let end = first.saturating_add(page.length);
        if page.length != 0
            && let Some(bytes) = layout.plain(page)?
        {
            match plain.last_mut() {
                // Rows of a file follow each other over all its pages.
                Some((rows, before)) if rows.end == first && before.end == bytes.start => {
                    (rows.end, before.end) = (end, bytes.end);
                }
                _ => plain.push((first..end, bytes)),
            }
        }
        first = end;
    }
    if first != footer.rows {
        return Err(Error::corrupt(format!(
            "the pages of a column have {first} rows, the file has {}",
            footer.rows
        )));
    }
    let mapped = |(rows, bytes)| Some((rows, map.buffer(bytes)?));
    Ok(plain.into_iter().filter_map(mapped).collect())
}
