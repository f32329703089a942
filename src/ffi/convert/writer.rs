//! What writers and tables are told, and what they tell.

use std::collections::BTreeMap;
use std::ffi::c_char;
use std::time::Duration;

use super::batches::{column_name, dtype};
use super::{count, no_flags, optional_text};
use crate::error::{Error, Result};
use crate::ffi::boundary::Scope;
use crate::ffi::types::*;
use crate::ffi::{args, options, waiting};
use crate::tensor::{TensorColumn, TensorSpec, check_name};
use crate::writer::{
    CommitInfo, CommitScope, Durability, Mode, Part, RecoverInfo, RecoverOptions, VacuumInfo,
    VacuumOptions, Wanted, WriteStats, WriterOptions, WriterState,
};

/// # Safety
/// If not NULL, `pointer` must point to `count` specs, whose pointers are as they say.
unsafe fn column_specs(
    scope: &Scope,
    pointer: *const rds_column_spec,
    count: usize,
) -> Result<Vec<TensorColumn>> {
    let name = "options.columns";
    if count > 0 && pointer.is_null() {
        return Err(Error::invalid_argument(format!(
            "{name} is NULL, and options.column_count {count}"
        )));
    }
    // SAFETY: as this function's own contract.
    let specs = unsafe { options::read_all(scope, pointer, count, name) }?;
    let one = |spec: rds_column_spec| -> Result<TensorColumn> {
        if spec.ndim as usize > RDS_MAX_NDIM {
            return Err(Error::invalid_argument(format!(
                "ndim is {}; at most {RDS_MAX_NDIM} are possible",
                spec.ndim
            )));
        }
        // SAFETY: as above.
        let (name, shape) = unsafe {
            let name = column_name(scope, spec.name, "name")?;
            (name, args::slice(scope, spec.shape, spec.ndim as usize, "shape")?)
        };
        check_name(name).map_err(|error| error.context("name"))?;
        Ok(TensorColumn::new(name, TensorSpec::new(dtype(spec.dtype, "dtype")?, shape)?))
    };
    let mut columns: Vec<TensorColumn> = Vec::new();
    for (index, spec) in specs.into_iter().enumerate() {
        let column = one(spec).map_err(|error| error.context(format!("{name}[{index}]")))?;
        if columns.iter().any(|other| other.name == column.name) {
            return Err(Error::invalid_argument(format!(
                "{name}[{index}] is {:?} once more",
                column.name
            )));
        }
        columns.push(column);
    }
    Ok(columns)
}

/// # Safety
/// If not NULL, `pointer` must point to `count` keys with their values, all NUL-terminated.
unsafe fn metadata(
    scope: &Scope,
    pointer: *const rds_metadata,
    count: usize,
) -> Result<BTreeMap<String, String>> {
    // SAFETY: as this function's own contract.
    let given = unsafe { args::slice(scope, pointer, count, "options.metadata") }?;
    let mut metadata = BTreeMap::new();
    for (index, one) in given.iter().enumerate() {
        let name = |what: &str| format!("options.metadata[{index}].{what}");
        // SAFETY: as above.
        let (key, value) = unsafe {
            let key = args::text(scope, one.key, &name("key"))?;
            (key, args::text(scope, one.value, &name("value"))?)
        };
        if key.is_empty() {
            return Err(Error::invalid_argument(format!("{} is empty", name("key"))));
        }
        if metadata.insert(key.to_string(), value.to_string()).is_some() {
            return Err(Error::invalid_argument(format!("{} is {key:?} once more", name("key"))));
        }
    }
    Ok(metadata)
}

fn write_mode(mode: u32) -> Result<Mode> {
    match mode {
        0 => Ok(Mode::Create),
        1 => Ok(Mode::Append),
        2 => Ok(Mode::Overwrite),
        3 => Ok(Mode::Staged),
        other => Err(Error::invalid_argument(format!(
            "options.mode is {other}; 0 (CREATE) to 3 (STAGED) are possible"
        ))),
    }
}

