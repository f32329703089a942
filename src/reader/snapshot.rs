//! One version of a table: a manifest, and the files that it names, all of them open.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt64Array, new_null_array};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use lance_core::datatypes::Schema as LanceSchema;
use lance_table::format::{Manifest, is_detached_version};

use crate::error::{Error, Result, Status, caught};
use crate::location::{Location, VERSIONS, manifests};
use crate::plain::RowLayout;
use crate::reader::decode::{self, Rows};
use crate::reader::files::{Files, Fragment, Source};
use crate::reader::spans::Spans;
use crate::reader::{Access, Columns};
use crate::tensor::{DATA_COLUMN, ID_COLUMN, TensorSpec, check_id_column};
use crate::{manifest, map, runtime};

/// Rows that are decoded at once, by one thread.
const ROWS_AT_ONCE: u64 = 1 << 15;
/// Fewer are not worth another thread.
const ROWS_PER_THREAD: usize = 1 << 13;

/// A column, as Lance knows it.
struct Field {
    id: i32,
    schema: Arc<LanceSchema>,
    data_type: DataType,
}

pub struct Snapshot {
    location: Location,
    version: u64,
    /// In nanoseconds since 1970. Two tables at one place, one after the other, may have the same version.
    committed_at: u128,
    schema: SchemaRef,
    id: Field,
    data: Field,
    fragments: Vec<Fragment>,
    /// The first row of each fragment.
    firsts: Vec<u64>,
    files: Files,
    pub spec: TensorSpec,
    pub spans: Spans,
}

impl Snapshot {
    /// Opens a version, the newest if none is given. What `known` has of files that did not change is
    /// kept.
    pub fn open(
        location: Location,
        version: Option<u64>,
        access: Access,
        known: Option<&Snapshot>,
    ) -> Result<Self> {
        if !location.exists()? {
            return Err(Error::not_found(format!("there is no table at {location}")));
        }
        let mut last = None;
        loop {
            let (tried, manifest) = read_manifest(&location, version)?;
            let opened =
                manifest.and_then(|manifest| Self::of(&location, &manifest, access, known));
            match opened {
                // A clean-up may remove a version while it is opened: then there is a newer one.
                Err(error) if error.status == Status::RDS_ERR_NOT_FOUND && last != Some(tried) => {
                    last = Some(tried);
                }
                opened => return opened.map_err(|error| error.context(&location)),
            }
        }
    }

    fn of(
        location: &Location,
        manifest: &Manifest,
        access: Access,
        known: Option<&Snapshot>,
    ) -> Result<Self> {
        let schema = caught(|| Ok(Arc::new(Schema::from(&manifest.schema))))?;
        let spec =
            check_id_column(&schema).and_then(|()| TensorSpec::from_table_schema(&schema))?;
        let (id, data) = (field(manifest, ID_COLUMN)?, field(manifest, DATA_COLUMN)?);
        let layout = match access {
            Access::Lance => None,
            Access::Auto | Access::Mapped => RowLayout::new(&spec),
        };
        let source = Source {
            table: location.path(),
            manifest,
            mapped: layout.map(|_| data.id),
            known: known.map(|known| &known.files),
        };
        let refused = map::refused();
        let mut opened = source.open();
        if map::refused() != refused {
            // The process needs maps for other things, too.
            drop(opened);
            map::leave_to_others();
            opened = source.open();
        }
        let (fragments, files) = opened?;
        let mut rows = 0_u64;
        let mut firsts = Vec::with_capacity(fragments.len());
        for fragment in &fragments {
            firsts.push(rows);
            let end = rows.checked_add(fragment.rows());
            rows = end.ok_or_else(|| Error::corrupt("more rows than can be counted"))?;
        }
        Ok(Self {
            version: manifest.version,
            committed_at: manifest.timestamp_nanos,
            spans: Spans::new(&fragments, rows, data.id, layout)?,
            location: location.clone(),
            schema,
            spec,
            id,
            data,
            fragments,
            firsts,
            files,
        })
    }

