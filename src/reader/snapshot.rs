//! One version of a table: a manifest, and the files that it names, all of them open.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt64Array, new_null_array};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use lance_table::format::Manifest;

use crate::error::{Error, Result, Status, caught};
use crate::location::{Location, METADATA};
use crate::patience::{Patience, Wait};
use crate::reader::columns::{Column, Field};
use crate::reader::decode::{self, Rows};
use crate::reader::files::{Files, Fragment, Source};
use crate::reader::rows::part_rows;
use crate::reader::spans::Spans;
use crate::reader::versions::{self, VersionOf, read_manifest};
use crate::reader::{Access, Columns};
use crate::tensor::{Form, ID_COLUMN, TableColumns, TensorColumn};
use crate::{map, runtime};

/// Rows that are decoded at once, by one thread.
const ROWS_AT_ONCE: u64 = 1 << 15;
/// So many parts are decoded before the caller is asked whether to go on.
const PARTS_AT_ONCE: usize = 4;
/// Fewer are not worth another thread.
const ROWS_PER_THREAD: usize = 1 << 13;

pub struct Snapshot {
    location: Location,
    version: u64,
    /// In nanoseconds since 1970. Two tables at one place, one after the other, may have the same version.
    committed_at: u128,
    schema: SchemaRef,
    /// How the table says which columns are tensors.
    pub form: Form,
    /// By their numbers.
    pub columns: Vec<Column>,
    id: Option<Field>,
    /// What the ids are called that were asked for; none takes those that there are.
    id_column: Option<String>,
    pub rows: u64,
    /// What runs said of themselves, by their keys.
    pub metadata: Vec<(String, String)>,
    fragments: Vec<Fragment>,
    /// The first row of each fragment.
    firsts: Vec<u64>,
    files: Files,
    patience: Option<Arc<dyn Patience>>,
}

/// Which version of a table to open, and how.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// The newest if none.
    pub version: Option<u64>,
    /// The newest that was committed then or before, in nanoseconds since 1970.
    pub until: Option<i64>,
    pub access: Access,
    /// `object_id`, if there is one, if none.
    pub id_column: Option<&'a str>,
    /// What calls that take long ask.
    pub patience: Option<Arc<dyn Patience>>,
}

impl Snapshot {
    pub fn open(location: Location, wanted: &Wanted) -> Result<Self> {
        let opened = Self::unless_known(location, wanted, None)?;
        opened.ok_or_else(|| Error::internal("a version is known that is not"))
    }

