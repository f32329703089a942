//! Rows from mapped files into memory: what a read costs.

use std::cell::Cell;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::map;
use crate::reader::spans::Spans;
use crate::runtime;

/// Below twice this a second thread costs more than it saves (`benches/rows.rs`, "threads"), and takes
/// a core from a caller who has threads of its own.
pub(super) const BYTES_PER_THREAD: usize = 8 << 20;
/// After how many times more rows than the last time the clock is looked at again.
const GROWTH: usize = 4;
/// Rows that are in memory take no longer: less than a disk needs for one read, and time for their bytes.
const WARM: Duration = Duration::from_micros(50);
const WARM_BYTES_PER_MICROSECOND: u64 = 500;
/// Rows looked up before the first of them is copied.
const BLOCK: usize = 16;

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

pub struct Gather<'a> {
    pub spans: &'a Spans,
    pub form: Form,
    /// Bytes of a row in memory.
    pub row_bytes: usize,
    /// Whether rows that are not in memory are asked for all at once.
    pub prefetch: bool,
}

impl Gather<'_> {
    /// Copies rows one after the other; returns the positions of those that no span holds, whose
    /// places are left as they are.
    pub fn run(&self, rows: &[u64], out: &mut [u8]) -> Vec<usize> {
        let parts = runtime::parts(out.len(), BYTES_PER_THREAD);
        if parts == 1 {
            return self.part(rows, out);
        }
        let part_rows = rows.len().div_ceil(parts);
        let parts = rows.chunks(part_rows).zip(out.chunks_mut(part_rows * self.row_bytes));
        let unmapped = runtime::in_parallel(parts.collect(), |(rows, out)| self.part(rows, out));
        let starts = (0..).step_by(part_rows);
        let shift = |(start, part): (usize, Vec<usize>)| part.into_iter().map(move |i| start + i);
        starts.zip(unmapped).flat_map(shift).collect()
    }

    fn part(&self, rows: &[u64], out: &mut [u8]) -> Vec<usize> {
        let mut unmapped = Vec::new();
        let mut copy = |range: Range<usize>| {
            let rows = rows.get(range.clone()).unwrap_or_default();
            let places = out.chunks_exact_mut(self.row_bytes).enumerate().skip(range.start);
            self.copy(rows, places, &mut unmapped);
        };
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
                self.fetch(rows.get(done..).unwrap_or_default());
                break;
            }
        }
        copy(done..rows.len());
        unmapped
    }

    /// Copies rows into their places, and tells `unmapped` the places of those that no span holds.
    fn copy<'a>(
        &self,
        rows: &[u64],
        mut places: impl Iterator<Item = (usize, &'a mut [u8])>,
        unmapped: &mut Vec<usize>,
    ) {
        for rows in rows.chunks(BLOCK) {
            let mut found: [&[u8]; BLOCK] = [&[]; BLOCK];
            for (found, row) in found.iter_mut().zip(rows) {
                if let Some(span) = self.spans.find(*row) {
                    *found = span.row(*row);
                    map::load_ahead(found);
                }
            }
            for (stored, (i, place)) in found.iter().take(rows.len()).zip(&mut places) {
                match stored.is_empty() {
                    true => unmapped.push(i),
                    false => self.form.copy(stored, place),
                }
            }
        }
    }

    fn fetch(&self, rows: &[u64]) {
        for row in rows {
            if let Some(span) = self.spans.find(*row) {
                map::prefetch(span.row(*row));
            }
        }
    }
}
