//! The table as its writer sees it: data files written but not committed, and the checkpoints that
//! commit them.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema as ArrowSchema;
use lance::dataset::builder::DatasetBuilder;
use lance::dataset::transaction::{Operation, TransactionBuilder};
use lance::dataset::{CommitBuilder, Dataset, WriteDestination};
use lance::session::Session;
use lance_core::datatypes::Schema;
use lance_file::version::{ConcreteFileVersion, LanceFileVersion};
use lance_io::object_store::ObjectStore;
use lance_table::format::Fragment;
use object_store::path::Path;

use crate::error::{Error, Result, Status};
use crate::location::Location;
use crate::writer::batch::Layout;
use crate::writer::data_file::OpenFile;
use crate::writer::durable::sync_files;
use crate::writer::{CommitInfo, Mode};

/// The file version of tables that librds makes: rows of a page lie in one plain buffer.
const FILE_VERSION: LanceFileVersion = LanceFileVersion::V2_2;

const DATA: &str = "data";
const VERSIONS: &str = "_versions";

pub struct Table {
    location: Location,
    mode: Mode,
    session: Arc<Session>,
    store: Arc<ObjectStore>,
    data_dir: Path,
    /// The deepest directory that was there before anything was made: what is made below it must be
    /// synced up to it.
    top: PathBuf,
    /// The table as of the last commit. Before the first: what there is, to be appended to or
    /// replaced.
    dataset: Option<Arc<Dataset>>,
    /// Whether this writer has committed: from then on it appends.
    committed: bool,
    /// Schema of the data files, with Lance's field ids.
    schema: Option<Schema>,
    open_file: Option<OpenFile>,
    /// Finished, and not committed.
    fragments: Vec<Fragment>,
    /// Rows and bytes in files, committed or not.
    written: CommitInfo,
}

impl Table {
    pub async fn open(location: Location, mode: Mode) -> Result<Self> {
        let session = Arc::new(small_session());
        let dataset = load(&location, &session).await?;
        match (mode, &dataset) {
            (Mode::Create, Some(_)) => return Err(exists(&location)),
            (Mode::Append, None) => {
                return Err(Error::not_found(format!("there is no table at {location}")));
            }
            _ => {}
        }
        let above = location.path().ancestors().skip(1).find(|path| path.exists());
        let top = above.unwrap_or(location.path()).to_path_buf();
        let (store, base) = ObjectStore::from_uri(&location.uri()?).await?;
        let mut table = Self {
            location,
            mode,
            session,
            store,
            data_dir: base.join(DATA),
            top,
            dataset,
            committed: false,
            schema: None,
            open_file: None,
            fragments: Vec::new(),
            written: CommitInfo::default(),
        };
        if mode == Mode::Append {
            // Refused now rather than with the first batch.
            table.schema = table.dataset.as_ref().map(|dataset| dataset.schema().clone());
            if let Some(dataset) = &table.dataset {
                Layout::of_table(Arc::new(ArrowSchema::from(dataset.schema())))?;
                if table.file_version() == ConcreteFileVersion::V1 {
                    return Err(Error::not_supported(format!(
                        "the table at {} has files of Lance's first format, which cannot be added to",
                        table.location
                    )));
                }
            }
        }
        Ok(table)
    }

    /// What rows must look like, if a table that is appended to fixes it.
    pub fn layout(&self) -> Option<Arc<Layout>> {
        let schema = self.schema.as_ref()?;
        Layout::of_table(Arc::new(ArrowSchema::from(schema))).ok().map(Arc::new)
    }

    /// Encodes a batch into the open data file.
    pub async fn write(&mut self, layout: &Layout, batch: &RecordBatch) -> Result<()> {
        let bytes = (batch.num_rows() * layout.spec.row_bytes()) as u64;
        let mut file = match self.open_file.take() {
            Some(file) => file,
            None => {
                let version = self.file_version();
                let schema = match &self.schema {
                    Some(schema) => schema,
                    None => self.schema.insert(Schema::try_from(layout.schema.as_ref())?),
                };
                OpenFile::create(&self.store, &self.data_dir, schema, version).await?
            }
        };
        file.write(batch, bytes).await?;
        self.written.rows += batch.num_rows() as u64;
        self.written.tensor_bytes += bytes;
        if file.is_full() {
            self.fragments.push(file.finish().await?);
        } else {
            self.open_file = Some(file);
        }
        Ok(())
    }

    /// One commit of everything written; nothing, if there is nothing new.
    pub async fn checkpoint(&mut self) -> Result<CommitInfo> {
        if let Some(file) = self.open_file.take() {
            self.fragments.push(file.finish().await?);
        }
        if !self.fragments.is_empty() {
            let fragments = std::mem::take(&mut self.fragments);
            let names: Vec<String> =
                fragments.iter().flat_map(|f| &f.files).map(|file| file.path.clone()).collect();
            sync(&self.location, &self.top, DATA, names).await?;
            self.commit(fragments).await?;
        }
        if let Some(dataset) =
            self.dataset.as_ref().filter(|_| self.committed || self.mode == Mode::Append)
        {
            self.written.version = dataset.manifest().version;
            self.written.data_files =
                dataset.fragments().iter().map(|f| f.files.len() as u64).sum();
        }
        Ok(self.written)
    }

    /// Drops what is not committed.
    pub async fn discard(&mut self) {
        if let Some(file) = self.open_file.take() {
            file.abort().await;
        }
        for file in self.fragments.drain(..).flat_map(|fragment| fragment.files) {
            // What cannot be removed is a file that no version names.
            let path = self.data_dir.clone().join(file.path.as_str());
            if let Err(error) = self.store.delete(&path).await {
                log::warn!("cannot remove the uncommitted file {path}: {error}");
            }
        }
    }

