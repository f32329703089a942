//! Memory that batches are put into: that of the loader, or of its caller.

use crate::error::{Error, Result};
use crate::reader::zeros;

/// Columns of a buffer begin at a multiple of it: a cache line, and the widest registers.
const ALIGNMENT: usize = 64;

/// A column of a batch in memory: bytes of a row, and from one row to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    pub row_bytes: usize,
    pub stride: usize,
}

impl Lane {
    pub fn dense(row_bytes: usize) -> Self {
        Self { row_bytes, stride: row_bytes }
    }

    /// Bytes of so many rows, of which the last has nothing behind it.
    pub fn bytes(self, rows: usize) -> Option<usize> {
        match rows.checked_sub(1) {
            None => Some(0),
            Some(before) => before.checked_mul(self.stride)?.checked_add(self.row_bytes),
        }
    }
}

/// Lends the memory of the caller for one of its buffers: for each column as many bytes as the largest batch has. Each
/// is lent to one user at a time.
pub type Lend = dyn Fn(usize) -> Vec<&'static mut [u8]> + Send + Sync;

enum Memory {
    /// One block for all columns.
    Own(Vec<u8>),
    Callers(Vec<&'static mut [u8]>),
}

pub struct Buffer {
    memory: Memory,
    lanes: Vec<Lane>,
    /// Rows that there is room for.
    most: usize,
    pub rows: Vec<u64>,
    pub tables: Vec<u32>,
    /// Where each column begins, as C is told.
    pub columns: Vec<usize>,
}

/// Bytes of a column, so that the next one is aligned.
fn padded(lane: Lane, rows: usize) -> Option<usize> {
    lane.bytes(rows)?.checked_next_multiple_of(ALIGNMENT)
}

/// Bytes of a buffer of the loader for batches of so many rows.
pub fn bytes_of(lanes: &[Lane], rows: usize) -> Option<usize> {
    let columns =
        lanes.iter().try_fold(0_usize, |sum, lane| sum.checked_add(padded(*lane, rows)?))?;
    columns
        .checked_add(if lanes.is_empty() { 0 } else { ALIGNMENT })?
        .checked_add(rows.checked_mul(8)?)
}

impl Buffer {
    pub fn own(lanes: &[Lane], most: usize) -> Result<Self> {
        let bytes =
            bytes_of(lanes, most).ok_or_else(|| Error::io("a batch does not fit in memory"))?;
        let memory = if lanes.is_empty() { Vec::new() } else { zeros(bytes - most * 8)? };
        Self::new(Memory::Own(memory), lanes, most)
    }

    pub fn of_caller(memory: Vec<&'static mut [u8]>, lanes: &[Lane], most: usize) -> Result<Self> {
        Self::new(Memory::Callers(memory), lanes, most)
    }

    fn new(memory: Memory, lanes: &[Lane], most: usize) -> Result<Self> {
        let mut rows = Vec::new();
        rows.try_reserve_exact(most)
            .map_err(|_| Error::io(format!("there is no memory for {most} numbers of rows")))?;
        let mut buffer = Self {
            memory,
            lanes: lanes.to_vec(),
            most,
            rows,
            tables: Vec::new(),
            columns: Vec::new(),
        };
        let begin = |column: &mut [u8]| column.as_mut_ptr().expose_provenance();
        buffer.columns = buffer.memory().into_iter().map(begin).collect();
        Ok(buffer)
    }

    /// The memory of each column.
    pub fn memory(&mut self) -> Vec<&mut [u8]> {
        match &mut self.memory {
            Memory::Callers(columns) => columns.iter_mut().map(|column| &mut **column).collect(),
            Memory::Own(memory) => {
                let first = memory.as_ptr().align_offset(ALIGNMENT).min(memory.len());
                let mut rest = memory.get_mut(first..).unwrap_or_default();
                let column = |lane: &Lane| {
                    let bytes = padded(*lane, self.most).unwrap_or_default();
                    let (column, behind) = std::mem::take(&mut rest).split_at_mut(bytes);
                    rest = behind;
                    column.get_mut(..lane.bytes(self.most).unwrap_or_default()).unwrap_or_default()
                };
                self.lanes.iter().map(column).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lie_apart() {
        let lanes = [Lane::dense(3), Lane::dense(64), Lane { row_bytes: 4, stride: 12 }];
        for rows in [0, 1, 7, 64] {
            let mut buffer = Buffer::own(&lanes, rows).unwrap();
            let begins = buffer.columns.clone();
            for (number, column) in buffer.memory().into_iter().enumerate() {
                assert_eq!(Some(column.len()), lanes[number].bytes(rows));
                assert_eq!(column.as_ptr().addr(), begins[number]);
                assert_eq!(begins[number] % ALIGNMENT, 0);
                assert!(column.iter().all(|byte| *byte == 0));
                column.fill(1);
            }
        }
        assert_eq!(bytes_of(&[Lane::dense(usize::MAX)], 2), None);
        assert_eq!(bytes_of(&[], 5), Some(40));
    }
}
