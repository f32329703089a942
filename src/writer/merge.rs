//! Merging: small files of a run at the end of a table are made one. Lance keeps fragments in the order of
//! their ids and never uses an id again, so whatever follows a merged file gets a new id with it; that is
//! why only what stands at the end is merged, up to the newest fragment that is not the run's own.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use futures::StreamExt;
use lance::Dataset;
use lance_core::cache::LanceCache;
use lance_encoding::decoder::FilterExpression;
use lance_file::reader::{FileReader, FileReaderOptions, ReaderProjection};
use lance_file::versions::{
    reader_projection_from_column_names, reader_projection_from_whole_schema,
};
use lance_io::ReadBatchParams;
use lance_io::scheduler::{ScanScheduler, SchedulerConfig};
use lance_io::stream::RecordBatchStream;
use lance_table::format::{DataFile, Fragment};

use crate::error::{Error, Result};
use crate::runtime;
use crate::tensor::ID_COLUMN;
use crate::writer::CommitScope;
use crate::writer::batch::{self, Batch, IdBlock};
use crate::writer::fragment::{Finished, Target};
use crate::writer::heap::{Heap, MAX_BYTES, MAX_ROWS};
use crate::writer::layout::{Column, Layout};
use crate::writer::pool::Pool;
use crate::writer::publish::{DATA, Replacement, Rewriting};
use crate::writer::store::Store;
use crate::writer::versions::Mark;

/// How many small files a commit leaves.
const SMALL_FILES: usize = 8;
/// What is read ahead of the writing.
const READ_BYTES: u64 = 1 << 20;
const READ_ROWS: u32 = 1 << 14;

/// How much is left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Thoroughness {
    /// At most eight small files, each row rewritten seldom.
    Few,
    /// As few files as the rows fill.
    Fewest,
}

/// Merges at the end of the newest version. `goes_on` is told of rows as they are copied, and stops it.
pub fn merge(
    store: &mut Store,
    scope: CommitScope,
    thoroughness: Thoroughness,
    begins: &mut dyn FnMut(u64),
    goes_on: &mut dyn FnMut(u64) -> bool,
) -> Result<()> {
    let Some(newest) = runtime::block_on(store.versions.newest())?? else { return Ok(()) };
    if scope == CommitScope::Table {
        store.ensure_run()?;
    }
    let Some(run) = store.run.as_ref() else { return Ok(()) };
    let owner = Mark { run: run.id.clone(), epoch: run.epoch, rows: 0 };
    let target = Target::of(newest.manifest());
    let Ok(layout) = target.layout() else { return Ok(()) };
    let tail = tail(&newest, store, scope);
    let sizes: Vec<f64> = tail.iter().map(|fragment| fullness(fragment, &layout)).collect();
    let groups = match thoroughness {
        Thoroughness::Few => few(&sizes).into_iter().collect(),
        Thoroughness::Fewest => fewest(&sizes),
    };
    let Some(first) = groups.first().map(|group| group.start) else { return Ok(()) };
    let of = |group: &Range<usize>| tail.get(group.clone()).unwrap_or_default();
    let rows = |fragments: &[Fragment]| -> u64 {
        fragments.iter().filter_map(|f| f.physical_rows).sum::<usize>() as u64
    };
    begins(groups.iter().map(|group| rows(of(group))).sum());
    let (mut new, mut names) = (Vec::new(), Vec::new());
    let mut at = first;
    while at < tail.len() {
        match groups.iter().find(|group| group.start == at) {
            Some(group) => {
                let merged = Merge { newest: &newest, target: &target, layout: &layout };
                let merged = merged.run(store, of(group), goes_on)?;
                let Some(merged) = merged else { return give_up(store, &names) };
                names.extend(merged.files.iter().map(|file| file.name.clone()));
                new.push(Replacement::Merged(merged));
                at = group.end;
            }
            None => {
                new.extend(tail.get(at).cloned().map(Replacement::Kept));
                at += 1;
            }
        }
    }
    let directory = store.directory().ok_or_else(|| Error::internal("no run"))?;
    let old = tail.get(first..).unwrap_or_default().to_vec();
    let rewriting = Rewriting { old, new, directory: &directory, owner };
    match runtime::block_on(rewriting.publish(&store.versions))?? {
        Some(table) => store.merged(table, names),
        None => {
            log::info!("{}: others changed what was to be merged", store.versions.location);
            return give_up(store, &names);
        }
    }
    Ok(())
}

