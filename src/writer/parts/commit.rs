//! Publishes what tokens name, in one version: files of runs as they are, parts of jobs packed.

use std::path::{Path, PathBuf};

use lance::Dataset;
use uuid::Uuid;

use crate::error::{Error, Result, Status};
use crate::location::Location;
use crate::runtime;
use crate::writer::fragment::{Finished, Target};
use crate::writer::jobs::{Jobs, Part, SINCE};
use crate::writer::layout::Layout;
use crate::writer::parts::given::{common_layout, in_order, of, parse};
use crate::writer::parts::pack::{Pack, Source, Wanted, attempts, directory_of};
use crate::writer::parts::removal::{remove, remove_emptied, remove_empty, remove_parts};
use crate::writer::parts::{PartToken, directory};
use crate::writer::publish::{Part as PublishedPart, Publication, exists, gone, take_back};
use crate::writer::run::{RUNS, Run};
use crate::writer::staging::{FilesToken, Token};
use crate::writer::versions::{Mark, NewParts, Versions};
use crate::writer::{CommitInfo, Mode};

/// Before the name of a job, in the configuration of a table: which attempts of its parts made the table.
pub const ATTEMPTS: &str = "rds.attempts.";

/// The parts of a whole job in order, each once.
fn chosen(tokens: &[Token]) -> Vec<Source<'_>> {
    let mut jobs = Jobs::default();
    let parts = in_order(tokens).into_iter().filter_map(|(index, token)| match token {
        Token::Part(token) => Some(Source { token, index }),
        Token::Files(_) => None,
    });
    parts.filter(|source| jobs.add(&source.token.part)).collect()
}

/// What is to be shown, in the order of its rows.
enum Item<'a> {
    Files(PathBuf, &'a FilesToken),
    Parts(Vec<Source<'a>>),
}

impl Item<'_> {
    /// Rows, and bytes of their tensors.
    fn size(&self) -> (u64, u64) {
        match self {
            Self::Files(_, token) => (token.rows(), token.rows() * token.row_bytes),
            Self::Parts(parts) => parts.iter().fold((0, 0), |(rows, bytes), part| {
                let token = part.token;
                (rows + token.rows, bytes + token.rows * token.row_bytes)
            }),
        }
    }
}

/// In the order of the parts of a job, tokens without one in the order given. `whole`: the job that all tokens are of,
/// so that what others wrote of the same parts is removed; and the call may have been made before, by a process that
/// died: parts that the table has by then are as good as published.
pub fn commit_staged(
    location: Location,
    tokens: &[&[u8]],
    mode: Mode,
    whole: Option<&str>,
) -> Result<CommitInfo> {
    let tokens = parse(tokens, whole)?;
    let versions = Versions::new(location);
    let ended = Ended { table: versions.table(), tokens: &tokens, whole };
    let landed = || -> Result<Option<CommitInfo>> {
        let newest = runtime::block_on(versions.newest())??;
        let Some(newest) = newest else { return Ok(None) };
        let there = shown(&versions, Some(&newest))?;
        if !ended.has_landed(&newest, &there, mode) {
            return Ok(None);
        }
        ended.clean_up(&[], &there).map(|()| Some(info(&newest, (0, 0))))
    };
    if let Some(info) = landed()? {
        return Ok(info);
    }
    match publish(&versions, &ended, mode) {
        // Another driver of the job may have been faster, and removed the parts.
        Err(error) if whole.is_some() && error.status != Status::RDS_ERR_COMMIT_UNKNOWN => {
            landed()?.ok_or(error)
        }
        published => published,
    }
}

