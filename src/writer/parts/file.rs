//! The file of a part: blocks of rows, its token, and where that begins.
//!
//! A block has a head: the CRC-32C of what follows in it, the number of its rows, both 32-bit little-endian, the number
//! of bytes behind the head as 64-bit, and their CRC-32C. Then come the ids as `IdBlock` has them, and of each column its
//! rows. The last 16 bytes of the file are the length of the token and a magic number.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::writer::batch::{Block, IdBlock};
use crate::writer::heap::{self, failed_sync, write_all_at};
use crate::writer::jobs::Part;
use crate::writer::journal::sync_directory;
use crate::writer::layout::Layout;
use crate::writer::parts::{PartToken, UNFINISHED, directory, open, remove_empty};
use crate::writer::records::ColumnOf;
use crate::writer::staging::Token;

const MAGIC: &[u8; 8] = b"RDSPART1";
const TAIL: usize = 16;
/// Checksum, rows, bytes, checksum of these.
const HEAD: usize = 20;
/// Tensors of a block: what fits the caches of a processor on the way from file to file.
const BLOCK_BYTES: usize = 1 << 20;
/// The table, what it is in, the results, and what these are in.
const LEVELS: usize = 4;
/// Small parts are read at once.
const READ_BYTES: usize = 64 << 10;

/// A part that is being written.
pub struct PartFile {
    table: PathBuf,
    part: Part,
    attempt: Uuid,
    /// Whether the token is given when the rows are on disk, and not before.
    durable: bool,
    /// None once the file has its name.
    open: Option<(File, PathBuf)>,
    /// Small batches that wait to be written together.
    pending: Option<Block>,
    /// Of what is written.
    rows: u64,
    bytes: u64,
    /// The token of a file that has its name, which may not be on disk yet.
    named: Option<Vec<u8>>,
    /// Why the disk failed: what it has nobody knows.
    failed: Option<Error>,
}

impl PartFile {
    /// The file is there from now on: if the job is published meanwhile, it goes, and `finish` tells.
    pub fn create(table: &Path, part: Part, durable: bool) -> Result<Self> {
        let (table, attempt) = (table.to_path_buf(), Uuid::new_v4());
        let (rows, bytes) = (0, 0);
        let (open, pending, named, failed) = (None, None, None, None);
        let mut file =
            Self { table, part, attempt, durable, open, pending, rows, bytes, named, failed };
        file.ensure_open()?;
        Ok(file)
    }