/// # Safety
/// `options.job` must be NULL or NUL-terminated, `options.columns` and `options.metadata` NULL or as their counts say.
pub unsafe fn writer_options(scope: &Scope, options: &rds_writer_options) -> Result<WriterOptions> {
    let known = RDS_WRITER_ALIAS_ARROW | RDS_WRITER_WAITING_MAIN_THREAD | RDS_WRITER_NO_WAIT;
    no_flags(options.flags, known, "options.flags")?;
    no_flags(options.reserved, 0, "options.reserved")?;
    // SAFETY: as this function's own contract.
    let (job, columns, metadata) = unsafe {
        let job = optional_text(scope, options.job, "options.job")?;
        let columns = column_specs(scope, options.columns, options.column_count)?;
        (job, columns, metadata(scope, options.metadata, options.metadata_count)?)
    };
    let mode = write_mode(options.mode)?;
    let checkpoint_ms = if options.checkpoint_ms == 0 { 1000 } else { options.checkpoint_ms };
    let durability = match options.durability {
        0 => Durability::Interval(Duration::from_millis(checkpoint_ms)),
        1 => Durability::Batch,
        2 => Durability::Commit,
        other => {
            return Err(Error::invalid_argument(format!(
                "options.durability is {other}; 0 (INTERVAL), 1 (BATCH) and 2 (COMMIT) are possible"
            )));
        }
    };
    let max_queued_bytes = match options.max_queued_bytes {
        0 => 64 << 20,
        bytes => count(bytes, "options.max_queued_bytes")?,
    };
    let visible_ms = if options.visible_ms == 0 { 10_000 } else { options.visible_ms };
    if mode == Mode::Staged && !metadata.is_empty() {
        return Err(Error::invalid_argument(
            "options.metadata is given, and options.mode is 3 (STAGED); what is staged has no version of its own",
        ));
    }
    let part = job.map(|job| Part { job: job.to_string(), number: options.part });
    if part.is_some() && mode != Mode::Staged {
        return Err(Error::invalid_argument(
            "options.job is given, and options.mode is not 3 (STAGED); only tokens are parts of a job",
        ));
    }
    if options.part != 0 && part.is_none() {
        return Err(Error::invalid_argument(format!(
            "options.part is {}, and options.job is NULL; a part is one of a job",
            options.part
        )));
    }
    Ok(WriterOptions {
        mode,
        durability,
        max_queued_bytes,
        visible: Duration::from_millis(visible_ms),
        columns,
        metadata,
        part,
        alias: options.flags & RDS_WRITER_ALIAS_ARROW != 0,
        patience: waiting::patience(
            options.waiting,
            options.user_data,
            options.flags & RDS_WRITER_WAITING_MAIN_THREAD != 0,
        ),
        longest_wait: match options.room_ms {
            _ if options.flags & RDS_WRITER_NO_WAIT != 0 => Some(Duration::ZERO),
            0 => None,
            given => Some(Duration::from_millis(given)),
        },
    })
}

/// # Safety
/// `options.run` must be NULL or NUL-terminated.
pub unsafe fn recover_options(
    scope: &Scope,
    options: &rds_recover_options,
) -> Result<RecoverOptions> {
    let known =
        RDS_RECOVER_ONTO_REPLACED | RDS_RECOVER_DROP | RDS_RECOVER_TAKE_OVER | RDS_RECOVER_DRY_RUN;
    no_flags(options.flags, known, "options.flags")?;
    no_flags(options.reserved, 0, "options.reserved")?;
    // SAFETY: as this function's own contract.
    let run = unsafe { optional_text(scope, options.run, "options.run") }?;
    let has = |flag| options.flags & flag != 0;
    if has(RDS_RECOVER_DROP) && has(RDS_RECOVER_ONTO_REPLACED) {
        return Err(Error::invalid_argument(
            "options.flags has both RDS_RECOVER_DROP and RDS_RECOVER_ONTO_REPLACED; choose one",
        ));
    }
    Ok(RecoverOptions {
        run: run.map(str::to_string),
        onto_replaced: has(RDS_RECOVER_ONTO_REPLACED),
        drop: has(RDS_RECOVER_DROP),
        take_over: has(RDS_RECOVER_TAKE_OVER),
        dry_run: has(RDS_RECOVER_DRY_RUN),
    })
}

pub fn recover_info(info: &RecoverInfo) -> rds_recover_info {
    rds_recover_info {
        struct_size: size_of::<rds_recover_info>(),
        recovered_runs: info.recovered_runs,
        recovered_rows: info.recovered_rows,
        dropped_runs: info.dropped_runs,
        dropped_rows: info.dropped_rows,
        waiting_runs: info.waiting_runs,
        waiting_rows: info.waiting_rows,
        live_runs: info.live_runs,
        staged_runs: info.staged_runs,
    }
}

pub fn commit_scope(options: &rds_commit_options) -> Result<CommitScope> {
    no_flags(options.flags, RDS_COMMIT_MERGE_ALL, "options.flags")?;
    no_flags(options.reserved, 0, "options.reserved")?;
    match options.flags & RDS_COMMIT_MERGE_ALL {
        0 => Ok(CommitScope::Run),
        _ => Ok(CommitScope::Table),
    }
}