    async fn commit(&mut self, fragments: Vec<Fragment>) -> Result<()> {
        let appends = self.committed || self.mode == Mode::Append;
        let dataset =
            if appends { self.append(fragments).await? } else { self.replace(fragments).await? };
        let manifest = dataset.manifest_location().path.filename().map(str::to_string);
        sync(&self.location, &self.top, VERSIONS, manifest).await?;
        self.schema = Some(dataset.schema().clone());
        self.dataset = Some(Arc::new(dataset));
        self.committed = true;
        Ok(())
    }

    // Mutable without need: a shared reference to an open data file may not wait in a task.
    async fn append(&mut self, fragments: Vec<Fragment>) -> Result<Dataset> {
        let dataset =
            self.dataset.clone().ok_or_else(|| Error::internal("no table to append to"))?;
        self.check_still_there(&dataset).await?;
        let operation = Operation::Append { fragments };
        let transaction = TransactionBuilder::new(dataset.manifest().version, operation).build();
        let commit =
            CommitBuilder::new(WriteDestination::Dataset(dataset)).with_skip_auto_cleanup(true);
        Ok(commit.execute(transaction).await?)
    }

    /// Lance commits to a table whose directory is gone: a manifest that names files which are not.
    async fn check_still_there(&mut self, dataset: &Dataset) -> Result<()> {
        let ours = dataset.manifest().version;
        let newest = match self.location.exists()? {
            true => dataset.latest_version_id().await.map_err(Error::reading),
            false => Err(Error::not_found("")),
        };
        match newest {
            Ok(newest) if newest >= ours => Ok(()),
            Ok(_) => Err(Error::commit_conflict(format!(
                "the table at {} was replaced by another one",
                self.location
            ))),
            Err(error) if error.status == Status::RDS_ERR_NOT_FOUND => Err(Error::not_found(
                format!("the table at {} was removed while it was written", self.location),
            )),
            Err(error) => Err(error),
        }
    }

    /// The first commit of a run that does not append.
    async fn replace(&mut self, fragments: Vec<Fragment>) -> Result<Dataset> {
        let found = load(&self.location, &self.session).await?;
        let version_of = |dataset: &Dataset| dataset.manifest().version;
        let before = self.dataset.as_deref().map(version_of);
        if found.as_deref().map(version_of) != before {
            return Err(self.lost_the_race());
        }
        let schema = self.schema.clone().ok_or_else(|| Error::internal("no schema to commit"))?;
        let operation = Operation::Overwrite {
            fragments,
            schema,
            config_upsert_values: None,
            initial_bases: None,
        };
        let transaction = TransactionBuilder::new(before.unwrap_or(0), operation).build();
        let uri = self.location.uri()?;
        let destination = match found {
            Some(dataset) => WriteDestination::Dataset(dataset),
            None => WriteDestination::Uri(&uri),
        };
        let commit = CommitBuilder::new(destination)
            .with_session(self.session.clone())
            .with_storage_format(FILE_VERSION)
            .with_skip_auto_cleanup(true)
            // Strict: with retries Lance would put an overwrite on top of whatever came meanwhile.
            .with_max_retries(0);
        match commit.execute(transaction).await {
            Ok(dataset) => Ok(dataset),
            Err(error) => match load(&self.location, &self.session).await {
                Ok(now) if now.as_deref().map(version_of) != before => Err(self.lost_the_race()),
                _ => Err(error.into()),
            },
        }
    }

    fn lost_the_race(&self) -> Error {
        match self.mode {
            Mode::Create => exists(&self.location),
            _ => Error::commit_conflict(format!(
                "another writer changed the table at {} since this one was opened",
                self.location
            )),
        }
    }

    /// The version new data files have: that of the table, if it is appended to.
    fn file_version(&self) -> ConcreteFileVersion {
        match &self.dataset {
            Some(dataset) if self.committed || self.mode == Mode::Append => {
                dataset.manifest().data_storage_format.version
            }
            _ => FILE_VERSION.resolve(),
        }
    }
}

/// Syncs files in a directory of the table, and the directories up to `top`.
async fn sync(
    location: &Location,
    top: &std::path::Path,
    directory: &str,
    names: impl IntoIterator<Item = String>,
) -> Result<()> {
    let directory = location.path().join(directory);
    let files: Vec<PathBuf> = names.into_iter().map(|name| directory.join(name)).collect();
    sync_files(files, top.to_path_buf()).await
}

/// A writer reads manifests only: Lance's caches, gigabytes by default, would hold nothing of use.
fn small_session() -> Session {
    Session::new(0, 4 << 20, Arc::default())
}

fn exists(location: &Location) -> Error {
    Error::already_exists(format!(
        "there is a table at {location}; append to it, overwrite it, or choose another path"
    ))
}

/// The newest version of the table, if there is one.
async fn load(location: &Location, session: &Arc<Session>) -> Result<Option<Arc<Dataset>>> {
    if !location.exists()? {
        return Ok(None);
    }
    let builder = DatasetBuilder::from_uri(location.uri()?).with_session(session.clone());
    match builder.load().await.map_err(Error::reading) {
        Ok(dataset) => Ok(Some(Arc::new(dataset))),
        Err(error) if error.status == Status::RDS_ERR_NOT_FOUND => Ok(None),
        Err(error) => Err(error.context(location)),
    }
}