fn publish(versions: &Versions, ended: &Ended, mode: Mode) -> Result<CommitInfo> {
    let Ended { tokens, whole, .. } = ended;
    let layout = common_layout(tokens)?;
    let newest = runtime::block_on(versions.newest())??;
    let newest = newest.as_deref();
    match (mode, newest) {
        (Mode::Create, Some(_)) => return Err(exists(&versions.location)),
        (Mode::Append, None) => return Err(gone(&versions.location)),
        _ => {}
    }
    let appended_to = newest.filter(|_| mode == Mode::Append);
    let there = shown(versions, appended_to)?;
    // Others put the table in the place of the one that had these.
    let since = appended_to.and_then(|newest| newest.manifest().config.get(SINCE).cloned());
    let void = since.filter(|_| there.is_empty());
    let (items, parts) = choose(versions, tokens, newest, &there, *whole)?;
    let size = items.iter().map(Item::size).fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    let declared = mode != Mode::Append && !items.is_empty();
    let Some(layout) = layout.filter(|_| declared || size.0 > 0) else {
        ended.clean_up(&[], &there)?;
        return Ok(appended_to.map_or(CommitInfo::default(), |newest| info(newest, size)));
    };
    let target = target(appended_to, &layout)?;
    if mode == Mode::Append {
        refuse_others(&target, &items)?;
    }
    let packed = Packed::make(versions, &items, &layout, &target, *whole)?;
    let began_on = newest.map_or(0, |newest| newest.manifest().version);
    let publication = Publication {
        mode,
        began_on,
        seen: began_on,
        layout: &layout,
        parts: packed.published(&items),
        marks: packed.marks(&items),
        config: whole
            .map(|job| (format!("{ATTEMPTS}{job}"), attempts(&chosen(tokens))))
            .into_iter()
            .collect(),
        jobs: (!parts.is_empty()).then_some(NewParts { parts, void }),
        onto_replaced: false,
    };
    let published = runtime::block_on(publication.publish(versions)).flatten();
    let published = published.and_then(|published| {
        match !published.before || packed.is_shown(&published.dataset) {
            true => Ok(published),
            false => Err(Error::commit_conflict(
                "another call published one of the tokens at the same time; nothing of this call is visible",
            )),
        }
    });
    let unknown = |error: &Error| error.status == Status::RDS_ERR_COMMIT_UNKNOWN;
    match published {
        Ok(published) => {
            packed.end();
            // The version is there: what else is left a vacuum finds.
            if let Err(error) = ended.clean_up(&items, &there) {
                log::warn!("{}: {error}", versions.location);
            }
            Ok(info(&published.dataset, size))
        }
        Err(error) if unknown(&error) => Err(error),
        Err(error) => {
            // Another driver of the same job names the same files.
            if whole.is_none() {
                packed.take_back(versions.table());
            }
            packed.end();
            Err(error)
        }
    }
}

/// Makes some data files of a job, for a commit that will find them: how many rows they have. What the commit does not
/// find it makes.
pub fn pack_parts(
    location: Location,
    tokens: &[&[u8]],
    mode: Mode,
    job: &str,
    wanted: Wanted,
) -> Result<u64> {
    let tokens = parse(tokens, Some(job))?;
    let versions = Versions::new(location);
    let newest = runtime::block_on(versions.newest())??;
    let newest = newest.as_deref().filter(|_| mode == Mode::Append);
    let Some(layout) = common_layout(&tokens)? else { return Ok(0) };
    let (items, _) = choose(&versions, &tokens, newest, &shown(&versions, newest)?, Some(job))?;
    let target = target(newest, &layout)?;
    let Some(Item::Parts(parts)) = items.first() else { return Ok(0) };
    let (table, directory) = (versions.table(), directory_of(versions.table(), job));
    let pack = Pack { table, layout: &layout, target: &target, parts, directory, first: 0 };
    pack.share(wanted)
}

/// The parts that a table has.
fn shown(versions: &Versions, newest: Option<&Dataset>) -> Result<Jobs> {
    newest.map_or(Ok(Jobs::default()), |newest| runtime::block_on(versions.jobs(newest, None))?)
}

/// What data files are made for.
fn target(appended_to: Option<&Dataset>, layout: &Layout) -> Result<Target> {
    let Some(newest) = appended_to else { return Target::new(layout) };
    let target = Target::of(newest.manifest());
    target.layout()?.check(layout.tensors())?;
    Ok(target)
}