    fn ensure_open(&mut self) -> Result<&(File, PathBuf)> {
        if self.open.is_none() {
            let directory = directory(&self.table, &self.part.job);
            let name = format!("{}-{}{UNFINISHED}", self.part.number, self.attempt.simple());
            let path = directory.join(name);
            let of = |error: io::Error| Error::from(error).context(path.display());
            // A job that ends removes its directory, and those above it if they are empty.
            let mut attempts = 0..10;
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true);
            let file = loop {
                match std::fs::create_dir_all(&directory).and_then(|()| options.open(&path)) {
                    Err(error)
                        if error.kind() == io::ErrorKind::NotFound && attempts.next().is_some() => {
                    }
                    file => break file.map_err(of)?,
                }
            };
            self.open = Some((file, path));
        }
        self.open.as_ref().ok_or_else(|| Error::internal("a part without a file"))
    }

    /// Adds rows of these columns: all of them or, after an error, none.
    pub fn append(&mut self, layout: &Layout, ids: &IdBlock, columns: &[&[u8]]) -> Result<()> {
        let strides: Vec<usize> = layout.columns.iter().map(|column| column.stride).collect();
        let memory = ids.memory() + columns.iter().map(|rows| rows.len()).sum::<usize>();
        if memory < BLOCK_BYTES / 4 {
            let waits = self.pending.as_ref().map_or(0, Block::memory);
            if waits + memory > BLOCK_BYTES {
                self.write_pending()?;
            }
            self.pending.get_or_insert_default().add(ids, columns);
            return Ok(());
        }
        self.write_pending()?;
        let before = (self.rows, self.bytes);
        let written = self.write_blocks(ids, columns, &strides);
        if written.is_err() {
            // The next batch is written there.
            (self.rows, self.bytes) = before;
        }
        written
    }

    fn write_blocks(&mut self, ids: &IdBlock, columns: &[&[u8]], strides: &[usize]) -> Result<()> {
        let rows = ids.lengths.len();
        let most = (BLOCK_BYTES / strides.iter().sum::<usize>().max(1)).max(1);
        let (mut first, mut text) = (0, 0);
        while first < rows {
            let end = rows.min(first + most);
            let lengths = ids.lengths.get(first..end).unwrap_or_default();
            let bytes: usize = lengths.iter().map(|length| *length as usize).sum();
            let text_end = text + bytes;
            let of_block = IdBlock {
                lengths: lengths.to_vec(),
                bytes: ids.bytes.get(text..text_end).unwrap_or_default().to_vec(),
            };
            let slices = columns.iter().zip(strides);
            let slices = slices.map(|(rows, stride)| rows.get(first * stride..end * stride));
            let slices: Option<Vec<&[u8]>> = slices.collect();
            let slices = slices.ok_or_else(|| Error::internal("a batch of other rows than ids"))?;
            self.write_block(&of_block, &slices)?;
            (first, text) = (end, text_end);
        }
        Ok(())
    }

    fn write_pending(&mut self) -> Result<()> {
        let Some(block) = self.pending.take() else { return Ok(()) };
        let written = self.write_block(&block.ids, &block.columns());
        if written.is_err() {
            self.pending = Some(block);
        }
        written
    }

    fn write_block(&mut self, ids: &IdBlock, columns: &[&[u8]]) -> Result<()> {
        let rows = ids.lengths.len();
        let ids = ids.encode();
        let bytes = ids.len() + columns.iter().map(|rows| rows.len()).sum::<usize>();
        let count = u32::try_from(rows).map_err(|_| Error::internal("a block of too many rows"))?;
        let crc =
            columns.iter().fold(crc32c::crc32c(&ids), |crc, rows| crc32c::crc32c_append(crc, rows));
        let mut said = count.to_le_bytes().to_vec();
        said.extend((bytes as u64).to_le_bytes());
        said.extend(crc.to_le_bytes());
        let head = [crc32c::crc32c(&said).to_le_bytes().as_slice(), &said, &ids].concat();
        let at = self.bytes;
        let (file, path) = self.ensure_open()?;
        let parts: Vec<&[u8]> =
            std::iter::once(head.as_slice()).chain(columns.iter().copied()).collect();
        write_all_at(file, &parts, at).map_err(|e| Error::from(e).context(path.display()))?;
        self.bytes += (HEAD + bytes) as u64;
        self.rows += rows as u64;
        Ok(())
    }

    /// Gives the file its name; its token. It may be tried again after an error, unless the disk failed.
    pub fn finish(&mut self, layout: Option<&Layout>) -> Result<Vec<u8>> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let token = match self.named.take() {
            Some(token) => token,
            None => self.name(layout)?,
        };
        if self.durable
            && let Err(error) = self.sync_names()
        {
            self.named = Some(token);
            return Err(error);
        }
        // Rows that come now are of another attempt.
        (self.attempt, self.rows, self.bytes) = (Uuid::new_v4(), 0, 0);
        Ok(token)
    }

    fn name(&mut self, layout: Option<&Layout>) -> Result<Vec<u8>> {
        self.write_pending()?;
        let columns = layout.iter().flat_map(|layout| &layout.columns);
        let token = PartToken {
            part: self.part.clone(),
            attempt: self.attempt,
            rows: self.rows,
            bytes: self.bytes,
            columns: columns.map(ColumnOf::new).collect(),
            row_bytes: layout.map_or(0, |layout| layout.row_bytes() as u64),
            file_rows: layout.map_or(0, |layout| heap::room(layout, 0, 0)),
        };
        let named = token.path(&self.table);
        let bytes = Token::Part(token).to_bytes()?;
        let tail = [&(bytes.len() as u64).to_le_bytes(), MAGIC.as_slice()].concat();
        let (at, durable, number) = (self.bytes, self.durable, self.part.number);
        let (file, path) = self.ensure_open()?;
        let of = |error: io::Error| Error::from(error).context(path.display());
        write_all_at(file, &[&bytes, &tail], at).map_err(of)?;
        // What a batch left that could not be written whole.
        file.set_len(at + (bytes.len() + TAIL) as u64).map_err(of)?;
        if durable {
            let synced = file.sync_data().map_err(failed_sync(path));
            if let Err(error) = synced {
                self.failed = Some(error.clone());
                return Err(error);
            }
        }
        std::fs::rename(path, &named).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::not_found(format!(
                "the file of part {number} was removed while it was written: its job was committed, or a vacuum \
                 took it"
            )),
            _ => Error::from(error).context(named.display()),
        })?;
        self.open = None;
        Ok(bytes)
    }

    /// The name of the part, and those of all directories that it is in: whoever made them may not have come to that.
    fn sync_names(&self) -> Result<()> {
        let directory = directory(&self.table, &self.part.job);
        for directory in directory.ancestors().take_while(|directory| *directory != self.table) {
            sync_directory(directory)?;
        }
        for directory in self.table.ancestors().take(LEVELS) {
            match sync_directory(directory) {
                // One that others made for us.
                Err(_) if directory != self.table => break,
                synced => synced?,
            }
        }
        Ok(())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if let Some((_, path)) = self.open.take() {
            let _ = std::fs::remove_file(&path);
            // Only if nobody else has written for the job.
            let _ = path.parent().map(std::fs::remove_dir);
            remove_empty(&self.table);
        }
    }
}

