//! Finishes runs that lost their owner: what of them is durable becomes visible, in order, once.
//!
//! Nothing is published that an owner may still hold open: the durable part of an unfinished file is copied
//! to one of a new name. Files that the journal says are finished are published as they are.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use crate::error::{Error, Result, Status};
use crate::location::Location;
use crate::writer::Mode;
use crate::writer::finish::{Rows, Source};
use crate::writer::fragment::{Finished, Target};
use crate::writer::heap::{Heap, failed_sync};
use crate::writer::journal::sync_directory;
use crate::writer::layout::Layout;
use crate::writer::publish::{Part, Publication, named, put_back_all};
use crate::writer::records::{Extent, Intent};
use crate::writer::replay::{Durable, Replayed, heap_files};
use crate::writer::run::{LINKED, Run};
use crate::writer::runs::{Found, Standing, runs};
use crate::writer::syncer::Syncer;
use crate::writer::vacuum::sweep;
use crate::writer::versions::{Mark, Shown, Versions};
use crate::writer::{claim, parts, staging};

const INTENT: &str = "intent";

#[derive(Clone, Debug, Default)]
pub struct RecoverOptions {
    /// One run; none means all.
    pub run: Option<String>,
    /// Rows of a table that was replaced meanwhile go behind the table that took its place.
    pub onto_replaced: bool,
    /// Nothing becomes visible: the rows are given up.
    pub drop: bool,
    /// The owner is taken for dead, whatever it seems: somebody knows that it must not go on.
    pub take_over: bool,
    /// Only look.
    pub dry_run: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoverInfo {
    pub recovered_runs: u64,
    pub recovered_rows: u64,
    pub dropped_runs: u64,
    pub dropped_rows: u64,
    /// Runs with rows that still wait, and these.
    pub waiting_runs: u64,
    pub waiting_rows: u64,
    /// Runs whose owner lives.
    pub live_runs: u64,
    /// Tokens that were not published.
    pub staged_runs: u64,
}

/// A run of which something waits.
pub struct Waiting {
    pub found: Found,
    /// What the standing is of.
    pub epoch: u64,
    pub replayed: Replayed,
    pub standing: Standing,
}

impl Waiting {
    /// Who is at it, if time must tell too.
    fn verdict(&self) -> Result<Standing> {
        match self.found.verdict() {
            // Somebody else has ended it.
            Err(error) if error.status == Status::RDS_ERR_NOT_FOUND => {
                Ok(Standing::Ended(Default::default()))
            }
            verdict => verdict,
        }
    }
}

/// The runs of which rows wait, in the order they began; without those in staged mode.
pub fn waiting(table: &Path) -> Result<Vec<Waiting>> {
    let mut all = Vec::new();
    for found in runs(table)? {
        let judged = found.epoch().and_then(|epoch| Ok((epoch, found.standing()?)));
        let (epoch, standing) = match judged {
            Err(error) if error.status == Status::RDS_ERR_NOT_FOUND => continue,
            judged => judged?,
        };
        if matches!(standing, Standing::Ended(_)) {
            continue;
        }
        let of = |error: Error| error.context(format!("run {}", found.id));
        let replayed = match Replayed::read(&found.directory) {
            Err(error) if error.status == Status::RDS_ERR_NOT_FOUND => continue,
            replayed => replayed.map_err(of)?,
        };
        all.extend(replayed.map(|replayed| Waiting { found, epoch, replayed, standing }));
    }
    all.sort_by_key(|waiting| waiting.replayed.state.began);
    Ok(all)
}

pub async fn recover(location: &Location, options: &RecoverOptions) -> Result<RecoverInfo> {
    let versions = Versions::new(location.clone());
    let mut info = RecoverInfo::default();
    if !location.exists()? {
        return Err(Error::not_found(format!("there is nothing at {location}")));
    }
    let wanted = |id: &str| options.run.as_ref().is_none_or(|run| run == id);
    let mut known = false;
    let mut failure = None;
    let newest = versions.newest().await?;
    for mut waiting in waiting(versions.table())? {
        if !wanted(&waiting.found.id) {
            continue;
        }
        known = true;
        // A version landed, and its owner died before the journal could say so.
        if let Some(newest) = &newest
            && let Some((_, rows)) = Mark::of(newest.manifest(), &waiting.found.id)
            && rows > waiting.replayed.state.published
        {
            waiting.replayed.landed(rows, newest.manifest().version);
        }
        let standing = match options.dry_run || options.take_over {
            true => waiting.standing.clone(),
            false => waiting.verdict()?,
        };
        let rows = waiting.replayed.waiting();
        if standing == Standing::Alive && !options.take_over {
            info.live_runs += 1;
            continue;
        }
        if options.dry_run {
            info.waiting_runs += u64::from(rows > 0);
            info.waiting_rows += rows;
            continue;
        }
        match finish(&versions, &waiting, options).await {
            Ok(Some(rows)) if options.drop => {
                info.dropped_runs += 1;
                info.dropped_rows += rows;
            }
            Ok(Some(rows)) => {
                info.recovered_runs += u64::from(rows > 0);
                info.recovered_rows += rows;
            }
            // Somebody else was faster.
            Ok(None) => {}
            Err(error) => {
                info.waiting_runs += 1;
                info.waiting_rows += rows;
                failure.get_or_insert(error.context(format!("run {}", waiting.found.id)));
            }
        }
    }
    for found in runs(versions.table())? {
        let staged = match staging::tokens(&found.directory) {
            Err(error) if error.status == Status::RDS_ERR_NOT_FOUND => continue,
            staged => staged?,
        };
        if staged.is_empty() || !wanted(&found.id) {
            continue;
        }
        known = true;
        if options.drop && options.run.is_some() && found.verdict()? != Standing::Alive {
            info.dropped_runs += 1;
            info.dropped_rows += staging::drop_run(&found)?;
        } else {
            info.staged_runs += 1;
        }
    }
    let table = versions.table();
    match options.run.as_deref().filter(|job| parts::directory(table, job).is_dir()) {
        Some(job) => {
            known = true;
            if options.drop && !options.dry_run {
                info.dropped_runs += 1;
                info.dropped_rows += parts::drop_job(table, job)?;
            } else {
                info.staged_runs += parts::count(table, Some(job))?;
            }
        }
        None if options.run.is_none() => info.staged_runs += parts::count(table, None)?,
        None => {}
    }
    if !options.dry_run {
        put_back_all(&versions, versions.newest().await?.as_deref())?;
        sweep(&versions, LINKED, false).await?;
    }
    match (failure, &options.run) {
        (Some(error), _) => Err(error),
        (None, Some(run)) if !known => {
            Err(Error::not_found(format!("no run {run} waits at {location}")))
        }
        _ => Ok(info),
    }
}

/// Makes runs visible that are surely dead, or whose death time has told if `wait`; all but `own`. What cannot be
/// finished is left as it is.
pub async fn finish_dead(versions: &Versions, own: Option<&str>, wait: bool) -> Result<()> {
    for waiting in waiting(versions.table())? {
        if Some(waiting.found.id.as_str()) == own {
            continue;
        }
        let standing = if wait { waiting.verdict()? } else { waiting.standing.clone() };
        if standing != Standing::Dead {
            continue;
        }
        if let Err(error) = finish(versions, &waiting, &RecoverOptions::default()).await {
            log::warn!(
                "{}: run {} with {} rows that wait cannot be finished: {error}",
                versions.location,
                waiting.found.id,
                waiting.replayed.waiting()
            );
        }
    }
    Ok(())
}

/// Drops the rows of dead runs: the table that they belonged to was replaced by the run `own`.
pub async fn drop_dead(versions: &Versions, own: &str) -> Result<()> {
    let options = RecoverOptions { drop: true, ..RecoverOptions::default() };
    for waiting in waiting(versions.table())? {
        if waiting.found.id != own && waiting.standing == Standing::Dead {
            finish(versions, &waiting, &options).await?;
        }
    }
    Ok(())
}

/// Takes a run over and publishes what of it is durable, or drops it: how many rows that were. None, if somebody
/// else has it.
async fn finish(
    versions: &Versions,
    waiting: &Waiting,
    options: &RecoverOptions,
) -> Result<Option<u64>> {
    let Some(mut run) = waiting.found.take_over(versions.table(), waiting.epoch)? else {
        return Ok(None);
    };
    match finish_owned(versions, &mut run, options).await {
        Ok(rows) => {
            claim::give_up(versions.table(), &run.id);
            Ok(Some(rows))
        }
        Err(_) if !run.is_owned() => Ok(None),
        Err(error) => {
            run.leave();
            Err(error)
        }
    }
}

async fn finish_owned(versions: &Versions, run: &mut Run, options: &RecoverOptions) -> Result<u64> {
    // Read after the owner's name is gone: nothing is acknowledged from then on.
    let newest = versions.newest().await?;
    let kept = newest.as_ref().map_or_else(HashSet::new, |newest| named(newest));
    let Some(mut replayed) = Replayed::read(&run.directory)? else {
        run.end(&kept);
        return Ok(0);
    };
    if options.drop || replayed.state.volatile {
        run.end(&kept);
        return Ok(replayed.waiting());
    }
    let mode = replayed.mode()?;
    settle(versions, run, &mut replayed, options).await?;
    if replayed.waiting() == 0 {
        run.end(&kept);
        return Ok(0);
    }
    let published = replayed.state.published;
    let durable = replayed.durable(&run.directory)?;
    let layout = replayed.layout()?;
    let appends = replayed.mode()? == Mode::Append;
    let target = match &newest {
        Some(newest) if appends => Target::of(newest.manifest()),
        _ => Target::new(&layout)?,
    };
    let mut finished: Vec<Finished> = replayed.state.finished.clone();
    finished.retain(|finished| finished.end() > published);
    finished.extend(copy(run, &replayed, &durable, &layout, &target).await?);
    let rows = finished.last().map_or(published, Finished::end);
    if rows == published {
        run.end(&kept);
        return Ok(0);
    }
    let mark = Mark { run: run.id.clone(), epoch: run.epoch, rows };
    let after = newest.as_ref().map_or(0, |newest| newest.manifest().version);
    write_intent(&run.directory, &Intent { rows, after })?;
    run.confirm()?;
    let publication = Publication {
        mode: if options.onto_replaced { Mode::Append } else { replayed.mode()? },
        began_on: replayed.state.began_on,
        seen: replayed.state.seen.max(if mode == Mode::Append {
            replayed.state.began_on
        } else {
            0
        }),
        layout: &layout,
        parts: vec![Part { directory: &run.directory, finished: &finished }],
        marks: vec![mark],
        config: replayed.state.config(),
        jobs: None,
        onto_replaced: options.onto_replaced,
    };
    let shown = publication.publish(versions).await?;
    put_back_all(versions, Some(&shown.dataset))?;
    run.end(&named(&shown.dataset));
    Ok(rows - published)
}

/// Finds out what became of a version that the owner was making.
async fn settle(
    versions: &Versions,
    run: &Run,
    replayed: &mut Replayed,
    options: &RecoverOptions,
) -> Result<()> {
    let shown = match versions.newest().await? {
        Some(newest) => Mark::of(newest.manifest(), &run.id).map(|(_, rows)| (rows, newest)),
        None => None,
    };
    let landed = match (shown, replayed.state.intent.clone().max(read_intent(&run.directory)?)) {
        (Some((rows, newest)), _) if rows > replayed.state.published => {
            Some((rows, newest.manifest().version))
        }
        (_, Some(intent)) if intent.rows > replayed.state.published => {
            match versions.has_shown(&run.id, intent.rows, intent.after).await? {
                // A version showed them, and something that came after took them away: it was ordered so.
                Shown::In(version) => Some((intent.rows, version)),
                Shown::Never => None,
                Shown::NotKnown if options.onto_replaced => None,
                Shown::NotKnown => {
                    let newest = versions.newest().await?;
                    let newest =
                        newest.ok_or_else(|| Error::internal("versions without a newest"))?;
                    // Without a restore or an overwrite the mark would be there.
                    if versions.may_have_gone_back(&newest, intent.after).await? {
                        return Err(Error::commit_unknown(format!(
                            "whether {} rows became visible, and were taken away again, cannot be known: the \
                             versions that could tell were removed; RDS_RECOVER_ONTO_REPLACED adds them, \
                             RDS_RECOVER_DROP drops them",
                            intent.rows - replayed.state.published
                        )));
                    }
                    None
                }
            }
        }
        _ => None,
    };
    if let Some((rows, version)) = landed {
        replayed.landed(rows, version);
    }
    Ok(())
}

/// Those who recover write no journal: what they are about to show is a file of its own.
fn write_intent(directory: &Path, intent: &Intent) -> Result<()> {
    let path = directory.join(INTENT);
    let written = directory.join("intent.new");
    let text =
        serde_json::to_vec(intent).map_err(|e| Error::internal(format!("an intent: {e}")))?;
    std::fs::write(&written, text)?;
    File::open(&written)?.sync_all().map_err(failed_sync(&written))?;
    std::fs::rename(&written, &path)?;
    sync_directory(directory)
}

fn read_intent(directory: &Path) -> Result<Option<Intent>> {
    match std::fs::read(directory.join(INTENT)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        text => Ok(serde_json::from_slice(&text?).ok()),
    }
}

/// Copies the durable rows of an unfinished file into a finished one of our own name.
async fn copy(
    run: &Run,
    replayed: &Replayed,
    durable: &Durable,
    layout: &Layout,
    target: &Target,
) -> Result<Option<Finished>> {
    let rows = durable.prefix.as_ref().map_or(0, |prefix| prefix.rows)
        + durable.tail.iter().map(|batch| batch.rows as u64).sum::<u64>();
    let first = replayed.state.open_first;
    if rows == 0 || first + rows <= replayed.state.published {
        return Ok(None);
    }
    if first < replayed.state.published {
        return Err(Error::corrupt("a version shows a part of a file that was never finished"));
    }
    let syncer = Syncer::start();
    let number = replayed.heap_number();
    let columns = layout.columns.len();
    let mut heap = Heap::create(&run.directory, &run.id, run.epoch, number, columns)?;
    if let Some(prefix) = &durable.prefix {
        copy_prefix(run, replayed.epoch, prefix, &mut heap)?;
        durable.ids.iter().try_for_each(|ids| heap.append_ids(ids))?;
    }
    for batch in &durable.tail {
        heap.append(&[batch.into()], false, &syncer)?;
    }
    let rows_of = |grown: &crate::writer::grown::Grown| Rows {
        path: grown.path.clone(),
        file: grown.file.clone(),
    };
    let source = Source {
        number,
        first_row: first,
        rows,
        columns: heap.columns.iter().map(rows_of).collect(),
        ids: heap.ids.path.clone(),
        layout,
    };
    let finished = source.finish(target).await?;
    for file in &finished.files {
        let path = run.directory.join(&file.name);
        File::open(&path).and_then(|file| file.sync_all()).map_err(failed_sync(&path))?;
    }
    sync_directory(&run.directory)?;
    Ok(Some(finished))
}

fn copy_prefix(run: &Run, epoch: u64, prefix: &Extent, heap: &mut Heap) -> Result<()> {
    let lengths = [prefix.ids].into_iter().chain(prefix.columns.iter().copied());
    let sources = heap_files(&run.directory, &run.id, epoch, prefix);
    let targets = [&mut heap.ids].into_iter().chain(&mut heap.columns);
    for ((source, (bytes, _)), target) in sources.iter().zip(lengths).zip(targets) {
        let copied = File::open(source).and_then(|file| target.copy(&file, 0..bytes));
        copied.map_err(|e| Error::from(e).context(format!("copying {}", source.display())))?;
    }
    heap.rows = prefix.rows;
    Ok(())
}
