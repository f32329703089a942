//! What the journal of a run that has lost its owner says, checked against its files.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::tensor::{DType, TensorSpec};
use crate::writer::Mode;
use crate::writer::batch::{Batch, IdBlock};
use crate::writer::heap::file_name;
use crate::writer::layout::{Column, Layout};
use crate::writer::records::{ColumnOf, Extent, Record, State, read};

/// A run whose rows wait.
pub struct Replayed {
    pub state: State,
    /// The epoch whose owner wrote the journal.
    pub epoch: u64,
    /// What became of the rows of its heap, oldest first.
    heap: Vec<Grown>,
    /// How often the journal went on after each.
    followed: Vec<bool>,
}

enum Grown {
    Extent(Extent),
    Rows { number: u64, before: u64, ids: IdBlock, columns: Vec<Vec<u8>> },
}

/// The rows of a heap that are durable: a part of its files from their start, and what the journal has whole.
pub struct Durable {
    pub prefix: Option<Extent>,
    /// Ids of rows of the prefix that its file of ids does not have.
    pub ids: Vec<IdBlock>,
    pub tail: Vec<Batch>,
}

pub fn modes(mode: Mode) -> &'static str {
    match mode {
        Mode::Create => "create",
        Mode::Append => "append",
        Mode::Overwrite => "overwrite",
        Mode::Staged => "staged",
    }
}

impl Replayed {
    /// None, if the run has no journal: it never made anything durable.
    pub fn read(directory: &Path) -> Result<Option<Self>> {
        // Those who took over write none: the journal is that of the run's first owner.
        read(directory, 1)?.map_or(Ok(None), Self::of)
    }

    /// What records come to that begin with the state of the run.
    pub fn of(records: Vec<Record>) -> Result<Option<Self>> {
        let mut records = records.into_iter();
        let Some(Record::State(state)) = records.next() else { return Ok(None) };
        let open = state.open.clone();
        let mut replayed = Self { state, epoch: 1, heap: Vec::new(), followed: Vec::new() };
        // Of older segments there may be rows, or only their ids, that the heap has on disk by now.
        let in_heap = open.as_ref().map_or(0, |extent| extent.rows);
        let mut records = records.peekable();
        while let Some(Record::Rows { number, before, ids, columns }) = records
            .next_if(|record| matches!(record, Record::Rows { before, .. } if *before < in_heap))
        {
            replayed.grow(Grown::Rows { number, before, ids, columns });
        }
        open.into_iter().for_each(|extent| replayed.grow(Grown::Extent(extent)));
        replayed.followed.iter_mut().for_each(|followed| *followed = true);
        for record in records {
            replayed.add(record)?;
        }
        Ok(Some(replayed))
    }

    fn add(&mut self, record: Record) -> Result<()> {
        self.followed.iter_mut().for_each(|followed| *followed = true);
        let heap_rows = self.heap_rows();
        match record {
            Record::State(_) => return Err(Error::corrupt("the journal begins twice")),
            Record::Rows { number, before, ids, columns } => {
                if before != heap_rows {
                    return Err(Error::corrupt("rows are missing in the journal"));
                }
                self.grow(Grown::Rows { number, before, ids, columns });
            }
            Record::Extent(extent) => {
                if extent.rows < heap_rows {
                    return Err(Error::corrupt("a file of the journal shrinks"));
                }
                self.grow(Grown::Extent(extent));
            }
            Record::Finished(finished) => {
                self.state.open_first = finished.end();
                self.state.finished.push(finished);
                self.heap.clear();
                self.followed.clear();
            }
            Record::Intent(intent) => self.state.intent = Some(intent),
            Record::Done { rows, version } => self.landed(rows, version),
        }
        Ok(())
    }

    /// A version shows so many rows: from then on the run appends.
    pub fn landed(&mut self, rows: u64, version: u64) {
        self.state.landed(rows, version);
    }

    fn grow(&mut self, grown: Grown) {
        self.heap.push(grown);
        self.followed.push(false);
    }

    fn heap_rows(&self) -> u64 {
        self.heap.iter().fold(0, |rows, grown| match grown {
            Grown::Extent(extent) => extent.rows,
            Grown::Rows { ids, .. } => rows + ids.lengths.len() as u64,
        })
    }

    /// Rows of the run that wait to become visible, as far as the journal says.
    pub fn waiting(&self) -> u64 {
        if self.state.volatile {
            return 0;
        }
        // Of a large batch there are ids first; it is there with the extent that says where its rows are.
        let mut known = Some(0);
        let mut rows = 0;
        for grown in &self.heap {
            known = match grown {
                Grown::Extent(extent) => Some(extent.rows),
                Grown::Rows { columns, .. } if columns.is_empty() => None,
                Grown::Rows { ids, .. } => known.map(|known| known + ids.lengths.len() as u64),
            };
            rows = known.unwrap_or(rows);
        }
        (self.state.open_first + rows).saturating_sub(self.state.published)
    }

    pub fn mode(&self) -> Result<Mode> {
        let modes = [Mode::Create, Mode::Append, Mode::Overwrite, Mode::Staged];
        let mode = modes.into_iter().find(|mode| self::modes(*mode) == self.state.mode);
        mode.ok_or_else(|| Error::not_supported(format!("the run has mode {:?}", self.state.mode)))
    }

