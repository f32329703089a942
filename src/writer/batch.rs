//! A batch as it waits and is stored: ids, and for each tensor column the rows one after the other. It is
//! made from Arrow or from plain memory, and checked whole.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, RecordBatch, StringArray};
use arrow::buffer::Buffer;
use arrow::datatypes::Field;

use crate::error::{Error, Result};
use crate::ids::{self, Ids};
use crate::tensor::{ID_COLUMN, first_null, missing_column, type_name};
use crate::writer::TensorView;
use crate::writer::layout::{Column, Layout};
use crate::writer::pool::Pool;

/// Ids, one after the other, each with its length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IdBlock {
    pub lengths: Vec<u32>,
    pub bytes: Vec<u8>,
}

/// Numbers before the ids of a block: how many there are, and their bytes.
pub const ID_BLOCK_HEAD: usize = 8;

impl IdBlock {
    pub fn of(ids: &StringArray) -> Self {
        let offsets = ids.value_offsets();
        let lengths = offsets.windows(2).map(|pair| match pair {
            [start, end] => (end - start) as u32,
            _ => 0,
        });
        let range = offsets.first().map_or(0, |at| *at as usize)
            ..offsets.last().map_or(0, |at| *at as usize);
        let bytes = ids.value_data().get(range).unwrap_or_default().to_vec();
        Self { lengths: lengths.collect(), bytes }
    }

    /// Of a column of ids of any type that ids may have.
    pub fn from_arrow(ids: &ArrayRef) -> Result<Self> {
        Ok(Self::of(&ids::from_arrow(ids)?))
    }

    pub fn memory(&self) -> usize {
        self.lengths.len() * 4 + self.bytes.len()
    }

    pub fn append(&mut self, other: &Self) {
        self.lengths.extend_from_slice(&other.lengths);
        self.bytes.extend_from_slice(&other.bytes);
    }

    pub fn split_off(&mut self, at: usize) -> Self {
        let kept = self.lengths.iter().take(at).map(|length| *length as usize).sum();
        Self { lengths: self.lengths.split_off(at), bytes: self.bytes.split_off(kept) }
    }

    /// How a block lies in a file: the numbers of ids and of their bytes as u32, the lengths as u32, the bytes;
    /// little-endian.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ID_BLOCK_HEAD + self.memory());
        out.extend((self.lengths.len() as u32).to_le_bytes());
        out.extend((self.bytes.len() as u32).to_le_bytes());
        self.lengths.iter().for_each(|length| out.extend(length.to_le_bytes()));
        out.extend_from_slice(&self.bytes);
        out
    }

    /// How long the block is that begins so.
    pub fn encoded_length(head: &[u8]) -> Option<usize> {
        let number = |at: usize| -> Option<usize> {
            let bytes: [u8; 4] = head.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_le_bytes(bytes) as usize)
        };
        Some(ID_BLOCK_HEAD + 4 * number(0)? + number(4)?)
    }

    /// The block that `bytes` begin with, and how long it is.
    pub fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let end = Self::encoded_length(bytes)?;
        let count = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let text = ID_BLOCK_HEAD + 4 * count;
        let numbers = bytes.get(ID_BLOCK_HEAD..text)?.chunks_exact(4);
        let lengths: Vec<u32> =
            numbers.filter_map(|n| n.try_into().ok().map(u32::from_le_bytes)).collect();
        let text = bytes.get(text..end)?;
        let total: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
        (total == text.len() as u64).then(|| (Self { lengths, bytes: text.to_vec() }, end))
    }

    pub fn to_array(&self) -> Result<StringArray> {
        let mut offsets = Vec::with_capacity(self.lengths.len() + 1);
        let mut end = 0_i32;
        offsets.push(end);
        for length in &self.lengths {
            end = i32::try_from(*length)
                .ok()
                .and_then(|length| end.checked_add(length))
                .ok_or_else(|| Error::internal("ids of two gibibytes in one block"))?;
            offsets.push(end);
        }
        let offsets = arrow::buffer::OffsetBuffer::new(offsets.into());
        Ok(StringArray::try_new(offsets, Buffer::from(self.bytes.as_slice()), None)?)
    }
}

/// Rows that are checked, and fit the layout they were made for.
#[derive(Clone, Debug)]
pub struct Batch {
    pub rows: usize,
    pub ids: IdBlock,
    /// As many rows of each column.
    pub columns: Vec<Buffer>,
}

impl Batch {
    pub fn memory(&self) -> usize {
        self.ids.memory() + self.columns.iter().map(Buffer::len).sum::<usize>()
    }

