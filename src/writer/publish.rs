//! Makes finished files visible: they are linked into the table's data, and a version is made that names them.
//! A live run, one that is recovered, and tokens of many writers all go this way.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use lance::Dataset;
use lance::dataset::transaction::{Operation, RewriteGroup};
use lance_table::format::Fragment;

use crate::error::{Error, Result};
use crate::location::Location;
use crate::writer::Mode;
use crate::writer::fragment::{Finished, Target};
use crate::writer::handler::no_links;
use crate::writer::journal::sync_directory;
use crate::writer::layout::Layout;
use crate::writer::replay::checksum;
use crate::writer::runs::runs;
use crate::writer::versions::{Change, Landing, Mark, NewParts, Versions};

pub use crate::location::DATA;

/// How long others may be faster before a caller is told.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Files of one run that are to be shown.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    pub directory: &'a Path,
    pub finished: &'a [Finished],
}

/// What is to be made visible in one version.
pub struct Publication<'a> {
    pub mode: Mode,
    /// The newest version when the run began; for a run that appends, the first that it belongs to.
    pub began_on: u64,
    /// The last version known to be of that table.
    pub seen: u64,
    pub layout: &'a Layout,
    pub parts: Vec<Part<'a>>,
    pub marks: Vec<Mark>,
    pub config: BTreeMap<String, String>,
    /// The parts of jobs among it.
    pub jobs: Option<NewParts>,
    /// Rows go behind whatever the table is now.
    pub onto_replaced: bool,
}

/// The version that shows it.
pub struct Published {
    pub dataset: Arc<Dataset>,
    /// Not by this call: it had landed before.
    pub before: bool,
}

impl Published {
    pub fn version(&self) -> u64 {
        self.dataset.manifest().version
    }
}

impl Publication<'_> {
    pub async fn publish(&self, versions: &Versions) -> Result<Published> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = PAUSE;
        loop {
            let error = match self.attempt(versions).await {
                Ok(Landing::Landed(dataset)) => {
                    self.put_back(versions.table())?;
                    return Ok(Published { dataset: Arc::new(*dataset), before: false });
                }
                Ok(Landing::Before) => {
                    self.put_back(versions.table())?;
                    let newest =
                        versions.newest().await?.ok_or_else(|| gone(&versions.location))?;
                    return Ok(Published { dataset: newest, before: true });
                }
                Ok(Landing::Again(error)) => error,
                // Names in the table's data stay: whoever took the run over may have made a version with them.
                Err(error) => return Err(error),
            };
            if Instant::now() > deadline {
                let seconds = PATIENCE.as_secs();
                let why = format!("others changed the table all the time for {seconds} s");
                return Err(Error::commit_conflict(&error.message).context(why).passing());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(&self, versions: &Versions) -> Result<Landing> {
        let newest = versions.newest().await?;
        let shown = newest.as_ref().is_some_and(|newest| {
            let shown = |mark: &Mark| Mark::of(newest.manifest(), &mark.run);
            self.marks.iter().any(|mark| shown(mark).is_some_and(|(_, rows)| rows >= mark.rows))
        });
        if shown {
            return Ok(Landing::Before);
        }
        let now = newest.as_ref().map_or(0, |newest| newest.manifest().version);
        match (self.mode, &newest) {
            (Mode::Create, None) => {}
            (Mode::Create, Some(_)) => return Err(exists(&versions.location)),
            (Mode::Overwrite, _) if now != self.began_on => {
                return Err(Error::commit_conflict(format!(
                    "another writer changed the table at {} since this one was opened",
                    versions.location
                )));
            }
            (Mode::Overwrite, _) => {}
            (_, None) => return Err(gone(&versions.location)),
            (_, Some(newest)) if !self.onto_replaced => {
                let why = versions.replaced(newest, self.began_on, self.seen).await?;
                if let Some(why) = why {
                    return Err(Error::commit_conflict(format!(
                        "the table at {} was replaced: {why}; the durable rows of this run wait, and \
                         rds_recover() with RDS_RECOVER_ONTO_REPLACED adds them, with RDS_RECOVER_DROP \
                         drops them",
                        versions.location
                    )));
                }
            }
            _ => {}
        }
        let appends = !matches!(self.mode, Mode::Create | Mode::Overwrite);
        let target = match &newest {
            Some(newest) if appends => Target::of(newest.manifest()),
            _ => Target::new(self.layout)?,
        };
        let layout = target.layout()?;
        layout.check(self.layout.tensors()).map_err(|error| {
            error.context(format!(
                "the table at {} has other tensors than when the rows were written, which are kept",
                versions.location
            ))
        })?;
        let finished = self.parts.iter().flat_map(|part| part.finished);
        let fragments = finished.map(|finished| finished.fragment(&target));
        let fragments = fragments.collect::<Result<Vec<_>>>()?;
        for part in &self.parts {
            link_all(part, versions.table())?;
        }
        sync_directory(&versions.table().join(DATA))?;
        let (operation, schema) = match appends {
            true => (Operation::Append { fragments }, Some(target.schema)),
            false => {
                let (schema, initial_bases) = (target.schema, None);
                let config_upsert_values = None;
                (
                    Operation::Overwrite { fragments, schema, config_upsert_values, initial_bases },
                    None,
                )
            }
        };
        let (marks, config, jobs) = (self.marks.clone(), self.config.clone(), self.jobs.clone());
        let (owner, last_file) = (None, None);
        let change = Change { operation, marks, owner, config, jobs, schema, last_file };
        versions.commit(newest, change).await
    }

    /// A clean-up may have listed files before the commit, and removed them after.
    pub fn put_back(&self, table: &Path) -> Result<()> {
        self.parts.iter().try_for_each(|part| put_back(part.directory, part.names(), table))
    }
}

impl<'a> Part<'a> {
    fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.finished.iter().flat_map(|finished| &finished.files).map(|file| file.name.as_str())
    }
}