    pub fn layout(&self) -> Result<Layout> {
        let columns = self.state.columns.iter().map(ColumnOf::column);
        Ok(Layout { columns: columns.collect::<Result<_>>()? })
    }

    pub fn heap_number(&self) -> u64 {
        let numbers = self.heap.iter().map(|grown| match grown {
            Grown::Extent(extent) => extent.number,
            Grown::Rows { number, .. } => *number,
        });
        numbers.max().unwrap_or(0)
    }

    /// The rows of the heap that are whole. A last extent that its files do not bear out was not on disk yet;
    /// one that the journal went on after was.
    pub fn durable(&mut self, directory: &Path) -> Result<Durable> {
        let layout = self.layout()?;
        loop {
            let last = self.heap.iter().rposition(|grown| matches!(grown, Grown::Extent(_)));
            let Some(at) = last else {
                let tail = self.tail(0, &layout)?;
                return Ok(Durable { prefix: None, ids: Vec::new(), tail });
            };
            let Some(Grown::Extent(extent)) = self.heap.get(at) else {
                return Err(Error::internal("an extent that is none"));
            };
            match check(directory, &self.state.run, self.epoch, extent) {
                Ok(()) => {
                    let ids = self.ids(at, extent)?;
                    let tail = self.tail(at + 1, &layout)?;
                    return Ok(Durable { prefix: Some(extent.clone()), ids, tail });
                }
                Err(error) if self.followed.get(at) == Some(&false) => {
                    log::info!("the last rows of run {} were not on disk: {error}", self.state.run);
                    self.heap.truncate(at);
                    self.followed.truncate(at);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Ids of an extent that are in the journal.
    fn ids(&self, at: usize, extent: &Extent) -> Result<Vec<IdBlock>> {
        let mut found = Vec::new();
        let mut rows = extent.ids_rows;
        for grown in self.heap.iter().take(at) {
            if let Grown::Rows { before, ids, .. } = grown
                && *before >= extent.ids_rows
            {
                rows += ids.lengths.len() as u64;
                found.push(ids.clone());
            }
        }
        match rows == extent.rows {
            true => Ok(found),
            false => Err(Error::corrupt("ids are missing in the journal")),
        }
    }

    fn tail(&self, from: usize, layout: &Layout) -> Result<Vec<Batch>> {
        let mut tail = Vec::new();
        for grown in self.heap.iter().skip(from) {
            let Grown::Rows { ids, columns, .. } = grown else { continue };
            if columns.is_empty() {
                // Their rows were not on disk yet, or there would be an extent.
                break;
            }
            let rows = ids.lengths.len();
            let fits = |(column, bytes): (&Column, &Vec<u8>)| bytes.len() == rows * column.stride;
            if columns.len() != layout.columns.len()
                || !layout.columns.iter().zip(columns).all(fits)
            {
                return Err(Error::corrupt(
                    "rows of the journal are not as long as they should be",
                ));
            }
            let columns = columns.iter().map(|bytes| bytes.as_slice().into()).collect();
            tail.push(Batch { rows, ids: ids.clone(), columns });
        }
        Ok(tail)
    }
}

impl ColumnOf {
    pub fn new(column: &Column) -> Self {
        let (name, spec) = (column.name.clone(), &column.spec);
        Self { name, dtype: spec.dtype.name().to_string(), shape: spec.shape.clone() }
    }

    pub fn column(&self) -> Result<Column> {
        let dtype = DType::from_name(&self.dtype);
        let dtype = dtype.ok_or_else(|| Error::not_supported(format!("dtype {:?}", self.dtype)))?;
        Ok(Column::new(&self.name, TensorSpec::new(dtype, &self.shape)?))
    }
}

/// The files of a heap, ids first.
pub fn heap_files(directory: &Path, run: &str, epoch: u64, extent: &Extent) -> Vec<PathBuf> {
    let columns = (0..extent.columns.len()).map(|c| file_name(run, epoch, extent.number, c));
    let ids = format!("{epoch}-{}.ids", extent.number);
    [ids].into_iter().chain(columns).map(|name| directory.join(name)).collect()
}

/// That the files begin with what the extent says.
fn check(directory: &Path, run: &str, epoch: u64, extent: &Extent) -> Result<()> {
    let expected = [extent.ids].into_iter().chain(extent.columns.iter().copied());
    for (path, (bytes, crc)) in heap_files(directory, run, epoch, extent).iter().zip(expected) {
        let found = checksum(path, bytes).map_err(|e| Error::from(e).context(path.display()))?;
        if found != crc {
            return Err(Error::corrupt(format!(
                "the first {bytes} bytes of {} are not those that were written",
                path.display()
            )));
        }
    }
    Ok(())
}

/// CRC-32C of the start of a file, which must be as long.
pub fn checksum(path: &Path, bytes: u64) -> io::Result<u32> {
    let mut file = File::open(path)?.take(bytes);
    let (mut crc, mut left) = (0, bytes);
    let mut buffer = vec![0; 1 << 20];
    while left > 0 {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        crc = crc32c::crc32c_append(crc, buffer.get(..read).unwrap_or_default());
        left -= read as u64;
    }
    Ok(crc)
}
