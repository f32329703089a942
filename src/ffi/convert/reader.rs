//! What readers are told, and what they tell.

use std::borrow::Cow;
use std::ops::Range;

use super::{count, no_flags, optional_text, required};
use crate::error::{Error, Result};
use crate::ffi::boundary::Scope;
use crate::ffi::reader_ids::RDS_ROW_NONE;
use crate::ffi::types::*;
use crate::ffi::{args, options, waiting};
use crate::reader::loader::Lane;
use crate::reader::{Access, Column, Columns, Reader, ReaderOptions, StreamOptions, VersionOf};
use crate::tensor::Form;

pub fn version_info(of: &VersionOf) -> rds_version_info {
    rds_version_info {
        struct_size: size_of::<rds_version_info>(),
        version: of.version,
        committed_at: of.committed_at,
        rows: of.rows.unwrap_or(RDS_ROW_NONE),
    }
}

pub fn table_info(reader: &Reader) -> rds_table_info {
    rds_table_info {
        struct_size: size_of::<rds_table_info>(),
        rows: reader.rows(),
        version: reader.version(),
        committed_at: reader.committed_at(),
        column_count: reader.columns().len() as u32,
        form: match reader.form() {
            Form::Data => rds_table_form::RDS_FORM_DATA as u32,
            Form::Named => rds_table_form::RDS_FORM_NAMED as u32,
            Form::Types => rds_table_form::RDS_FORM_TYPES as u32,
        },
        has_ids: u32::from(reader.has_ids()),
        metadata_count: reader.metadata().len() as u32,
    }
}

pub fn column_info(column: &Column) -> rds_column_info {
    let spec = &column.spec;
    let mut shape = [0; RDS_MAX_NDIM];
    for (out, dim) in shape.iter_mut().zip(&spec.shape) {
        *out = *dim;
    }
    rds_column_info {
        struct_size: size_of::<rds_column_info>(),
        name: column.name_with_nul.as_ptr().cast(),
        name_length: column.name.len(),
        dtype_name: spec.dtype.name_with_nul().as_ptr().cast(),
        dtype: spec.dtype as u32,
        ndim: spec.shape.len() as u32,
        shape,
        row_bytes: column.row_bytes,
        mapped_rows: column.spans.mapped_rows(),
    }
}

/// # Safety
/// `options.id_column` must be NULL or NUL-terminated.
pub unsafe fn reader_options(scope: &Scope, options: &rds_reader_options) -> Result<ReaderOptions> {
    no_flags(
        options.flags,
        RDS_READER_NO_PREFETCH | RDS_READER_WAITING_MAIN_THREAD,
        "options.flags",
    )?;
    let access = match options.access {
        0 => Access::Auto,
        1 => Access::Mapped,
        2 => Access::Lance,
        other => {
            return Err(Error::invalid_argument(format!(
                "options.access is {other}; 0 (AUTO), 1 (MAPPED) and 2 (LANCE) are possible"
            )));
        }
    };
    if options.version != 0 && options.committed_until != 0 {
        return Err(Error::invalid_argument(format!(
            "options.version is {}, and options.committed_until {}; either says which version",
            options.version, options.committed_until
        )));
    }
    // SAFETY: as this function's own contract.
    let id_column = unsafe { optional_text(scope, options.id_column, "options.id_column") }?;
    Ok(ReaderOptions {
        id_column: id_column.map(str::to_string),
        patience: waiting::patience(
            options.waiting,
            options.user_data,
            options.flags & RDS_READER_WAITING_MAIN_THREAD != 0,
        ),
        until: (options.committed_until != 0).then_some(options.committed_until),
        version: (options.version != 0).then_some(options.version),
        access,
        prefetch: options.flags & RDS_READER_NO_PREFETCH == 0,
    })
}

pub fn span(column: &Column, (rows, bytes): (Range<u64>, Option<&[u8]>)) -> rds_span {
    rds_span {
        struct_size: size_of::<rds_span>(),
        first_row: rows.start,
        row_count: rows.end - rows.start,
        data: bytes.map_or(std::ptr::null(), |bytes| bytes.as_ptr().cast()),
        stride: bytes.map_or(0, |_| column.row_bytes),
    }
}