pub fn take_back(table: &Path, name: &str) {
    let path = table.join(DATA).join(name);
    // Only a second name: where there are none, the file was moved there and is all there is.
    if std::fs::metadata(&path).is_ok_and(|file| file.nlink() > 1) {
        let _ = std::fs::remove_file(&path);
    }
}

fn link_all(part: &Part, table: &Path) -> Result<()> {
    let data = table.join(DATA);
    std::fs::create_dir_all(&data)?;
    part.names().try_for_each(|name| link(&part.directory.join(name), &data.join(name)))
}

/// Names the file in the table's data too, as one made now: clean-ups leave young files alone.
fn link(from: &Path, to: &Path) -> Result<()> {
    let of = |error: io::Error| Error::from(error).context(format!("linking {}", to.display()));
    let file = match File::open(from) {
        // Moved there by an earlier attempt, where there are no links.
        Err(error) if error.kind() == io::ErrorKind::NotFound && to.exists() => return Ok(()),
        file => file.map_err(|e| Error::from(e).context(format!("opening {}", from.display())))?,
    };
    file.set_modified(SystemTime::now()).map_err(of)?;
    match std::fs::hard_link(from, to) {
        Err(error) if no_links(&error) => std::fs::rename(from, to).map_err(of),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let (own, there) = (file.metadata().map_err(of)?, std::fs::metadata(to).map_err(of)?);
            // In a copy of a table what was one file is two.
            let same = (own.dev(), own.ino()) == (there.dev(), there.ino())
                || own.len() == there.len()
                    && checksum(from, own.len()).map_err(of)?
                        == checksum(to, there.len()).map_err(of)?;
            match same {
                true => Ok(()),
                false => Err(Error::corrupt(format!(
                    "{} is not the file that {} is; put it away, and call rds_recover()",
                    to.display(),
                    from.display()
                ))),
            }
        }
        linked => linked.map_err(of),
    }
}

pub fn put_back<'a>(
    directory: &Path,
    names: impl Iterator<Item = &'a str>,
    table: &Path,
) -> Result<()> {
    let mut put = false;
    for name in names {
        let to = table.join(DATA).join(name);
        if !to.exists() {
            link(&directory.join(name), &to)?;
            put = true;
        }
    }
    if put {
        sync_directory(&table.join(DATA))?;
    }
    Ok(())
}