fn give_up(store: &Store, names: &[String]) -> Result<()> {
    if let Some(directory) = store.directory() {
        names.iter().for_each(|name| drop(std::fs::remove_file(directory.join(name))));
    }
    Ok(())
}

/// The fragments at the end that may be merged.
fn tail(newest: &Dataset, store: &Store, scope: CommitScope) -> Vec<Fragment> {
    let manifest = newest.manifest();
    // An index, or ids of rows, would have to be rewritten too.
    if manifest.index_section.is_some() || manifest.uses_stable_row_ids() {
        return Vec::new();
    }
    let may = |fragment: &&Fragment| {
        let unchanged = fragment.deletion_file.is_none() && fragment.overlays.is_empty();
        let own = fragment.files.iter().all(|file| store.own.contains(&file.path));
        let whole = fragment.physical_rows.is_some()
            && fragment
                .files
                .iter()
                .all(|file| file.base_id.is_none() && file.file_size_bytes.get().is_some());
        unchanged && whole && (own || scope == CommitScope::Table)
    };
    let from_end = manifest.fragments.iter().rev().take_while(may);
    let mut tail: Vec<Fragment> = from_end.cloned().collect();
    tail.reverse();
    tail
}

/// How full a file is; 1 ends it.
fn fullness(fragment: &Fragment, layout: &Layout) -> f64 {
    let rows = fragment.physical_rows.unwrap_or(0) as f64;
    let bytes = rows * layout.stride() as f64;
    (rows / MAX_ROWS as f64).max(bytes / MAX_BYTES as f64)
}

/// What is merged so that few small files are left: those at the end that together outgrow the one before,
/// so that a row is copied only into a file of twice the size.
fn few(sizes: &[f64]) -> Option<Range<usize>> {
    let small = sizes.iter().rev().take_while(|size| **size < 1.0).count();
    if small <= SMALL_FILES {
        return None;
    }
    let first = sizes.len() - small;
    let mut start = first + SMALL_FILES - 1;
    let mut sum: f64 = sizes.get(start..)?.iter().sum();
    while start > first && sizes.get(start - 1).is_some_and(|before| *before <= sum) {
        start -= 1;
        sum += sizes.get(start)?;
    }
    // Not more than a file holds.
    while sum > 1.0 && start + 2 < sizes.len() {
        sum -= sizes.get(start)?;
        start += 1;
    }
    (sum <= 1.0 || start + 1 < sizes.len()).then_some(start..sizes.len())
}

/// What is merged so that no more files are left than the rows fill; full ones are not copied.
fn fewest(sizes: &[f64]) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let mut at = 0;
    while at < sizes.len() {
        let run = sizes.iter().skip(at).take_while(|size| **size < 1.0).count();
        if run > 1 {
            groups.extend(pack(sizes, at..at + run));
        }
        at += run.max(1);
    }
    groups
}

fn pack(sizes: &[f64], run: Range<usize>) -> Vec<Range<usize>> {
    let own = run.clone().map(|at| sizes.get(at).copied().unwrap_or(0.0));
    let mut groups: Vec<(f64, Range<usize>)> =
        own.zip(run).map(|(size, at)| (size, at..at + 1)).collect();
    let total: f64 = groups.iter().map(|(size, _)| size).sum();
    let allowed = total.ceil().max(1.0) as usize;
    while groups.len() > allowed {
        // The two neighbours that are the least to rewrite.
        let sum = |pair: &[(f64, Range<usize>)]| match pair {
            [(one, _), (other, _)] if one + other <= 1.0 => one + other,
            _ => f64::INFINITY,
        };
        let smallest = groups.windows(2).map(sum).enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
        let Some((at, size)) = smallest.filter(|(_, size)| size.is_finite()) else { break };
        let (_, next) = groups.remove(at + 1);
        if let Some(group) = groups.get_mut(at) {
            *group = (size, group.1.start..next.end);
        }
    }
    groups.into_iter().map(|(_, group)| group).filter(|group| group.len() > 1).collect()
}

struct Merge<'a> {
    newest: &'a Arc<Dataset>,
    target: &'a Target,
    layout: &'a Layout,
}

