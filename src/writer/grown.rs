//! A file that only grows, and what writes to it.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};

/// A file that only grows, with the checksum of all that is in it.
pub struct Grown {
    pub path: PathBuf,
    pub file: Arc<File>,
    pub bytes: u64,
    /// CRC-32C from the first byte on.
    pub crc: u32,
    /// Since a sync was begun.
    pub unsynced: u64,
    /// Nobody here will read it soon: what is on disk need not stay in memory.
    pub passing: bool,
}

impl Grown {
    pub fn create(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Self::of(path, file, 0))
    }

    /// One that is there, and goes on behind so many bytes, or behind all.
    pub fn open(path: &Path, bytes: Option<u64>) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let length = file.metadata()?.len();
        let bytes = bytes.unwrap_or(length);
        if bytes > length {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is cut short"));
        }
        Ok(Self::of(path.to_path_buf(), file, bytes))
    }

    fn of(path: PathBuf, file: File, bytes: u64) -> Self {
        Self { path, file: Arc::new(file), bytes, crc: 0, unsynced: 0, passing: false }
    }

    /// So many bytes will be written.
    pub fn reserve(&self, bytes: u64) {
        reserve(&self.file, self.bytes, bytes);
    }

    /// Adds a part of another file. The system copies it, without a way through our memory if it can.
    pub fn copy(&mut self, from: &File, range: Range<u64>) -> io::Result<()> {
        let (mut from, mut to) = (from, &*self.file);
        from.seek(SeekFrom::Start(range.start))?;
        to.seek(SeekFrom::Start(self.bytes))?;
        let bytes = range.end - range.start;
        if io::copy(&mut from.take(bytes), &mut to)? != bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.bytes += bytes;
        self.unsynced += bytes;
        Ok(())
    }

    pub fn count(&mut self, bytes: u64, crc: u32) {
        self.bytes += bytes;
        self.unsynced += bytes;
        self.crc = crc;
    }

    pub fn end(&self) -> End {
        End { path: self.path.clone(), file: self.file.clone(), bytes: self.bytes, crc: self.crc }
    }
}

/// Where a file is written to: what it takes to do that beside the thread that owns it.
pub struct End {
    path: PathBuf,
    file: Arc<File>,
    bytes: u64,
    crc: u32,
}

impl End {
    /// How many bytes were written, and the checksum then. After a failure nothing counts as written: the next
    /// attempt writes the same place.
    pub fn write(&self, parts: &[&[u8]], checksum: bool) -> Result<(u64, u32)> {
        let written = write_all_at(&self.file, parts, self.bytes);
        written.map_err(|e| Error::from(e).context(format!("writing {}", self.path.display())))?;
        let crc = match checksum {
            true => parts.iter().fold(self.crc, |crc, part| crc32c::crc32c_append(crc, part)),
            false => self.crc,
        };
        Ok((parts.iter().map(|part| part.len() as u64).sum(), crc))
    }
}

/// Asks for room on the disk at once, which is faster than page by page. Where it cannot be had the write will tell.
pub fn reserve(file: &File, at: u64, bytes: u64) {
    if bytes > 0 {
        let _ = rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, at, bytes);
    }
}

/// Writes one part after the other, with as few calls as the system takes.
pub fn write_all_at(mut file: &File, parts: &[&[u8]], at: u64) -> io::Result<()> {
    if let [part] = parts {
        return file.write_all_at(part, at);
    }
    file.seek(SeekFrom::Start(at))?;
    let mut left: Vec<IoSlice> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut left = left.as_mut_slice();
    // Takes away what is empty.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(bytes) => IoSlice::advance_slices(&mut left, bytes),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
