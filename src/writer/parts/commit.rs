//! Publishes what tokens name, in one version: files of runs as they are, parts of jobs packed.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};

use lance::Dataset;

use crate::error::{Error, Result, Status};
use crate::location::Location;
use crate::runtime;
use crate::writer::fragment::{Finished, Target};
use crate::writer::jobs::Jobs;
use crate::writer::layout::Layout;
use crate::writer::parts::pack::{Pack, Source, directory_of};
use crate::writer::parts::{directory, remove, remove_empty};
use crate::writer::publish::{Part as PublishedPart, Publication, exists, gone, take_back};
use crate::writer::run::{RUNS, Run};
use crate::writer::staging::{FilesToken, Token};
use crate::writer::versions::{Mark, Versions};
use crate::writer::{CommitInfo, Mode};

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

/// In the order of the parts of a job, tokens without one in the order given. `whole`: the job that the tokens are all
/// of, so that what else lies beside the table of it is removed; and the call may have been made before, by a process
/// that died: parts that the table has by then are as good as published.
pub fn commit_staged(
    location: Location,
    tokens: &[&[u8]],
    mode: Mode,
    whole: Option<&str>,
) -> Result<CommitInfo> {
    let tokens = parse(tokens, whole)?;
    let layout = common_layout(&tokens)?;
    let versions = Versions::new(location);
    let newest = runtime::block_on(versions.newest())??;
    let newest = newest.as_deref();
    let ended = Ended { table: versions.table(), tokens: &tokens, whole };
    if let Some(newest) = newest.filter(|newest| ended.has_landed(newest, mode)) {
        ended.clean_up(&BTreeSet::new())?;
        return Ok(info(newest, (0, 0)));
    }
    match (mode, newest) {
        (Mode::Create, Some(_)) => return Err(exists(&versions.location)),
        (Mode::Append, None) => return Err(gone(&versions.location)),
        _ => {}
    }
    let appended_to = newest.filter(|_| mode == Mode::Append);
    let mut jobs =
        appended_to.map(|newest| Jobs::of(&newest.manifest().config)).unwrap_or_default();
    let items = choose(&versions, &tokens, newest, &mut jobs, whole)?;
    let size = items.iter().map(Item::size).fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    let declared = mode != Mode::Append && !items.is_empty();
    let Some(layout) = layout.filter(|_| declared || size.0 > 0) else {
        ended.clean_up(&BTreeSet::new())?;
        return Ok(appended_to.map_or(CommitInfo::default(), |newest| info(newest, size)));
    };
    let target = target(appended_to, &layout)?;
    if mode == Mode::Append {
        refuse_others(&target, &items)?;
    }
    let packed = Packed::make(&versions, &items, &layout, &target, whole)?;
    let began_on = newest.map_or(0, |newest| newest.manifest().version);
    let publication = Publication {
        mode,
        began_on,
        seen: began_on,
        layout: &layout,
        parts: packed.published(&items),
        marks: packed.marks(&items),
        config: jobs.config(),
        onto_replaced: false,
    };
    let published = runtime::block_on(publication.publish(&versions)).flatten();
    let published = published.and_then(|published| match published.before {
        false => Ok(published),
        true => Err(Error::commit_conflict(
            "another call published one of the tokens at the same time; nothing of this call is visible",
        )),
    });
    let published = match published {
        Ok(published) => published,
        Err(error) if error.status == Status::RDS_ERR_COMMIT_UNKNOWN => return Err(error),
        Err(error) => {
            packed.take_back(versions.table());
            return Err(error);
        }
    };
    packed.end();
    let mut parts = BTreeSet::new();
    for item in &items {
        match item {
            Item::Files(directory, token) => token.set_published(directory),
            Item::Parts(sources) => parts.extend(sources.iter().map(|source| source.index)),
        }
    }
    // The version is there: what else is left a vacuum finds.
    if let Err(error) = ended.clean_up(&parts) {
        log::warn!("{}: {error}", versions.location);
    }
    Ok(info(&published.dataset, size))
}

