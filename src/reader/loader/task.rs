//! What is to be done for a batch: which rows it has, and from where they come to where.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::reader::loader::buffer::{Buffer, Lane, Lend, bytes_of};
use crate::reader::loader::rows::Rows;
use crate::reader::loader::steps::{Position, Step, Steps, Turn};
use crate::reader::{Reader, Target, zeros};

/// A table that rows come from, and the numbers of the columns chosen in it.
pub struct Table {
    pub reader: Reader,
    pub columns: Vec<usize>,
}

/// All that does not change as long as a loader is open.
pub struct Task {
    pub tables: Vec<Table>,
    pub lanes: Vec<Lane>,
    pub rows: Rows,
    pub steps: Steps,
    pub memory: Limits,
    pub pace: Pace,
}

/// Who gathers, and how far ahead.
pub struct Pace {
    pub threads: usize,
    /// Batches that may be ready or on their way.
    pub ahead: usize,
}

/// The memory of batches.
pub struct Limits {
    /// Buffers that there may be.
    pub buffers: usize,
    /// Rows of the largest batch.
    pub most: usize,
    /// That of the caller.
    pub lend: Option<Box<Lend>>,
}

impl Task {
    pub fn turn(&self, before: Position) -> Turn {
        self.steps.next(before)
    }

    /// Memory for a batch; of the caller's the one with this number.
    pub fn buffer(&self, number: usize) -> Result<Buffer> {
        match &self.memory.lend {
            None => Buffer::own(&self.lanes, self.memory.most),
            Some(lend) => Buffer::of_caller(lend(number), &self.lanes, self.memory.most),
        }
    }

    /// Bytes that the loader takes for a buffer.
    pub fn buffer_bytes(&self) -> usize {
        match &self.memory.lend {
            None => bytes_of(&self.lanes, self.memory.most).unwrap_or(usize::MAX),
            Some(_) => 0,
        }
    }

    /// Puts a step into memory.
    pub fn fill(&self, at: Position, step: &Step, buffer: &mut Buffer) -> Result<()> {
        self.number(at, step, buffer);
        self.gather(buffer)
    }

    /// The numbers of its rows.
    fn number(&self, at: Position, step: &Step, buffer: &mut Buffer) {
        buffer.rows.clear();
        buffer.tables.clear();
        let mut add = |positions: Range<u64>| {
            self.rows.at(at.seed, at.epoch, positions, &mut buffer.rows, &mut buffer.tables);
        };
        add(step.positions.clone());
        // From the begin of the epoch on, as often as it takes.
        let mut padding = step.padding.clone();
        while padding.start < padding.end {
            let begin = padding.start % self.rows.len();
            let count = (padding.end - padding.start).min(self.rows.len() - begin);
            add(begin..begin + count);
            padding.start += count;
        }
    }

    /// Copies the rows of a buffer into it.
    fn gather(&self, buffer: &mut Buffer) -> Result<()> {
        match &self.tables[..] {
            _ if self.lanes.is_empty() => Ok(()),
            [] => Err(Error::internal("columns of no table")),
            [table] => {
                let rows = std::mem::take(&mut buffer.rows);
                let gathered = self.gather_table(table, &rows, buffer);
                buffer.rows = rows;
                gathered
            }
            tables => tables
                .iter()
                .enumerate()
                .try_for_each(|(number, table)| self.gather_part(number as u32, table, buffer)),
        }
    }

    fn gather_table(&self, table: &Table, rows: &[u64], buffer: &mut Buffer) -> Result<()> {
        let mut memory = buffer.memory().into_iter();
        table.reader.gather(rows, self.lanes.len(), |number| {
            let target = memory.next().zip(self.lanes.get(number)).zip(table.columns.get(number));
            let ((memory, lane), column) =
                target.ok_or_else(|| Error::internal("no such column"))?;
            let memory = memory.get_mut(..lane.bytes(rows.len()).unwrap_or_default());
            Ok(Target { column: *column, memory: memory.unwrap_or_default(), stride: lane.stride })
        })
    }

    /// The rows of one table of several, which lie between those of others: put together first.
    fn gather_part(&self, number: u32, table: &Table, buffer: &mut Buffer) -> Result<()> {
        let of_table = |(row, of): (&u64, &u32)| (*of == number).then_some(*row);
        let rows: Vec<u64> = buffer.rows.iter().zip(&buffer.tables).filter_map(of_table).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let tables = std::mem::take(&mut buffer.tables);
        let columns = table.columns.iter().zip(&self.lanes).zip(buffer.memory());
        let gathered = columns.into_iter().try_for_each(|((column, lane), memory)| {
            let mut together = zeros(rows.len() * lane.row_bytes)?;
            table.reader.read(table.reader.column(*column)?, &rows, &mut together)?;
            let places = memory.chunks_mut(lane.stride).zip(&tables);
            let places = places.filter(|(_, of)| **of == number).map(|(place, _)| place);
            for (place, row) in places.zip(together.chunks(lane.row_bytes)) {
                if let Some(place) = place.get_mut(..lane.row_bytes) {
                    place.copy_from_slice(row);
                }
            }
            Ok(())
        });
        buffer.tables = tables;
        gathered
    }
}