/// The rows of a stream that are not a range.
///
/// # Safety
/// `options.rows` must be NULL or point to `options.row_count` rows.
pub unsafe fn stream_rows(scope: &Scope, options: &rds_stream_options) -> Result<Option<Vec<u64>>> {
    let unused = |what: &str| Error::invalid_argument(format!("options.{what} is given"));
    if options.flags & RDS_STREAM_ROWS == 0 {
        return match options.rows.is_null() {
            true => Ok(None),
            false => Err(unused("rows").context("options.flags lack RDS_STREAM_ROWS")),
        };
    }
    if options.first_row != 0 {
        return Err(unused("first_row").context("options.flags have RDS_STREAM_ROWS"));
    }
    let count = count(options.row_count, "options.row_count")?;
    // SAFETY: as this function's own contract.
    let rows = unsafe { args::slice(scope, options.rows, count, "options.rows") }?;
    let mut copy = Vec::new();
    copy.try_reserve_exact(count)
        .map_err(|_| Error::io(format!("there is no memory for {count} numbers of rows")))?;
    copy.extend_from_slice(rows);
    Ok(Some(copy))
}

const SELECT: u32 = RDS_SELECT_NO_IDS | RDS_SELECT_NO_TENSORS | RDS_SELECT_FIXED_SHAPE_TENSOR;

/// The tensor columns that are chosen: those given, else all, or none.
///
/// # Safety
/// If not NULL, `columns` must point to `count` numbers.
pub unsafe fn tensor_columns(
    scope: &Scope,
    reader: &Reader,
    (columns, count): (*const u32, usize),
    none: bool,
) -> Result<Vec<usize>> {
    // SAFETY: as this function's own contract.
    let given = unsafe { args::slice(scope, columns, count, "options.columns") }?;
    let mut tensors = Vec::new();
    for column in given {
        let column = *column as usize;
        reader.column(column).map_err(|error| error.context("options.columns"))?;
        if tensors.contains(&column) {
            return Err(Error::invalid_argument(format!("options.columns has {column} twice")));
        }
        tensors.push(column);
    }
    if tensors.is_empty() && !none {
        tensors = (0..reader.columns().len()).collect();
    }
    Ok(tensors)
}

/// The columns that are chosen.
///
/// # Safety
/// If not NULL, `columns` must point to `count` numbers.
unsafe fn columns(
    scope: &Scope,
    reader: &Reader,
    (columns, count): (*const u32, usize),
    flags: u32,
) -> Result<Columns> {
    let none = flags & RDS_SELECT_NO_TENSORS != 0 || !columns.is_null() && count == 0;
    // SAFETY: as this function's own contract.
    let tensors = unsafe { tensor_columns(scope, reader, (columns, count), none) }?;
    if none && !tensors.is_empty() {
        return Err(Error::invalid_argument(
            "options.columns is given, and options.flags have RDS_SELECT_NO_TENSORS",
        ));
    }
    let id = flags & RDS_SELECT_NO_IDS == 0 && (none || reader.has_ids());
    if !id && none {
        return Err(Error::invalid_argument("options leave nothing: neither ids nor a tensor"));
    }
    Ok(Columns { id, tensors })
}

/// # Safety
/// `options.columns` must be as `options.column_count` says.
pub unsafe fn select(
    scope: &Scope,
    reader: &Reader,
    options: &rds_select_options,
) -> Result<(Columns, bool)> {
    no_flags(options.flags, SELECT, "options.flags")?;
    no_flags(options.reserved, 0, "options.reserved")?;
    let given = (options.columns, options.column_count);
    // SAFETY: as this function's own contract.
    let columns = unsafe { columns(scope, reader, given, options.flags) }?;
    Ok((columns, options.flags & RDS_SELECT_FIXED_SHAPE_TENSOR != 0))
}

/// Memory for rows of a column, of which there are so many bytes.
pub struct TargetOf {
    pub column: usize,
    pub data: *mut u8,
    pub stride: usize,
    row_bytes: usize,
    bytes: usize,
}

impl TargetOf {
    pub fn lane(&self) -> Lane {
        Lane { row_bytes: self.row_bytes, stride: self.stride }
    }

    /// The bytes that so many rows take, if there are as many.
    pub fn bytes_of(&self, index: usize, rows: u64) -> Result<usize> {
        let Some(before) = rows.checked_sub(1) else { return Ok(0) };
        let needed = u128::from(before) * self.stride as u128 + self.row_bytes as u128;
        match usize::try_from(needed) {
            Ok(needed) if needed <= self.bytes => Ok(needed),
            _ => Err(Error::invalid_argument(format!(
                "targets[{index}]: bytes is {}; {rows} rows of column {} need {needed}",
                self.bytes, self.column
            ))),
        }
    }
}