fn info(newest: &Dataset, (rows, tensor_bytes): (u64, u64)) -> CommitInfo {
    let manifest = newest.manifest();
    let data_files = manifest.fragments.iter().map(|f| f.files.len() as u64).sum();
    CommitInfo { rows, tensor_bytes, version: manifest.version, data_files }
}

/// What is to be shown, and the parts among it; `shown`: what the table has of parts.
fn choose<'a>(
    versions: &Versions,
    tokens: &'a [Token],
    newest: Option<&Dataset>,
    shown: &Jobs,
    whole: Option<&str>,
) -> Result<(Vec<Item<'a>>, Jobs)> {
    let committed =
        || Error::already_exists("it was committed already: a version of the table shows its rows");
    let (mut items, mut jobs) = (Vec::new(), Jobs::default());
    for (index, token) in in_order(tokens) {
        match token {
            Token::Part(token) if !shown.has(&token.part) && jobs.add(&token.part) => {
                match items.last_mut() {
                    Some(Item::Parts(parts)) => parts.push(Source { token, index }),
                    _ => items.push(Item::Parts(vec![Source { token, index }])),
                }
            }
            Token::Part(token) => {
                // Another token of the same part is a task that ran twice; that of the rows has no file any more.
                let is_told = whole.is_none() && shown.has(&token.part);
                if is_told && !token.path(versions.table()).exists() {
                    return Err(of(index)(committed()));
                }
            }
            Token::Files(token) if token.finished.is_empty() => {}
            Token::Files(token) => {
                let directory = versions.table().join(RUNS).join(&token.run);
                let run = token.mark().run;
                let shown = newest.and_then(|newest| Mark::of(newest.manifest(), &run));
                if shown.is_some() || token.is_published(&directory) {
                    return Err(of(index)(committed()));
                }
                token.check(&directory, &versions.location).map_err(of(index))?;
                items.push(Item::Files(directory, token));
            }
        }
    }
    Ok((items, jobs))
}

/// Data files that were made of parts.
struct Packed {
    /// That the rows are shown; none, if no part has rows.
    mark: Option<Mark>,
    /// Where the files are made that are not of a whole job.
    run: Option<Run>,
    /// Of each item where its files are, and these; none for one that has files already.
    finished: Vec<(PathBuf, Vec<Finished>)>,
}

impl Packed {
    fn make(
        versions: &Versions,
        items: &[Item],
        layout: &Layout,
        target: &Target,
        whole: Option<&str>,
    ) -> Result<Self> {
        let of_parts = items.iter().filter(|item| matches!(item, Item::Parts(_)));
        let rows: u64 = of_parts.map(|item| item.size().0).sum();
        let mut packed = Self { mark: None, run: None, finished: Vec::new() };
        let table = versions.table();
        let (mut first, mut directory) = (0, PathBuf::new());
        if rows > 0 {
            // It stays as long as what it begins with is in the directory of runs.
            let mut run = Uuid::new_v4().simple().to_string();
            if let Some(job) = whole {
                directory = directory_of(table, job);
                let of_job = crate::writer::parts::directory(table, job);
                let name = of_job.strip_prefix(table.join(RUNS)).unwrap_or(&of_job);
                run = format!("{}.{run}", name.display());
            } else {
                let made = Run::create(table, None)?;
                (run, directory) = (made.id.clone(), made.directory.clone());
                packed.run = Some(made);
            }
            packed.mark = Some(Mark { run, epoch: 1, rows });
        }
        for item in items {
            let (Item::Parts(parts), Some(_)) = (item, &packed.mark) else {
                packed.finished.push(Default::default());
                continue;
            };
            let directory = directory.clone();
            let pack = Pack { table, layout, target, parts, directory, first };
            match pack.all() {
                Ok(finished) => {
                    first += finished.len();
                    packed.finished.push((pack.directory, finished));
                }
                Err(error) => {
                    packed.end();
                    return Err(error);
                }
            }
        }
        Ok(packed)
    }

