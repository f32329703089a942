//! A file descriptor that is readable while something is ready: a pipe that holds one byte then.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsRawFd, RawFd};

use crate::error::Result;

pub struct Bell {
    reader: PipeReader,
    writer: PipeWriter,
    rung: bool,
}

impl Bell {
    pub fn new() -> Result<Self> {
        let (reader, writer) = pipe()?;
        Ok(Self { reader, writer, rung: false })
    }

    pub fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Neither end waits: there is no byte in the pipe, or the one that is taken out.
    pub fn ring(&mut self, ready: bool) {
        if ready == self.rung {
            return;
        }
        let done = match ready {
            true => self.writer.write_all(&[1]),
            false => self.reader.read_exact(&mut [0]),
        };
        // An error would be that of a pipe that somebody else closed.
        self.rung = if done.is_ok() { ready } else { self.rung };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_byte_while_something_is_ready() {
        let mut bell = Bell::new().unwrap();
        for ready in [true, true, false, false, true, false] {
            bell.ring(ready);
            assert_eq!(bell.rung, ready);
        }
        bell.ring(true);
        bell.reader.read_exact(&mut [0]).unwrap();
    }
}
