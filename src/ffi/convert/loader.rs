//! What loaders are told, and what they give.

use std::ffi::c_void;
use std::ptr::{null, with_exposed_provenance};
use std::sync::Arc;

use super::{TargetOf, count, no_flags, targets, tensor_columns};
use crate::error::{Error, Result};
use crate::ffi::boundary::Scope;
use crate::ffi::types::*;
use crate::ffi::{args, options, reader, waiting};
use crate::reader::Reader;
use crate::reader::loader::*;

const FLAGS: u32 = RDS_LOADER_NO_TABLE
    | RDS_LOADER_NO_THREADS
    | RDS_LOADER_WHOLE_STEPS
    | RDS_LOADER_WAITING_MAIN_THREAD;

/// # Safety
/// Pointers in `options` must be as the numbers beside them say.
pub unsafe fn loader_options(
    scope: &Scope,
    reader: *const rds_reader,
    options: &rds_loader_options,
) -> Result<LoaderOptions> {
    no_flags(options.flags, FLAGS, "options.flags")?;
    no_flags(options.reserved, 0, "options.reserved")?;
    let rank = share((options.rank, "rank"), (options.world_size, "world_size"))?;
    let worker = share((options.worker, "worker"), (options.worker_count, "worker_count"))?;
    // SAFETY: as this function's own contract.
    let (sources, subset) = unsafe { sources(scope, reader, options) }?;
    let columns = match sources.first() {
        // SAFETY: as above.
        Some(source) => unsafe { columns(scope, &source.reader, options) }?,
        None => Vec::new(),
    };
    let mut made = LoaderOptions {
        sources,
        subset,
        columns,
        order: order(options)?,
        seed: options.seed,
        epoch: options.epoch,
        batch: batch(options, rank)?,
        tail: match options.tail {
            0 => Tail::Short,
            1 => Tail::Pad,
            2 => Tail::Drop,
            other => {
                return Err(Error::invalid_argument(format!(
                    "options.tail is {other}; 0 (SHORT), 1 (PAD) and 2 (DROP) are possible"
                )));
            }
        },
        rank,
        worker,
        whole_steps: options.flags & RDS_LOADER_WHOLE_STEPS != 0,
        // SAFETY: as above.
        weights: unsafe { weights(scope, options) }?,
        epoch_rows: (options.epoch_rows != 0).then_some(options.epoch_rows),
        memory: None,
        max_bytes: match options.max_bytes {
            0 => None,
            bytes => Some(count(bytes, "options.max_bytes")?),
        },
        ahead: (options.ahead != 0).then_some(options.ahead as usize),
        threads: match options.flags & RDS_LOADER_NO_THREADS {
            0 => (options.threads != 0).then_some(options.threads as usize),
            _ => Some(0),
        },
        patience: waiting::patience(
            options.waiting,
            options.user_data,
            options.flags & RDS_LOADER_WAITING_MAIN_THREAD != 0,
        ),
    };
    if options.threads as usize > MOST_THREADS || options.ahead as usize > MOST_AHEAD {
        return Err(Error::invalid_argument(format!(
            "options.threads is {}, options.ahead {}; at most {MOST_THREADS} and {MOST_AHEAD} are possible",
            options.threads, options.ahead
        )));
    }
    if options.epoch_rows != 0 && made.sources.len() < 2 {
        return Err(Error::invalid_argument(
            "options.epoch_rows is given, and there is one table only",
        ));
    }
    if !options.targets.is_null() || options.target_count != 0 {
        // SAFETY: as above.
        made.memory = Some(unsafe { memory(scope, options, &made) }?);
    }
    Ok(made)
}

/// More start on no machine, and help on none.
const MOST_THREADS: usize = 256;
const MOST_AHEAD: usize = 1 << 16;

fn share((index, name): (u32, &str), (of, of_name): (u32, &str)) -> Result<Share> {
    let of = of.max(1);
    match index < of {
        true => Ok(Share { index, of }),
        false => Err(Error::invalid_argument(format!(
            "options.{name} is {index}, and options.{of_name} {of}"
        ))),
    }
}

fn order(options: &rds_loader_options) -> Result<Order> {
    match (options.order, options.clump_rows) {
        (0, clump) if clump <= MOST_ROWS => Ok(Order::Shuffled { clump: clump.max(1) }),
        (0, clump) => Err(Error::invalid_argument(format!("options.clump_rows is {clump}"))),
        (1, 0 | 1) => Ok(Order::InOrder),
        (1, clump) => Err(Error::invalid_argument(format!(
            "options.clump_rows is {clump}, and options.order IN_ORDER, which has no clumps"
        ))),
        (other, _) => Err(Error::invalid_argument(format!(
            "options.order is {other}; 0 (SHUFFLED) and 1 (IN_ORDER) are possible"
        ))),
    }
}

