//! Memory that batches are copied into. What the background task is done with is used again: fresh memory
//! comes from the system page by page, and cleared, which takes longer than the copy.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::buffer::{Buffer, MutableBuffer};
use bytes::Bytes;

use crate::error::{Error, Result};

/// Smaller pieces the allocator has at hand itself.
const MIN_BYTES: usize = 64 << 10;

pub struct Pool {
    /// How much is kept at most.
    max_bytes: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    pub fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self { max_bytes, free: Mutex::default() })
    }

    /// Empty memory with room for so many bytes; an error where there is none to be had.
    pub fn take(&self, bytes: usize) -> Result<Vec<u8>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |memory: &Vec<u8>| (bytes..=2 * bytes).contains(&memory.capacity());
        // What came back last is still in a cache of the processor.
        if let Some(at) = free.iter().rposition(fits) {
            return Ok(free.swap_remove(at));
        }
        drop(free);
        let mut memory = Vec::new();
        memory.try_reserve_exact(bytes).map_err(|_| {
            Error::invalid_argument(format!("a batch of {bytes} bytes does not fit in memory"))
        })?;
        Ok(memory)
    }

    /// The memory as a buffer, which comes back when nobody uses it any more.
    pub fn lend(self: &Arc<Self>, memory: Vec<u8>) -> Buffer {
        match memory.capacity() {
            // A vector without memory points to nowhere, aligned for bytes only.
            0 => MutableBuffer::new(0).into(),
            1..MIN_BYTES => memory.into(),
            _ => Bytes::from_owner(Lent { memory, pool: self.clone() }).into(),
        }
    }

    fn put_back(&self, mut memory: Vec<u8>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: usize = free.iter().map(Vec::capacity).sum();
        if kept + memory.capacity() <= self.max_bytes {
            memory.clear();
            free.push(memory);
        }
    }
}

struct Lent {
    memory: Vec<u8>,
    pool: Arc<Pool>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.memory
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.pool.put_back(std::mem::take(&mut self.memory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lend(pool: &Arc<Pool>, bytes: usize) -> Buffer {
        let mut memory = pool.take(bytes).unwrap();
        memory.resize(bytes, 7);
        pool.lend(memory)
    }

    #[test]
    fn memory_is_used_again_when_its_buffer_is_gone() {
        let pool = Pool::new(1 << 20);
        let first = lend(&pool, 100_000);
        let at = first.as_ptr();
        let second = first.clone();
        drop(first);
        assert_ne!(lend(&pool, 100_000).as_ptr(), at, "a clone is still used");
        assert_eq!(second.as_slice(), [7; 100_000]);
        drop(second);
        let again = [lend(&pool, 90_000).as_ptr(), lend(&pool, 100_000).as_ptr()];
        assert!(again.contains(&at));
    }

    #[test]
    fn no_more_is_kept_than_allowed_and_nothing_much_too_large_is_given() {
        let pool = Pool::new(1 << 20);
        let buffers: Vec<Buffer> = (0..4).map(|_| lend(&pool, 400_000)).collect();
        drop(buffers);
        let kept = |pool: &Pool| pool.free.lock().unwrap().iter().map(Vec::capacity).sum::<usize>();
        assert_eq!(kept(&pool), 800_000);
        drop(lend(&pool, 100_000));
        assert_eq!(kept(&pool), 900_000);
        drop(lend(&pool, 100));
        assert_eq!(kept(&pool), 900_000, "small ones are the allocator's");
        assert!(pool.take(usize::MAX / 4).is_err());
    }
}
