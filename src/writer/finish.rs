//! Makes a data file of Lance of what a run has written.
//!
//! In files of version 2.1 and 2.2 rows that lie plain stay where they are: pages are described over them,
//! ids are encoded behind them by Lance's encoder, and the footer is Lance's. Whatever a table wants
//! otherwise is written anew by Lance's own writer: files of other versions, other encodings, rows that do
//! not fill their last byte.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, RecordBatch, StringArray, make_array};
use arrow::buffer::{BooleanBuffer, Buffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Schema as ArrowSchema};
use lance_core::datatypes::Schema;
use lance_file::version::ConcreteFileVersion;
use lance_file::versions::{create_writer, data_file_columns};
use lance_file::writer::FileWriterOptions;

use crate::error::{Error, Result};
use crate::plain::RowLayout;
use crate::tensor::ID_COLUMN;
use crate::writer::batch::{ID_BLOCK_HEAD, IdBlock};
use crate::writer::footer::{Footer, Sink};
use crate::writer::fragment::{Finished, FinishedFile, Target};
use crate::writer::layout::{Column, Layout};

/// What is encoded anew at once.
const READ_BYTES: usize = 4 << 20;
/// How many ids are encoded at once, and how many bytes of them.
const IDS_AT_ONCE: usize = 1 << 16;
const ID_BYTES: usize = 16 << 20;

/// A file of rows, one after the other from its first byte on.
pub struct Rows {
    pub path: PathBuf,
    pub file: Arc<File>,
}

/// What a data file is made of.
pub struct Source<'a> {
    pub number: u64,
    pub first_row: u64,
    pub rows: u64,
    pub columns: Vec<Rows>,
    /// Blocks of ids.
    pub ids: PathBuf,
    pub layout: &'a Layout,
}

impl Source<'_> {
    /// Ends the files; they are not synced yet. It may be tried again after an error.
    ///
    /// Each column whose rows lie plain has a file of its own, the first of them the ids too; all others are in one
    /// file.
    pub async fn finish(&self, target: &Target) -> Result<Finished> {
        let columns = self.layout.columns.iter().zip(&self.columns);
        let columns: Vec<_> =
            columns.map(|(column, rows)| (column, rows, plain_layout(target, column))).collect();
        let mut files = Vec::new();
        for (column, rows, layout) in &columns {
            if let Some(layout) = layout {
                let ids = files.is_empty();
                files.push(self.finish_plain(target, column, rows, *layout, ids).await?);
            }
        }
        let others = columns.iter().filter(|(_, _, layout)| layout.is_none());
        let others: Vec<_> = others.map(|(column, rows, _)| (*column, *rows)).collect();
        if !others.is_empty() {
            files.push(self.encode(target, &others, files.is_empty()).await?);
        }
        Ok(Finished {
            number: self.number,
            first_row: self.first_row,
            rows: self.rows,
            version: target.version.to_data_file_numbers(),
            files,
        })
    }

    async fn finish_plain(
        &self,
        target: &Target,
        column: &Column,
        rows: &Rows,
        layout: RowLayout,
        with_ids: bool,
    ) -> Result<FinishedFile> {
        let names: &[&str] = match with_ids {
            true => &[ID_COLUMN, &column.name],
            false => &[&column.name],
        };
        let schema = of_fields(&target.schema, names)?;
        let start = self.rows * layout.stride as u64;
        let sink = Sink { file: rows.file.clone(), at: start };
        let mut file = Footer::new(sink, &schema, target.version)?;
        file.describe(&column.name, layout, self.rows)?;
        if with_ids {
            // Behind the rows.
            let mut ids = Ids::open(&self.ids)?;
            let field = schema.field(ID_COLUMN).map(|field| field.data_type());
            while let Some(block) = ids.next(IDS_AT_ONCE)? {
                file.encode(ID_COLUMN, typed(block, field.as_ref())?).await?;
            }
        }
        let size = file.finish(self.rows).await?;
        rows.file.set_len(size)?;
        FinishedFile::new(&rows.path, size, target.version, &schema)
    }

    /// Decodes nothing: the rows are as in memory. They are written to another file beside the first.
    async fn encode(
        &self,
        target: &Target,
        columns: &[(&Column, &Rows)],
        with_ids: bool,
    ) -> Result<FinishedFile> {
        let first = columns.first().ok_or_else(|| Error::internal("no column"))?;
        let path = first.1.path.with_extension("encoded.lance");
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        let sink = Sink { file: Arc::new(file), at: 0 };
        let names = columns.iter().map(|(column, _)| column.name.as_str());
        let names: Vec<&str> = with_ids.then_some(ID_COLUMN).into_iter().chain(names).collect();
        let schema = of_fields(&target.schema, &names)?;
        let options = FileWriterOptions {
            data_cache_bytes: Some(READ_BYTES as u64 * schema.fields.len() as u64),
            // Batches are small and owned: a copy on their way into a page would be of no use.
            keep_original_array: Some(true),
            ..FileWriterOptions::default()
        };
        let mut writer = create_writer(target.version, Box::new(sink), schema.clone(), options)?;
        let arrow = Arc::new(ArrowSchema::from(&schema));
        let mut ids = Ids::open(&self.ids)?;
        let stride: usize = columns.iter().map(|(column, _)| column.stride).sum();
        let chunk = (READ_BYTES / stride.max(1)).max(1);
        let mut at = 0;
        while let Some(block) = ids.next(chunk)? {
            let rows = block.len();
            let arrays = arrow.fields().iter().map(|field| {
                if field.name() == ID_COLUMN {
                    return typed(block.clone(), Some(field.data_type()));
                }
                let column = columns.iter().find(|(column, _)| column.name == *field.name());
                let (column, file) = column.ok_or_else(|| Error::internal("an unknown column"))?;
                array(column, &file.file, at, rows, field.data_type())
            });
            let batch = RecordBatch::try_new(arrow.clone(), arrays.collect::<Result<_>>()?)?;
            writer.write_batch(&batch).await?;
            at += rows as u64;
        }
        let summary = writer.finish().await?;
        if summary.num_rows != self.rows {
            return Err(Error::internal("the ids of a file are not as many as its rows"));
        }
        FinishedFile::new(&path, summary.size_bytes, target.version, &schema)
    }
}