    /// Opens a version, unless it is the known one. What that has of files that did not change is kept, and so are the
    /// numbers of its columns.
    fn unless_known(
        location: Location,
        wanted: &Wanted,
        known: Option<&Snapshot>,
    ) -> Result<Option<Self>> {
        if !location.exists()? {
            return Err(Error::not_found(format!("there is no table at {location}")));
        }
        let mut last = None;
        loop {
            let (tried, manifest) = read_manifest(&location, wanted)?;
            let opened = manifest.and_then(|manifest| match known {
                Some(known) if known.is(&manifest) => Ok(None),
                _ => Self::of(&location, &manifest, wanted, known).map(Some),
            });
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
        wanted: &Wanted,
        known: Option<&Snapshot>,
    ) -> Result<Self> {
        let schema = caught(|| Ok(Arc::new(Schema::from(&manifest.schema))))?;
        let mut table = TableColumns::new(&schema, wanted.id_column)?;
        if let Some(known) = known {
            if known.has_ids() && table.id.is_none() {
                return Err(Error::schema_mismatch(format!(
                    "version {} of the table has no column of ids any more; open another reader",
                    manifest.version
                )));
            }
            table.tensors = known.numbered(table.tensors, manifest.version)?;
        }
        let columns = table.tensors.into_iter().map(|tensor| Column::new(manifest, tensor));
        let mut columns = columns.collect::<Result<Vec<_>>>()?;
        let id = table.id.map(|name| Field::of(manifest, &name)).transpose()?;
        let layout = |column: &Column| column.layout().filter(|_| wanted.access != Access::Lance);
        let mapped = columns.iter().filter(|column| layout(column).is_some());
        let source = Source {
            table: location.path(),
            manifest,
            mapped: mapped.map(|column| column.field.id).collect(),
            known: known.map(|known| &known.files),
        };
        let refused = map::refused();
        let mut wait = Wait::new(wanted.patience.as_deref());
        let mut opened = source.open(&mut wait);
        if map::refused() != refused {
            // The process needs maps for other things, too.
            drop(opened);
            map::leave_to_others();
            opened = source.open(&mut wait);
        }
        let (fragments, files) = opened?;
        let mut rows = 0_u64;
        let mut firsts = Vec::with_capacity(fragments.len());
        for fragment in &fragments {
            firsts.push(rows);
            let end = rows.checked_add(fragment.rows());
            rows = end.ok_or_else(|| Error::corrupt("more rows than can be counted"))?;
        }
        for column in &mut columns {
            column.spans = Spans::new(&fragments, rows, column.field.id, layout(column))?;
        }
        Ok(Self {
            version: manifest.version,
            committed_at: manifest.timestamp_nanos,
            location: location.clone(),
            schema,
            form: table.form,
            columns,
            id,
            id_column: wanted.id_column.map(str::to_string),
            rows,
            metadata: said_of_runs(manifest),
            fragments,
            firsts,
            files,
            patience: wanted.patience.clone(),
        })
    }

    /// The newest version of the table; none if it is this one.
    pub fn newer(&self, access: Access) -> Result<Option<Self>> {
        let id_column = self.id_column.as_deref();
        let patience = self.patience.clone();
        let wanted = Wanted { version: None, until: None, access, id_column, patience };
        Self::unless_known(self.location.clone(), &wanted, Some(self))
    }

    fn is(&self, manifest: &Manifest) -> bool {
        (self.version, self.committed_at) == (manifest.version, manifest.timestamp_nanos)
    }

    /// The tensors of a later version by their numbers here; new ones follow.
    fn numbered(&self, mut tensors: Vec<TensorColumn>, version: u64) -> Result<Vec<TensorColumn>> {
        let mut numbered = Vec::with_capacity(tensors.len());
        for column in &self.columns {
            let at = tensors.iter().position(|tensor| tensor.name == column.name);
            let tensor = at.map(|at| tensors.remove(at));
            let why = match &tensor {
                Some(tensor) if tensor.spec == column.spec => None,
                Some(tensor) => {
                    Some(format!("is of {}, and not of {} any more", tensor.spec, column.spec))
                }
                None => Some("is not there any more".to_string()),
            };
            if let Some(why) = why {
                return Err(Error::schema_mismatch(format!(
                    "column \"{}\" {why} in version {version}; open another reader",
                    column.name
                )));
            }
            numbered.extend(tensor);
        }
        numbered.extend(tensors);
        Ok(numbered)
    }

    /// Rows at the beginning whose ids another version of the table has in the same places of the same files.
    pub fn shared_rows(&self, other: &Self) -> u64 {
        let id = |of: &Self| of.id.as_ref().map(|id| id.id);
        if id(self) != id(other) {
            return 0;
        }
        let fragments = self.fragments.iter().zip(&other.fragments);
        let same = fragments.take_while(|(own, others)| own.is(others));
        same.map(|(own, _)| own.rows()).sum()
    }

    /// What its files are called, in their order.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.fragments.iter().flat_map(Fragment::names)
    }

