//! Rows from mapped files into memory: what a read costs.

use std::cell::Cell;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::map;
use crate::reader::spans::{Span, Spans};
use crate::runtime;

/// Below twice this a second thread costs more than it saves (`benches/rows.rs`, "threads"), and takes
/// a core from a caller who has threads of its own.
pub(super) const BYTES_PER_THREAD: usize = 8 << 20;
/// After how many times more rows than the last time the clock is looked at again.
const GROWTH: usize = 4;
/// Rows that are in memory take no longer: less than a disk needs for one read, and time for their bytes.
const WARM: Duration = Duration::from_micros(50);
const WARM_BYTES_PER_MICROSECOND: u64 = 500;
/// Of so many rows or more, some are looked at first: to ask where a page is takes a third of a microsecond.
const LOOKED_AT_FROM: usize = 128;
const LOOKED_AT: usize = 4;
/// After so many gathers of a thread that found all in memory nothing is looked at, until one waits for a disk.
const KNOWN: u32 = 4;
/// Rows are on their way into the processor's second cache while that many bytes of others are copied,
/// but no more rows than that. What a row waits for is memory, and where its pages are.
const BYTES_AHEAD: usize = 32 << 10;
const ROWS_AHEAD: usize = 32;

/// What a row of a file is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    AsStored,
    /// Bits to bytes of 0 and 1.
    Unpacked,
}

impl Form {
    /// Rows as they are stored, into their place in memory.
    #[inline]
    pub fn copy(self, stored: &[u8], out: &mut [u8]) {
        match self {
            Form::AsStored => out.copy_from_slice(stored),
            Form::Unpacked => {
                for (byte, out) in stored.iter().zip(out.chunks_exact_mut(8)) {
                    for (bit, out) in out.iter_mut().enumerate() {
                        *out = byte >> bit & 1;
                    }
                }
            }
        }
    }
}

/// Whether this thread has waited for a page since it last asked. To ask takes longer than a small gather, so only
/// slow ones do.
fn waited_for_pages() -> bool {
    thread_local! {
        static LAST: Cell<Option<i64>> = const { Cell::new(None) };
    }
    let now = map::page_faults();
    // At the end of a thread there is nothing to compare with.
    let last = LAST.try_with(|last| last.replace(now)).unwrap_or(None);
    now.is_none() || now != last
}

thread_local! {
    /// How many gathers of this thread, one after the other, found all in memory.
    static IN_MEMORY: Cell<u32> = const { Cell::new(0) };
}

pub struct Gather<'a> {
    pub spans: &'a Spans,
    pub form: Form,
    /// Bytes of a row in memory.
    pub row_bytes: usize,
    /// From one row to the next in memory.
    pub stride: usize,
    /// Whether rows that are not in memory are asked for all at once.
    pub prefetch: bool,
}