/// Rows as an array of the table's type.
fn array(
    column: &Column,
    file: &File,
    first: u64,
    rows: usize,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let DataType::FixedSizeList(item, length) = data_type else {
        return Err(Error::internal("a tensor column is no fixed-size list"));
    };
    let mut bytes = vec![0; rows * column.stride];
    file.read_exact_at(&mut bytes, first * column.stride as u64)?;
    let values: Buffer = match column.plain {
        Some(_) => bytes.into(),
        None => bytes.iter().map(|byte| *byte != 0).collect::<BooleanBuffer>().into_inner(),
    };
    let values = ArrayData::builder(item.data_type().clone())
        .len(rows * *length as usize)
        .add_buffer(values)
        .build()?;
    let list = ArrayData::builder(data_type.clone()).len(rows).add_child_data(values).build()?;
    Ok(make_array(list))
}

/// Ids in the string type of the table.
fn typed(ids: StringArray, data_type: Option<&DataType>) -> Result<ArrayRef> {
    let data_type = data_type.ok_or_else(|| Error::internal("a table without ids"))?;
    // Not "safe", which would make a null of what does not convert.
    let strict = CastOptions { safe: false, ..Default::default() };
    Ok(cast_with_options(&ids, data_type, &strict)?)
}

fn of_fields(schema: &Schema, names: &[&str]) -> Result<Schema> {
    // In the order of the table.
    Ok(schema.project(names)?)
}

/// Whether rows of a column stay where they are when their file ends: nothing reads them then.
pub fn stays(target: &Target, column: &Column) -> bool {
    plain_layout(target, column).is_some()
}

/// The layout of the rows of a column, if they are to be written so: as in tables that librds makes.
fn plain_layout(target: &Target, column: &Column) -> Option<RowLayout> {
    if !matches!(target.version, ConcreteFileVersion::V2_1 | ConcreteFileVersion::V2_2) {
        return None;
    }
    let wanted = column.spec.field(&column.name);
    let field = target.schema.field(&column.name)?;
    let asked = |(key, value): (&String, &String)| field.metadata.get(key) == Some(value);
    let layout = column.plain.filter(|_| wanted.metadata().iter().all(asked))?;
    // Rows of half a gibibyte have more bits than a page can say.
    layout.description(1).map(|_| layout)
}

/// Ids, read in blocks that depend on the ids alone, not on the batches they came in.
pub struct Ids {
    file: BufReader<File>,
    /// What is left of the last block.
    rest: IdBlock,
}

impl Ids {
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::from(e).context(path.display()))?;
        let file = BufReader::with_capacity(1 << 20, file);
        Ok(Self { file, rest: IdBlock::default() })
    }

    /// The next ids: so many, but fewer at the end, or where they are longer than `ID_BYTES`.
    fn next(&mut self, most: usize) -> Result<Option<StringArray>> {
        while self.rest.lengths.len() < most && self.rest.bytes.len() < ID_BYTES {
            match self.block()? {
                Some(block) => self.rest.append(&block),
                None => break,
            }
        }
        let mut bytes = 0;
        let fit = self.rest.lengths.iter().take(most).take_while(|length| {
            bytes += **length as usize;
            bytes <= ID_BYTES
        });
        // At least one, however long it is.
        let taken = fit.count().max(1).min(self.rest.lengths.len());
        if taken == 0 {
            return Ok(None);
        }
        let later = self.rest.split_off(taken);
        std::mem::replace(&mut self.rest, later).to_array().map(Some)
    }

    pub fn block(&mut self) -> Result<Option<IdBlock>> {
        let mut bytes = vec![0; ID_BLOCK_HEAD];
        let mut first = 0;
        while first < ID_BLOCK_HEAD {
            match self.file.read(bytes.get_mut(first..).unwrap_or_default())? {
                0 if first == 0 => return Ok(None),
                0 => return Err(Error::corrupt("a file of ids is cut short")),
                more => first += more,
            }
        }
        let length = IdBlock::encoded_length(&bytes).unwrap_or(ID_BLOCK_HEAD);
        let rest = (length - ID_BLOCK_HEAD) as u64;
        if (&mut self.file).take(rest).read_to_end(&mut bytes)? as u64 != rest {
            return Err(Error::corrupt("a file of ids is cut short"));
        }
        let decoded = IdBlock::decode(&bytes);
        decoded
            .map(|(block, _)| Some(block))
            .ok_or_else(|| Error::corrupt("a block of ids is damaged"))
    }
}

/// The names and columns of the fields of a file.
pub fn fields(version: ConcreteFileVersion, schema: &Schema) -> Vec<(String, i32)> {
    let (ids, columns) = data_file_columns(version, schema);
    let name =
        |id: &i32| schema.fields.iter().find(|field| field.id == *id).map(|f| f.name.clone());
    ids.iter().zip(columns).filter_map(|(id, column)| Some((name(id)?, column))).collect()
}

#[cfg(test)]
#[path = "finish_tests.rs"]
mod tests;
