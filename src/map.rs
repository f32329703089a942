//! A data file in memory: mapped, read-only, shared by everything that points into it.
//!
//! The only file outside `ffi` with `unsafe` in it. What it hands out are slices and Arrow buffers,
//! both checked against the real length of the file.
//!
//! Lance never changes a data file once it is written, so the bytes of a map do not change. Whoever
//! truncates one all the same, while it is mapped, makes the kernel end the process that reads it.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use arrow::buffer::Buffer;
use memmap2::Mmap;

use crate::error::{Error, Result};

#[cfg(target_arch = "x86_64")]
const CACHE_LINE: usize = 64;
#[cfg(target_arch = "x86_64")]
const LINES_AHEAD: usize = 4;

pub struct Map(Mmap);

impl Map {
    pub fn open(path: &Path) -> Result<Arc<Map>> {
        // To open a pipe would wait for somebody to write.
        if !std::fs::metadata(path)?.is_file() {
            return Err(Error::corrupt("this is no file"));
        }
        let file = File::open(path)?;
        // SAFETY: the map is read-only and private to this type; that the file does not change while
        // it lives is what Lance's format promises, see above.
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Arc::new(Map(map)))
    }

    /// All bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A buffer over a part of the file, which keeps the map; none if the file is not so long.
    pub fn buffer(self: &Arc<Self>, range: Range<usize>) -> Option<Buffer> {
        let part = self.0.get(range)?;
        let start = NonNull::from(part).cast::<u8>();
        // SAFETY: the part lies in the map, which the buffer owns a share of and nobody writes to.
        Some(unsafe { Buffer::from_custom_allocation(start, part.len(), self.clone()) })
    }
}

/// Asks the kernel to read the pages of `bytes` from disk, without waiting for them.
pub fn prefetch(bytes: &[u8]) {
    let (start, length) = pages(bytes);
    // SAFETY: the advice changes no memory, whatever the range is. That the kernel may refuse it is no
    // failure: the pages are read when they are touched.
    unsafe { libc::madvise(start, length, libc::MADV_WILLNEED) };
}

/// Starts to load the beginning of `bytes` into the processor's cache; the processor itself goes on from
/// there. That makes the cache misses of rows that are copied one after the other overlap.
#[inline]
pub fn load_ahead(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(CACHE_LINE).take(LINES_AHEAD) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which reads nothing whatever the address is.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}

/// The page that `bytes` begin in, and the length from there to their end.
fn pages(bytes: &[u8]) -> (*mut libc::c_void, usize) {
    let start = bytes.as_ptr().cast_mut().cast::<libc::c_void>();
    let within = start.addr() % page_bytes();
    (start.wrapping_byte_sub(within), bytes.len() + within)
}

fn page_bytes() -> usize {
    static BYTES: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    match BYTES.load(std::sync::atomic::Ordering::Relaxed) {
        0 => {
            // SAFETY: a query without arguments in memory.
            let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
            let bytes = usize::try_from(bytes).unwrap_or(4096).max(1);
            BYTES.store(bytes, std::sync::atomic::Ordering::Relaxed);
            bytes
        }
        bytes => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(bytes: &[u8]) -> Arc<Map> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        Map::open(&path).unwrap()
    }

    #[test]
    fn a_buffer_outlives_the_map_and_the_file() {
        let map = map(b"0123456789");
        let buffer = map.buffer(2..5).unwrap();
        assert_eq!(map.bytes(), b"0123456789");
        drop(map);
        assert_eq!(buffer.as_slice(), b"234");
    }

    #[test]
    fn nothing_is_lent_beyond_the_file() {
        let map = map(b"0123456789");
        assert!(map.buffer(0..10).is_some());
        assert!(map.buffer(10..10).is_some());
        for range in [0..11, 11..11, usize::MAX..usize::MAX] {
            assert!(map.buffer(range).is_none());
        }
    }

    #[test]
    fn an_empty_file_has_no_bytes() {
        assert_eq!(map(b"").bytes(), b"");
    }

    #[test]
    fn advice_changes_nothing_but_time() {
        let map = map(&vec![7; 3 * page_bytes()]);
        let part = &map.bytes()[10..2 * page_bytes() + 10];
        prefetch(part);
        load_ahead(part);
        assert_eq!(part.iter().map(|byte| usize::from(*byte)).sum::<usize>(), 7 * part.len());
        prefetch(&[]);
        load_ahead(&[]);
    }
}
