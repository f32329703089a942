//! The table as its writer sees it: rows encoded into data files, the checkpoints that commit these, and
//! the merging of what checkpoints leave.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema as ArrowSchema;
use lance::Dataset;
use lance_core::datatypes::Schema;
use lance_file::version::ConcreteFileVersion;
use lance_table::format::Fragment;

use crate::error::{Error, Result};
use crate::location::Location;
use crate::writer::batch::Layout;
use crate::writer::data_file::{DATA, Finished, Names, OpenFile};
use crate::writer::head::{FILE_VERSION, Head, id_after};
use crate::writer::merge::Merge;
use crate::writer::plan::{self, Piece};
use crate::writer::staging::Token;
use crate::writer::{CommitInfo, CommitScope, Mode};

pub struct Table {
    head: Head,
    names: Names,
    /// Schema of the data files, with Lance's field ids.
    schema: Option<Schema>,
    open_file: Option<OpenFile>,
    /// Not committed.
    finished: Vec<Finished>,
    /// Rows and bytes in files, committed or not.
    written: CommitInfo,
}

impl Table {
    pub async fn open(location: Location, mode: Mode) -> Result<Self> {
        let names = Names::new(location.path(), mode == Mode::Staged);
        let head = Head::open(location, mode).await?;
        let table = Self {
            head,
            names,
            schema: None,
            open_file: None,
            finished: Vec::new(),
            written: CommitInfo::default(),
        };
        if mode == Mode::Append {
            // Refused now rather than with the first batch.
            table.layout()?;
            if table.head.file_version() == ConcreteFileVersion::V1 {
                return Err(Error::not_supported(format!(
                    "the table at {} has files of Lance's first format, which cannot be added to",
                    table.head.location
                )));
            }
        }
        Ok(table)
    }

    /// What the rows of a table that is added to look like.
    pub fn layout(&self) -> Result<Option<Arc<Layout>>> {
        let schema =
            self.head.appends_to().map(|table| Arc::new(ArrowSchema::from(table.schema())));
        schema.map(|schema| Layout::of_table(schema).map(Arc::new)).transpose()
    }

    /// Encodes a batch into the open data file. True, if that has filled it.
    pub async fn write(&mut self, layout: &Layout, batch: &RecordBatch) -> Result<bool> {
        let bytes = (batch.num_rows() * layout.spec.row_bytes()) as u64;
        let mut file = match self.open_file.take() {
            Some(file) => file,
            None => self.create_file(layout)?,
        };
        file.write(batch, bytes).await?;
        self.written.rows += batch.num_rows() as u64;
        self.written.tensor_bytes += bytes;
        if file.fullness() < 1.0 {
            self.open_file = Some(file);
            return Ok(false);
        }
        self.finished.push(file.finish().await?);
        Ok(true)
    }

    /// How full the open data file is.
    pub fn fullness(&self) -> f64 {
        self.open_file.as_ref().map_or(0.0, OpenFile::fullness)
    }

    fn create_file(&mut self, layout: &Layout) -> Result<OpenFile> {
        let same = |table: &&Arc<Dataset>| ArrowSchema::from(table.schema()) == *layout.schema;
        let (schema, version) = match self.head.appends_to().filter(same) {
            Some(table) => (table.schema().clone(), self.head.file_version()),
            None => (Schema::try_from(layout.schema.as_ref())?, FILE_VERSION.resolve()),
        };
        let file = OpenFile::create(self.names.next(), &schema, version);
        self.schema = Some(schema);
        file
    }

    /// One commit of everything written; nothing, if there is nothing new.
    pub async fn checkpoint(&mut self) -> Result<CommitInfo> {
        self.finish_file().await?;
        if !self.finished.is_empty() {
            let finished = std::mem::take(&mut self.finished);
            let schema = self.schema.as_ref();
            let schema = schema.ok_or_else(|| Error::internal("files without a schema"))?;
            self.head.commit(finished, schema).await?;
        }
        Ok(self.info())
    }

    /// What is durable after a checkpoint.
    pub fn info(&self) -> CommitInfo {
        let CommitInfo { rows, tensor_bytes, .. } = self.written;
        CommitInfo { rows, tensor_bytes, ..self.head.info() }
    }

