//! Of tables.

use std::ffi::{c_char, c_int, c_void};

/// A token of rds_writer_stage(): bytes to be stored or sent as they are.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_token {
    /// Its bytes, which whoever has them owns.
    pub data: *const u8,
    /// How many.
    pub length: usize,
}

/// Options of rds_commit_staged(). Zero means the default. Initialise with
/// RDS_COMMIT_STAGED_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_commit_staged_options {
    /// sizeof(rds_commit_staged_options).
    pub struct_size: usize,
    /// An rds_write_mode but RDS_MODE_STAGED; default RDS_MODE_CREATE.
    pub mode: u32,
    /// Must be 0.
    pub flags: u32,
    /// The job that the tokens are all parts of; NUL-terminated UTF-8; default none. What else lies beside the table of
    /// these parts, of tasks that ran twice or were killed, is removed with the commit; parts of the job without a token
    /// stay. And the call may have been made before, by a process that died: if the newest version has the parts, it is
    /// RDS_OK, with 0 rows.
    pub job: *const c_char,
}

/// Options of rds_pack_parts(). Zero means the default. Initialise with RDS_PACK_PARTS_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_pack_parts_options {
    /// sizeof(rds_pack_parts_options).
    pub struct_size: usize,
    /// As it will be in rds_commit_staged_options.
    pub mode: u32,
    /// Or-ed RDS_PACK_PARTS_*, or 0.
    pub flags: u32,
    /// The number of this share, below shares; default 0.
    pub share: u64,
    /// How many calls share the files; default 1.
    pub shares: u64,
    /// Rows of the first parts that are in files of other calls: a number of whole files before it.
    pub first_row: u64,
}

/// rds_pack_parts_options.flags: other parts follow these. Files that are full are made, and what is left is the
/// beginning of one that a later call goes on with.
pub const RDS_PACK_PARTS_MORE: u32 = 1;

/// Called with parts of a job that follow each other, from `first` to `last`. `token` is NULL if the newest version of
/// the table has them; else there is one, which waits to be published, and this is its token. All pointers are valid
/// during the call only. A non-zero return ends the list. It must not unwind or throw.
pub type rds_part_callback = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        job: *const c_char,
        first: u64,
        last: u64,
        token: *const rds_token,
    ) -> c_int,
>;

/// Options of rds_vacuum(). Zero means the default. Initialise with RDS_VACUUM_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_vacuum_options {
    /// sizeof(rds_vacuum_options).
    pub struct_size: usize,
    /// The age in milliseconds from which versions that were replaced, and files that no version names, are
    /// removed; default 7 days. Whoever opened the table longer ago, and commits on top of what it read,
    /// may do so without seeing what came in between. What a commit under way needs is kept for a minute at least.
    pub older_than_ms: u64,
    /// Or-ed RDS_VACUUM_*, or 0.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
}

/// rds_vacuum_options.flags: nothing is removed, only counted.
pub const RDS_VACUUM_DRY_RUN: u32 = 1;

/// rds_vacuum_options.flags: all versions stay, and what they name.
pub const RDS_VACUUM_KEEP_VERSIONS: u32 = 2;

/// What rds_vacuum() reports. Initialise with RDS_VACUUM_INFO_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_vacuum_info {
    /// sizeof(rds_vacuum_info).
    pub struct_size: usize,
    /// Files removed, or that would be; manifests of versions too.
    pub removed_files: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Files that no version names and that were left, because they are too young.
    pub kept_files: u64,
    /// Versions removed, or that would be.
    pub removed_versions: u64,
}

/// Options of rds_recover(). Zero means the default. Initialise with RDS_RECOVER_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_recover_options {
    /// sizeof(rds_recover_options).
    pub struct_size: usize,
    /// One run, by its name in the directory `_rds` of the table; NUL-terminated; default all.
    pub run: *const c_char,
    /// Or-ed RDS_RECOVER_*, or 0.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
}

/// rds_recover_options.flags: rows whose table was replaced meanwhile go behind the rows of the one that took its
/// place, if its tensors are of the same kind.
pub const RDS_RECOVER_ONTO_REPLACED: u32 = 1;

/// rds_recover_options.flags: the rows that wait are given up. With a run named, its tokens too.
pub const RDS_RECOVER_DROP: u32 = 2;

/// rds_recover_options.flags: the owner of a run is taken for dead whatever it seems; if it goes on, it is told
/// RDS_ERR_COMMIT_CONFLICT before it acknowledges anything.
pub const RDS_RECOVER_TAKE_OVER: u32 = 4;

/// rds_recover_options.flags: nothing is done, only counted.
pub const RDS_RECOVER_DRY_RUN: u32 = 8;

/// What rds_recover() reports. Initialise with RDS_RECOVER_INFO_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_recover_info {
    /// sizeof(rds_recover_info).
    pub struct_size: usize,
    /// Runs whose rows became visible.
    pub recovered_runs: u64,
    /// These rows.
    pub recovered_rows: u64,
    /// Runs that were given up.
    pub dropped_runs: u64,
    /// Their rows.
    pub dropped_rows: u64,
    /// Runs that died and whose rows still wait.
    pub waiting_runs: u64,
    /// These rows.
    pub waiting_rows: u64,
    /// Runs that go on.
    pub live_runs: u64,
    /// Runs with tokens that were not published, and jobs with such parts.
    pub staged_runs: u64,
}
