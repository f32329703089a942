//! A data file, opened once: what is mapped, decoded or streamed of it comes from the one file whose end was
//! checked, whatever becomes of its name.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use lance_encoding::EncodingsIo;

use crate::error::{Error, Result};
use crate::files;
use crate::map::Map;

/// Descriptors that all readers of the process hold, of files that are not mapped.
static HELD: AtomicUsize = AtomicUsize::new(0);
/// Readers take this part of those that the process may have.
const SHARE: u64 = 4;
const MOST_HELD: u64 = 1024;
/// Mapped files could do without: what is decoded of a file counts as memory of the process if it was read from the
/// map, and a file that was cut short ends no process that reads it.
const SHARE_OF_MAPPED: u64 = 32;

/// What is in memory is read in less time.
const WARM: Duration = Duration::from_micros(100);

/// What a file is: another one under its name, or one that was written to, differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    pub size: u64,
    modified: (i64, i64),
}

impl Identity {
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// Where the bytes of a file are had from.
enum Access {
    Map(Arc<Map>, Option<Held>),
    Descriptor(Held),
    /// It is opened for each read; there are more files than descriptors.
    Name,
}

/// A descriptor that is counted.
struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        HELD.fetch_sub(1, Ordering::Relaxed);
    }
}

pub struct DataFile {
    path: PathBuf,
    pub identity: Identity,
    access: Access,
}

/// A file that was just opened, and what it is.
pub struct Opened {
    path: PathBuf,
    file: File,
    pub identity: Identity,
}

impl Opened {
    pub fn open(path: &Path) -> Result<Self> {
        let (file, metadata) = open(path).map_err(|e| Error::from(e).context(path.display()))?;
        if !metadata.is_file() {
            return Err(Error::corrupt("this is no file").context(path.display()));
        }
        Ok(Self { path: path.to_path_buf(), file, identity: Identity::of(&metadata) })
    }

    /// The part of the file, which may have become shorter since.
    pub fn read(&self, range: Range<u64>) -> Result<Bytes> {
        read(&self.file, range).map_err(|error| error.context(self.path.display()))
    }

    /// Keeps the file for later reads. It is mapped if that is wanted and possible.
    pub fn keep(self, map: bool) -> DataFile {
        let mapped = map.then(|| Map::of(&self.file, self.identity.size)).flatten();
        let access = match mapped {
            Some(map) => Access::Map(map, hold(self.file, most_held() / SHARE_OF_MAPPED)),
            None => hold(self.file, most_held()).map_or(Access::Name, Access::Descriptor),
        };
        DataFile { path: self.path, identity: self.identity, access }
    }
}

impl DataFile {
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn map(&self) -> Option<&Arc<Map>> {
        match &self.access {
            Access::Map(map, _) => Some(map),
            _ => None,
        }
    }

    /// A part of the file.
    pub fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let result = match &self.access {
            Access::Map(_, Some(held)) => read(&held.0, range),
            Access::Map(map, None) => {
                let part = range.start as usize..range.end as usize;
                let part = map.bytes().get(part).ok_or_else(|| beyond(&range))?;
                copy(part)
            }
            Access::Descriptor(held) => read(&held.0, range),
            Access::Name => self.again().and_then(|file| read(&file, range)),
        };
        result.map_err(|error| error.context(self.path.display()))
    }

    /// Asks the system to read a part from disk, without waiting for it, where it can be asked.
    #[cfg(not(target_os = "linux"))]
    fn read_ahead(&self, _: &Range<u64>) {}

    #[cfg(target_os = "linux")]
    fn read_ahead(&self, range: &Range<u64>) {
        if let Access::Descriptor(held) | Access::Map(_, Some(held)) = &self.access {
            let length = std::num::NonZeroU64::new(range.end.saturating_sub(range.start));
            // It is advice: what is not read now is read when it is asked for.
            let _ = rustix::fs::fadvise(&held.0, range.start, length, rustix::fs::Advice::WillNeed);
        }
    }

    /// Opens the file by its name once more, if that still leads to it.
    fn again(&self) -> Result<File> {
        let (file, metadata) = open(&self.path)?;
        match Identity::of(&metadata) == self.identity {
            true => Ok(file),
            false => Err(Error::corrupt("the file was replaced or changed since it was opened")),
        }
    }
}

fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let file = files::open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