impl Merge<'_> {
    /// One file of several fragments; none, if it is not wanted any more. Rows that lie plain are copied by the
    /// system, everything else is decoded.
    fn run(
        &self,
        store: &mut Store,
        fragments: &[Fragment],
        goes_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Finished>> {
        let number = store.next_number();
        let run = store.run.as_ref().ok_or_else(|| Error::internal("no run"))?;
        let (directory, syncer) = (run.directory.clone(), store.syncer.clone());
        let columns = self.layout.columns.len();
        let mut heap = Heap::create(&directory, &run.id, run.epoch, number, columns)?;
        let made =
            self.fill(&mut heap, &store.versions.table().join(DATA), fragments, &syncer, goes_on);
        match made {
            Ok(true) => heap.into_file(self.layout, self.target).map(Some),
            Ok(false) => {
                heap.remove();
                Ok(None)
            }
            Err(error) => {
                heap.remove();
                Err(error)
            }
        }
    }

    fn fill(
        &self,
        heap: &mut Heap,
        data: &Path,
        fragments: &[Fragment],
        syncer: &crate::writer::syncer::Syncer,
        goes_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<bool> {
        for fragment in fragments {
            let rows = fragment.physical_rows.unwrap_or(0) as u64;
            let before = heap.rows;
            if !self.copy_plain(heap, data, &fragment.files, rows)? {
                self.decode(heap, &fragment.files, syncer)?;
            }
            if heap.rows - before != rows {
                let read = heap.rows - before;
                return Err(Error::corrupt(format!("merging read {read} of {rows} rows")));
            }
            if !goes_on(rows) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn reader(&self, file: &DataFile) -> Result<FileReader> {
        let store = self.newest.object_store(None).await?;
        let scheduler = ScanScheduler::new(store, SchedulerConfig::new(2 * READ_BYTES));
        let path = self.newest.branch_location().path.join(DATA).join(file.path.as_str());
        let source = scheduler.open_file(&path, &file.file_size_bytes).await?;
        let options = FileReaderOptions::default();
        let cache = LanceCache::no_cache();
        let reader = FileReader::try_open(source, None, Arc::default(), &cache, options).await;
        reader.map_err(Error::reading)
    }

    /// Copies the rows of files if all of them lie plain; ids are decoded.
    fn copy_plain(
        &self,
        heap: &mut Heap,
        data: &Path,
        files: &[DataFile],
        rows: u64,
    ) -> Result<bool> {
        let readers = files.iter().map(|file| runtime::block_on(self.reader(file))?);
        let readers = readers.collect::<Result<Vec<_>>>()?;
        let mut places = Vec::new();
        for column in &self.layout.columns {
            let mut found = None;
            for (file, reader) in files.iter().zip(&readers) {
                let plain = plain_rows(reader, column, rows)?;
                found = found.or(plain.map(|plain| (data.join(&file.path), plain)));
            }
            match found {
                Some(found) => places.push(found),
                None => return Ok(false),
            }
        }
        for ((path, places), to) in places.into_iter().zip(&mut heap.columns) {
            let of = |error: io::Error| {
                Error::from(error).context(format!("copying {}", path.display()))
            };
            let source = File::open(&path).map_err(of)?;
            for place in places {
                to.copy(&source, place.start as u64..place.end as u64).map_err(of)?;
            }
        }
        let ids = readers.iter().find_map(|reader| {
            let metadata = reader.metadata();
            metadata.file_schema.field(ID_COLUMN)?;
            let names = reader_projection_from_column_names;
            Some((reader, names(metadata.version, &metadata.file_schema, &[ID_COLUMN])))
        });
        let (reader, ids) = ids.ok_or_else(|| Error::internal("files without ids"))?;
        let ids = ids.map_err(Error::reading)?;
        runtime::block_on(async {
            let mut ids = read(reader, ids, READ_ROWS).await?;
            while let Some(batch) = ids.next().await {
                heap.append_ids(&ids_of(&batch.map_err(Error::reading)?)?)?;
            }
            Ok::<(), Error>(())
        })??;
        heap.rows += rows;
        Ok(true)
    }

    /// Decodes the rows of files that have the columns between them.
    fn decode(
        &self,
        heap: &mut Heap,
        files: &[DataFile],
        syncer: &crate::writer::syncer::Syncer,
    ) -> Result<()> {
        let pool = Pool::new(0);
        let most = (READ_BYTES / self.layout.stride().max(1) as u64).max(1);
        let most = u32::try_from(most).unwrap_or(READ_ROWS).min(READ_ROWS);
        runtime::block_on(async {
            let mut parts = Vec::new();
            for file in files {
                let reader = self.reader(file).await?;
                let metadata = reader.metadata();
                let (schema, version) = (&metadata.file_schema, metadata.version);
                let all = reader_projection_from_whole_schema(schema, version);
                parts.push(read(&reader, all, most).await?);
            }
            loop {
                let mut batches = Vec::new();
                for part in &mut parts {
                    batches.extend(part.next().await.transpose().map_err(Error::reading)?);
                }
                if batches.is_empty() {
                    return Ok(());
                }
                let batch = side_by_side(&batches)?;
                let batch: Batch = batch::from_arrow(self.layout, &batch, &pool, true)?;
                heap.append(&[(&batch).into()], false, syncer)?;
            }
        })?
    }
}

/// Where the rows of a column are in a file, if it has them and all lie plain.
fn plain_rows(
    reader: &FileReader,
    column: &Column,
    rows: u64,
) -> Result<Option<Vec<Range<usize>>>> {
    let Some(layout) = column.plain else { return Ok(None) };
    let metadata = reader.metadata();
    let names = metadata.file_schema.fields.iter().map(|field| field.name.as_str());
    let at = names.clone().position(|name| name == column.name);
    // A field has one column.
    let pages = at.filter(|_| names.count() == metadata.column_metadatas.len());
    let Some(pages) = pages.and_then(|at| metadata.column_metadatas.get(at)) else {
        return Ok(None);
    };
    let places = pages.pages.iter().map(|page| layout.plain(page));
    let Some(places) = places.collect::<Result<Option<Vec<_>>>>()? else { return Ok(None) };
    let bytes: usize = places.iter().map(Range::len).sum();
    Ok((bytes as u64 == rows * layout.stride as u64).then_some(places))
}

/// The columns of batches of the same rows.
fn side_by_side(batches: &[RecordBatch]) -> Result<RecordBatch> {
    let fields = batches.iter().flat_map(|batch| batch.schema_ref().fields().iter().cloned());
    let columns = batches.iter().flat_map(|batch| batch.columns().iter().cloned());
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    Ok(RecordBatch::try_new(schema, columns.collect())?)
}

fn ids_of(batch: &RecordBatch) -> Result<IdBlock> {
    let ids = batch.column_by_name(ID_COLUMN);
    let ids = ids.ok_or_else(|| Error::internal("ids without their column"))?;
    IdBlock::from_arrow(ids)
}

/// Decodes columns of a file in batches of so many rows.
async fn read(
    reader: &FileReader,
    columns: ReaderProjection,
    rows: u32,
) -> Result<Pin<Box<dyn RecordBatchStream>>> {
    let all = ReadBatchParams::RangeFull;
    let filter = FilterExpression::no_filter();
    let batches = reader.read_stream_projected(all, rows, 1, columns, filter).await;
    batches.map_err(Error::reading)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_commits_leave_few_files_and_rewrite_each_row_seldom() {
        let mut files: Vec<f64> = Vec::new();
        let (unit, mut rewritten) = (1.0 / 65_536.0, 0.0);
        for _ in 0..20_000 {
            files.push(unit);
            if let Some(group) = few(&files) {
                let size: f64 = files[group.clone()].iter().sum();
                rewritten += size;
                files.splice(group, [size]);
            }
            assert!(files.iter().filter(|size| **size < 1.0).count() <= SMALL_FILES);
        }
        let all = 20_000.0 * unit;
        assert!((files.iter().sum::<f64>() - all).abs() < 1e-9);
        assert!(rewritten <= 14.0 * all, "{} times", rewritten / all);
    }

    #[test]
    fn full_files_are_not_copied() {
        assert_eq!(few(&[1.0; 20]), None);
        assert_eq!(few(&[0.1; 8]), None);
        assert_eq!(few(&[0.001; 9]), Some(0..9));
        assert_eq!(few(&[[1.0].as_slice(), &[0.001; 9]].concat()), Some(1..10));
        assert!(fewest(&[1.0, 0.3, 1.2, 0.4, 1.0]).is_empty());
        assert_eq!(fewest(&[1.0, 0.3, 0.3, 1.0]), [1..3]);
        assert!(fewest(&[]).is_empty());
    }

    #[test]
    fn the_end_rewrites_no_more_than_it_must() {
        assert_eq!(fewest(&[0.9, 0.9, 0.1]), [1..3]);
        assert!(fewest(&[0.9, 0.9]).is_empty());
        assert_eq!(fewest(&[0.2; 5]), [0..5]);
    }
}
