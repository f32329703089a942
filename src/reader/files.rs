//! The data files of a version, each opened once and checked, and which of them has which rows and columns.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lance_file::reader::CachedFileMetadata;
use lance_file::version::ConcreteFileVersion;
use lance_table::format::{DataFile as Named, DeletionFile, Fragment as FragmentOf, Manifest};
use url::Url;

use crate::error::{Error, Result, Status};
use crate::location::{DATA, RUNS, run_of};
use crate::patience::Wait;
use crate::process::ProcessOnce;
use crate::reader::deletions::Deleted;
use crate::reader::file::{DataFile, Identity, Opened};
use crate::reader::footer::Footer;
use crate::runtime;

/// After so many a caller is asked whether to go on.
const FRAGMENTS_AT_ONCE: usize = 64;
/// Fewer fragments are not worth another thread.
const FRAGMENTS_PER_THREAD: usize = 32;

/// A file, and what its end says.
pub struct TableFile {
    pub file: Arc<DataFile>,
    pub footer: Footer,
    metadata: ProcessOnce<Arc<CachedFileMetadata>>,
}

impl TableFile {
    /// What Lance's decoders need of it.
    pub fn metadata(&self) -> Result<Arc<CachedFileMetadata>> {
        let metadata = self.metadata.get_or_try_init(|| self.footer.for_lance());
        metadata.cloned().map_err(|error| error.context(self.file.path().display()))
    }
}

/// A fragment: so many rows, some of which may be deleted, and where its fields are.
#[derive(Clone)]
pub struct Fragment {
    /// Rows in its files.
    pub physical: u64,
    pub deleted: Option<Arc<Deleted>>,
    deletion_file: Option<DeletionFile>,
    files: Vec<(Arc<TableFile>, Named)>,
}

impl Fragment {
    /// Rows that are left.
    pub fn rows(&self) -> u64 {
        self.physical - self.deleted.as_ref().map_or(0, |deleted| deleted.len())
    }

    /// Whether the other one has the same rows in the same places.
    pub fn is(&self, other: &Self) -> bool {
        let files = self.files.iter().zip(&other.files);
        let mut files = files
            .map(|((file, named), (other, others))| Arc::ptr_eq(file, other) && named == others);
        let deleted = (&self.deletion_file, &other.deletion_file);
        self.physical == other.physical
            && deleted.0 == deleted.1
            && self.files.len() == other.files.len()
            && files.all(|same| same)
    }

    /// What its files are called, which says what is in them.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let files = self.files.iter().map(|(_, named)| named.path.to_string());
        let deleted = self.deletion_file.as_ref();
        files.chain(deleted.map(|file| format!("{}-{}", file.read_version, file.id)))
    }

    pub fn files(&self) -> impl Iterator<Item = &Arc<TableFile>> {
        self.files.iter().map(|(file, _)| file)
    }

    /// The file that has a field, and the number of its column there. None: all its values are null.
    pub fn column(&self, field: i32) -> Option<(&Arc<TableFile>, u32)> {
        self.files.iter().find_map(|(file, named)| Some((file, column(named, field)?)))
    }
}

fn column(named: &Named, field: i32) -> Option<u32> {
    let position = named.fields.iter().position(|id| *id == field)?;
    named.column_indices.get(position).and_then(|column| u32::try_from(*column).ok())
}

/// All files of a version, by their paths.
pub type Files = HashMap<PathBuf, Arc<TableFile>>;

pub struct Source<'a> {
    /// The directory of the table.
    pub table: &'a Path,
    pub manifest: &'a Manifest,
    /// The fields whose files are to be mapped.
    pub mapped: Vec<i32>,
    /// Of an earlier version of the same table.
    pub known: Option<&'a Files>,
}

