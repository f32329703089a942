//! What the fuzz targets call of this module.

use std::path::Path;

use arrow::array::RecordBatch;

use crate::error::Result;
use crate::tensor::of_batch;
use crate::writer::batch::{self, IdBlock};
use crate::writer::layout::Layout;
use crate::writer::parts;
use crate::writer::pool::Pool;
use crate::writer::records::parse;
use crate::writer::replay::Replayed;
use crate::writer::staging::Token;

/// A batch of somebody else becomes rows that are as long as its columns say.
pub fn from_arrow(batch: &RecordBatch) -> Result<()> {
    let tensors = of_batch(batch.schema_ref())?;
    let layout = Layout::new(tensors.iter().map(|tensor| tensor.named()))?;
    let made = batch::from_arrow(&layout, batch, &Pool::new(0), false)?;
    assert_eq!(made.rows, batch.num_rows());
    assert_eq!(made.ids.lengths.len(), made.rows);
    for (rows, column) in made.columns.iter().zip(&layout.columns) {
        assert_eq!(rows.len(), made.rows * column.stride);
    }
    Ok(())
}

/// A segment of a journal: how many records it has.
pub fn journal(segment: &[u8]) -> Result<usize> {
    let records = parse(segment)?.records;
    let count = records.len();
    if let Some(mut replayed) = Replayed::of(records)? {
        replayed.waiting();
        replayed.heap_number();
        let _ = replayed.mode();
        let _ = replayed.durable(Path::new("/nowhere"));
    }
    Ok(count)
}

/// Ids as the journal and the files of a heap have them come back as they were.
pub fn id_block(bytes: &[u8]) {
    if let Some((block, length)) = IdBlock::decode(bytes) {
        assert_eq!(block.encode(), bytes[..length]);
        let _ = block.to_array();
    }
}

/// What a token says is said again by one that is made of it.
pub fn token(bytes: &[u8]) -> Result<()> {
    let token = Token::from_bytes(bytes)?;
    let again = token.to_bytes()?;
    assert_eq!(Token::from_bytes(&again)?.to_bytes()?, again);
    let _ = token.layout();
    Ok(())
}

/// Blocks of a part, whole and from any row on: as many rows of each column as ids, or an error.
pub fn part(bytes: &[u8]) {
    thread_local! {
        static PLACE: std::path::PathBuf = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
    }
    PLACE.with(|place| {
        std::fs::write(place, bytes).unwrap();
        let _ = parts::read_all(place, bytes.len() as u64);
        std::fs::remove_file(place).unwrap();
    });
}
