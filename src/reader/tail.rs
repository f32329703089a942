//! The end of a file in memory, as Lance's parser of metadata reads a file.

use std::ops::Range;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use lance_core::deepsize::{Context, DeepSizeOf};
use lance_io::traits::Reader;
use object_store::path::Path;

#[derive(Debug)]
pub struct Tail {
    bytes: Bytes,
    size: u64,
    path: Path,
}

impl Tail {
    pub fn new(bytes: Bytes, size: u64) -> Self {
        Self { bytes, size, path: Path::default() }
    }

    fn part(&self, range: Range<usize>) -> object_store::Result<Bytes> {
        let start = self.size as usize - self.bytes.len();
        let (from, to) = (range.start.checked_sub(start), range.end.checked_sub(start));
        let range = from.zip(to).filter(|(from, to)| from <= to && *to <= self.bytes.len());
        let part = range.map(|(from, to)| self.bytes.slice(from..to));
        part.ok_or_else(|| object_store::Error::Generic {
            store: "the end of a file",
            source: "more of the file is asked for than describes it".into(),
        })
    }
}

impl DeepSizeOf for Tail {
    fn deep_size_of_children(&self, _context: &mut Context) -> usize {
        self.bytes.len()
    }
}

impl Reader for Tail {
    fn path(&self) -> &Path {
        &self.path
    }

    /// So much of the end is read first: all of it.
    fn block_size(&self) -> usize {
        self.bytes.len()
    }

    fn io_parallelism(&self) -> usize {
        1
    }

    fn size(&self) -> BoxFuture<'_, object_store::Result<usize>> {
        std::future::ready(Ok(self.size as usize)).boxed()
    }

    fn get_range(&self, range: Range<usize>) -> BoxFuture<'static, object_store::Result<Bytes>> {
        std::future::ready(self.part(range)).boxed()
    }

    fn get_all(&self) -> BoxFuture<'_, object_store::Result<Bytes>> {
        std::future::ready(self.part(0..self.size as usize)).boxed()
    }
}