    /// A call that may take long begins.
    pub fn wait(&self) -> Wait<'_> {
        Wait::new(self.patience.as_deref())
    }

    pub fn versions(&self) -> Result<Vec<VersionOf>> {
        versions::versions(&self.location)
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn committed_at(&self) -> u128 {
        self.committed_at
    }

    #[inline]
    pub fn column(&self, number: usize) -> Result<&Column> {
        self.columns.get(number).ok_or_else(|| self.no_column(number))
    }

    #[cold]
    fn no_column(&self, number: usize) -> Error {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        Error::invalid_argument(format!(
            "column is {number}; the tensor columns are {names:?}, from 0 on"
        ))
    }

    pub fn number(&self, name: &str) -> Result<usize> {
        let at = self.columns.iter().position(|column| column.name == name);
        at.ok_or_else(|| {
            let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
            let is_there = self.schema.field_with_name(name).is_ok();
            let hint = if is_there { "; it is there, and no tensor" } else { "" };
            Error::not_found(format!(
                "no tensor column {name:?}; those of the table are {names:?}{hint}"
            ))
        })
    }

    pub fn id(&self) -> Result<&Field> {
        self.id.as_ref().ok_or_else(|| {
            let names: Vec<&str> =
                self.schema.fields().iter().map(|field| field.name().as_str()).collect();
            Error::schema_mismatch(format!(
                "the table has no ids: none of its columns {names:?} is called \"{ID_COLUMN}\" and has strings \
                 or integers; name another one when it is opened"
            ))
        })
    }

    pub fn has_ids(&self) -> bool {
        self.id.is_some()
    }

    /// The schema of chosen columns, with the metadata of the table, but of columns that are not chosen.
    pub fn schema(&self, columns: &Columns) -> Result<SchemaRef> {
        let mut fields = Vec::new();
        if columns.id {
            fields.push(self.id()?.arrow.clone());
        }
        for number in &columns.tensors {
            fields.push(self.column(*number)?.field.arrow.clone());
        }
        let mut metadata = self.schema.metadata().clone();
        if self.form == Form::Named {
            let chosen = |number: &usize| columns.tensors.contains(number);
            for (number, column) in self.columns.iter().enumerate() {
                if !chosen(&number) {
                    metadata.remove(&column.name);
                }
            }
        }
        Ok(Arc::new(Schema::new_with_metadata(fields, metadata)))
    }

    fn fragment_of(&self, row: u64) -> usize {
        self.firsts.partition_point(|first| *first <= row).saturating_sub(1)
    }

    /// Values of a column in a range of rows, decoded.
    pub fn range(&self, field: &Field, rows: Range<u64>, wait: &mut Wait) -> Result<ArrayRef> {
        joined(&self.parts(field, rows, wait)?, field.data_type())
    }

    /// The same in parts that follow each other.
    pub fn parts(&self, field: &Field, rows: Range<u64>, wait: &mut Wait) -> Result<Vec<ArrayRef>> {
        let mut parts = Vec::new();
        let most = (part_rows(bytes_of(field.data_type())) as u64).min(ROWS_AT_ONCE);
        let mut next = rows.start;
        while next < rows.end {
            let at = self.fragment_of(next);
            let (fragment, first) = self.fragment(at)?;
            let end = rows.end.min(first + fragment.rows()).min(next + most);
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
        self.decoded(parts, |(_, rows)| rows.end - rows.start, read, wait)
    }

    /// Values of a column in rows, in the order given.
    pub fn take(&self, field: &Field, rows: &[u64], wait: &mut Wait) -> Result<ArrayRef> {
        let mut sorted = rows.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut parts = Vec::new();
        // Of wide rows few are decoded before the caller is asked.
        let most = part_rows(bytes_of(field.data_type())).min(ROWS_AT_ONCE as usize);
        let mut rest = sorted.as_slice();
        while let Some(row) = rest.first() {
            let (fragment, first) = self.fragment(self.fragment_of(*row))?;
            let end = rest.partition_point(|row| *row < first + fragment.rows());
            if end == 0 {
                return Err(Error::internal("a row without a fragment"));
            }
            let (part, later) = rest.split_at(end.min(most));
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
        let parts = self.decoded(parts, |(_, rows)| rows.len() as u64, read, wait)?;
        let values = joined(&parts, field.data_type())?;
        if sorted == rows {
            return Ok(values);
        }
        let place = |row: &u64| sorted.binary_search(row).unwrap_or_default() as u64;
        let places = UInt64Array::from_iter_values(rows.iter().map(place));
        Ok(take(&values, &places, None)?)
    }

    /// Decodes parts, several at once if they have many rows, and asks the caller now and then.
    fn decoded<P: Send + Sync>(
        &self,
        parts: Vec<P>,
        rows: impl Fn(&P) -> u64,
        read: impl Fn(&P) -> Result<ArrayRef> + Sync,
        wait: &mut Wait,
    ) -> Result<Vec<ArrayRef>> {
        let mut arrays = Vec::with_capacity(parts.len());
        for parts in parts.chunks(PARTS_AT_ONCE) {
            wait.ask_if_due()?;
            let rows: u64 = parts.iter().map(&rows).sum();
            let threads = runtime::parts(rows as usize, ROWS_PER_THREAD).min(parts.len()).max(1);
            let shares: Vec<&[P]> = parts.chunks(parts.len().div_ceil(threads).max(1)).collect();
            let shares = runtime::in_parallel(shares, |share: &[P]| {
                share.iter().map(&read).collect::<Vec<_>>()
            });
            for array in shares.into_iter().flatten() {
                arrays.push(array?);
            }
        }
        Ok(arrays)
    }

    fn fragment(&self, at: usize) -> Result<(&Fragment, u64)> {
        let fragment = self.fragments.get(at).zip(self.firsts.get(at).copied());
        fragment.ok_or_else(|| Error::internal("a row without a fragment"))
    }

    fn values(&self, fragment: &Fragment, field: &Field, rows: Rows) -> Result<ArrayRef> {
        match fragment.column(field.id) {
            Some((file, column)) => decode::values(file, &field.schema, column, rows),
            None => Ok(new_null_array(field.data_type(), rows.len() as usize)),
        }
    }
}

/// About how many bytes a value has.
fn bytes_of(data_type: &DataType) -> usize {
    match data_type {
        DataType::FixedSizeList(item, length) => {
            bytes_of(item.data_type()) * usize::try_from(*length).unwrap_or(1)
        }
        other => other.primitive_width().unwrap_or(1),
    }
}

fn joined(parts: &[ArrayRef], data_type: &DataType) -> Result<ArrayRef> {
    let arrays: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    match parts {
        [] => Ok(arrow::array::new_empty_array(data_type)),
        [one] => Ok(one.clone()),
        _ => Ok(concat(&arrays)?),
    }
}

fn said_of_runs(manifest: &Manifest) -> Vec<(String, String)> {
    let said = manifest
        .config
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(METADATA)?.to_string(), value.clone())));
    let mut said: Vec<_> = said.collect();
    said.sort();
    said
}
