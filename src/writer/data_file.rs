//! One data file being written: the rows of one fragment to be.

use std::num::NonZero;

use arrow::array::RecordBatch;
use lance_core::datatypes::Schema;
use lance_file::version::ConcreteFileVersion;
use lance_file::versions::{v2_0, v2_1, v2_2, v2_3};
use lance_file::writer::{FileWriter, FileWriterOptions};
use lance_io::object_store::ObjectStore;
use lance_table::format::{DataFile, Fragment};
use object_store::path::Path;
use uuid::Uuid;

use crate::error::{Error, Result};

/// A fragment ends at either: a table of results has few, large files.
const MAX_ROWS: u64 = 1 << 20;
const MAX_BYTES: u64 = 1 << 30;

pub struct OpenFile {
    name: String,
    version: ConcreteFileVersion,
    writer: FileWriter,
    rows: u64,
    bytes: u64,
}

impl OpenFile {
    /// Makes a file in `directory`, the data directory of a table.
    pub async fn create(
        store: &ObjectStore,
        directory: &Path,
        schema: &Schema,
        version: ConcreteFileVersion,
    ) -> Result<Self> {
        let name = format!("{}.lance", Uuid::new_v4().simple());
        let out = store.create(&directory.clone().join(name.as_str())).await?;
        let (schema, options) = (schema.clone(), FileWriterOptions::default());
        let writer = match version {
            ConcreteFileVersion::V1 => {
                return Err(Error::not_supported(
                    "the table has files of Lance's first format, which cannot be added to",
                ));
            }
            ConcreteFileVersion::V2_0 => v2_0::Writer::try_new(out, schema, options)?.into(),
            ConcreteFileVersion::V2_1 => v2_1::Writer::try_new(out, schema, options)?.into(),
            ConcreteFileVersion::V2_2 => v2_2::Writer::try_new(out, schema, options)?.into(),
            ConcreteFileVersion::V2_3 => v2_3::Writer::try_new(out, schema, options)?.into(),
        };
        Ok(Self { name, version, writer, rows: 0, bytes: 0 })
    }

    pub async fn write(&mut self, batch: &RecordBatch, bytes: u64) -> Result<()> {
        self.writer.write_batch(batch).await?;
        self.rows += batch.num_rows() as u64;
        self.bytes += bytes;
        Ok(())
    }

    pub fn is_full(&self) -> bool {
        self.rows >= MAX_ROWS || self.bytes >= MAX_BYTES
    }

    /// Ends the file. The fragment is part of no table yet.
    pub async fn finish(mut self) -> Result<Fragment> {
        let columns = self.writer.field_id_to_column_indices();
        let fields = columns.iter().map(|(field, _)| *field as i32).collect();
        let indices = columns.iter().map(|(_, column)| *column as i32).collect();
        let summary = self.writer.finish().await?;
        let size = NonZero::new(summary.size_bytes);
        let file = DataFile::new(self.name, fields, indices, self.version, size, None);
        let mut fragment = Fragment::new(0);
        fragment.files.push(file);
        fragment.physical_rows = Some(summary.num_rows as usize);
        Ok(fragment)
    }

    /// Ends the writing; nothing is left of the file.
    pub async fn abort(mut self) {
        self.writer.abort().await;
    }
}
