//! A data file on a local disk: what rows, pages and the footer are written to.
//!
//! What is written goes to the system at once and without a copy, so it must be filled by a thread that
//! may wait. The disk begins before the file ends: what would be synced in one piece at the end is synced
//! on the way.

#![forbid(unsafe_code)]

use std::fs::{File, OpenOptions, TryLockError};
use std::future::{Future, poll_fn};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use lance_io::object_writer::WriteResult;
use lance_io::traits::Writer;
use tokio::io::AsyncWrite;
use tokio::task::JoinHandle;

/// How much is written before the disk is set to work on it.
const SYNC_BYTES: u64 = 32 << 20;

/// What is copied between two looks at whether it is still wanted.
const COPY_BYTES: u64 = 8 << 20;

/// A data file that is held: locked, which tells `rds_vacuum` in any process that somebody is at it.
pub struct LockedFile {
    path: PathBuf,
    file: Arc<File>,
    /// Nobody names it yet: it is removed when dropped.
    unfinished: bool,
}

impl LockedFile {
    fn create(path: PathBuf) -> io::Result<Self> {
        loop {
            let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
            // Where files cannot be locked their age is all that tells whether they were abandoned.
            file.lock().unwrap_or_else(|e| log::debug!("cannot lock {}: {e}", path.display()));
            // Between the two a vacuum may have found it without a lock.
            if file.metadata()?.nlink() != 0 {
                return Ok(Self { path, file: Arc::new(file), unfinished: true });
            }
        }
    }

    /// Holds a file that is there; none, if somebody else holds it.
    pub fn open(path: PathBuf) -> io::Result<Option<Self>> {
        let file = File::open(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { path, file: Arc::new(file), unfinished: false })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn bytes(&self) -> io::Result<u64> {
        self.file.metadata().map(|file| file.len())
    }

    /// Waits until the file is on disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// A version or a token names the file, or may: it stays.
    pub fn keep(mut self) {
        self.unfinished = false;
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        if self.unfinished
            && let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("cannot remove the unfinished file {}: {error}", self.path.display());
        }
    }
}

pub struct Sink {
    file: Arc<File>,
    written: u64,
    unsynced: u64,
    syncing: Option<JoinHandle<io::Result<()>>>,
}

impl Sink {
    /// Makes a file; its directories too.
    pub fn create(path: PathBuf) -> io::Result<(Self, LockedFile)> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let locked = LockedFile::create(path)?;
        let sink = Self { file: locked.file.clone(), written: 0, unsynced: 0, syncing: None };
        Ok((sink, locked))
    }

    pub fn written(&self) -> u64 {
        self.written
    }

    /// Adds a part of another file. The system copies it, without a way through our memory if it can.
    pub async fn copy(&mut self, file: &File, range: Range<u64>) -> io::Result<()> {
        let (mut source, mut left) = (file, range.end - range.start);
        source.seek(SeekFrom::Start(range.start))?;
        while left > 0 {
            let copied = io::copy(&mut source.take(left.min(COPY_BYTES)), &mut &*self.file)?;
            if copied == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= copied;
            self.written += copied;
            self.unsynced += copied;
            poll_fn(|context| Poll::Ready(self.sync_behind(context))).await?;
            // Where this is given up, if it is.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// The result of a sync that has ended; starts another one if there is enough to sync.
    fn sync_behind(&mut self, context: &mut Context) -> io::Result<()> {
        if let Some(syncing) = &mut self.syncing {
            match Pin::new(syncing).poll(context) {
                Poll::Pending => return Ok(()),
                Poll::Ready(result) => {
                    self.syncing = None;
                    result.map_err(io::Error::other)??;
                }
            }
        }
        if self.unsynced >= SYNC_BYTES {
            self.unsynced = 0;
            let file = self.file.clone();
            self.syncing = Some(tokio::task::spawn_blocking(move || file.sync_data()));
        }
        Ok(())
    }
}

impl AsyncWrite for Sink {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = loop {
            match (&*self.file).write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.written += written as u64;
        self.unsynced += written as u64;
        self.sync_behind(context)?;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// An error of a sync on the way is told to this file only: it must not be missed.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<io::Result<()>> {
        let Some(syncing) = &mut self.syncing else {
            return Poll::Ready(Ok(()));
        };
        let result = std::task::ready!(Pin::new(syncing).poll(context));
        self.syncing = None;
        Poll::Ready(result.map_err(io::Error::other)?)
    }
}

#[async_trait]
impl Writer for Sink {
    async fn tell(&mut self) -> lance::Result<usize> {
        Ok(self.written as usize)
    }

    async fn shutdown(&mut self) -> lance::Result<WriteResult> {
        tokio::io::AsyncWriteExt::shutdown(self).await?;
        Ok(WriteResult { size: self.written as usize, e_tag: None })
    }
}