    /// The rows of each column.
    pub fn slices(&self) -> Vec<&[u8]> {
        self.columns.iter().map(Buffer::as_slice).collect()
    }

    /// Takes the rows from `at` on out of it.
    pub fn split_off(&mut self, at: usize, layout: &Layout) -> Self {
        let strides = layout.columns.iter().map(|column| column.stride);
        let later = self.columns.iter().zip(strides.clone());
        let columns = later.map(|(rows, stride)| rows.slice(at * stride)).collect();
        for (rows, stride) in self.columns.iter_mut().zip(strides) {
            *rows = rows.slice_with_length(0, at * stride);
        }
        let rows = self.rows - at;
        self.rows = at;
        Self { rows, ids: self.ids.split_off(at), columns }
    }
}

/// Small batches that wait together, so that what they take is what they are.
#[derive(Default)]
pub struct Block {
    pub rows: usize,
    pub ids: IdBlock,
    columns: Vec<Vec<u8>>,
}

/// Batches below this are put together, up to blocks of so many bytes.
pub const BLOCK_BYTES: usize = 256 << 10;

impl Block {
    pub fn new(batch: &Batch) -> Self {
        let memory = |rows: &Buffer| Vec::with_capacity(rows.len().max(1024));
        Self { columns: batch.columns.iter().map(memory).collect(), ..Self::default() }
    }

    pub fn memory(&self) -> usize {
        self.ids.memory() + self.columns.iter().map(Vec::len).sum::<usize>()
    }

    pub fn append(&mut self, batch: &Batch) {
        self.add(&batch.ids, &batch.slices());
    }

    /// Rows of as many columns as those before.
    pub fn add(&mut self, ids: &IdBlock, columns: &[&[u8]]) {
        self.rows += ids.lengths.len();
        self.ids.append(ids);
        self.columns.resize_with(columns.len(), Vec::new);
        for (all, rows) in self.columns.iter_mut().zip(columns) {
            all.extend_from_slice(rows);
        }
    }

    /// Takes all rows out; the memory is used again.
    pub fn clear(&mut self) {
        self.rows = 0;
        self.ids.lengths.clear();
        self.ids.bytes.clear();
        self.columns.iter_mut().for_each(Vec::clear);
    }

    pub fn columns(&self) -> Vec<&[u8]> {
        self.columns.iter().map(Vec::as_slice).collect()
    }

    pub fn into_batch(self) -> Batch {
        let columns = self.columns.into_iter().map(Buffer::from_vec).collect();
        Batch { rows: self.rows, ids: self.ids, columns }
    }
}

/// `alias`: the memory of the tensors is taken over instead of being copied.
pub fn from_arrow(
    layout: &Layout,
    batch: &RecordBatch,
    pool: &Arc<Pool>,
    alias: bool,
) -> Result<Batch> {
    let column = |name: &str| {
        batch.column_by_name(name).ok_or_else(|| missing_column(name, batch.schema_ref()))
    };
    let ids = IdBlock::from_arrow(column(ID_COLUMN)?)?;
    let rows = |tensor: &Column| -> Result<Buffer> {
        let array = column(&tensor.name)?;
        let list = as_list(array).ok_or_else(|| {
            Error::schema_mismatch(format!(
                "column \"{}\": expected {}, got {}",
                tensor.name,
                type_name(&tensor.spec.arrow_type()),
                type_name(array.data_type())
            ))
        })?;
        let list = &list;
        refuse_nulls(&tensor.name, list)?;
        stored(tensor, list, pool, alias)
    };
    let columns = layout.columns.iter().map(rows).collect::<Result<_>>()?;
    Ok(Batch { rows: batch.num_rows(), ids, columns })
}

/// Numbers are lists of one each.
fn as_list(array: &ArrayRef) -> Option<FixedSizeListArray> {
    if let Some(list) = array.as_fixed_size_list_opt() {
        return Some(list.clone());
    }
    let item = Arc::new(Field::new("item", array.data_type().clone(), true));
    FixedSizeListArray::try_new(item, 1, array.clone(), None).ok()
}

/// The rows as they are stored.
fn stored(
    tensor: &Column,
    list: &FixedSizeListArray,
    pool: &Arc<Pool>,
    alias: bool,
) -> Result<Buffer> {
    let Some(layout) = tensor.plain else {
        // Bits, each in a byte of its own.
        let bits = list.values().as_boolean_opt().ok_or_else(|| Error::internal("no bits"))?;
        let bytes: Vec<u8> = bits.values().iter().map(u8::from).collect();
        return Ok(bytes.into());
    };
    let bytes = layout.bytes(list).ok_or_else(|| {
        Error::invalid_argument(format!("column \"{}\": its values are cut short", tensor.name))
    })?;
    if alias {
        return Ok(bytes);
    }
    let mut memory = pool.take(bytes.len())?;
    memory.extend_from_slice(&bytes);
    Ok(pool.lend(memory))
}