fn batch(options: &rds_loader_options, rank: Share) -> Result<u64> {
    let global = match (options.batch_rows, options.global_batch_rows) {
        (0, 0) => Err(Error::invalid_argument(
            "options.batch_rows is 0: give the rows of a rank's batch, or options.global_batch_rows",
        )),
        (own, 0) => Ok(own.saturating_mul(rank.of.into())),
        (0, global) => Ok(global),
        (own, global) => Err(Error::invalid_argument(format!(
            "options.batch_rows is {own}, and options.global_batch_rows {global}; either says how many rows"
        ))),
    }?;
    match global <= MOST_ROWS {
        true => Ok(global),
        false => {
            Err(Error::invalid_argument("options.batch_rows: a step has more rows than any table"))
        }
    }
}

/// # Safety
/// As `loader_options`.
unsafe fn sources(
    scope: &Scope,
    reader: *const rds_reader,
    options: &rds_loader_options,
) -> Result<(Vec<Source>, Option<Subset>)> {
    let own = (options.rows, options.first_row, options.row_count);
    if options.flags & RDS_LOADER_NO_TABLE != 0 {
        let given = [
            (!reader.is_null(), "reader"),
            (options.other_count != 0, "options.others"),
            (options.weights_count != 0, "options.weights"),
            (!options.columns.is_null() && options.column_count != 0, "options.columns"),
            (options.target_count != 0 || !options.targets.is_null(), "options.targets"),
        ];
        if let Some((_, name)) = given.into_iter().find(|(given, _)| *given) {
            return Err(Error::invalid_argument(format!(
                "options.flags have RDS_LOADER_NO_TABLE, and {name} is given"
            )));
        }
        if options.rows.is_null() && options.row_count == 0 {
            return Err(Error::invalid_argument(
                "options.row_count is 0, and options.flags have RDS_LOADER_NO_TABLE: say how many rows",
            ));
        }
        // SAFETY: as this function's own contract.
        let subset = unsafe { subset(scope, own, MOST_ROWS, "options") }?;
        return Ok((Vec::new(), Some(subset)));
    }
    let first = Reader::clone(&*reader::reader(scope, reader)?);
    // SAFETY: as above.
    let others = unsafe {
        let others = (options.others, options.other_count);
        options::read_all(
            scope,
            others.0,
            count(others.1 as u64, "options.other_count")?,
            "options.others",
        )?
    };
    // SAFETY: as above.
    let rows = unsafe { subset(scope, own, first.rows(), "options") }?;
    let mut sources = vec![Source { reader: first, subset: rows }];
    for (index, other) in others.iter().enumerate() {
        let name = format!("options.others[{index}]");
        let held = reader::reader(scope, other.reader).map_err(|error| error.context(&name))?;
        let reader = Reader::clone(&*held);
        let given = (other.rows, other.first_row, other.row_count);
        // SAFETY: as above.
        let subset = unsafe { subset(scope, given, reader.rows(), &name) }?;
        sources.push(Source { reader, subset });
    }
    Ok((sources, None))
}

/// # Safety
/// If not NULL, `rows` must point to `row_count` rows.
unsafe fn subset(
    scope: &Scope,
    (rows, first, row_count): (*const u64, u64, u64),
    all: u64,
    name: &str,
) -> Result<Subset> {
    let out_of_range =
        |what: String| Err(Error::out_of_range(format!("{name}: {what} (there are {all} rows)")));
    if rows.is_null() {
        let row_count = if row_count == 0 { all.saturating_sub(first) } else { row_count };
        return match first.checked_add(row_count).filter(|end| *end <= all) {
            Some(end) => Ok(Subset::Range(first..end)),
            None => out_of_range(format!("{row_count} rows from row {first} are out of range")),
        };
    }
    if first != 0 {
        return Err(Error::invalid_argument(format!(
            "{name}.rows is given, and {name}.first_row too"
        )));
    }
    let count = count(row_count, &format!("{name}.row_count"))?;
    // SAFETY: as this function's own contract.
    let given = unsafe { args::slice(scope, rows, count, &format!("{name}.rows")) }?;
    if let Some(row) = given.iter().find(|row| **row >= all) {
        return out_of_range(format!("row {row} is out of range"));
    }
    let mut copy = Vec::new();
    copy.try_reserve_exact(count)
        .map_err(|_| Error::io(format!("there is no memory for {count} numbers of rows")))?;
    copy.extend_from_slice(given);
    Ok(Subset::List(Arc::from(copy)))
}

/// # Safety
/// As `loader_options`.
unsafe fn columns(
    scope: &Scope,
    reader: &Reader,
    options: &rds_loader_options,
) -> Result<Vec<usize>> {
    let none = !options.columns.is_null() && options.column_count == 0;
    // SAFETY: as this function's own contract.
    unsafe { tensor_columns(scope, reader, (options.columns, options.column_count), none) }
}