    /// The newest version of the table; none if it is this one.
    pub fn newer(&self, access: Access) -> Result<Option<Self>> {
        let newest = Self::open(self.location.clone(), None, access, Some(self))?;
        let same = (newest.version, newest.committed_at) == (self.version, self.committed_at);
        Ok((!same).then_some(newest))
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn committed_at(&self) -> u128 {
        self.committed_at
    }

    /// The schema of chosen columns, with the metadata of the table.
    pub fn schema(&self, columns: Columns) -> SchemaRef {
        columns.of(&self.schema)
    }

    /// The type of the column `data`.
    pub fn data_type(&self) -> &DataType {
        &self.data.data_type
    }

    pub fn id_type(&self) -> &DataType {
        &self.id.data_type
    }

    fn field(&self, column: &str) -> &Field {
        if column == ID_COLUMN { &self.id } else { &self.data }
    }

    fn fragment_of(&self, row: u64) -> usize {
        self.firsts.partition_point(|first| *first <= row).saturating_sub(1)
    }

    /// Values of a column in a range of rows, decoded.
    pub fn range(&self, column: &str, rows: Range<u64>) -> Result<ArrayRef> {
        joined(&self.parts(column, rows)?, &self.field(column).data_type)
    }

    /// The same in parts that follow each other.
    pub fn parts(&self, column: &str, rows: Range<u64>) -> Result<Vec<ArrayRef>> {
        let field = self.field(column);
        let mut parts = Vec::new();
        let mut next = rows.start;
        while next < rows.end {
            let at = self.fragment_of(next);
            let (fragment, first) = self.fragment(at)?;
            let end = rows.end.min(first + fragment.rows()).min(next + ROWS_AT_ONCE);
            if end <= next {
                return Err(Error::internal("a row without a fragment"));
            }
            parts.push((fragment, next - first..end - first));
            next = end;
        }
        let read = |(fragment, rows): &(&Fragment, Range<u64>)| match &fragment.deleted {
            None => self.values(fragment, field, Rows::Range(rows.clone())),
            Some(deleted) => {
                let rows = rows.clone().map(|row| deleted.physical(row) as u32);
                self.values(fragment, field, Rows::List(rows.collect()))
            }
        };
        decoded(parts, rows.end - rows.start, read)
    }

    /// Values of a column in rows, in the order given.
    pub fn take(&self, column: &str, rows: &[u64]) -> Result<ArrayRef> {
        let field = self.field(column);
        let mut sorted = rows.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut parts = Vec::new();
        let mut rest = sorted.as_slice();
        while let Some(row) = rest.first() {
            let (fragment, first) = self.fragment(self.fragment_of(*row))?;
            let end = rest.partition_point(|row| *row < first + fragment.rows());
            if end == 0 {
                return Err(Error::internal("a row without a fragment"));
            }
            let (part, later) = rest.split_at(end);
            let physical = part.iter().map(|row| match &fragment.deleted {
                Some(deleted) => deleted.physical(row - first) as u32,
                None => (row - first) as u32,
            });
            parts.push((fragment, physical.collect::<Vec<_>>()));
            rest = later;
        }
        let read = |(fragment, rows): &(&Fragment, Vec<u32>)| {
            self.values(fragment, field, Rows::List(rows.clone()))
        };
        let parts = decoded(parts, sorted.len() as u64, read)?;
        let values = joined(&parts, &field.data_type)?;
        if sorted == rows {
            return Ok(values);
        }
        let place = |row: &u64| sorted.binary_search(row).unwrap_or_default() as u64;
        let places = UInt64Array::from_iter_values(rows.iter().map(place));
        Ok(take(&values, &places, None)?)
    }

    fn fragment(&self, at: usize) -> Result<(&Fragment, u64)> {
        let fragment = self.fragments.get(at).zip(self.firsts.get(at).copied());
        fragment.ok_or_else(|| Error::internal("a row without a fragment"))
    }

    fn values(&self, fragment: &Fragment, field: &Field, rows: Rows) -> Result<ArrayRef> {
        match fragment.column(field.id) {
            Some((file, column)) => decode::values(file, &field.schema, column, rows),
            None => Ok(new_null_array(&field.data_type, rows.len() as usize)),
        }
    }
}

/// Decodes parts of so many rows, several at once if they are many.
fn decoded<P: Send + Sync>(
    parts: Vec<P>,
    rows: u64,
    read: impl Fn(&P) -> Result<ArrayRef> + Sync,
) -> Result<Vec<ArrayRef>> {
    let threads = runtime::parts(rows as usize, ROWS_PER_THREAD).min(parts.len()).max(1);
    let shares: Vec<&[P]> = parts.chunks(parts.len().div_ceil(threads).max(1)).collect();
    let shares =
        runtime::in_parallel(shares, |share: &[P]| share.iter().map(&read).collect::<Vec<_>>());
    shares.into_iter().flatten().collect()
}

fn joined(parts: &[ArrayRef], data_type: &DataType) -> Result<ArrayRef> {
    let arrays: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    match parts {
        [] => Ok(arrow::array::new_empty_array(data_type)),
        [one] => Ok(one.clone()),
        _ => Ok(concat(&arrays)?),
    }
}

fn field(manifest: &Manifest, name: &str) -> Result<Field> {
    let field = manifest.schema.field(name);
    let field = field.ok_or_else(|| Error::internal("a checked column is not there"))?;
    let schema = LanceSchema { fields: vec![field.clone()], metadata: Default::default() };
    Ok(Field { id: field.id, schema: Arc::new(schema), data_type: field.data_type() })
}

/// The manifest of a version, the newest if none is given, and which one that is.
fn read_manifest(location: &Location, version: Option<u64>) -> Result<(u64, Result<Manifest>)> {
    let manifests = match manifests(location.path()) {
        Err(error) if error.status == Status::RDS_ERR_NOT_FOUND => Default::default(),
        found => found?,
    };
    let newest = manifests.last_key_value().map(|(newest, _)| *newest);
    let wanted = version.or(newest);
    let wanted =
        wanted.ok_or_else(|| Error::not_found(format!("there is no table at {location}")))?;
    let detached = location.path().join(VERSIONS).join(format!("d{wanted}.manifest"));
    let path = match manifests.get(&wanted) {
        Some(path) => path,
        None if is_detached_version(wanted) && detached.exists() => &detached,
        None => {
            return Err(Error::not_found(format!(
                "there is no version {wanted} of a table at {location}"
            )));
        }
    };
    let read = manifest::read(path).map_err(|error| match error.status {
        Status::RDS_ERR_CORRUPT => {
            let mut older = manifests.range(..wanted).rev().take(OLDER_TRIED);
            let good = older.find(|(_, path)| manifest::read(path).is_ok());
            let hint = good.map(|(good, _)| format!("; version {good} can be opened"));
            Error::corrupt(format!("{}{}", error.message, hint.unwrap_or_default()))
        }
        _ => error,
    });
    Ok((wanted, read))
}

/// How many versions before a damaged one are looked at for one that is not.
const OLDER_TRIED: usize = 8;
