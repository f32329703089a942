//! The blocks of a part as they are read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::writer::batch::IdBlock;
use crate::writer::heap;
use crate::writer::parts::file::HEAD;
use crate::writer::parts::{PartToken, open};

/// Small parts are read at once.
const READ_BYTES: usize = 64 << 10;

/// Reads the blocks of a part, one after the other.
pub struct Blocks {
    file: File,
    path: PathBuf,
    /// Where the next block begins in the file, and in the memory.
    at: u64,
    place: usize,
    end: u64,
    strides: Vec<usize>,
    /// Bytes of the file up to some behind the head of the next block: so many of these.
    memory: Vec<u8>,
    filled: usize,
}

/// Rows of a part, in the memory of what read them.
pub struct Rows<'a> {
    pub ids: IdBlock,
    pub columns: Vec<&'a [u8]>,
}

impl<'a> From<&'a Rows<'a>> for heap::Part<'a> {
    fn from(rows: &'a Rows<'a>) -> Self {
        Self { ids: &rows.ids, columns: rows.columns.clone() }
    }
}

impl Blocks {
    /// `memory` is used, and given back by `into_memory`.
    pub fn open(
        path: PathBuf,
        token: &PartToken,
        strides: &[usize],
        memory: Vec<u8>,
    ) -> Result<Self> {
        let (file, strides) = (open(&path)?, strides.to_vec());
        Ok(Self { file, path, at: 0, place: 0, end: token.bytes, strides, memory, filled: 0 })
    }

    pub fn into_memory(self) -> Vec<u8> {
        self.memory
    }

    pub fn damaged(&self, why: &str) -> Error {
        Error::corrupt(format!(
            "{} is damaged at byte {}: {why}; remove it, and write the part again",
            self.path.display(),
            self.at
        ))
    }

    /// Reads on until the memory has so much of the next block, which is at least that long, and somewhat more.
    fn read(&mut self, bytes: usize) -> Result<()> {
        let had = self.filled - self.place;
        if had >= bytes {
            return Ok(());
        }
        self.memory.copy_within(self.place..self.filled, 0);
        (self.place, self.filled) = (0, had);
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let wanted = left.min(bytes.max(READ_BYTES));
        if self.memory.len() < wanted {
            self.memory.resize(wanted, 0);
        }
        let place = self.memory.get_mut(had..wanted).unwrap_or_default();
        let read = self.file.read_exact_at(place, self.at + had as u64);
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("it is cut short"),
            _ => Error::from(error).context(self.path.display()),
        })?;
        self.filled = wanted;
        Ok(())
    }

    /// The next block: its checksum, its rows and the bytes behind its head.
    fn head(&mut self) -> Result<Option<(u32, usize, usize)>> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(None);
        }
        self.read(left.min(HEAD))?;
        let head = self.memory.get(self.place..self.filled).and_then(parse_head);
        let (rows, bytes, crc) = head.ok_or_else(|| self.damaged("its head is none"))?;
        if bytes > left.saturating_sub(HEAD) as u64 {
            return Err(self.damaged("a block ends behind the last one"));
        }
        Ok(Some((crc, rows as usize, bytes as usize)))
    }

    fn go_past(&mut self, bytes: usize) {
        self.at += (HEAD + bytes) as u64;
        self.place += HEAD + bytes;
        if self.place > self.filled {
            (self.place, self.filled) = (0, 0);
        }
    }

    /// Goes past whole blocks, as long as they have no more than so many rows; how many are left to skip.
    pub fn skip(&mut self, mut rows: u64) -> Result<u64> {
        while rows > 0
            && let Some((_, of_block, bytes)) = self.head()?
            && of_block as u64 <= rows
        {
            rows -= of_block as u64;
            self.go_past(bytes);
        }
        Ok(rows)
    }

    /// The rows of the next block without the first `skip`, at most `most` of them; its columns in the order that
    /// `places` names.
    pub fn next(&mut self, skip: usize, most: usize, places: &[usize]) -> Result<Option<Rows<'_>>> {
        let Some((crc, rows, bytes)) = self.head()? else { return Ok(None) };
        self.read(HEAD + bytes)?;
        let block = self.memory.get(self.place..self.place + HEAD + bytes).unwrap_or_default();
        let body = block.get(HEAD..).unwrap_or_default();
        if crc32c::crc32c(body) != crc {
            return Err(self.damaged("its checksum does not match"));
        }
        let decoded = IdBlock::decode(body).filter(|(ids, _)| ids.lengths.len() == rows);
        let (mut ids, mut at) = decoded.ok_or_else(|| self.damaged("its ids are none"))?;
        let of_columns = rows.checked_mul(self.strides.iter().sum());
        if of_columns != body.len().checked_sub(at) {
            return Err(self.damaged("its columns are of other sizes"));
        }
        let skip = skip.min(rows);
        let taken = (rows - skip).min(most);
        let mut ranges = Vec::with_capacity(self.strides.len());
        for stride in &self.strides {
            let first = self.place + HEAD + at + skip * stride;
            ranges.push(first..first + taken * stride);
            at += rows * stride;
        }
        if skip > 0 {
            ids = ids.split_off(skip);
        }
        if ids.lengths.len() > taken {
            ids.split_off(taken);
        }
        // The memory stays as it is until the next block is looked for.
        self.at += (HEAD + bytes) as u64;
        self.place += HEAD + bytes;
        let of = |place: &usize| self.memory.get(ranges.get(*place)?.clone());
        Ok(Some(Rows { ids, columns: places.iter().filter_map(of).collect() }))
    }
}

/// What a head says, if it is one: rows, bytes behind it, and their checksum.
fn parse_head(bytes: &[u8]) -> Option<(u32, u64, u32)> {
    let (crc, rest) = bytes.get(..HEAD)?.split_first_chunk()?;
    let (rows, said) = rest.split_first_chunk()?;
    let (bytes, said) = said.split_first_chunk()?;
    let number = u32::from_le_bytes;
    let is_whole = crc32c::crc32c(rest) == number(*crc);
    is_whole.then_some((number(*rows), u64::from_le_bytes(*bytes), number(said.try_into().ok()?)))
}
