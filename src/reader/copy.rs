//! Tensors into memory of the caller.

use std::ops::Range;

use arrow::buffer::Buffer;

use crate::error::Result;
use crate::patience::Wait;
use crate::reader::columns::Column;
use crate::reader::gather::{Form, Gather};
use crate::reader::spans::Run;
use crate::reader::{Reader, rows, zeros};

/// After copying so much a caller is asked whether to go on.
const BYTES_AT_ONCE: usize = 64 << 20;

/// Rows in memory of the caller: one column of them, the first byte of each so far from that of the one before.
pub struct Target<'a> {
    pub column: usize,
    pub memory: &'a mut [u8],
    pub stride: usize,
}

impl Reader {
    /// The tensors of rows, one after the other; `out` is as long as they are.
    #[inline]
    pub fn read(&self, column: &Column, rows: &[u64], out: &mut [u8]) -> Result<()> {
        if let [row] = rows
            && let Some(span) = column.spans.find(*row)
        {
            column.form.copy(span.row(*row), out);
            return Ok(());
        }
        self.read_into(column, rows, out, column.row_bytes)
    }

    fn read_into(
        &self,
        column: &Column,
        rows: &[u64],
        out: &mut [u8],
        stride: usize,
    ) -> Result<()> {
        let gather = Gather { stride, ..self.gather_of(column) };
        let unmapped = self.gather_all(&gather, rows, out)?;
        if unmapped.is_empty() {
            return Ok(());
        }
        self.check(rows)?;
        rows::read(&self.snapshot, column, rows, &unmapped, out, stride)
    }

    /// Runs a gather, and asks the caller of a large one whether to go on.
    pub(super) fn gather_all(
        &self,
        gather: &Gather,
        rows: &[u64],
        out: &mut [u8],
    ) -> Result<Vec<usize>> {
        let most = (BYTES_AT_ONCE / gather.row_bytes).max(1);
        if rows.len() <= most {
            return Ok(gather.run(rows, out));
        }
        let (mut unmapped, mut wait) = (Vec::new(), self.snapshot.wait());
        let places = out.chunks_mut(most * gather.stride);
        for (number, (rows, out)) in rows.chunks(most).zip(places).enumerate() {
            wait.ask_if_due()?;
            unmapped.extend(gather.run(rows, out).into_iter().map(|i| number * most + i));
        }
        Ok(unmapped)
    }

    /// The same rows of several columns, each into memory of its own. `target` lends the memory of one after the
    /// other: places of one may lie between those of another.
    pub fn gather<'a>(
        &self,
        rows: &[u64],
        count: usize,
        mut target: impl FnMut(usize) -> Result<Target<'a>>,
    ) -> Result<()> {
        self.check(rows)?;
        for number in 0..count {
            let Target { column, memory, stride } = target(number)?;
            self.read_into(self.column(column)?, rows, memory, stride)?;
        }
        Ok(())
    }

    /// As `gather`, of a range of rows.
    pub fn gather_range<'a>(
        &self,
        first: u64,
        rows: u64,
        count: usize,
        mut target: impl FnMut(usize) -> Result<Target<'a>>,
    ) -> Result<()> {
        let range = self.range(first, rows)?;
        for number in 0..count {
            let Target { column, memory, stride } = target(number)?;
            let column = self.column(column)?;
            if stride == column.row_bytes {
                self.read_range(column, first, rows, memory)?;
            } else {
                self.read_into(column, &range.clone().collect::<Vec<_>>(), memory, stride)?;
            }
        }
        Ok(())
    }

    /// The tensors of a range of rows, one after the other; `out` is as long as they are.
    pub fn read_range(
        &self,
        column: &Column,
        first: u64,
        count: u64,
        mut out: &mut [u8],
    ) -> Result<()> {
        let rows = self.range(first, count)?;
        let most = (BYTES_AT_ONCE / column.row_bytes).max(1) as u64;
        let mut wait = self.snapshot.wait();
        let mut next = rows.start;
        while next < rows.end {
            wait.ask_if_due()?;
            let run = column.spans.run(next);
            let end = rows.end.min(next + most).min(match &run {
                Run::Mapped(span) => span.rows.end,
                Run::Unmapped(rows) => rows.end,
            });
            let (part, rest) = out.split_at_mut((end - next) as usize * column.row_bytes);
            match run {
                Run::Mapped(span) => column.form.copy(span.bytes(next..end), part),
                Run::Unmapped(_) => self.read_decoded(column, next..end, part, &mut wait)?,
            }
            (next, out) = (end, rest);
        }
        Ok(())
    }

    /// The tensors of a range of rows as the caller has them, and whether they are the table's own
    /// memory: no copy if one span holds them.
    pub fn tensor(&self, column: &Column, first: u64, count: u64) -> Result<(Buffer, bool)> {
        let rows = self.range(first, count)?;
        if column.form == Form::AsStored
            && let Some(span) = column.spans.find(rows.start)
            && rows.end <= span.rows.end
        {
            return Ok((span.buffer(rows), true));
        }
        let mut copy = zeros(count as usize * column.row_bytes)?;
        self.read_range(column, first, count, &mut copy)?;
        Ok((copy.into(), false))
    }

    pub(super) fn gather_of<'a>(&self, column: &'a Column) -> Gather<'a> {
        let (row_bytes, prefetch) = (column.row_bytes, self.prefetch);
        Gather { spans: &column.spans, form: column.form, row_bytes, stride: row_bytes, prefetch }
    }

    fn read_decoded(
        &self,
        column: &Column,
        rows: Range<u64>,
        mut out: &mut [u8],
        wait: &mut Wait,
    ) -> Result<()> {
        let part_rows = rows::part_rows(column.row_bytes) as u64;
        let mut first = rows.start;
        while first < rows.end {
            let end = rows.end.min(first + part_rows);
            let decoded = self.snapshot.range(&column.field, first..end, wait)?;
            let (part, rest) = out.split_at_mut((end - first) as usize * column.row_bytes);
            rows::copy_values(&decoded, column, |i| Some(first + i as u64), part)?;
            (first, out) = (end, rest);
        }
        Ok(())
    }
}
