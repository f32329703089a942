//! One version of a table, opened through Lance.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arc_swap::ArcSwap;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use futures::FutureExt;
use lance::Dataset;
use lance::dataset::builder::DatasetBuilder;
use lance::dataset::fragment::FileFragment;
use lance::session::Session;
use lance_table::format::Fragment;

use crate::error::{Error, Result, Status, panic_text};
use crate::location::Location;
use crate::plain::RowLayout;
use crate::reader::spans::{Source, Spans};
use crate::reader::{Access, Columns};
use crate::runtime;
use crate::tensor::{DATA_COLUMN, TensorSpec, check_id_column};

/// Lance keeps decoded metadata of files here; its own default is gigabytes.
const METADATA_CACHE_BYTES: usize = 16 << 20;

/// A dataset belongs to the process that opened it: its tasks run on that process's runtime, and its
/// locks may have been held when a child was forked.
struct Opened {
    process: u32,
    dataset: Arc<Dataset>,
}

pub struct Snapshot {
    location: Location,
    version: u64,
    /// In nanoseconds since 1970. Two tables at one place, one after the other, may have the same version.
    committed_at: u128,
    schema: SchemaRef,
    opened: ArcSwap<Opened>,
    pub spec: TensorSpec,
    pub spans: Spans,
}

impl Snapshot {
    /// Opens a version, the newest if none is given. What `known` has of files that did not change is
    /// kept.
    pub fn open(
        location: Location,
        version: Option<u64>,
        access: Access,
        known: Option<&Snapshot>,
    ) -> Result<Self> {
        let mut newest = location.newest_version().unwrap_or(None);
        loop {
            match Self::open_once(location.clone(), version, access, known) {
                // A writer may remove a version of its own while it is opened: then there is a newer one.
                Err(error) if error.status == Status::RDS_ERR_NOT_FOUND && version.is_none() => {
                    let now = location.newest_version()?;
                    if now == newest {
                        return Err(error);
                    }
                    newest = now;
                }
                opened => return opened,
            }
        }
    }

    fn open_once(
        location: Location,
        version: Option<u64>,
        access: Access,
        known: Option<&Snapshot>,
    ) -> Result<Self> {
        let dataset = load(&location, version)?;
        let schema = caught(async { Arc::new(Schema::from(dataset.schema())) });
        let schema = schema.map_err(|error| error.context(&location))?;
        let spec = check_id_column(&schema).and_then(|()| TensorSpec::from_table_schema(&schema));
        let spec = spec.map_err(|error| error.context(&location))?;
        let spans = open_spans(&location, &dataset, &spec, access, known.map(|known| &known.spans));
        let spans = spans.map_err(|error| error.context(&location))?;
        Ok(Self {
            version: dataset.manifest().version,
            committed_at: dataset.manifest().timestamp_nanos,
            location,
            schema,
            spec,
            spans,
            opened: ArcSwap::from_pointee(Opened {
                process: std::process::id(),
                dataset: Arc::new(dataset),
            }),
        })
    }

    /// The newest version of the table; none if it is this one.
    pub fn newer(&self, access: Access) -> Result<Option<Self>> {
        let newest = Self::open(self.location.clone(), None, access, Some(self))?;
        let same = (newest.version, newest.committed_at) == (self.version, self.committed_at);
        Ok((!same).then_some(newest))
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn committed_at(&self) -> u128 {
        self.committed_at
    }

    /// The schema of chosen columns, with the metadata of the table.
    pub fn schema(&self, columns: Columns) -> SchemaRef {
        columns.of(&self.schema)
    }

    /// The type of the column `data`.
    pub fn data_type(&self) -> Result<&DataType> {
        Ok(self.schema.field_with_name(DATA_COLUMN)?.data_type())
    }

    /// The dataset; in a forked child it is opened anew.
    pub fn dataset(&self) -> Result<Arc<Dataset>> {
        let process = std::process::id();
        let opened = self.opened.load();
        if opened.process == process {
            return Ok(opened.dataset.clone());
        }
        let dataset = Arc::new(load(&self.location, Some(self.version))?);
        let opened = Arc::new(Opened { process, dataset: dataset.clone() });
        // Dropping what the parent opened could wait for its tasks, which this process does not have.
        std::mem::forget(self.opened.swap(opened));
        Ok(dataset)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let opened = self.opened.load_full();
        if opened.process != std::process::id() {
            // As above: kept for the short life of a child that never read.
            std::mem::forget(opened);
        }
    }
}

/// Runs a read of Lance's to its end.
pub fn lance<T: Send>(read: impl Future<Output = lance::Result<T>> + Send) -> Result<T> {
    caught(read)?.map_err(Error::reading)
}

/// Lance may panic at what a damaged file says; that is the file's fault, not the reader's.
fn caught<T: Send>(read: impl Future<Output = T> + Send) -> Result<T> {
    runtime::block_on(AssertUnwindSafe(read).catch_unwind())?.map_err(|payload| {
        Error::corrupt(format!("Lance panicked at what a file says: {}", panic_text(payload)))
    })
}

fn load(location: &Location, version: Option<u64>) -> Result<Dataset> {
    if !location.exists()? {
        return Err(Error::not_found(format!("there is no table at {location}")));
    }
    let session = Arc::new(Session::new(0, METADATA_CACHE_BYTES, Arc::default()));
    let mut builder = DatasetBuilder::from_uri(location.uri()?).with_session(session);
    if let Some(version) = version {
        builder = builder.with_version(version);
    }
    lance(async { builder.load().await }).map_err(|error| match (error.status, version) {
        (Status::RDS_ERR_NOT_FOUND, None) => {
            Error::not_found(format!("there is no table at {location}"))
        }
        (Status::RDS_ERR_NOT_FOUND, Some(version)) => {
            Error::not_found(format!("there is no version {version} of a table at {location}"))
        }
        _ => error.context(location),
    })
}

fn open_spans(
    location: &Location,
    dataset: &Dataset,
    spec: &TensorSpec,
    access: Access,
    known: Option<&Spans>,
) -> Result<Spans> {
    let rows = |fragment: &Fragment| -> Result<u64> {
        let deleted = fragment.deletion_file.as_ref().map_or(Some(0), |file| file.num_deleted_rows);
        let rows = match (fragment.physical_rows, deleted) {
            (Some(rows), Some(deleted)) => rows.checked_sub(deleted).ok_or_else(|| {
                Error::corrupt(format!("{deleted} of {rows} rows of a fragment are deleted"))
            })?,
            _ => {
                let fragment = FileFragment::new(Arc::new(dataset.clone()), fragment.clone());
                lance(async { fragment.count_rows(None).await })?
            }
        };
        Ok(rows as u64)
    };
    let with_rows = |fragment: &Fragment| Ok((fragment.clone(), rows(fragment)?));
    let fragments = dataset.fragments().iter().map(with_rows).collect::<Result<Vec<_>>>()?;
    let field = dataset.schema().field(DATA_COLUMN);
    let field = field.ok_or_else(|| Error::internal("a checked column is not there"))?.id;
    let layout = match access {
        Access::Lance => None,
        Access::Auto | Access::Mapped => RowLayout::new(spec),
    };
    Spans::open(&Source { table: location.path(), fragments: &fragments, field, layout, known })
}
