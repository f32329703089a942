//! The file of a part as it is written: blocks of rows, its token, and where that begins.
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
use crate::writer::grown::{reserve, write_all_at};
use crate::writer::heap::{failed_sync, room};
use crate::writer::jobs::Part;
use crate::writer::journal::sync_directory;
use crate::writer::layout::Layout;
use crate::writer::parts::removal::remove_emptied;
use crate::writer::parts::{PartToken, UNFINISHED, directory, group, open};
use crate::writer::records::ColumnOf;
use crate::writer::staging::Token;

const MAGIC: &[u8; 8] = b"RDSPART1";
const TAIL: usize = 16;
/// Checksum, rows, bytes, checksum of these.
pub const HEAD: usize = 20;
/// Tensors of a block: what fits the caches of a processor on the way from file to file.
const BLOCK_BYTES: usize = 1 << 20;
/// The table, what it is in, the results, and what these are in.
const LEVELS: usize = 4;

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

    fn directory(&self) -> PathBuf {
        group(&directory(&self.table, &self.part.job), self.part.number)
    }

    fn ensure_open(&mut self) -> Result<&(File, PathBuf)> {
        if self.open.is_none() {
            let directory = self.directory();
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
        let bytes = ids.memory() + columns.iter().map(|rows| rows.len()).sum::<usize>();
        let at = self.bytes;
        reserve(&self.ensure_open()?.0, at, bytes as u64);
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
            file_rows: layout.map_or(0, |layout| room(layout, 0, 0)),
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
        let directory = self.directory();
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
            remove_emptied(&self.table, &path);
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
