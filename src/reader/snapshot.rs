//! One version of a table, opened through Lance.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arc_swap::ArcSwap;
use arrow::datatypes::{Schema, SchemaRef};
use futures::FutureExt;
use lance::Dataset;
use lance::dataset::builder::DatasetBuilder;
use lance::session::Session;

use crate::error::{Error, Result, Status, panic_text};
use crate::location::Location;
use crate::reader::once::ForkSafeOnce;
use crate::reader::{Columns, files};
use crate::runtime;
use crate::tensor::{TensorSpec, check_id_column};

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
    schema: SchemaRef,
    opened: ArcSwap<Opened>,
    /// Whether the data files were checked.
    checked: ForkSafeOnce<()>,
}

impl Snapshot {
    pub fn open(location: Location, version: Option<u64>) -> Result<Self> {
        let dataset = load(&location, version)?;
        let schema = Arc::new(Schema::from(dataset.schema()));
        let version = dataset.manifest().version;
        let opened = Opened { process: std::process::id(), dataset: Arc::new(dataset) };
        Ok(Self {
            location,
            version,
            schema,
            opened: ArcSwap::from_pointee(opened),
            checked: ForkSafeOnce::new(),
        })
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    /// What the rows are, if this is a table of results.
    pub fn spec(&self) -> Result<TensorSpec> {
        let check = || {
            check_id_column(&self.schema)?;
            TensorSpec::from_table_schema(&self.schema)
        };
        check().map_err(|e| e.context(&self.location))
    }

    pub fn count_rows(&self) -> Result<u64> {
        let dataset = self.opened()?;
        let rows = lance(async { dataset.count_rows(None).await });
        let rows = rows.map_err(|error| error.context(&self.location))?;
        Ok(rows as u64)
    }

    /// The schema of chosen columns, with the metadata of the table.
    pub fn schema(&self, columns: Columns) -> SchemaRef {
        let names = columns.names();
        let fields: Vec<_> = names
            .iter()
            .filter_map(|name| self.schema.field_with_name(name).ok().cloned())
            .collect();
        Arc::new(Schema::new_with_metadata(fields, self.schema.metadata().clone()))
    }

    /// The dataset, its data files checked.
    pub fn dataset(&self) -> Result<Arc<Dataset>> {
        let dataset = self.opened()?;
        self.checked.get_or_try_init(|| {
            let fragments = dataset.fragments().clone();
            caught(async { files::check(&self.location, &fragments).await })?
        })?;
        Ok(dataset)
    }

    /// The dataset; in a forked child it is opened anew.
    fn opened(&self) -> Result<Arc<Dataset>> {
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