/// The data files of a version.
pub fn named(dataset: &Dataset) -> HashSet<String> {
    let fragments = dataset.manifest().fragments.iter();
    fragments.flat_map(|fragment| &fragment.files).map(|file| file.path.clone()).collect()
}

/// Puts back what the newest version names, a clean-up took, and some run still has.
pub fn put_back_all(versions: &Versions, newest: Option<&Dataset>) -> Result<()> {
    let Some(newest) = newest else { return Ok(()) };
    let data = versions.table().join(DATA);
    let missing: Vec<String> =
        named(newest).into_iter().filter(|name| !data.join(name).exists()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for run in runs(versions.table())? {
        let has = |name: &&String| run.directory.join(name).exists();
        put_back(&run.directory, missing.iter().filter(has).map(String::as_str), versions.table())?;
    }
    Ok(())
}

pub fn gone(location: &Location) -> Error {
    Error::not_found(format!("there is no table at {location}"))
}

pub fn exists(location: &Location) -> Error {
    Error::already_exists(format!(
        "there is a table at {location}; append to it, overwrite it, or choose another path"
    ))
}

/// A run's merged files in the place of the fragments at the end of a table.
pub struct Rewriting<'a> {
    pub old: Vec<Fragment>,
    pub new: Vec<Replacement>,
    pub directory: &'a Path,
    pub owner: Mark,
}

/// What stands at the end of the table then, in order.
pub enum Replacement {
    Merged(Finished),
    /// A fragment that is not copied: the same files under another id, as ids are in the order of rows.
    Kept(Fragment),
}

impl Rewriting<'_> {
    /// None, if the table has changed there, or others were faster: then nothing is done.
    pub async fn publish(self, versions: &Versions) -> Result<Option<Arc<Dataset>>> {
        let merged: Vec<Finished> = self
            .new
            .iter()
            .filter_map(|new| match new {
                Replacement::Merged(finished) => Some(finished.clone()),
                Replacement::Kept(_) => None,
            })
            .collect();
        let part = Part { directory: self.directory, finished: &merged };
        let result = self.attempt(&part, versions).await;
        match &result {
            Ok(Some(_)) => put_back(self.directory, part.names(), versions.table())?,
            // Nobody else knows of merged files.
            Ok(None) => part.names().for_each(|name| take_back(versions.table(), name)),
            Err(_) => {}
        }
        result
    }

    async fn attempt(&self, part: &Part<'_>, versions: &Versions) -> Result<Option<Arc<Dataset>>> {
        let Some(newest) = versions.newest().await? else { return Ok(None) };
        let target = Target::of(newest.manifest());
        if !newest.manifest().fragments.ends_with(&self.old) {
            return Ok(None);
        }
        let fragment = |new: &Replacement| match new {
            Replacement::Merged(finished) => finished.fragment(&target),
            // Lance gives the next id to what has none.
            Replacement::Kept(fragment) => Ok(Fragment { id: 0, ..fragment.clone() }),
        };
        let new_fragments = self.new.iter().map(fragment).collect::<Result<Vec<_>>>()?;
        let last = new_fragments.last().and_then(|fragment| fragment.files.first());
        let last_file = last.map(|file| file.path.clone());
        link_all(part, versions.table())?;
        sync_directory(&versions.table().join(DATA))?;
        let groups = vec![RewriteGroup { old_fragments: self.old.clone(), new_fragments }];
        let change = Change {
            operation: Operation::Rewrite {
                groups,
                rewritten_indices: Vec::new(),
                frag_reuse_index: None,
            },
            marks: Vec::new(),
            owner: Some(self.owner.clone()),
            config: Default::default(),
            jobs: None,
            schema: Some(target.schema),
            last_file,
        };
        match versions.commit(Some(newest), change).await? {
            Landing::Landed(dataset) => Ok(Some(Arc::new(*dataset))),
            Landing::Before | Landing::Again(_) => Ok(None),
        }
    }
}