/// The token at the end of a part, and its bytes.
pub fn read_token(path: &Path) -> Result<(PartToken, Vec<u8>)> {
    let file = open(path)?;
    let size = file.metadata()?.len();
    let cut = || Error::corrupt("it is cut short");
    let mut tail = [0; TAIL];
    let tail_at = size.checked_sub(TAIL as u64).ok_or_else(cut)?;
    file.read_exact_at(&mut tail, tail_at)?;
    let (length, magic) = tail.split_first_chunk().ok_or_else(cut)?;
    let length = u64::from_le_bytes(*length);
    let at = tail_at.checked_sub(length).filter(|_| magic == MAGIC).ok_or_else(cut)?;
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, at)?;
    match Token::from_bytes(&bytes)? {
        Token::Part(token) if token.bytes == at => Ok((token, bytes)),
        _ => Err(cut()),
    }
}

/// Reads the blocks of a part, one after the other.
pub struct Blocks {
    file: File,
    path: PathBuf,
    /// Where the next block begins in the file, and in the memory.
    at: u64,
    place: usize,
    end: u64,
    strides: Vec<usize>,
    /// Bytes of the file up to some behind the head of the next block.
    memory: Vec<u8>,
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
        mut memory: Vec<u8>,
    ) -> Result<Self> {
        memory.clear();
        let (file, strides) = (open(&path)?, strides.to_vec());
        Ok(Self { file, path, at: 0, place: 0, end: token.bytes, strides, memory })
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
        if self.memory.len() - self.place >= bytes {
            return Ok(());
        }
        self.memory.drain(..self.place);
        self.place = 0;
        let had = self.memory.len();
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        self.memory.resize(left.min(bytes.max(READ_BYTES)), 0);
        let place = self.memory.get_mut(had..).unwrap_or_default();
        let read = self.file.read_exact_at(place, self.at + had as u64);
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("it is cut short"),
            _ => Error::from(error).context(self.path.display()),
        })
    }

    /// The next block: its checksum, its rows and the bytes behind its head.
    fn head(&mut self) -> Result<Option<(u32, usize, usize)>> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(None);
        }
        self.read(left.min(HEAD))?;
        let head = self.memory.get(self.place..).and_then(parse_head);
        let (rows, bytes, crc) = head.ok_or_else(|| self.damaged("its head is none"))?;
        if bytes > left.saturating_sub(HEAD) as u64 {
            return Err(self.damaged("a block ends behind the last one"));
        }
        Ok(Some((crc, rows as usize, bytes as usize)))
    }

    fn go_past(&mut self, bytes: usize) {
        self.at += (HEAD + bytes) as u64;
        self.place += HEAD + bytes;
        if self.place > self.memory.len() {
            self.memory.clear();
            self.place = 0;
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
