//! Values of a column that do not lie plain: decoded by Lance on the thread that asks, without a thread or a lock that
//! others share, so that neither a `fork` nor a limit on threads is in the way.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::concat;
use futures::{StreamExt, TryStreamExt};
use lance_core::cache::LanceCache;
use lance_core::datatypes::Schema;
use lance_encoding::decoder::{DecoderConfig, DecoderPlugins, FilterExpression};
use lance_file::reader::{FileReader, FileReaderOptions, ReaderProjection};
use lance_io::ReadBatchParams;
use object_store::path::Path;
use tokio::runtime::{Builder, Handle};

use crate::error::{Error, Result, caught};
use crate::process;
use crate::reader::file::Io;
use crate::reader::files::TableFile;

/// Which rows of a file.
pub enum Rows {
    Range(Range<u64>),
    /// In ascending order, each once.
    List(Vec<u32>),
}

impl Rows {
    pub fn len(&self) -> u64 {
        match self {
            Self::Range(range) => range.end - range.start,
            Self::List(rows) => rows.len() as u64,
        }
    }
}

/// Runs what Lance does for one read to its end. It may panic at what a damaged file says; that is the file's fault,
/// not the reader's.
pub fn run<T: Send>(read: impl Future<Output = lance_core::Result<T>> + Send) -> Result<T> {
    let here = || {
        // What Lance and tokio initialise once they do for some read.
        process::first("decode", || {
            let runtime = Builder::new_current_thread().build();
            let runtime = runtime.map_err(|e| Error::io(format!("cannot start a runtime: {e}")))?;
            caught(|| runtime.block_on(read).map_err(Error::reading))
        })
    };
    let is_whole = || std::panic::catch_unwind(|| drop(std::thread::current())).is_ok();
    if Handle::try_current().is_err_and(|error| error.is_missing_context()) && is_whole() {
        return here();
    }
    // The thread is of a runtime, in which tokio allows no other: that of a host, or a callback of ours. Or it is at its
    // end, where it has nothing of its own any more.
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, here);
        let thread = thread.map_err(|e| Error::from(e).context("cannot start a thread"))?;
        thread
            .join()
            .unwrap_or_else(|_| Err(Error::internal("a thread that reads ended by a panic")))
    })
}

/// The values of a field of the table in rows of a file, which has it in `column`.
pub fn values(file: &TableFile, schema: &Arc<Schema>, column: u32, rows: Rows) -> Result<ArrayRef> {
    let expected = rows.len();
    let metadata = file.metadata()?;
    let params = match rows {
        Rows::Range(range) => ReadBatchParams::Range(range.start as usize..range.end as usize),
        Rows::List(rows) => ReadBatchParams::Indices(UInt32Array::from(rows)),
    };
    let projection = ReaderProjection { schema: schema.clone(), column_indices: vec![column] };
    let io = Arc::new(Io(file.file.clone()));
    let read = run(async {
        let options = FileReaderOptions {
            // The task that would be spawned runs on this thread too.
            decoder_config: DecoderConfig { inline_scheduling: Some(true), ..Default::default() },
            ..Default::default()
        };
        let (path, cache) = (Path::default(), LanceCache::no_cache());
        let plugins = Arc::<DecoderPlugins>::default();
        let reader = FileReader::try_open_with_file_metadata(
            io,
            path,
            Some(projection),
            plugins,
            metadata,
            &cache,
            options,
        );
        let batch_rows = u32::try_from(expected).unwrap_or(u32::MAX).max(1);
        let filter = FilterExpression::no_filter();
        let tasks = reader.await?.read_tasks(params, batch_rows, None, filter).await?;
        tasks.then(|task| task.task).try_collect::<Vec<_>>().await
    });
    let batches = read.map_err(|error| error.context(file.file.path().display()))?;
    let arrays: Vec<&dyn Array> =
        batches.iter().flat_map(|batch| batch.columns()).map(AsRef::as_ref).collect();
    let values = match batches.as_slice() {
        [batch] => batch.columns().first().cloned(),
        [] => None,
        _ => Some(concat(&arrays)?),
    };
    match values {
        Some(values) if values.len() as u64 == expected => Ok(values),
        values => Err(Error::corrupt(format!(
            "{}: it gave {} rows for {expected}",
            file.file.path().display(),
            values.map_or(0, |values| values.len())
        ))),
    }
}
