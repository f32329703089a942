//! How rows of a run go to the heap and the journal: together for those that nobody waits for; small batches that
//! somebody does wait for into the journal first, and from there to the heap, many at once.

use std::io;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::writer::Durability;
use crate::writer::batch::{BLOCK_BYTES, Batch, Block};
use crate::writer::heap::{Part, Written};
use crate::writer::layout::Layout;
use crate::writer::store::Store;

/// What is written to the heap at once of small batches that the journal has, and how much of them may wait.
const PENDING_BYTES: usize = 1 << 20;
const MOST_PENDING_BYTES: usize = 4 << 20;
impl Store {
    /// Stores rows that fit the file: all or, after an error, none of them.
    pub fn append(&mut self, layout: &Layout, batches: &[Batch]) -> Result<()> {
        match batches {
            [batch] if self.durability == Durability::Batch => self.append_durable(batch)?,
            _ => {
                self.write_pending()?;
                self.append_to_heap(batches)?;
                self.ids_unjournaled = true;
            }
        }
        let rows = batches.iter().map(|batch| batch.rows).sum::<usize>();
        self.written.0 += rows as u64;
        self.written.1 += (rows * layout.row_bytes()) as u64;
        Ok(())
    }

    fn append_to_heap(&mut self, batches: &[Batch]) -> Result<()> {
        let heap = self.heap.as_mut().ok_or_else(|| Error::internal("no file to write to"))?;
        let parts: Vec<Part> = batches.iter().map(Part::from).collect();
        heap.append(&parts, self.durability != Durability::Commit, &self.syncer)?;
        self.unjournaled = true;
        Ok(())
    }

    /// Stores a batch that somebody waits for: the journal has it whole if it is small, otherwise its ids.
    fn append_durable(&mut self, batch: &Batch) -> Result<()> {
        let bytes = batch.memory();
        let small = bytes <= BLOCK_BYTES;
        match small {
            true => self.pass_on()?,
            false => self.write_pending()?,
        }
        // A record that the journal has no room for begins another segment.
        let ids_only = batch.ids.memory() <= BLOCK_BYTES;
        let record = if small { bytes } else { batch.ids.memory() };
        if (small || ids_only) && self.journal.as_ref().is_some_and(|j| j.is_full_for(2 * record)) {
            self.turn_journal()?;
        }
        let pending = self.pending_rows() as u64;
        let heap = self.heap.as_mut().ok_or_else(|| Error::internal("no file to write to"))?;
        if small
            && !self.unjournaled
            && let Some(journal) = &mut self.journal
        {
            journal.rows(heap.number, heap.rows + pending, &batch.ids, &batch.slices())?;
            let free = &mut self.written_block;
            let block = || free.take().unwrap_or_else(|| Block::new(batch));
            self.pending.get_or_insert_with(block).append(batch);
        } else {
            self.write_pending()?;
            let heap = self.heap.as_ref().ok_or_else(|| Error::internal("no file to write to"))?;
            let (number, before) = (heap.number, heap.rows);
            self.append_to_heap(std::slice::from_ref(batch))?;
            let in_journal = match &mut self.journal {
                Some(journal) if ids_only => journal.rows(number, before, &batch.ids, &[]).is_ok(),
                _ => false,
            };
            self.ids_unjournaled |= !in_journal;
        }
        Ok(())
    }

    /// Rows that the journal has, and the heap not yet.
    pub(super) fn pending_rows(&self) -> usize {
        let writing = self.writing.as_ref().map_or(0, |(block, _)| block.rows);
        writing + self.pending.as_ref().map_or(0, |block| block.rows)
    }

    /// Takes note of what the other thread has done, and sets it to write to the heap what only the journal has, if
    /// that is enough to write.
    fn pass_on(&mut self) -> Result<()> {
        let waits = self.pending.as_ref().map_or(0, Block::memory);
        if let Some((_, writing)) = &self.writing {
            let done = match waits >= MOST_PENDING_BYTES {
                true => Some(writing.wait()),
                false => writing.poll(),
            };
            if done.is_some() {
                self.written_behind(done)?;
            }
        }
        let Some(heap) = &mut self.heap else { return Ok(()) };
        heap.sync_behind(&self.syncer)?;
        if waits >= PENDING_BYTES
            && self.writing.is_none()
            && let Some(block) = self.pending.take().map(Arc::new)
        {
            let writing = heap.start_append(&block, &self.syncer);
            self.writing = Some((block, writing));
        }
        Ok(())
    }

    /// Takes note of what the other thread wrote. What it could not is written here, which tells why.
    fn written_behind(&mut self, done: Option<io::Result<Written>>) -> Result<()> {
        if let (Some((block, _)), Some(heap)) = (&self.writing, &mut self.heap) {
            match done {
                Some(Ok(written)) => heap.appended(block.rows, &written, &self.syncer)?,
                _ => heap.append(&[(&**block).into()], true, &self.syncer)?,
            }
        }
        let block = self.writing.take().and_then(|(block, _)| Arc::into_inner(block));
        self.written_block = block.map(|mut block| {
            block.clear();
            block
        });
        Ok(())
    }

    /// Writes to the heap what only the journal has.
    pub(super) fn write_pending(&mut self) -> Result<()> {
        let done = self.writing.as_ref().map(|(_, writing)| writing.wait());
        self.written_behind(done)?;
        if let (Some(heap), Some(block)) = (&mut self.heap, &self.pending) {
            heap.append(&[block.into()], true, &self.syncer)?;
        }
        self.pending = None;
        Ok(())
    }
}
