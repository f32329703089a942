//! Finished data files of a run, and the fragments of a table that they become. A file says its columns by
//! name and type; which fields of the table these are is looked up when it is published.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::Path;

use arrow::datatypes::Schema as ArrowSchema;
use lance_core::datatypes::{Field, Schema};
use lance_file::version::{ConcreteFileVersion, LanceFileVersion};
use lance_table::format::{DataFile, Fragment, Manifest};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::tensor::schema;
use crate::writer::finish;
use crate::writer::layout::{Column, Layout};

/// The file version of tables that librds makes: rows of a page lie in one plain buffer.
pub const FILE_VERSION: LanceFileVersion = LanceFileVersion::V2_2;

/// What data files are made for: the columns of a table, and its file version.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub schema: Schema,
    pub version: ConcreteFileVersion,
}

impl Target {
    /// A table to be made.
    pub fn new(layout: &Layout) -> Result<Self> {
        let schema = Schema::try_from(&schema(layout.tensors()))?;
        Ok(Self { schema, version: FILE_VERSION.resolve() })
    }

    pub fn of(manifest: &Manifest) -> Self {
        let version = manifest.data_storage_format.version;
        Self { schema: manifest.schema.clone(), version }
    }

    /// The same text for the same target, in whatever process.
    pub fn text(&self) -> String {
        let field = |field: &Field| {
            let metadata: BTreeMap<_, _> = field.metadata.iter().collect();
            format!("{} {} {} {metadata:?}", field.id, field.name, field.logical_type)
        };
        let fields: Vec<String> = self.schema.fields.iter().map(field).collect();
        format!("{:?}\n{}", self.version.to_data_file_numbers(), fields.join("\n"))
    }

    /// What the rows of the table are.
    pub fn layout(&self) -> Result<Layout> {
        let layout = Layout::of_table(&ArrowSchema::from(&self.schema))?;
        if !matches!(self.version, ConcreteFileVersion::V1 | ConcreteFileVersion::V2_0) {
            layout.columns.iter().try_for_each(Column::check_bits)?;
        }
        Ok(layout)
    }
}

/// The data files of a fragment to be.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Finished {
    pub number: u64,
    /// The number of its first row in the run.
    pub first_row: u64,
    pub rows: u64,
    /// Of the file format.
    pub version: (u32, u32),
    pub files: Vec<FinishedFile>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct FinishedFile {
    pub name: String,
    pub bytes: u64,
    fields: Vec<FieldOf>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
struct FieldOf {
    name: String,
    /// As Lance writes types: `string`, `fixed_size_list:float:4`.
    kind: String,
    column: i32,
}

impl FinishedFile {
    pub fn new(
        path: &Path,
        bytes: u64,
        version: ConcreteFileVersion,
        schema: &Schema,
    ) -> Result<Self> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| Error::internal("a data file without a name"))?.to_string();
        let kind =
            |name: &str| schema.field(name).map_or(String::new(), |f| f.logical_type.to_string());
        let fields = finish::fields(version, schema).into_iter();
        let fields = fields.map(|(name, column)| FieldOf { kind: kind(&name), name, column });
        Ok(Self { name, bytes, fields: fields.collect() })
    }
}

impl Finished {
    pub fn end(&self) -> u64 {
        self.first_row + self.rows
    }

    /// The fragment of a table with these columns, which are exactly those of the files.
    pub fn fragment(&self, table: &Target) -> Result<Fragment> {
        let mut known = 0;
        let mut fragment = Fragment::new(0);
        for file in &self.files {
            let mut ids = Vec::new();
            for of in &file.fields {
                let field = table.schema.fields.iter().find(|field| field.name == of.name);
                let field = field.ok_or_else(|| {
                    Error::schema_mismatch(format!(
                        "the table has no column \"{}\" any more",
                        of.name
                    ))
                })?;
                let kind = field.logical_type.to_string();
                if kind != of.kind {
                    return Err(Error::schema_mismatch(format!(
                        "column \"{}\" of the table is {kind} now; the rows were written as {}",
                        of.name, of.kind
                    )));
                }
                known += 1;
                ids.push(field.id);
            }
            let columns = file.fields.iter().map(|of| of.column).collect::<Vec<_>>();
            let version = version(self.version)?;
            let size = NonZero::new(file.bytes);
            fragment.files.push(DataFile::new(
                file.name.clone(),
                ids,
                columns,
                version,
                size,
                None,
            ));
        }
        if known != table.schema.fields.len() {
            let names: Vec<_> =
                table.schema.fields.iter().map(|field| field.name.as_str()).collect();
            return Err(Error::schema_mismatch(format!(
                "the table has the columns {names:?} now; the rows were written without some of these"
            )));
        }
        fragment.physical_rows = Some(self.rows as usize);
        Ok(fragment)
    }
}

fn version((major, minor): (u32, u32)) -> Result<ConcreteFileVersion> {
    let all = [
        ConcreteFileVersion::V2_0,
        ConcreteFileVersion::V2_1,
        ConcreteFileVersion::V2_2,
        ConcreteFileVersion::V2_3,
    ];
    let known = all.into_iter().find(|known| known.to_data_file_numbers() == (major, minor));
    known.ok_or_else(|| {
        Error::not_supported(format!("data files of version {major}.{minor} are not known"))
    })
}