/// Makes those data files of a job whose number is `share` of each `shares`, for a commit that will find them: how many
/// rows they have. What the commit does not find it makes.
pub fn pack_parts(
    location: Location,
    tokens: &[&[u8]],
    mode: Mode,
    job: &str,
    (share, shares): (usize, usize),
) -> Result<u64> {
    let tokens = parse(tokens, Some(job))?;
    let Some(layout) = common_layout(&tokens)? else { return Ok(0) };
    let versions = Versions::new(location);
    let newest = runtime::block_on(versions.newest())??;
    let newest = newest.as_deref().filter(|_| mode == Mode::Append);
    let mut jobs = newest.map(|newest| Jobs::of(&newest.manifest().config)).unwrap_or_default();
    let items = choose(&versions, &tokens, newest, &mut jobs, Some(job))?;
    let target = target(newest, &layout)?;
    let Some(Item::Parts(parts)) = items.first() else { return Ok(0) };
    let (table, directory) =
        (versions.table(), directory_of(versions.table(), job, &target, parts));
    let pack = Pack { table, layout: &layout, target: &target, parts, directory, first: 0 };
    let finished = pack.run(1, |file| file % shares == share)?;
    Ok(finished.iter().map(|finished| finished.rows).sum())
}

/// What data files are made for.
fn target(appended_to: Option<&Dataset>, layout: &Layout) -> Result<Target> {
    let Some(newest) = appended_to else { return Target::new(layout) };
    let target = Target::of(newest.manifest());
    target.layout()?.check(layout.tensors())?;
    Ok(target)
}

/// The tokens, all of them of one job if that is named.
fn parse(tokens: &[&[u8]], job: Option<&str>) -> Result<Vec<Token>> {
    let parse = |(index, bytes): (usize, &&[u8])| Token::from_bytes(bytes).map_err(of(index));
    let tokens = tokens.iter().enumerate().map(parse).collect::<Result<Vec<_>>>()?;
    refuse_repeated(&tokens)?;
    let other = tokens.iter().position(|token| job.is_some() && token.job() != job);
    match (job, other) {
        (Some(job), Some(index)) => {
            Err(of(index)(Error::invalid_argument(format!("it is no part of the job {job:?}"))))
        }
        _ => Ok(tokens),
    }
}

fn info(newest: &Dataset, (rows, tensor_bytes): (u64, u64)) -> CommitInfo {
    let manifest = newest.manifest();
    let data_files = manifest.fragments.iter().map(|f| f.files.len() as u64).sum();
    CommitInfo { rows, tensor_bytes, version: manifest.version, data_files }
}

/// Which token an error is of.
fn of(index: usize) -> impl FnOnce(Error) -> Error {
    move |error| error.context(format!("token {index}"))
}