impl Gather<'_> {
    /// Copies rows to places that are a stride apart; returns the positions of those that no span holds, whose
    /// places are left as they are.
    pub fn run(&self, rows: &[u64], out: &mut [u8]) -> Vec<usize> {
        let parts = runtime::parts(out.len(), BYTES_PER_THREAD);
        if parts == 1 {
            return self.part(rows, out);
        }
        let part_rows = rows.len().div_ceil(parts);
        let parts = rows.chunks(part_rows).zip(out.chunks_mut(part_rows * self.stride));
        let unmapped = runtime::in_parallel(parts.collect(), |(rows, out)| self.part(rows, out));
        let starts = (0..).step_by(part_rows);
        let shift = |(start, part): (usize, Vec<usize>)| part.into_iter().map(move |i| start + i);
        starts.zip(unmapped).flat_map(shift).collect()
    }

    fn part(&self, rows: &[u64], out: &mut [u8]) -> Vec<usize> {
        let mut unmapped = Vec::new();
        let mut copy = |range: Range<usize>| {
            let places = range.start * self.stride..out.len().min(range.end * self.stride);
            if let (Some(rows), Some(out)) = (rows.get(range.clone()), out.get_mut(places)) {
                self.copy(rows, out, |i| unmapped.push(range.start + i));
            }
        };
        // The kernel reads megabytes around the first row that is touched on disk: those known to be there are asked for
        // before.
        if self.prefetch && rows.len() >= LOOKED_AT_FROM && self.is_on_disk(rows) {
            self.fetch(rows);
            copy(0..rows.len());
            return unmapped;
        }
        // Rows that come from disk one by one take a disk's time each; asked for all at once they take little more
        // than one. Who only lost its turn to other threads has waited for no page.
        let (mut done, mut part) = (0, 1);
        while self.prefetch && done + part < rows.len() {
            let start = Instant::now();
            copy(done..done + part);
            let bytes = (part * self.row_bytes) as u64;
            done += part;
            part *= GROWTH;
            let warm = WARM + Duration::from_micros(bytes / WARM_BYTES_PER_MICROSECOND);
            if start.elapsed() > warm && waited_for_pages() {
                let _ = IN_MEMORY.try_with(|known| known.set(0));
                self.fetch(rows.get(done..).unwrap_or_default());
                break;
            }
        }
        copy(done..rows.len());
        unmapped
    }

    /// Copies rows one after the other, and tells `unmapped` the positions of those that no span holds.
    fn copy(&self, rows: &[u64], out: &mut [u8], mut unmapped: impl FnMut(usize)) {
        // Most rows are of the span of the one before.
        let mut near: Option<&Span> = None;
        let mut find = |row: &u64| {
            if !near.is_some_and(|span| span.rows.contains(row)) {
                near = self.spans.find(*row);
            }
            let stored = near.map(|span| span.row(*row)).unwrap_or_default();
            map::load_ahead(stored);
            stored
        };
        let ahead = (BYTES_AHEAD / self.row_bytes.max(1)).clamp(1, ROWS_AHEAD);
        // A ring: the place of a row that is copied is that of one further on.
        let mut found: [&[u8]; ROWS_AHEAD] = [&[]; ROWS_AHEAD];
        for (found, row) in found.iter_mut().zip(rows.iter().take(ahead)) {
            *found = find(row);
        }
        let mut later = rows.get(ahead..).unwrap_or_default().iter();
        // The last place has nothing behind the row.
        let places =
            out.chunks_mut(self.stride).filter_map(|place| place.get_mut(..self.row_bytes));
        for (i, place) in places.enumerate() {
            let stored = found.get(i % ROWS_AHEAD).copied().unwrap_or_default();
            let free = found.get_mut((i + ahead) % ROWS_AHEAD);
            if let (Some(row), Some(free)) = (later.next(), free) {
                *free = find(row);
            }
            match stored.is_empty() {
                true => unmapped(i),
                false => self.form.copy(stored, place),
            }
        }
    }

    /// Whether one of a few rows is.
    fn is_on_disk(&self, rows: &[u64]) -> bool {
        let known = IN_MEMORY.try_with(Cell::get).unwrap_or(KNOWN);
        if known >= KNOWN {
            return false;
        }
        let mut some = rows.iter().step_by(rows.len() / LOOKED_AT);
        let found = some
            .any(|row| self.spans.find(*row).is_some_and(|span| map::is_on_disk(span.row(*row))));
        IN_MEMORY.set(if found { 0 } else { known + 1 });
        found
    }

    /// Asks for rows; for those that follow each other at once, which a disk reads at once.
    fn fetch(&self, rows: &[u64]) {
        for run in rows.chunk_by(|row, next| row.wrapping_add(1) == *next) {
            let (Some(mut row), Some(last)) = (run.first().copied(), run.last()) else { continue };
            while let Some(span) = self.spans.find(row).filter(|_| row <= *last) {
                let end = span.rows.end.min(last + 1);
                map::prefetch(span.bytes(row..end));
                row = end;
            }
        }
    }
}