/// # Safety
/// If not NULL, `pointer` must point to `count` targets.
pub unsafe fn targets(
    scope: &Scope,
    reader: &Reader,
    pointer: *const rds_target,
    count: usize,
) -> Result<Vec<TargetOf>> {
    if count > 0 && pointer.is_null() {
        return Err(Error::invalid_argument("targets is NULL"));
    }
    // SAFETY: as this function's own contract.
    let given = unsafe { options::read_all(scope, pointer, count, "targets") }?;
    let one = |target: &rds_target| -> Result<TargetOf> {
        no_flags(target.flags, 0, "flags")?;
        let column = target.column as usize;
        let row_bytes = reader.column(column)?.row_bytes;
        let stride = if target.stride == 0 { row_bytes } else { target.stride };
        if stride < row_bytes {
            return Err(Error::invalid_argument(format!(
                "stride is {stride}, and a row of column {column} has {row_bytes} bytes"
            )));
        }
        Ok(TargetOf { column, data: target.data.cast(), stride, row_bytes, bytes: target.bytes })
    };
    let of = |index: usize| move |error: Error| error.context(format!("targets[{index}]"));
    given.iter().enumerate().map(|(index, target)| one(target).map_err(of(index))).collect()
}

/// Rows to be gathered: a range, or a list.
pub enum Chosen<'a> {
    Range(u64, u64),
    List(Cow<'a, [u64]>),
}

impl Chosen<'_> {
    pub fn len(&self) -> u64 {
        match self {
            Self::Range(_, count) => *count,
            Self::List(rows) => rows.len() as u64,
        }
    }
}

/// # Safety
/// If not NULL, `pointer` must point to an `rds_rows` whose rows are as its count says.
pub unsafe fn rows<'a>(
    scope: &'a Scope,
    reader: &Reader,
    pointer: *const rds_rows,
) -> Result<Chosen<'a>> {
    // SAFETY: as this function's own contract.
    let given = unsafe { required(scope, pointer, "rows") }?;
    let count = count(given.count, "rows.count")?;
    if !given.rows.is_null() {
        if (given.first_row, given.step) != (0, 0) {
            return Err(Error::invalid_argument(
                "rows.rows is given, and rows.first_row or rows.step too",
            ));
        }
        // SAFETY: as above.
        return Ok(Chosen::List(
            unsafe { args::slice(scope, given.rows, count, "rows.rows") }?.into(),
        ));
    }
    if matches!(given.step, 0 | 1) {
        return Ok(Chosen::Range(given.first_row, given.count));
    }
    // Before memory is taken for them.
    let row = |at: usize| i128::from(given.first_row) + at as i128 * i128::from(given.step);
    for row in [row(0), row(count.saturating_sub(1))] {
        if count > 0 && !(0..i128::from(reader.rows())).contains(&row) {
            return Err(Error::out_of_range(format!(
                "row {row} is out of range (the table has {} rows)",
                reader.rows()
            )));
        }
    }
    let mut list = Vec::new();
    list.try_reserve_exact(count)
        .map_err(|_| Error::io(format!("there is no memory for {count} numbers of rows")))?;
    list.extend((0..count).map(|at| row(at) as u64));
    Ok(Chosen::List(list.into()))
}

/// # Safety
/// `options.columns` must be as `options.column_count` says.
pub unsafe fn stream_options(
    scope: &Scope,
    reader: &Reader,
    options: &rds_stream_options,
) -> Result<StreamOptions> {
    no_flags(options.flags, SELECT | RDS_STREAM_ROWS, "options.flags")?;
    no_flags(options.reserved, 0, "options.reserved")?;
    let given = (options.columns, options.column_count);
    Ok(StreamOptions {
        // SAFETY: as this function's own contract.
        columns: unsafe { columns(scope, reader, given, options.flags) }?,
        first_row: options.first_row,
        row_count: (options.row_count != 0).then_some(options.row_count),
        batch_rows: match options.batch_rows {
            0 => 8192,
            // More at once than Lance can give is no different from all it can give.
            rows => usize::try_from(rows.min(u64::from(u32::MAX))).unwrap_or(usize::MAX),
        },
        fixed_shape_tensor: options.flags & RDS_SELECT_FIXED_SHAPE_TENSOR != 0,
    })
}