/// # Safety
/// As `loader_options`.
unsafe fn weights(scope: &Scope, options: &rds_loader_options) -> Result<Vec<Weights>> {
    let all = count(options.weights_count as u64, "options.weights_count")?;
    // SAFETY: as this function's own contract.
    let given = unsafe { options::read_all(scope, options.weights, all, "options.weights") }?;
    if !given.is_empty() && options.other_count == 0 {
        return Err(Error::invalid_argument(
            "options.weights is given, and there is one table only",
        ));
    }
    let one = |(index, given): (usize, &rds_loader_weights)| {
        let name = format!("options.weights[{index}].weights");
        // SAFETY: as above.
        let weights = unsafe { args::slice(scope, given.weights, given.weight_count, &name) }?;
        Ok(Weights { epoch: given.epoch, consumed: given.consumed, weights: weights.to_vec() })
    };
    given.iter().enumerate().map(one).collect()
}

/// Memory of the caller.
struct Ring(Vec<TargetOf>);

// SAFETY: the header says that the memory is used by the threads of the loader, until it is closed.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

/// # Safety
/// As `loader_options`; the memory of the targets must live as long as the loader.
unsafe fn memory(
    scope: &Scope,
    options: &rds_loader_options,
    made: &LoaderOptions,
) -> Result<(Vec<Lane>, usize, Box<Lend>)> {
    let columns = made.columns.len();
    if options.max_bytes != 0 {
        return Err(Error::invalid_argument("options.max_bytes is given, and options.targets too"));
    }
    let (Some(source), true) = (made.sources.first(), columns > 0) else {
        return Err(Error::invalid_argument("options.targets is given, and no column is chosen"));
    };
    if options.target_count == 0 || !options.target_count.is_multiple_of(columns) {
        return Err(Error::invalid_argument(format!(
            "options.target_count is {}; a multiple of the {columns} columns chosen was expected",
            options.target_count
        )));
    }
    // SAFETY: as this function's own contract.
    let ring = unsafe { targets(scope, &source.reader, options.targets, options.target_count) };
    let ring = ring.map_err(|error| error.context("options"))?;
    let lanes: Vec<Lane> = ring.iter().take(columns).map(TargetOf::lane).collect();
    let most = made.most();
    for (index, target) in ring.iter().enumerate() {
        let column = index % columns;
        if Some(&target.column) != made.columns.get(column) {
            return Err(Error::invalid_argument(format!(
                "options.targets[{index}].column is {}; the columns chosen follow each other in each buffer",
                target.column
            )));
        }
        if lanes.get(column) != Some(&target.lane()) {
            return Err(Error::invalid_argument(format!(
                "options.targets[{index}].stride is {}, and another one in the first buffer",
                target.stride
            )));
        }
        if target.data.is_null() {
            return Err(Error::invalid_argument(format!("options.targets[{index}].data is NULL")));
        }
        target.bytes_of(index, most).map_err(|error| error.context("options"))?;
    }
    let buffers = options.target_count / columns;
    let ring = Ring(ring);
    let lend = move |number: usize| {
        let Ring(ring) = &ring;
        let places = ring.iter().skip(number * columns).take(columns);
        let lend = |target: &TargetOf| {
            let bytes = target.bytes_of(0, most).unwrap_or_default();
            // SAFETY: not NULL, and as long as the caller says, until the loader is closed; each buffer is lent to one
            // user at a time.
            unsafe { std::slice::from_raw_parts_mut(target.data, bytes) }
        };
        places.map(lend).collect()
    };
    Ok((lanes, buffers, Box::new(lend)))
}

pub fn loader_batch(given: &Given) -> rds_loader_batch {
    let step = given.turn.step.as_ref();
    let pointer = |(address, len): (usize, usize)| match len {
        0 => null(),
        _ => with_exposed_provenance::<c_void>(address),
    };
    rds_loader_batch {
        struct_size: size_of::<rds_loader_batch>(),
        rows: pointer(given.rows).cast(),
        tables: pointer(given.tables).cast(),
        // Addresses are pointers as C has them.
        columns: pointer(given.columns).cast(),
        column_count: given.columns.1,
        row_count: given.rows.1 as u64,
        pad_rows: step.map_or(0, |step| step.padding.end - step.padding.start),
        step_rows: step.map_or(0, |step| step.rows),
        epoch: given.turn.before.epoch,
        consumed: step.map_or(given.turn.before.consumed, |step| step.consumed),
        buffer: given.buffer,
    }
}

pub fn load_stats(stats: &Stats) -> rds_load_stats {
    let counts = &stats.counts;
    rds_load_stats {
        struct_size: size_of::<rds_load_stats>(),
        epoch: stats.epoch,
        consumed: stats.consumed,
        epoch_rows: stats.epoch_rows,
        epoch_steps: stats.epoch_steps,
        batch_rows: stats.batch_rows,
        batches: counts.batches,
        stalls: counts.stalls,
        stalled_ns: counts.stalled_ns,
        ready: counts.ready,
        ahead: stats.ahead,
        lent: counts.lent,
        bytes: counts.bytes,
    }
}