    fn published<'a>(&'a self, items: &'a [Item]) -> Vec<PublishedPart<'a>> {
        let published = |(item, (made_in, made)): (&'a Item, &'a (PathBuf, Vec<_>))| match item {
            Item::Files(directory, token) => PublishedPart { directory, finished: &token.finished },
            Item::Parts(_) => PublishedPart { directory: made_in, finished: made },
        };
        items.iter().zip(&self.finished).map(published).collect()
    }

    fn marks(&self, items: &[Item]) -> Vec<Mark> {
        let files = items.iter().filter_map(|item| match item {
            Item::Files(_, token) => Some(token.mark()),
            Item::Parts(_) => None,
        });
        files.chain(self.mark.clone()).collect()
    }

    /// Whether a version is the one that shows the rows.
    fn is_shown(&self, newest: &Dataset) -> bool {
        self.mark.as_ref().is_some_and(|mark| Mark::of(newest.manifest(), &mark.run).is_some())
    }

    /// No version will name the files.
    fn take_back(&self, table: &Path) {
        let finished = self.finished.iter().flat_map(|(_, finished)| finished);
        for file in finished.flat_map(|finished| &finished.files) {
            take_back(table, &file.name);
        }
    }

    /// It has landed, or will not.
    fn end(&self) {
        if let Some(run) = &self.run
            && let Err(error) = remove(&run.directory)
        {
            log::warn!("{error}");
        }
    }
}

/// What is left beside the table of tokens when they are published.
struct Ended<'a> {
    table: &'a Path,
    tokens: &'a [Token],
    whole: Option<&'a str>,
}

impl Ended<'_> {
    /// Whether the parts of a whole job are what the newest version has; without tokens, whether it has any. Where they
    /// are to replace others of the same name, it has these attempts.
    fn has_landed(&self, newest: &Dataset, there: &Jobs, mode: Mode) -> bool {
        let Some(job) = self.whole else { return false };
        if self.tokens.is_empty() {
            return there.ranges(Some(job)).next().is_some();
        }
        let shown = |token: &Token| token.part().is_some_and(|part| there.has(part));
        let replaced = || newest.manifest().config.get(&format!("{ATTEMPTS}{job}"));
        self.tokens.iter().all(shown)
            && (mode != Mode::Overwrite || replaced() == Some(&attempts(&chosen(self.tokens))))
    }

    /// Nothing waits of what a version shows, and of a whole job of all that wrote the same parts; `there`: those that
    /// the table had. Other parts of the job stay: somebody may have forgotten them.
    fn clean_up(&self, shown: &[Item], there: &Jobs) -> Result<()> {
        for item in shown {
            match item {
                Item::Files(directory, token) => token.set_published(directory),
                Item::Parts(parts) if self.whole.is_none() => {
                    parts.iter().try_for_each(|part| self.remove(part.token))?;
                }
                Item::Parts(_) => {}
            }
        }
        if let Some(job) = self.whole {
            let mut done = there.clone();
            for part in self.tokens.iter().filter_map(Token::part) {
                done.add(part);
            }
            let is_done = |number| done.has(&Part { job: job.to_string(), number });
            remove_parts(&directory(self.table, job), &is_done)?;
        }
        remove_empty(self.table);
        Ok(())
    }

    fn remove(&self, token: &PartToken) -> Result<()> {
        let path = token.path(self.table);
        std::fs::remove_file(&path).map_err(|e| Error::from(e).context(path.display()))?;
        remove_emptied(self.table, &path);
        Ok(())
    }
}

/// Before anything is touched: files that the table cannot hold as they are.
fn refuse_others(target: &Target, items: &[Item]) -> Result<()> {
    let version = target.version.to_data_file_numbers();
    let files = items.iter().filter_map(|item| match item {
        Item::Files(_, token) => Some(&token.finished),
        Item::Parts(_) => None,
    });
    for finished in files.flatten() {
        if finished.version != version {
            return Err(Error::schema_mismatch(format!(
                "files of version {:?} were staged, the table has {version:?}; stage the rows again",
                finished.version
            )));
        }
        finished.fragment(target).map_err(|error| match error.status {
            Status::RDS_ERR_SCHEMA_MISMATCH => error.context("stage the rows again"),
            _ => error,
        })?;
    }
    Ok(())
}
