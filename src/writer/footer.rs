//! What comes behind the rows of a data file of version 2.1 or 2.2: pages described over them where they lie, columns
//! that Lance's encoders make pages of, and Lance's footer.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::{Array, ArrayRef};
use async_trait::async_trait;
use lance_core::datatypes::Schema;
use lance_encoding::decoder::{ColumnInfo, PageInfo};
use lance_encoding::encoder::{
    BatchEncoder, EncodeTask, EncodedPage, EncodingOptions, FieldEncoder, OutOfLineBuffers,
};
use lance_encoding::repdef::RepDefBuilder;
use lance_file::version::ConcreteFileVersion;
use lance_file::versions::{create_lazy_writer, v2_1, v2_2};
use lance_file::writer::FileWriterOptions;
use lance_io::object_writer::WriteResult;
use lance_io::traits::Writer;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::error::{Error, Result};
use crate::plain::{ALIGNMENT, RowLayout};

/// The most that Lance's own writer puts in a page.
pub const PAGE_BYTES: u64 = 32 << 20;
/// What Lance's encoder collects for a page of ids. It holds that up to three times.
const ENCODED_PAGE_BYTES: u64 = 1 << 20;

/// How many pages of a column are encoded while the next values are read.
const PAGES_ENCODED: usize = 1;

/// What comes behind the rows of a file.
pub struct Footer {
    sink: Sink,
    schema: Schema,
    version: ConcreteFileVersion,
    columns: Vec<Encoded>,
}

struct Encoded {
    name: String,
    encoder: Box<dyn FieldEncoder>,
    /// Pages that are encoded meanwhile.
    tasks: VecDeque<EncodeTask>,
    rows: u64,
    pages: Vec<PageInfo>,
}

impl Footer {
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
        let columns = schema.fields.iter().zip(encoders).map(|(field, encoder)| Encoded {
            name: field.name.clone(),
            encoder,
            tasks: VecDeque::new(),
            rows: 0,
            pages: Vec::new(),
        });
        let (columns, schema) = (columns.collect(), schema.clone());
        Ok(Self { sink, schema, version, columns })
    }

    /// Pages over rows that lie at the start of the file, without a gap: each begins where Lance and Arrow
    /// want it, because the one before has a multiple of so many rows.
    pub fn describe(&mut self, name: &str, layout: RowLayout, rows: u64) -> Result<()> {
        let stride = layout.stride as u64;
        let step = ALIGNMENT as u64 >> stride.trailing_zeros().min(ALIGNMENT.trailing_zeros());
        let page = (PAGE_BYTES / stride / step * step).max(step);
        let column = self.column(name)?;
        while column.rows < rows {
            let count = page.min(rows - column.rows);
            let encoding = layout.description(count);
            column.pages.push(PageInfo {
                num_rows: count,
                priority: column.rows,
                encoding: encoding.ok_or_else(|| Error::internal("a page of too many rows"))?,
                buffer_offsets_and_sizes: Arc::new([(column.rows * stride, count * stride)]),
            });
            column.rows += count;
        }
        Ok(())
    }

    fn column(&mut self, name: &str) -> Result<&mut Encoded> {
        let mut columns = self.columns.iter_mut();
        let column = columns.find(|column| column.name == name);
        column.ok_or_else(|| Error::internal("a column that is not there"))
    }

    /// Adds values of a column.
    pub async fn encode(&mut self, name: &str, array: ArrayRef) -> Result<()> {
        let column = self.column(name)?;
        let (rows, row) = (array.len() as u64, column.rows);
        column.rows += rows;
        let array = column.encoder.prepare_array(array)?;
        let mut buffers = in_pages_only();
        let levels = RepDefBuilder::default();
        column.tasks.extend(column.encoder.maybe_encode(array, &mut buffers, levels, row, rows)?);
        self.write_encoded(name, PAGES_ENCODED, buffers).await
    }

    /// Writes the pages of a column, but for so many that may still be encoded.
    async fn write_encoded(
        &mut self,
        name: &str,
        left: usize,
        buffers: OutOfLineBuffers,
    ) -> Result<()> {
        if !buffers.take_buffers().is_empty() {
            return Err(Error::internal("bytes of a column outside its pages"));
        }
        while let tasks = &mut self.column(name)?.tasks
            && tasks.len() > left
            && let Some(task) = tasks.pop_front()
        {
            self.write_page(name, task.await?).await?;
        }
        Ok(())
    }

    async fn write_page(&mut self, name: &str, page: EncodedPage) -> Result<()> {
        let mut places = Vec::with_capacity(page.data.len());
        for buffer in page.data {
            places.push((self.align().await?, buffer.len() as u64));
            self.sink.write_all(&buffer).await?;
        }
        self.column(name)?.pages.push(PageInfo {
            num_rows: page.num_rows,
            priority: page.row_number,
            encoding: page.description,
            buffer_offsets_and_sizes: places.into(),
        });
        Ok(())
    }

    /// Where the next page or buffer begins.
    async fn align(&mut self) -> Result<u64> {
        let padding = self.sink.at.next_multiple_of(ALIGNMENT as u64) - self.sink.at;
        self.sink.write_all([0; ALIGNMENT].get(..padding as usize).unwrap_or_default()).await?;
        Ok(self.sink.at)
    }

    /// Ends the file, which has so many bytes then.
    pub async fn finish(mut self, rows: u64) -> Result<u64> {
        if self.columns.iter().any(|column| column.rows != rows) {
            return Err(Error::internal("the ids of a file are not as many as its rows"));
        }
        let names: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        let mut infos = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let column = self.column(name)?;
            let mut buffers = in_pages_only();
            column.tasks.extend(column.encoder.flush(&mut buffers)?);
            self.write_encoded(name, 0, buffers).await?;
            let mut buffers = in_pages_only();
            let finished = self.column(name)?.encoder.finish(&mut buffers).await?;
            let Ok([finished]) = <[_; 1]>::try_from(finished) else {
                return Err(Error::internal("a field of several columns"));
            };
            if !finished.column_buffers.is_empty() || !buffers.take_buffers().is_empty() {
                return Err(Error::internal("buffers of a whole column"));
            }
            for page in finished.final_pages {
                self.write_page(name, page).await?;
            }
            let pages = std::mem::take(&mut self.column(name)?.pages);
            let info = ColumnInfo::new(index as u32, pages.into(), Vec::new(), finished.encoding);
            infos.push(Arc::new(info));
        }
        self.align().await?;
        let options = FileWriterOptions::default();
        let mut footer = create_lazy_writer(self.version, Box::new(self.sink), options)?;
        footer.initialize_with_external_columns(self.schema, &infos, rows)?;
        Ok(footer.finish().await?.size_bytes)
    }
}

/// Lance's encoders of strings and numbers put nothing outside the pages.
fn in_pages_only() -> OutOfLineBuffers {
    OutOfLineBuffers::new(0, ALIGNMENT as u64)
}

/// The end of a file. What is written goes to the system at once, so it must be filled by a thread that
/// may wait.
pub struct Sink {
    pub file: Arc<File>,
    pub at: u64,
}

impl AsyncWrite for Sink {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = loop {
            match self.file.write_at(bytes, self.at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.at += written as u64;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[async_trait]
impl Writer for Sink {
    async fn tell(&mut self) -> lance::Result<usize> {
        Ok(self.at as usize)
    }

    async fn shutdown(&mut self) -> lance::Result<WriteResult> {
        Ok(WriteResult { size: self.at as usize, e_tag: None })
    }
}
