//! A data file of version 2.1 or 2.2, page by page.
//!
//! Rows that can lie plain in the file are written as they are, each batch as it comes, or copied from
//! where they lie plain in another file: a page of them ends when it is large, or when a page of another
//! column comes. Everything else is encoded by Lance: ids, and rows that have nulls or do not fill their
//! last byte. The footer is Lance's.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::Schema as ArrowSchema;
use lance_core::datatypes::Schema;
use lance_encoding::decoder::{ColumnInfo, PageInfo};
use lance_encoding::encoder::{
    BatchEncoder, EncodeTask, EncodedPage, EncodingOptions, FieldEncoder, OutOfLineBuffers,
};
use lance_encoding::repdef::RepDefBuilder;
use lance_file::reader::CachedFileMetadata;
use lance_file::version::ConcreteFileVersion;
use lance_file::versions::{create_lazy_writer, v2_1, v2_2};
use lance_file::writer::{FileWriteSummary, FileWriterOptions};
use tokio::io::AsyncWriteExt;

use crate::error::{Error, Result};
use crate::plain::{ALIGNMENT, RowLayout};
use crate::tensor::{DATA_COLUMN, TensorSpec};
use crate::writer::sink::Sink;

/// A page of plain rows ends at this size, which is also the most that Lance's own writer makes.
const PLAIN_PAGE_BYTES: usize = 32 << 20;
/// What Lance's encoder collects for a page of ids. It holds that up to three times.
const ENCODED_PAGE_BYTES: u64 = 1 << 20;

pub struct PageFile {
    sink: Sink,
    schema: Schema,
    version: ConcreteFileVersion,
    columns: Vec<Column>,
    /// The page of plain rows that is being written.
    open: Option<OpenPage>,
}

struct Column {
    name: String,
    /// Of rows that may lie plain.
    plain: Option<RowLayout>,
    encoder: Box<dyn FieldEncoder>,
    rows: u64,
    /// Rows that the encoder has, and has made no page of, may be there.
    collects: bool,
    pages: Vec<PageInfo>,
}

struct OpenPage {
    column: usize,
    layout: RowLayout,
    first_row: u64,
    rows: u64,
    start: u64,
    bytes: usize,
}

/// Rows as they are stored, one after the other.
enum Plain<'a> {
    Memory(&'a [u8]),
    File(&'a File, Range<u64>),
}

impl Plain<'_> {
    fn bytes(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::File(_, range) => (range.end - range.start) as usize,
        }
    }

    /// The first `bytes`, or all there are, which are no longer here.
    fn take(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes());
        match self {
            Self::Memory(rest) => {
                let (first, later) = rest.split_at(bytes);
                *rest = later;
                Self::Memory(first)
            }
            Self::File(file, range) => {
                let start = range.start;
                range.start += bytes as u64;
                Self::File(file, start..range.start)
            }
        }
    }
}

impl PageFile {
    /// Whether files of this version are made here.
    pub fn knows(version: ConcreteFileVersion) -> bool {
        matches!(version, ConcreteFileVersion::V2_1 | ConcreteFileVersion::V2_2)
    }