/// What is to be shown; `jobs` is what the table has, and will have, of parts.
fn choose<'a>(
    versions: &Versions,
    tokens: &'a [Token],
    newest: Option<&Dataset>,
    jobs: &mut Jobs,
    whole: Option<&str>,
) -> Result<Vec<Item<'a>>> {
    let committed =
        || Error::already_exists("it was committed already: a version of the table shows its rows");
    let before = jobs.clone();
    let mut items = Vec::new();
    for (index, token) in in_order(tokens) {
        match token {
            Token::Part(token) if jobs.add(&token.part) => match items.last_mut() {
                Some(Item::Parts(parts)) => parts.push(Source { token, index }),
                _ => items.push(Item::Parts(vec![Source { token, index }])),
            },
            Token::Part(token) => {
                // Another token of the same part is a task that ran twice; that of the rows has no file any more.
                let is_shown = whole.is_none() && before.has(&token.part);
                if is_shown && !token.path(versions.table()).exists() {
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
    Ok(items)
}

/// Data files that were made of parts.
struct Packed {
    /// Whose mark says that the rows are shown; none, if no part has rows.
    run: Option<Run>,
    rows: u64,
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
        let rows = of_parts.map(|item| item.size().0).sum();
        let mut packed = Self { run: None, rows, finished: Vec::new() };
        if rows > 0 {
            packed.run = Some(Run::create(versions.table(), None)?);
        }
        let mut first = 0;
        for item in items {
            let (Item::Parts(parts), Some(run)) = (item, &packed.run) else {
                packed.finished.push(Default::default());
                continue;
            };
            let table = versions.table();
            let directory = match whole {
                Some(job) => directory_of(table, job, target, parts),
                None => run.directory.clone(),
            };
            let pack = Pack { table, layout, target, parts, directory, first };
            match pack.run(usize::MAX, |_| true) {
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
        let run = self.run.as_ref();
        let own = run.map(|run| Mark { run: run.id.clone(), epoch: run.epoch, rows: self.rows });
        files.chain(own).collect()
    }

    /// No version will name the files.
    fn take_back(&self, table: &Path) {
        let finished = self.finished.iter().flat_map(|(_, finished)| finished);
        for file in finished.flat_map(|finished| &finished.files) {
            take_back(table, &file.name);
        }
        self.end();
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
    /// Whether the parts of a whole job are what the newest version has. Where they are to replace others of the same
    /// name, only the files can tell: they are removed behind the version.
    fn has_landed(&self, newest: &Dataset, mode: Mode) -> bool {
        let jobs = Jobs::of(&newest.manifest().config);
        let shown = |token: &Token| matches!(token, Token::Part(token) if jobs.has(&token.part));
        let is_gone = |token: &Token| match token {
            Token::Part(token) => !token.path(self.table).exists(),
            Token::Files(_) => false,
        };
        self.whole.is_some()
            && !self.tokens.is_empty()
            && self.tokens.iter().all(shown)
            && (mode != Mode::Overwrite || self.tokens.iter().any(is_gone))
    }

    /// Removes the files of parts that a version shows, or all of a whole job.
    fn clean_up(&self, published: &BTreeSet<usize>) -> Result<()> {
        match self.whole {
            Some(job) => remove(&directory(self.table, job))?,
            None => {
                for token in published.iter().filter_map(|index| self.tokens.get(*index)) {
                    let Token::Part(token) = token else { continue };
                    let path = token.path(self.table);
                    std::fs::remove_file(&path)
                        .map_err(|e| Error::from(e).context(path.display()))?;
                    let _ = path.parent().map(std::fs::remove_dir);
                }
            }
        }
        remove_empty(self.table);
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

fn refuse_repeated(tokens: &[Token]) -> Result<()> {
    let mut seen = HashMap::with_capacity(tokens.len());
    for (index, token) in tokens.iter().enumerate() {
        if let Some(first) = seen.insert(token.identity(), index) {
            return Err(Error::already_exists(format!("token {index} is token {first} once more")));
        }
    }
    Ok(())
}

fn common_layout(tokens: &[Token]) -> Result<Option<Layout>> {
    let (mut common, mut last): (Option<Layout>, _) = (None, None);
    for (index, token) in tokens.iter().enumerate() {
        // As those before it, mostly.
        if token.columns().is_empty() || last == Some(token.columns()) {
            continue;
        }
        last = Some(token.columns());
        let Some(layout) = token.layout()? else { continue };
        match &common {
            Some(common) => common.check(layout.tensors()).map_err(|error| {
                error.context(format!("token {index} differs from those before"))
            })?,
            None => common = Some(layout),
        }
    }
    Ok(common)
}

/// Tokens as they were given, but those of a job in the order of its parts, in the places that it has.
fn in_order(tokens: &[Token]) -> Vec<(usize, &Token)> {
    let number = |(_, token): &(usize, &Token)| token.part().map_or(0, |part| part.number);
    let mut jobs: HashMap<Option<&str>, VecDeque<(usize, &Token)>> = HashMap::new();
    for (index, token) in tokens.iter().enumerate() {
        jobs.entry(token.job()).or_default().push_back((index, token));
    }
    for (of, tokens) in &mut jobs {
        if of.is_some() {
            tokens.make_contiguous().sort_by_key(number);
        }
    }
    tokens.iter().filter_map(|token| jobs.get_mut(&token.job())?.pop_front()).collect()
}