impl Source<'_> {
    /// Opens the fragments, several at once.
    pub fn open(&self, wait: &mut Wait) -> Result<(Vec<Fragment>, Files)> {
        let mut opened = Vec::new();
        for fragments in self.manifest.fragments.chunks(FRAGMENTS_AT_ONCE) {
            wait.ask_if_due()?;
            let parts = runtime::parts(fragments.len(), FRAGMENTS_PER_THREAD);
            let parts: Vec<_> = fragments.chunks(fragments.len().div_ceil(parts).max(1)).collect();
            let part = runtime::in_parallel(parts, |part: &[FragmentOf]| {
                part.iter().map(|fragment| self.fragment(fragment)).collect::<Vec<_>>()
            });
            for fragment in part.into_iter().flatten() {
                opened.push(fragment?);
            }
        }
        let files = opened.iter().flat_map(Fragment::files);
        let files = files.map(|file| (file.file.path().to_path_buf(), file.clone())).collect();
        Ok((opened, files))
    }

    fn fragment(&self, fragment: &FragmentOf) -> Result<Fragment> {
        let of = |error: Error| error.context(format!("fragment {}", fragment.id));
        if !fragment.overlays.is_empty() {
            return Err(of(Error::not_supported(
                "it has overlays, which this version cannot read",
            )));
        }
        let mut fields: Vec<i32> = Vec::new();
        let mut files = Vec::new();
        for named in &fragment.files {
            for field in named.fields.iter().filter(|field| **field >= 0) {
                if column(named, *field).is_some() {
                    fields.push(*field);
                }
            }
            files.push((self.file(named).map_err(of)?, named.clone()));
        }
        fields.sort_unstable();
        if let Some([field, _]) = fields.array_windows().find(|[field, next]| field == next) {
            return Err(of(Error::corrupt(format!("field {field} is in two of its files"))));
        }
        let said = fragment.physical_rows.map(|rows| rows as u64);
        let physical = said.or(files.first().map(|(file, _)| file.footer.rows)).unwrap_or(0);
        if let Some((file, _)) = files.iter().find(|(file, _)| file.footer.rows != physical) {
            return Err(of(Error::corrupt(format!(
                "{} has {} rows, the manifest says {physical}",
                file.file.path().display(),
                file.footer.rows
            ))));
        }
        if files.is_empty() && physical > 0 {
            return Err(of(Error::corrupt(format!("it has {physical} rows and no file"))));
        }
        // Lance numbers the rows of a fragment by 32 bits.
        if u32::try_from(physical).is_err() {
            return Err(of(Error::not_supported(format!("it has {physical} rows"))));
        }
        let deleted = fragment.deletion_file.as_ref().map(|file| {
            let root = self.root(file.base_id)?;
            Deleted::read(&root, fragment.id, file, physical).map(Arc::new)
        });
        let deleted = deleted.transpose().map_err(of)?;
        Ok(Fragment { physical, deleted, deletion_file: fragment.deletion_file.clone(), files })
    }

    fn file(&self, named: &Named) -> Result<Arc<TableFile>> {
        let (major, minor) = (named.file_major_version, named.file_minor_version);
        if (major, minor) < (0, 3) {
            return Err(Error::not_supported(format!(
                "{}: a file of version {major}.{minor}; those of Lance's first format are not read",
                named.path
            )));
        }
        let path = self.directory(named.base_id)?.join(&named.path);
        if let Some(known) = self.known.and_then(|known| known.get(&path))
            && std::fs::metadata(&path).is_ok_and(|now| Identity::of(&now) == known.file.identity)
        {
            return Ok(known.clone());
        }
        let opened = match Opened::open(&path) {
            Err(error) if error.status == Status::RDS_ERR_NOT_FOUND => {
                self.under_its_other_name(named).ok_or(error)
            }
            opened => opened,
        };
        self.check(named, opened?).map_err(|error| match error.message.contains(&named.path) {
            true => error,
            false => error.context(path.display()),
        })
    }

    /// A file of a run of librds has another name, for a while: its owner puts back what a clean-up took that did not
    /// know its version yet.
    fn under_its_other_name(&self, named: &Named) -> Option<Opened> {
        let run = run_of(&named.path)?;
        let path = self.root(named.base_id).ok()?.join(RUNS).join(run).join(&named.path);
        Opened::open(&path).ok()
    }

    fn check(&self, named: &Named, opened: Opened) -> Result<Arc<TableFile>> {
        let size = opened.identity.size;
        if let Some(said) = named.file_size_bytes.get().filter(|said| said.get() != size) {
            return Err(Error::corrupt(format!("it has {size} bytes, the manifest says {said}")));
        }
        let footer = Footer::read(size, |range| opened.read(range))?;
        let (major, minor) = (named.file_major_version, named.file_minor_version);
        if !ConcreteFileVersion::from_data_file_numbers(major, minor)
            .is_ok_and(|said| said == footer.version)
        {
            return Err(Error::corrupt(format!(
                "the manifest says that its version is {major}.{minor}"
            )));
        }
        let map = self.mapped.iter().any(|field| column(named, *field).is_some());
        let file = Arc::new(opened.keep(map));
        Ok(Arc::new(TableFile { file, footer, metadata: ProcessOnce::new() }))
    }

    /// A table may name files of another one that it is a copy of.
    fn root(&self, base: Option<u32>) -> Result<PathBuf> {
        self.base(base).map(|(path, _)| path)
    }

    fn directory(&self, base: Option<u32>) -> Result<PathBuf> {
        let (path, is_root) = self.base(base)?;
        Ok(if is_root { path.join(DATA) } else { path })
    }

    fn base(&self, base: Option<u32>) -> Result<(PathBuf, bool)> {
        let Some(id) = base else { return Ok((self.table.to_path_buf(), true)) };
        let base = self.manifest.base_paths.get(&id);
        let base = base.ok_or_else(|| Error::corrupt(format!("there is no base {id}")))?;
        let path = match base.path.split_once("://") {
            None => Some(PathBuf::from(&base.path)),
            Some(("file" | "file+uring", _)) => {
                Url::parse(&base.path).ok().and_then(|url| url.to_file_path().ok())
            }
            Some(_) => None,
        };
        match path.filter(|path| path.is_absolute()) {
            Some(path) => Ok((path, base.is_dataset_root)),
            None => Err(Error::not_supported(format!("the base {:?} is not local", base.path))),
        }
    }
}