fn hold(file: File, most: u64) -> Option<Held> {
    if HELD.fetch_add(1, Ordering::Relaxed) as u64 >= most {
        HELD.fetch_sub(1, Ordering::Relaxed);
        return None;
    }
    Some(Held(file))
}

fn most_held() -> u64 {
    (crate::map::descriptors() / SHARE).min(MOST_HELD)
}

fn beyond(range: &Range<u64>) -> Error {
    Error::corrupt(format!("the bytes {} to {} lie outside of it", range.start, range.end))
}

/// Memory of a size that a file asks for may not be there.
fn memory(bytes: u64) -> Result<Vec<u8>> {
    let mut memory = Vec::new();
    let length = usize::try_from(bytes).ok();
    let reserved = length.is_some_and(|length| memory.try_reserve_exact(length).is_ok());
    match reserved {
        true => Ok(memory),
        false => Err(Error::io(format!("there is no memory for {bytes} bytes"))),
    }
}

fn copy(part: &[u8]) -> Result<Bytes> {
    let mut memory = memory(part.len() as u64)?;
    memory.extend_from_slice(part);
    Ok(memory.into())
}

fn read(file: &File, range: Range<u64>) -> Result<Bytes> {
    let length = range.end.saturating_sub(range.start);
    let mut memory = memory(length)?;
    memory.resize(length as usize, 0);
    file.read_exact_at(&mut memory, range.start).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => beyond(&range),
        _ => error.into(),
    })?;
    Ok(memory.into())
}

/// The decoders of Lance read on the calling thread: what is asked for is there when they look.
#[derive(Clone)]
pub struct Io(pub Arc<DataFile>);

impl std::fmt::Debug for Io {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.path.display().fmt(f)
    }
}

impl EncodingsIo for Io {
    fn submit_request(
        &self,
        ranges: Vec<Range<u64>>,
        _priority: u64,
    ) -> BoxFuture<'static, lance_core::Result<Vec<Bytes>>> {
        let size = self.0.identity.size;
        let mut ahead = false;
        let mut part = |(at, range): (usize, &Range<u64>)| {
            if range.start > range.end || range.end > size {
                return Err(beyond(range).context(self.0.path.display()));
            }
            let start = Instant::now();
            let bytes = self.0.read(range.clone());
            // A disk sees all reads at once rather than one at a time.
            if !ahead && start.elapsed() > WARM {
                ahead = true;
                ranges.iter().skip(at + 1).for_each(|range| self.0.read_ahead(range));
            }
            bytes
        };
        let parts: Result<Vec<Bytes>> = ranges.iter().enumerate().map(&mut part).collect();
        let parts = parts.map_err(|error| lance_core::Error::wrapped(Box::new(error)));
        std::future::ready(parts).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        (place, path)
    }

    #[test]
    fn a_file_that_lost_its_name_is_read_on() {
        let (_place, path) = file(b"0123456789");
        for (map, held) in [(true, true), (true, false), (false, true)] {
            let mut kept = Opened::open(&path).unwrap().keep(map);
            if let (Access::Map(_, descriptor), false) = (&mut kept.access, held) {
                *descriptor = None;
            }
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, b"abcdefghij").unwrap();
            assert_eq!(kept.map().is_some(), map);
            assert_eq!(&kept.read(2..5).unwrap()[..], b"234");
            assert_eq!(kept.read(8..11).unwrap_err().status, Status::RDS_ERR_CORRUPT);
            std::fs::write(&path, b"0123456789").unwrap();
        }
    }

    #[test]
    fn a_file_without_a_descriptor_is_opened_by_its_name_as_long_as_it_is_the_same() {
        let (_place, path) = file(b"0123456789");
        let Opened { path, identity, .. } = Opened::open(&path).unwrap();
        let kept = DataFile { path: path.clone(), identity, access: Access::Name };
        assert_eq!(&kept.read(2..5).unwrap()[..], b"234");
        std::fs::write(path.with_extension("new"), b"0123456789").unwrap();
        std::fs::rename(path.with_extension("new"), &path).unwrap();
        assert_eq!(kept.read(2..5).unwrap_err().status, Status::RDS_ERR_CORRUPT);
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(Opened::open(place.path()).err().unwrap().status, Status::RDS_ERR_CORRUPT);
        let gone = Opened::open(&place.path().join("gone")).err().unwrap();
        assert_eq!(gone.status, Status::RDS_ERR_NOT_FOUND);
    }
}
