//! Tokens: what one writer of many has written, to be published with that of the others in one commit.
//!
//! A token is `RDSTOKEN`, its format as a 32-bit little-endian number, a JSON object, and the CRC-32 of all
//! that, little-endian. The object says dtype and shape of a row, and lists the data files.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::Schema as ArrowSchema;
use lance_core::datatypes::Schema;
use lance_table::format::{DataFile, Fragment};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::location::Location;
use crate::tensor::{DType, TensorSpec};
use crate::writer::batch::Layout;
use crate::writer::data_file::{DATA, Finished, is_staged};
use crate::writer::head::Head;
use crate::writer::named::Named;
use crate::writer::sink::LockedFile;
use crate::writer::{CommitInfo, Mode};

const MAGIC: &[u8] = b"RDSTOKEN";
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
pub struct Token {
    id: Uuid,
    /// None, if nothing was written.
    rows_are: Option<Rows>,
    fragments: Vec<Fragment>,
}

#[derive(Serialize, Deserialize, PartialEq)]
struct Rows {
    dtype: String,
    shape: Vec<i64>,
}

impl Token {
    pub fn new(spec: Option<&TensorSpec>, fragments: Vec<Fragment>) -> Self {
        let rows = |spec: &TensorSpec| Rows {
            dtype: spec.dtype.name().to_string(),
            shape: spec.shape.clone(),
        };
        Self { id: Uuid::new_v4(), rows_are: spec.map(rows), fragments }
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_vec(self).map_err(|e| Error::internal(format!("token: {e}")))?;
        let mut bytes = [MAGIC, &FORMAT.to_le_bytes(), &json].concat();
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        Ok(bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let Some((format, rest)) = bytes.strip_prefix(MAGIC).and_then(<[u8]>::split_first_chunk)
        else {
            return Err(Error::invalid_argument("this is no token of rds_writer_stage()"));
        };
        let damaged = |why: &str| Error::corrupt(format!("the token is damaged: {why}"));
        let (json, checksum) = rest.split_last_chunk().ok_or_else(|| damaged("it is cut short"))?;
        let sum = crc32fast::hash(bytes.get(..bytes.len() - checksum.len()).unwrap_or_default());
        if sum != u32::from_le_bytes(*checksum) {
            return Err(damaged("its checksum does not match"));
        }
        match u32::from_le_bytes(*format) {
            FORMAT => serde_json::from_slice(json).map_err(|e| damaged(&e.to_string())),
            other => Err(Error::not_supported(format!(
                "the token has format {other}; this version of librds knows {FORMAT}"
            ))),
        }
    }

    fn spec(&self) -> Result<Option<TensorSpec>> {
        let spec = |rows: &Rows| {
            let dtype = DType::from_name(&rows.dtype).ok_or_else(|| {
                Error::not_supported(format!("the token has rows of dtype {}", rows.dtype))
            })?;
            TensorSpec::new(dtype, &rows.shape)
        };
        self.rows_are.as_ref().map(spec).transpose()
    }

    fn files(&self) -> impl Iterator<Item = (&Fragment, &DataFile)> {
        self.fragments.iter().flat_map(|fragment| fragment.files.iter().map(move |f| (fragment, f)))
    }
}

/// Publishes what tokens name, in their order, in one version.
pub async fn commit_staged(location: Location, tokens: &[&[u8]], mode: Mode) -> Result<CommitInfo> {
    let of = |index: usize| move |error: Error| error.context(format!("token {index}"));
    let parse = |(index, bytes): (usize, &&[u8])| Token::from_bytes(bytes).map_err(of(index));
    let tokens = tokens.iter().enumerate().map(parse).collect::<Result<Vec<_>>>()?;
    refuse_repeated(&tokens)?;
    let spec = common_spec(&tokens)?;
    let mut head = Head::open(location, mode).await?;
    let mut finished = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let files = token.files().map(|(fragment, file)| hold(&head.location, fragment, file));
        finished.extend(files.collect::<Result<Vec<_>>>().map_err(of(index))?);
    }
    // Now that the files are held nobody else publishes them.
    let named = Named::of(&head.location).await?;
    for (index, token) in tokens.iter().enumerate() {
        refuse_published(token, &named).map_err(of(index))?;
    }
    let (Some(spec), false) = (spec, finished.is_empty()) else {
        return Ok(CommitInfo { rows: 0, tensor_bytes: 0, ..head.info() });
    };
    let rows = finished.iter().filter_map(|f| f.fragment.physical_rows).sum::<usize>() as u64;
    let tensor_bytes = rows * spec.row_bytes() as u64;
    let schema = schema_for(&head, spec, &finished)?;
    head.commit(finished, &schema).await?;
    Ok(CommitInfo { rows, tensor_bytes, ..head.info() })
}