    pub fn new(sink: Sink, schema: &Schema, version: ConcreteFileVersion) -> Result<Self> {
        let strategy = match version {
            ConcreteFileVersion::V2_1 => v2_1::encoding_strategy(Default::default()),
            _ => v2_2::encoding_strategy(Default::default()),
        };
        let options = EncodingOptions {
            cache_bytes_per_column: ENCODED_PAGE_BYTES,
            buffer_alignment: ALIGNMENT as u64,
            ..EncodingOptions::default()
        };
        let encoders = BatchEncoder::try_new(schema, strategy.as_ref(), &options)?.field_encoders;
        let layout = plain_layout(schema);
        let columns = schema.fields.iter().zip(encoders).map(|(field, encoder)| Column {
            plain: layout.filter(|_| field.name == DATA_COLUMN),
            name: field.name.clone(),
            encoder,
            rows: 0,
            collects: false,
            pages: Vec::new(),
        });
        let (columns, schema) = (columns.collect(), schema.clone());
        Ok(Self { sink, schema, version, columns, open: None })
    }

    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        for index in 0..self.columns.len() {
            let column = self.column(index)?;
            let array = batch.column_by_name(&column.name);
            let array = array.ok_or_else(|| Error::internal("a batch without a column"))?.clone();
            let layout = column.plain;
            let bytes = layout.and_then(|layout| layout.bytes(array.as_fixed_size_list_opt()?));
            match layout.zip(bytes) {
                Some((layout, bytes)) => {
                    self.write_plain(index, layout, Plain::Memory(&bytes)).await?;
                }
                None => self.encode(index, array).await?,
            }
        }
        Ok(())
    }

    /// Adds the rows of `data` of another file of the same schema, if all of them lie plain in it.
    pub async fn copy_plain(&mut self, file: &File, metadata: &CachedFileMetadata) -> Result<bool> {
        let place = self.columns.iter().position(|column| column.plain.is_some());
        let layout = place.and_then(|index| self.columns.get(index)?.plain);
        // A field has one column.
        let names = metadata.file_schema.fields.iter().map(|field| &field.name);
        let same = names.eq(self.columns.iter().map(|column| &column.name));
        let pages = place.filter(|_| same).and_then(|index| metadata.column_metadatas.get(index));
        let (Some(index), Some(layout), Some(column)) = (place, layout, pages) else {
            return Ok(false);
        };
        let places = column.pages.iter().map(|page| layout.plain(page));
        let Some(places) = places.collect::<Result<Option<Vec<_>>>>()? else { return Ok(false) };
        for place in places {
            let rows = Plain::File(file, place.start as u64..place.end as u64);
            self.write_plain(index, layout, rows).await?;
        }
        Ok(true)
    }

    /// Adds values of one column.
    pub async fn write_column(&mut self, name: &str, array: &ArrayRef) -> Result<()> {
        let index = self.columns.iter().position(|column| column.name == name);
        let index = index.ok_or_else(|| Error::internal("a column that is not there"))?;
        self.encode(index, array.clone()).await
    }

    async fn write_plain(
        &mut self,
        index: usize,
        layout: RowLayout,
        mut rows: Plain<'_>,
    ) -> Result<()> {
        // In the order of the rows.
        if self.column(index)?.collects {
            self.flush(index).await?;
        }
        while rows.bytes() > 0 {
            let mut page = match self.open.take() {
                Some(page) if page.column == index => page,
                other => {
                    self.open = other;
                    self.end_page()?;
                    let (start, first_row) = (self.align().await?, self.column(index)?.rows);
                    OpenPage { column: index, layout, first_row, rows: 0, start, bytes: 0 }
                }
            };
            let room = (PLAIN_PAGE_BYTES.saturating_sub(page.bytes) / layout.stride).max(1);
            let now = rows.take(room * layout.stride);
            let bytes = now.bytes();
            match now {
                Plain::Memory(bytes) => self.sink.write_all(bytes).await?,
                Plain::File(file, range) => self.sink.copy(file, range).await?,
            }
            page.rows += (bytes / layout.stride) as u64;
            page.bytes += bytes;
            let full = page.bytes + layout.stride > PLAIN_PAGE_BYTES;
            self.open = Some(page);
            self.column(index)?.rows += (bytes / layout.stride) as u64;
            if full {
                self.end_page()?;
            }
        }
        Ok(())
    }

    /// Ends the page of plain rows, if there is one.
    fn end_page(&mut self) -> Result<()> {
        let Some(page) = self.open.take() else { return Ok(()) };
        let encoding = page.layout.description(page.rows);
        let encoding = encoding.ok_or_else(|| Error::internal("a page of too many rows"))?;
        self.column(page.column)?.pages.push(PageInfo {
            num_rows: page.rows,
            priority: page.first_row,
            encoding,
            buffer_offsets_and_sizes: Arc::new([(page.start, page.bytes as u64)]),
        });
        Ok(())
    }

    async fn encode(&mut self, index: usize, array: ArrayRef) -> Result<()> {
        if self.open.as_ref().is_some_and(|page| page.column == index) {
            self.end_page()?;
        }
        let rows = array.len() as u64;
        let column = self.column(index)?;
        let row = column.rows;
        column.rows += rows;
        column.collects = true;
        let array = column.encoder.prepare_array(array)?;
        let mut buffers = in_pages_only();
        let tasks = column.encoder.maybe_encode(
            array,
            &mut buffers,
            RepDefBuilder::default(),
            row,
            rows,
        )?;
        self.write_encoded(index, tasks, buffers).await
    }

    async fn flush(&mut self, index: usize) -> Result<()> {
        let column = self.column(index)?;
        column.collects = false;
        let mut buffers = in_pages_only();
        let tasks = column.encoder.flush(&mut buffers)?;
        self.write_encoded(index, tasks, buffers).await
    }

    async fn write_encoded(
        &mut self,
        index: usize,
        tasks: Vec<EncodeTask>,
        buffers: OutOfLineBuffers,
    ) -> Result<()> {
        if !buffers.take_buffers().is_empty() {
            return Err(Error::internal("bytes of a column outside its pages"));
        }
        for task in tasks {
            self.write_page(index, task.await?).await?;
        }
        Ok(())
    }

    async fn write_page(&mut self, index: usize, page: EncodedPage) -> Result<()> {
        self.end_page()?;
        let mut places = Vec::with_capacity(page.data.len());
        for buffer in page.data {
            places.push((self.align().await?, buffer.len() as u64));
            self.sink.write_all(&buffer).await?;
        }
        self.column(index)?.pages.push(PageInfo {
            num_rows: page.num_rows,
            priority: page.row_number,
            encoding: page.description,
            buffer_offsets_and_sizes: places.into(),
        });
        Ok(())
    }

    /// Where the next page or buffer begins.
    async fn align(&mut self) -> Result<u64> {
        let padding = self.sink.written().next_multiple_of(ALIGNMENT as u64) - self.sink.written();
        self.sink.write_all([0; ALIGNMENT].get(..padding as usize).unwrap_or_default()).await?;
        Ok(self.sink.written())
    }

    fn column(&mut self, index: usize) -> Result<&mut Column> {
        self.columns.get_mut(index).ok_or_else(|| Error::internal("a column that is not there"))
    }

    /// Ends the file.
    pub async fn finish(mut self) -> Result<FileWriteSummary> {
        self.end_page()?;
        let rows = self.columns.first().map_or(0, |column| column.rows);
        if self.columns.iter().any(|column| column.rows != rows) {
            return Err(Error::internal("columns of different lengths"));
        }
        let mut infos = Vec::new();
        for index in 0..self.columns.len() {
            self.flush(index).await?;
            let mut buffers = in_pages_only();
            let finished = self.column(index)?.encoder.finish(&mut buffers).await?;
            let Ok([finished]) = <[_; 1]>::try_from(finished) else {
                return Err(Error::internal("a field of several columns"));
            };
            if !finished.column_buffers.is_empty() {
                return Err(Error::internal("buffers of a whole column"));
            }
            self.write_encoded(index, Vec::new(), buffers).await?;
            for page in finished.final_pages {
                self.write_page(index, page).await?;
            }
            let pages = std::mem::take(&mut self.column(index)?.pages);
            let info = ColumnInfo::new(index as u32, pages.into(), Vec::new(), finished.encoding);
            infos.push(Arc::new(info));
        }
        self.align().await?;
        let options = FileWriterOptions::default();
        let mut footer = create_lazy_writer(self.version, Box::new(self.sink), options)?;
        footer.initialize_with_external_columns(self.schema, &infos, rows)?;
        Ok(footer.finish().await?)
    }
}

/// The layout of rows of `data`, if they are to be written so: as in tables that librds makes.
fn plain_layout(schema: &Schema) -> Option<RowLayout> {
    let spec = TensorSpec::from_table_schema(&ArrowSchema::from(schema)).ok()?;
    let wanted = spec.schema();
    let wanted = wanted.field_with_name(DATA_COLUMN).ok()?;
    let field = schema.field(DATA_COLUMN)?;
    let asked = |(key, value): (&String, &String)| field.metadata.get(key) == Some(value);
    let layout = RowLayout::new(&spec).filter(|_| wanted.metadata().iter().all(asked))?;
    // Rows of half a gibibyte have more bits than a page can say.
    layout.description(1).map(|_| layout)
}

/// Lance's encoders of strings and numbers put nothing outside the pages.
fn in_pages_only() -> OutOfLineBuffers {
    OutOfLineBuffers::new(0, ALIGNMENT as u64)
}

#[cfg(test)]
#[path = "page_file_tests.rs"]
mod tests;
