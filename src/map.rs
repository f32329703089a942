//! Data files in memory: mapped, shared by everything that points into them.
//!
//! The only file outside `ffi` with `unsafe` in it. What it hands out are slices and Arrow buffers, both checked
//! against the length of the file when it was mapped.
//!
//! A map is private and may be written to: a consumer that writes into a row changes neither the file nor ends the
//! process. Lance never changes a data file once it is written. Whoever truncates one all the same, while it is
//! mapped, makes the kernel end the process that reads what is gone (SIGBUS), and so does a disk that fails.
//!
//! Maps only save work, so this process leaves room for others: it makes fewer than the kernel allows, and fewer
//! bytes than a limit on its address space leaves.

use std::fs::File;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::buffer::Buffer;
use memmap2::{Mmap, MmapMut, MmapOptions};

#[cfg(target_arch = "x86_64")]
const CACHE_LINE: usize = 64;
/// What is longer than a page the processor follows by itself from its beginning.
#[cfg(target_arch = "x86_64")]
const WHOLE: usize = 4096;
#[cfg(target_arch = "x86_64")]
const BEGINNING: usize = 4 * CACHE_LINE;

/// Maps that all readers of the process have, and how many they may have; 0 while nobody has looked.
static MAPS: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
/// How often the kernel refused one although the limits that we know leave room.
static REFUSED: AtomicUsize = AtomicUsize::new(0);
/// What Linux allows a process if nobody changed it.
const MAX_MAP_COUNT: usize = 65_530;

pub struct Map(Bytes);

enum Bytes {
    Writable(MmapMut),
    ReadOnly(Mmap),
}