/// Tensors with their names, in any order.
pub fn from_memory(
    layout: &Layout,
    ids: &Ids,
    tensors: &[(&str, TensorView)],
    pool: &Arc<Pool>,
) -> Result<Batch> {
    let rows = |column: &Column| tensor_of(column, tensors)?.to_rows(column.plain.is_some(), pool);
    let columns = layout.columns.iter().map(rows).collect::<Result<_>>()?;
    let ids = IdBlock::of(&ids.to_array()?);
    Ok(Batch { rows: ids.lengths.len(), ids, columns })
}

/// The rows of a column, where they are if they lie there as they are stored.
pub enum Lent<'a> {
    Caller(&'a [u8]),
    Own(Buffer),
}

impl Lent<'_> {
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Caller(rows) => rows,
            Self::Own(rows) => rows.as_slice(),
        }
    }
}

/// As `from_memory`, for whoever is done with the rows before the caller has his memory back.
pub fn lent_from_memory<'a>(
    layout: &Layout,
    tensors: &[(&str, TensorView<'a>)],
    pool: &Arc<Pool>,
) -> Result<Vec<Lent<'a>>> {
    let rows = |column: &Column| {
        let tensor = tensor_of(column, tensors)?;
        match tensor.plain_rows() {
            Some(rows) => Ok(Lent::Caller(rows)),
            None => tensor.to_rows(column.plain.is_some(), pool).map(Lent::Own),
        }
    };
    layout.columns.iter().map(rows).collect()
}

fn tensor_of<'t, 'a>(
    column: &Column,
    tensors: &'t [(&str, TensorView<'a>)],
) -> Result<&'t TensorView<'a>> {
    let tensor = tensors.iter().find(|(name, _)| *name == column.name);
    tensor.map(|(_, tensor)| tensor).ok_or_else(|| Error::internal("a checked tensor is missing"))
}

fn refuse_nulls(name: &str, list: &FixedSizeListArray) -> Result<()> {
    match first_null(list) {
        None => Ok(()),
        Some(row) => Err(Error::invalid_argument(format!(
            "column \"{name}\": the tensor at index {row} is null or has a null in it"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{DType, TensorSpec};

    fn batch(first: usize, rows: usize) -> Batch {
        let names: Vec<String> = (first..first + rows).map(|i| format!("id {i}")).collect();
        let values: Vec<u8> = (first..first + rows).flat_map(|i| [i as u8; 2]).collect();
        let ids = IdBlock::of(&StringArray::from(names));
        Batch { rows, ids, columns: vec![values.into()] }
    }

    fn layout() -> Layout {
        let spec = TensorSpec::new(DType::RDS_DTYPE_UINT8, &[2]).unwrap();
        Layout::new([("data", &spec)].into_iter()).unwrap()
    }

    #[test]
    fn a_block_of_batches_is_the_batch_of_their_rows() {
        let (one, other) = (batch(0, 3), batch(3, 9));
        let mut block = Block::new(&one);
        block.append(&one);
        block.append(&other);
        assert_eq!(block.memory(), one.memory() + other.memory());
        let both = block.into_batch();
        assert_eq!((both.rows, &both.ids), (12, &batch(0, 12).ids));
        assert_eq!(both.columns[0].as_slice(), batch(0, 12).columns[0].as_slice());
    }

    #[test]
    fn a_batch_is_split_between_two_rows() {
        let mut first = batch(0, 12);
        let later = first.split_off(5, &layout());
        assert_eq!((first.rows, later.rows), (5, 7));
        assert_eq!((&first.ids, &later.ids), (&batch(0, 5).ids, &batch(5, 7).ids));
        assert_eq!(first.columns[0].as_slice(), batch(0, 5).columns[0].as_slice());
        assert_eq!(later.columns[0].as_slice(), batch(5, 7).columns[0].as_slice());
    }

    #[test]
    fn ids_come_back_from_their_block_and_a_damaged_block_does_not() {
        let ids = batch(7, 5).ids;
        let bytes = ids.encode();
        assert_eq!(IdBlock::decode(&bytes), Some((ids.clone(), bytes.len())));
        assert_eq!(ids.to_array().unwrap().value(4), "id 11");
        for length in 0..bytes.len() {
            assert_eq!(IdBlock::decode(&bytes[..length]), None, "{length}");
        }
        let mut longer = bytes.clone();
        longer[8] += 1;
        assert_eq!(IdBlock::decode(&longer), None);
    }
}
