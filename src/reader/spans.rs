//! The rows of a table that lie plain in mapped files: found once, when the table is opened.
//!
//! What has no span is decoded by Lance: fragments with deleted rows, files that are not mapped or of other formats,
//! pages that are not plain.

use std::ops::Range;

use arrow::buffer::Buffer;
use lance_file::version::ConcreteFileVersion;

use crate::error::{Error, Result};
use crate::plain::RowLayout;
use crate::reader::files::{Fragment, TableFile};

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

#[derive(Default)]
pub struct Spans {
    /// The first row of each span: what a look-up walks.
    firsts: Vec<u64>,
    spans: Vec<Span>,
    rows: u64,
    stride: usize,
}

impl Spans {
    /// Of a table of so many rows. `field` is the one that rows are of; without a layout nothing is plain.
    pub fn new(
        fragments: &[Fragment],
        rows: u64,
        field: i32,
        layout: Option<RowLayout>,
    ) -> Result<Self> {
        let stride = layout.map_or(0, |layout| layout.stride);
        let mut spans = Vec::new();
        let mut first = 0;
        for fragment in fragments {
            let plain = match (layout, fragment.column(field), &fragment.deleted) {
                (Some(layout), Some((file, column)), None) => plain_pages(file, column, layout)?,
                _ => Vec::new(),
            };
            let span = |(rows, buffer): (Range<u64>, Buffer)| Span {
                rows: first + rows.start..first + rows.end,
                buffer,
                stride,
            };
            spans.extend(plain.into_iter().map(span));
            first += fragment.rows();
        }
        let firsts = spans.iter().map(|span| span.rows.start).collect();
        Ok(Self { firsts, spans, rows, stride })
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

/// The plain pages of a column of a file, and their rows; those that follow each other in the file are one.
fn plain_pages(
    file: &TableFile,
    column: u32,
    layout: RowLayout,
) -> Result<Vec<(Range<u64>, Buffer)>> {
    let Some(map) = file.file.map() else { return Ok(Vec::new()) };
    let of = |error: Error| error.context(file.file.path().display());
    if file.footer.version == ConcreteFileVersion::V2_3 {
        return Ok(Vec::new());
    }
    let column = file.footer.column(column as usize).map_err(of)?;
    let mut plain: Vec<(Range<u64>, Range<usize>)> = Vec::new();
    let mut first = 0_u64;
    for page in &column.pages {
        let end = first + page.length;
        if page.length != 0
            && let Some(bytes) = layout.plain(page).map_err(of)?
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
    let mapped = |(rows, bytes)| Some((rows, map.buffer(bytes)?));
    Ok(plain.into_iter().filter_map(mapped).collect())
}