impl Map {
    /// None where the file cannot be mapped, or should not: then it is read.
    pub fn of(file: &File, length: u64) -> Option<Arc<Map>> {
        let length = usize::try_from(length).ok().filter(|length| fits(*length))?;
        if MAPS.fetch_add(1, Ordering::Relaxed) >= most_maps() {
            MAPS.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let mut options = MmapOptions::new();
        options.len(length).no_reserve_swap();
        // SAFETY: the map is private to this type, which gives out shared slices only; that the file does not
        // change while it lives is what Lance's format promises, see above.
        let bytes = unsafe { options.map_copy(file) }.map(Bytes::Writable);
        // SAFETY: as above. A system that counts every page that could be written to may refuse the first.
        let bytes =
            bytes.or_else(|_| unsafe { options.map_copy_read_only(file) }.map(Bytes::ReadOnly));
        if let Err(error) = &bytes {
            MAPS.fetch_sub(1, Ordering::Relaxed);
            if error.raw_os_error() == Some(libc::ENOMEM) {
                REFUSED.fetch_add(1, Ordering::Relaxed);
            }
        }
        Some(Arc::new(Map(bytes.ok()?)))
    }

    /// All bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Writable(bytes) => bytes,
            Bytes::ReadOnly(bytes) => bytes,
        }
    }

    /// A buffer over a part of the file, which keeps the map; none if the file is not so long.
    pub fn buffer(self: &Arc<Self>, range: Range<usize>) -> Option<Buffer> {
        let part = self.bytes().get(range)?;
        let start = NonNull::from(part).cast::<u8>();
        // SAFETY: the part lies in the map, which the buffer owns a share of and nobody of ours writes to.
        Some(unsafe { Buffer::from_custom_allocation(start, part.len(), self.clone()) })
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        MAPS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many maps readers may have: half of what the kernel allows.
fn most_maps() -> usize {
    match MOST.load(Ordering::Relaxed) {
        0 => {
            let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
            let most = text.trim().parse().unwrap_or(MAX_MAP_COUNT) / 2;
            MOST.store(most.max(1), Ordering::Relaxed);
            most
        }
        most => most,
    }
}

/// Changes when the kernel refuses maps: then the process has hardly any left.
pub fn refused() -> usize {
    REFUSED.load(Ordering::Relaxed)
}

/// From now on readers have half as many maps as they have now.
pub fn leave_to_others() {
    MOST.store((MAPS.load(Ordering::Relaxed) / 2).max(1), Ordering::Relaxed);
}

#[cfg(target_os = "linux")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_os = "linux"))]
type Resource = libc::c_int;

fn limit(resource: Resource) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct is written to during the call only.
    let known = unsafe { libc::getrlimit(resource, &raw mut limit) } == 0;
    (known && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// How many descriptors the process may have.
pub fn descriptors() -> u64 {
    limit(libc::RLIMIT_NOFILE).unwrap_or(u64::MAX)
}

/// Whether a map of so many bytes leaves half of the address space that the process still may use.
fn fits(length: usize) -> bool {
    let Some(limit) = limit(libc::RLIMIT_AS) else { return true };
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split(' ').next().and_then(|pages| pages.parse().ok()).unwrap_or(0);
    let left = limit.saturating_sub(pages * page_bytes() as u64);
    length as u64 <= left / 2
}

/// Asks the kernel to read the pages of `bytes` from disk, without waiting for them.
pub fn prefetch(bytes: &[u8]) {
    let (start, length) = pages(bytes);
    // SAFETY: the advice changes no memory, whatever the range is. That the kernel may refuse it is no
    // failure: the pages are read when they are touched.
    unsafe { libc::madvise(start, length, libc::MADV_WILLNEED) };
}

/// Whether the page that `bytes` begin in is known to be on disk only. Of files that the process may not write to Linux
/// says that they are in memory.
#[cfg(target_os = "linux")]
pub fn is_on_disk(bytes: &[u8]) -> bool {
    let (start, _) = pages(bytes);
    let mut page = 1;
    // SAFETY: of one page one byte is written to; where the range is not mapped the call fails.
    let known = !bytes.is_empty() && unsafe { libc::mincore(start, 1, &raw mut page) } == 0;
    known && page & 1 == 0
}

/// As above: other systems are not asked.
#[cfg(not(target_os = "linux"))]
pub fn is_on_disk(_: &[u8]) -> bool {
    false
}

/// How often the calling thread waited for a page from disk; none, if the kernel does not tell.
#[cfg(not(target_os = "linux"))]
pub fn page_faults() -> Option<i64> {
    None
}

/// As above.
#[cfg(target_os = "linux")]
pub fn page_faults() -> Option<i64> {
    // SAFETY: all zeros is a value of the struct, which is of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the struct is written to during the call only.
    let known = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) } == 0;
    known.then_some(usage.ru_majflt)
}

/// Starts to load `bytes`, of many their beginning, into the second of the processor's caches: the first
/// one waits for fewer lines at once. That makes the cache misses of rows that are copied one after the
/// other overlap.
#[inline]
pub fn load_ahead(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a hint, which reads nothing whatever the address is.
        let load = |byte: *const u8| unsafe { _mm_prefetch::<_MM_HINT_T1>(byte.cast()) };
        let beginning = if bytes.len() > WHOLE { bytes.get(..BEGINNING) } else { None };
        let bytes = beginning.unwrap_or(bytes).as_ptr_range();
        // Rows need not begin with a line.
        let mut line = bytes.start.wrapping_sub(bytes.start.addr() % CACHE_LINE);
        while line < bytes.end {
            load(line);
            line = line.wrapping_add(CACHE_LINE);
        }
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
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        Map::of(&file, bytes.len() as u64).unwrap()
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
    fn what_is_no_file_is_not_mapped() {
        assert!(Map::of(&File::open("/proc/self/status").unwrap(), 10).is_none());
    }

    #[test]
    fn advice_changes_nothing_but_time() {
        let map = map(&vec![7; 3 * page_bytes()]);
        let part = &map.bytes()[10..2 * page_bytes() + 10];
        prefetch(part);
        load_ahead(part);
        assert_eq!(part.iter().map(|byte| usize::from(*byte)).sum::<usize>(), 7 * part.len());
        // What was touched is in memory, and nothing is nowhere.
        assert!(!is_on_disk(part) && !is_on_disk(&[]));
        prefetch(&[]);
        load_ahead(&[]);
    }
}
