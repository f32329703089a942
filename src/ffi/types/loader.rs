//! Of loaders.

use std::ffi::c_void;

use super::{rds_reader, rds_target, rds_waiting_callback};

/// A loader: goes through the rows of tables in batches, epoch after epoch. Opaque; made by rds_loader_open().
pub struct rds_loader(());

/// In which order a loader goes through the rows of an epoch.
#[repr(C)]
pub enum rds_loader_order {
    /// Shuffled: each row once, in an order that seed and epoch say. See the page on the order of rows.
    RDS_ORDER_SHUFFLED = 0,
    /// As they are numbered, or listed.
    RDS_ORDER_IN_ORDER = 1,
}

/// What a loader does with the rows at the end of an epoch that fill no step.
#[repr(C)]
pub enum rds_loader_tail {
    /// They are a step with fewer rows, shared evenly: a rank may have none of them.
    RDS_TAIL_SHORT = 0,
    /// The step is filled up with the first rows of the same epoch: rds_loader_batch.pad_rows.
    RDS_TAIL_PAD = 1,
    /// They are left out.
    RDS_TAIL_DROP = 2,
}

/// Another table that a loader mixes with its first. Initialise with RDS_LOADER_TABLE_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_loader_table {
    /// sizeof(rds_loader_table).
    pub struct_size: usize,
    /// It has the columns chosen, by name, of the same dtype and shape.
    pub reader: *const rds_reader,
    /// As in rds_loader_options.
    pub rows: *const u64,
    /// As in rds_loader_options.
    pub first_row: u64,
    /// As in rds_loader_options.
    pub row_count: u64,
}

/// How often rows of each table come, from a position on. Initialise with RDS_LOADER_WEIGHTS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_loader_weights {
    /// sizeof(rds_loader_weights).
    pub struct_size: usize,
    /// The epoch from which on.
    pub epoch: u64,
    /// The rows of that epoch that all ranks together have consumed before.
    pub consumed: u64,
    /// One for each table, that of the reader first; 0 for none of it. Not all 0.
    pub weights: *const u64,
    /// How many: as many as there are tables.
    pub weight_count: usize,
}

/// Options of rds_loader_open(). Zero means the default. Initialise with RDS_LOADER_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_loader_options {
    /// sizeof(rds_loader_options).
    pub struct_size: usize,
    /// Rows of a step that one rank takes. This or global_batch_rows must be given.
    pub batch_rows: u64,
    /// Rows of a step over all ranks; ranks take even shares of it, though they need not be equal. Instead of
    /// batch_rows, which are multiplied by world_size.
    pub global_batch_rows: u64,
    /// Which rank this is, below world_size.
    pub rank: u32,
    /// Ranks that share each step; default 1.
    pub world_size: u32,
    /// Which worker of the rank this is, below worker_count.
    pub worker: u32,
    /// Workers that share what the rank takes of a step, or with RDS_LOADER_WHOLE_STEPS take steps in turn; default 1.
    pub worker_count: u32,
    /// An rds_loader_order; default RDS_ORDER_SHUFFLED.
    pub order: u32,
    /// An rds_loader_tail; default RDS_TAIL_SHORT.
    pub tail: u32,
    /// Rows that follow each other and stay together in a shuffled order, for disks that are slow at single rows; default 1, at
    /// most 2^62.
    pub clump_rows: u64,
    /// Says with the epoch what the shuffled order is.
    pub seed: u64,
    /// The first epoch; default 0.
    pub epoch: u64,
    /// row_count rows of the table, of which an epoch consists; a row that is listed twice comes twice. NULL for a
    /// range. Copied.
    pub rows: *const u64,
    /// Without rows: the first row of the range. With rows 0.
    pub first_row: u64,
    /// How many rows: of a list those that are listed, of a range default all from first_row on.
    pub row_count: u64,
    /// Numbers of tensor columns of the reader, each once; NULL means all; with column_count 0 and not NULL, none:
    /// then batches are numbers of rows.
    pub columns: *const u32,
    /// How many.
    pub column_count: usize,
    /// Other tables, whose rows are mixed with those of the reader. NULL only if other_count is 0. Copied.
    pub others: *const rds_loader_table,
    /// How many.
    pub other_count: usize,
    /// With others: how often rows of each come, each from its position on, in the order of positions; before the first,
    /// and without any, as often as each table has rows. NULL only if weights_count is 0. Copied.
    pub weights: *const rds_loader_weights,
    /// How many.
    pub weights_count: usize,
    /// With others: rows of an epoch; default those of all tables together. A table that is through begins anew.
    pub epoch_rows: u64,
    /// Memory of the caller that batches are put into: the targets of one buffer, one for each column chosen in that
    /// order, then those of the next. Each has room for the rows of the largest batch. NULL for memory of the loader.
    pub targets: *const rds_target,
    /// How many: a multiple of the columns chosen.
    pub target_count: usize,
    /// Bytes of buffers at most, those that are lent too; default 256 MiB, or those of two batches if that is more. With
    /// targets 0.
    pub max_bytes: u64,
    /// Batches that are gathered before they are asked for, if there are buffers; default 8.
    pub ahead: u32,
    /// Threads that gather; default half of the cores, 1 to 4.
    pub threads: u32,
    /// Or-ed RDS_LOADER_*, or 0.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
    /// Asked some twenty times a second by rds_loader_next() while it waits. A non-zero return ends the wait with
    /// RDS_ERR_CANCELLED; nothing is lost. It may close the loader. Default none.
    pub waiting: rds_waiting_callback,
    /// Handed to waiting as it is. Both must live as long as the loader.
    pub user_data: *mut c_void,
}

