//! The writer of a part: it writes on the thread of its caller, so that a row is copied once, and every processor that
//! writes a part does nothing else.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::writer::batch::IdBlock;
use crate::writer::layout::Layout;
use crate::writer::messages::WriteStats;
use crate::writer::parts::PartFile;

pub struct PartWriter(Mutex<State>);

struct State {
    /// None once it is closed.
    file: Option<PartFile>,
    /// The part has its token: what is written from then on is dropped in the end.
    staged: bool,
    stats: WriteStats,
}

impl PartWriter {
    pub fn new(file: PartFile) -> Self {
        Self(Mutex::new(State { file: Some(file), staged: false, stats: WriteStats::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rows of these columns: all of them or, after an error, none.
    pub fn write(&self, layout: &Layout, ids: &IdBlock, columns: &[&[u8]]) -> Result<()> {
        let mut state = self.state();
        state.open()?.append(layout, ids, columns)?;
        let rows = ids.lengths.len();
        state.stats.accepted_rows += rows as u64;
        state.stats.accepted_bytes += (rows * layout.row_bytes()) as u64;
        Ok(())
    }

    /// The token of the part.
    pub fn stage(&self, layout: Option<&Layout>) -> Result<Vec<u8>> {
        let mut state = self.state();
        if state.staged {
            return Err(Error::invalid_state(
                "the writer writes one part of a job, and has staged it; a part has one token",
            ));
        }
        let token = state.open()?.finish(layout)?;
        state.staged = true;
        state.stats.durable_rows = state.stats.accepted_rows;
        state.stats.durable_bytes = state.stats.accepted_bytes;
        Ok(token)
    }

    pub fn stats(&self) -> WriteStats {
        self.state().stats.clone()
    }

    /// What is not staged is dropped.
    pub fn close(&self) {
        self.state().file = None;
    }
}

impl State {
    fn open(&mut self) -> Result<&mut PartFile> {
        self.file.as_mut().ok_or_else(|| Error::invalid_state("the writer is closed"))
    }
}