    /// 0 before the first commit.
    pub fn version(&self) -> u64 {
        self.head.appends_to().map_or(0, |table| table.manifest().version)
    }

    async fn finish_file(&mut self) -> Result<()> {
        if let Some(file) = self.open_file.take() {
            self.finished.push(file.finish().await?);
        }
        Ok(())
    }

    /// A token for what was written since the last one, which no version names.
    pub async fn stage(&mut self, layout: Option<&Layout>) -> Result<Vec<u8>> {
        self.finish_file().await?;
        let finished = std::mem::take(&mut self.finished);
        self.head.sync_files(&finished)?;
        let fragments = finished.iter().map(|finished| finished.fragment.clone()).collect();
        let token = Token::new(layout.map(|layout| &layout.spec), fragments).to_bytes()?;
        finished.into_iter().for_each(|finished| finished.file.keep());
        Ok(token)
    }

    /// A merge that is due along the way.
    pub fn next_merge(&self) -> Option<Vec<Fragment>> {
        let table = self.head.appends_to()?;
        let group = plan::along_the_way(&self.pieces(table, CommitScope::Run))?;
        neighbours(table, group)
    }

    /// The merges that leave one file per million rows or gibibyte.
    pub fn last_merges(&self, scope: CommitScope) -> Vec<Vec<Fragment>> {
        let Some(table) = self.head.appends_to() else { return Vec::new() };
        let groups = plan::at_the_end(&self.pieces(table, scope)).into_iter();
        groups.filter_map(|group| neighbours(table, group)).collect()
    }

    fn pieces(&self, table: &Dataset, scope: CommitScope) -> Vec<Piece> {
        let manifest = table.manifest();
        let row_bytes = self.layout().ok().flatten().map(|layout| layout.spec.row_bytes() as u64);
        // An index, or ids of rows, would have to be rewritten too.
        let plain = manifest.index_section.is_none() && !manifest.uses_stable_row_ids();
        let is_ours = |fragment: &Fragment| match fragment.files.as_slice() {
            [file] => {
                let of_scope = scope == CommitScope::Table || self.names.has(&file.path);
                of_scope && file.base_id.is_none() && file.file_size_bytes.get().is_some()
            }
            _ => false,
        };
        let piece = |fragment: &Fragment| {
            let unchanged = fragment.deletion_file.is_none() && fragment.overlays.is_empty();
            let rows = fragment.physical_rows.unwrap_or(0) as u64;
            Piece {
                rows,
                bytes: rows * row_bytes.unwrap_or(0),
                mergeable: plain && unchanged && row_bytes.is_some() && is_ours(fragment),
            }
        };
        manifest.fragments.iter().map(piece).collect()
    }

    pub async fn merge(&mut self, fragments: Vec<Fragment>) -> Result<Merge> {
        let table = self.head.appends_to();
        let table = table.ok_or_else(|| Error::internal("no table to merge in"))?.clone();
        Ok(Merge {
            store: table.object_store(None).await?,
            directory: table.branch_location().path.join(DATA),
            schema: table.schema().clone(),
            version: self.head.file_version(),
            fragments,
            path: self.names.next(),
        })
    }

    /// Puts a merged file in the place of those it was made of, if they are still there.
    pub async fn replace(&mut self, old: Vec<Fragment>, merged: Finished) -> Result<()> {
        let rows = merged.fragment.physical_rows;
        if !self.head.rewrite(old, merged).await? {
            log::info!(
                "{}: {rows:?} rows stay unmerged, another writer changed them",
                self.head.location
            );
        }
        Ok(())
    }

    /// Removes what this run left on its way to the newest version.
    pub async fn prune(&mut self) {
        // Whatever cannot be removed is in nobody's way.
        let pruned = self.head.prune().await;
        pruned.unwrap_or_else(|error| log::warn!("{}: {error}", self.head.location));
    }
}

/// The fragments at these places, if there is an id for what they are merged into.
fn neighbours(table: &Dataset, group: Range<usize>) -> Option<Vec<Fragment>> {
    let rest = table.manifest().fragments.get(group.start..)?;
    id_after(rest, group.len())?;
    rest.get(..group.len()).map(<[Fragment]>::to_vec)
}