/// rds_loader_options.flags: there is no table. The reader is NULL, row_count is given, and batches are numbers of rows.
pub const RDS_LOADER_NO_TABLE: u32 = 1;

/// rds_loader_options.flags: no threads: rds_loader_next() gathers on the thread that calls it.
pub const RDS_LOADER_NO_THREADS: u32 = 2;

/// rds_loader_options.flags: workers do not share a step but take whole steps in turn, as those of PyTorch's DataLoader
/// do. The position of a worker is then that before the round of steps in which its next one is.
pub const RDS_LOADER_WHOLE_STEPS: u32 = 4;

/// rds_loader_options.flags: only calls of the main thread of the process ask waiting, as with
/// RDS_WRITER_WAITING_MAIN_THREAD.
pub const RDS_LOADER_WAITING_MAIN_THREAD: u32 = 8;

/// What rds_loader_next() gives: the rows of a step that this rank and worker take. Initialise with
/// RDS_LOADER_BATCH_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_loader_batch {
    /// sizeof(rds_loader_batch).
    pub struct_size: usize,
    /// Their numbers, row_count of them. NULL if there are none.
    pub rows: *const u64,
    /// Of which table each is: 0 for that of the reader, 1 for the first of the others. NULL without others.
    pub tables: *const u32,
    /// For each column chosen, in that order, where its row_count rows lie, one after the other in C order, or at the
    /// stride of its target. Memory of the loader is aligned to 64 bytes. NULL if there are none.
    pub columns: *const *mut c_void,
    /// How many.
    pub column_count: usize,
    /// Rows of the batch; 0 at the end of an epoch, and for who has no share of a short step.
    pub row_count: u64,
    /// How many of them, at their end, fill the last step of the epoch up, and came in this epoch before.
    pub pad_rows: u64,
    /// Rows of the step over all ranks and workers, those that fill it up too; 0 if the epoch is over: the next batch is
    /// the first of the next one.
    pub step_rows: u64,
    /// The epoch.
    pub epoch: u64,
    /// Rows of the epoch that came before the step, over all ranks.
    pub consumed: u64,
    /// Names the memory, for rds_loader_release(); 0 if there is none to release.
    pub buffer: u64,
}

/// Where a loader is, equal on all ranks. Its bytes may be stored, and mean the same everywhere: the page on the order
/// of rows has their layout.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_position {
    /// As rds_loader_state() wrote them.
    pub bytes: [u8; RDS_POSITION_BYTES],
}

/// The bytes of a position.
pub const RDS_POSITION_BYTES: usize = 64;

/// What rds_loader_stats() tells. Initialise with RDS_LOAD_STATS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rds_load_stats {
    /// sizeof(rds_load_stats).
    pub struct_size: usize,
    /// Where the loader is: the epoch.
    pub epoch: u64,
    /// Rows of it that all ranks together have consumed, by what rds_loader_next() gave.
    pub consumed: u64,
    /// Rows of an epoch, without those that fill it up.
    pub epoch_rows: u64,
    /// Steps of a whole epoch, of which a worker of whole steps takes a part.
    pub epoch_steps: u64,
    /// Rows of the largest batch of this rank and worker.
    pub batch_rows: u64,
    /// Batches given so far.
    pub batches: u64,
    /// How many of them were not ready when they were asked for.
    pub stalls: u64,
    /// Nanoseconds that rds_loader_next() has waited for them.
    pub stalled_ns: u64,
    /// Batches that are ready now.
    pub ready: u64,
    /// How many may be.
    pub ahead: u64,
    /// Buffers that were given and not released.
    pub lent: u64,
    /// Bytes of the buffers that the loader has made so far; 0 with memory of the caller.
    pub bytes: u64,
}