pub fn write_stats(stats: &WriteStats) -> rds_write_stats {
    let mut failure_message = [0; RDS_FAILURE_BYTES];
    if let Some(failure) = &stats.failure {
        // Whole characters, and a NUL behind them.
        let end = failure.message.floor_char_boundary(RDS_FAILURE_BYTES - 1);
        let text = failure.message.get(..end).unwrap_or_default().bytes();
        failure_message.iter_mut().zip(text).for_each(|(out, byte)| *out = byte as c_char);
    }
    rds_write_stats {
        struct_size: size_of::<rds_write_stats>(),
        accepted_rows: stats.accepted_rows,
        accepted_bytes: stats.accepted_bytes,
        durable_rows: stats.durable_rows,
        durable_bytes: stats.durable_bytes,
        queued_rows: stats.queued_rows,
        queued_bytes: stats.queued_bytes,
        checkpoints: stats.checkpoints,
        blocked_ns: u64::try_from(stats.blocked.as_nanos()).unwrap_or(u64::MAX),
        visible_rows: stats.visible_rows,
        versions: stats.versions,
        state: match stats.state {
            WriterState::Running => rds_writer_state::RDS_WRITER_RUNNING as u32,
            WriterState::Retrying => rds_writer_state::RDS_WRITER_RETRYING as u32,
            WriterState::Failed => rds_writer_state::RDS_WRITER_FAILED as u32,
        },
        failure: stats.failure.as_ref().map_or(0, |failure| failure.status as u32),
        failure_message,
        merged_rows: stats.merged_rows,
        to_merge_rows: stats.to_merge_rows,
    }
}

/// # Safety
/// If not NULL, `pointer` must point to `count` tokens, whose pointers are as their lengths say.
pub unsafe fn tokens(
    scope: &Scope,
    pointer: *const rds_token,
    length: usize,
) -> Result<Vec<&[u8]>> {
    // SAFETY: as this function's own contract.
    let tokens = unsafe { args::slice(scope, pointer, length, "tokens") }?;
    let bytes = |(index, token): (usize, &rds_token)| {
        // SAFETY: as above.
        unsafe { args::slice(scope, token.data, token.length, &format!("tokens[{index}].data")) }
    };
    tokens.iter().enumerate().map(bytes).collect()
}

/// The mode, and the job that the tokens are all of.
///
/// # Safety
/// `options.job` must be NULL or NUL-terminated.
pub unsafe fn commit_staged_options<'a>(
    scope: &'a Scope,
    options: &rds_commit_staged_options,
) -> Result<(Mode, Option<&'a str>)> {
    no_flags(options.flags, 0, "options.flags")?;
    // SAFETY: as this function's own contract.
    let job = unsafe { optional_text(scope, options.job, "options.job") }?;
    Ok((publishing_mode(options.mode)?, job))
}

fn publishing_mode(mode: u32) -> Result<Mode> {
    match write_mode(mode)? {
        Mode::Staged => Err(Error::invalid_argument(
            "options.mode is 3 (STAGED), which publishes nothing; choose CREATE, APPEND or OVERWRITE",
        )),
        mode => Ok(mode),
    }
}

/// The mode, and which files.
pub fn pack_parts_options(options: &rds_pack_parts_options) -> Result<(Mode, Wanted)> {
    no_flags(options.flags, RDS_PACK_PARTS_MORE, "options.flags")?;
    let (share, shares) = (options.share, options.shares.max(1));
    if share >= shares {
        return Err(Error::invalid_argument(format!(
            "options.share is {share} of {shares} shares, which are counted from 0"
        )));
    }
    let number = |given: u64| usize::try_from(given).unwrap_or(usize::MAX);
    let share = (number(share), number(shares));
    let more = options.flags & RDS_PACK_PARTS_MORE != 0;
    let wanted = Wanted { share, skip: options.first_row, more };
    Ok((publishing_mode(options.mode)?, wanted))
}

pub fn vacuum_options(options: &rds_vacuum_options) -> Result<VacuumOptions> {
    no_flags(options.flags, RDS_VACUUM_DRY_RUN | RDS_VACUUM_KEEP_VERSIONS, "options.flags")?;
    no_flags(options.reserved, 0, "options.reserved")?;
    let older_than_ms = match options.older_than_ms {
        0 => 7 * 24 * 3600 * 1000,
        given => given,
    };
    Ok(VacuumOptions {
        older_than: Duration::from_millis(older_than_ms),
        keep_versions: options.flags & RDS_VACUUM_KEEP_VERSIONS != 0,
        dry_run: options.flags & RDS_VACUUM_DRY_RUN != 0,
    })
}

pub fn vacuum_info(info: &VacuumInfo) -> rds_vacuum_info {
    rds_vacuum_info {
        struct_size: size_of::<rds_vacuum_info>(),
        removed_files: info.removed_files,
        removed_bytes: info.removed_bytes,
        kept_files: info.kept_files,
        removed_versions: info.removed_versions,
    }
}

pub fn commit_info(info: &CommitInfo) -> rds_commit_info {
    rds_commit_info {
        struct_size: size_of::<rds_commit_info>(),
        rows: info.rows,
        tensor_bytes: info.tensor_bytes,
        version: info.version,
        data_files: info.data_files,
    }
}