fn refuse_repeated(tokens: &[Token]) -> Result<()> {
    let mut seen = HashMap::new();
    for (index, token) in tokens.iter().enumerate() {
        if let Some(first) = seen.insert(token.id, index) {
            return Err(Error::already_exists(format!("token {index} is token {first} once more")));
        }
    }
    Ok(())
}

fn common_spec(tokens: &[Token]) -> Result<Option<TensorSpec>> {
    let mut common: Option<TensorSpec> = None;
    for (index, token) in tokens.iter().enumerate() {
        let Some(spec) = token.spec()? else { continue };
        match &common {
            Some(common) if *common != spec => {
                return Err(Error::schema_mismatch(format!(
                    "token {index} has rows of {} {:?}, those before it {} {:?}",
                    spec.dtype.name(),
                    spec.shape,
                    common.dtype.name(),
                    common.shape
                )));
            }
            _ => common = Some(spec),
        }
    }
    Ok(common)
}

/// Holds a file of a token, as it was when the token was made.
fn hold(location: &Location, fragment: &Fragment, file: &DataFile) -> Result<Finished> {
    // A name, not a path to elsewhere.
    if !is_staged(&file.path) || file.path.contains(['/', '\\']) {
        return Err(Error::corrupt(format!("{:?} is no staged file", file.path)));
    }
    let path = location.path().join(DATA).join(&file.path);
    let held = LockedFile::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::not_found(format!(
            "the table at {location} has no file {}: the token is of another table, or a vacuum has \
             removed what it names",
            file.path
        )),
        _ => Error::from(error).context(&file.path),
    })?;
    let held = held.ok_or_else(|| {
        Error::commit_conflict(format!("{} is being committed or removed elsewhere", file.path))
    })?;
    let (expected, found) = (file.file_size_bytes.get().map_or(0, u64::from), held.bytes()?);
    if expected != found {
        return Err(Error::corrupt(format!(
            "{} has {found} bytes, and had {expected} when it was staged",
            file.path
        )));
    }
    Ok(Finished { fragment: fragment.clone(), file: held })
}

fn refuse_published(token: &Token, named: &Named) -> Result<()> {
    match token.files().find(|(_, file)| named.files.contains(&file.path)) {
        Some((_, file)) => Err(Error::already_exists(format!(
            "it was committed already: a version of the table names {}",
            file.path
        ))),
        None => Ok(()),
    }
}

/// The schema of the commit, which the files must fit.
fn schema_for(head: &Head, spec: TensorSpec, finished: &[Finished]) -> Result<Schema> {
    let schema = match head.appends_to() {
        Some(table) => {
            Layout::of_table(Arc::new(ArrowSchema::from(table.schema())))?.check(&spec)?;
            table.schema().clone()
        }
        None => Schema::try_from(Layout::new(spec)?.schema.as_ref())?,
    };
    let version = head.file_version().to_data_file_numbers();
    let ids: Vec<i32> = schema.fields_pre_order().map(|field| field.id).collect();
    let fits = |file: &DataFile| {
        (file.file_major_version, file.file_minor_version) == version
            && file.fields.iter().all(|field| ids.contains(field))
    };
    match finished.iter().flat_map(|f| &f.fragment.files).find(|file| !fits(file)) {
        Some(file) => Err(Error::schema_mismatch(format!(
            "{} was staged for a table of another file version or other columns; stage it again",
            file.path
        ))),
        None => Ok(schema),
    }
}
