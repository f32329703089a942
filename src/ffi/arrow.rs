//! Arrow C Data and C Stream: arrays of the caller in, arrays and streams of librds out.

use std::ffi::CStr;

use arrow::array::{Array, RecordBatch, RecordBatchReader, StructArray};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi};
use arrow::ffi_stream::FFI_ArrowArrayStream;

use crate::error::{Error, Result, Status};
use crate::ffi::boundary::{self, Scope, catch};
use crate::ffi::{args, arrow_check};

/// Moves an array out of the caller's struct, which is left released. Whoever holds the result
/// releases it by dropping it.
///
/// # Safety
/// If not NULL, `pointer` must point to a valid or released `ArrowArray` that nobody else uses now.
pub unsafe fn take_array(pointer: *mut FFI_ArrowArray) -> Result<FFI_ArrowArray> {
    if pointer.is_null() || !pointer.is_aligned() {
        return Err(Error::invalid_argument(format!(
            "array is {pointer:p}; it must be a valid pointer"
        )));
    }
    // SAFETY: not NULL and aligned; valid by the caller's promise.
    let array = unsafe { FFI_ArrowArray::from_raw(pointer) };
    if array.is_released() {
        return Err(Error::invalid_argument("array is released already"));
    }
    Ok(array)
}

/// A batch that owns the caller's array: no copy.
///
/// # Safety
/// `schema` must be NULL or point to an `ArrowSchema`; `array` must be what that schema says, as the
/// Arrow C data interface defines it. Lengths of buffers are not part of that interface and cannot be
/// checked.
pub unsafe fn import_batch(
    scope: &Scope,
    schema: *const FFI_ArrowSchema,
    array: FFI_ArrowArray,
) -> Result<RecordBatch> {
    // SAFETY: the caller's promise.
    let schema = unsafe {
        let schema = args::borrowed(scope, schema, "schema")?;
        arrow_check::check_schema(schema)?;
        arrow_check::check_array(schema, &raw const array)?;
        schema
    };
    // arrow-rs asserts what it expects of a struct from outside, and that is more than what is checked. A
    // failed assertion is bad input here, not a defect of ours.
    let import = || -> Result<RecordBatch> {
        let fields = Schema::try_from(schema)?;
        // A part without rows may begin anywhere: arrow-rs takes no bytes of strings for one, and then finds that
        // its offsets point beyond them.
        if array.is_empty() {
            return Ok(RecordBatch::new_empty(fields.into()));
        }
        // SAFETY: the caller's promise.
        let mut data = unsafe { from_ffi(array, schema) }?;
        data.align_buffers();
        data.validate_full()?;
        let rows = StructArray::from(data);
        if rows.null_count() != 0 {
            return Err(Error::invalid_argument("the array has null rows"));
        }
        Ok(RecordBatch::try_new(fields.into(), rows.columns().to_vec())?)
    };
    match catch(import) {
        Ok(result) => result,
        Err(panic) => Err(not_arrow(&panic)),
    }
}

/// A stream of the caller, moved out of its struct and released with this.
pub struct StreamIn {
    stream: FFI_ArrowArrayStream,
    schema: FFI_ArrowSchema,
}

impl StreamIn {
    /// # Safety
    /// If not NULL, `pointer` must point to a valid or released `ArrowArrayStream` that nobody else uses
    /// now.
    pub unsafe fn take(pointer: *mut FFI_ArrowArrayStream) -> Result<Self> {
        if pointer.is_null() || !pointer.is_aligned() {
            return Err(Error::invalid_argument(format!(
                "stream is {pointer:p}; it must be a valid pointer"
            )));
        }
        // SAFETY: not NULL and aligned; valid by the caller's promise.
        let stream = unsafe { FFI_ArrowArrayStream::from_raw(pointer) };
        if stream.release.is_none() {
            return Err(Error::invalid_argument("stream is released already"));
        }
        Ok(Self { stream, schema: FFI_ArrowSchema::empty() })
    }

    /// The columns of the batches. Asked for before them.
    pub fn schema(&mut self) -> Result<Schema> {
        let Some(get_schema) = self.stream.get_schema else {
            return Err(Error::invalid_argument("stream has no get_schema"));
        };
        // SAFETY: the stream is not released; the schema is released or empty.
        let code = unsafe { get_schema(&raw mut self.stream, &raw mut self.schema) };
        self.check(code)?;
        // SAFETY: what a stream gives is a schema.
        unsafe { arrow_check::check_schema(&raw const self.schema) }?;
        match catch(|| Schema::try_from(&self.schema)) {
            Ok(schema) => Ok(schema?),
            Err(panic) => Err(not_arrow(&panic)),
        }
    }

    /// The batches that are left.
    pub fn batches(&mut self, scope: &Scope) -> impl Iterator<Item = Result<RecordBatch>> {
        std::iter::from_fn(|| self.next(scope).transpose())
    }

    fn next(&mut self, scope: &Scope) -> Result<Option<RecordBatch>> {
        let Some(get_next) = self.stream.get_next else {
            return Err(Error::invalid_argument("stream has no get_next"));
        };
        let mut array = FFI_ArrowArray::empty();
        // SAFETY: the stream is not released; the array is empty.
        let code = unsafe { get_next(&raw mut self.stream, &raw mut array) };
        self.check(code)?;
        if array.is_released() {
            return Ok(None);
        }
        // SAFETY: what a stream gives is as its schema says.
        unsafe { import_batch(scope, &raw const self.schema, array) }.map(Some)
    }

    fn check(&mut self, code: i32) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        let text = self.stream.get_last_error.map_or(std::ptr::null(), |get_last_error| {
            // SAFETY: the last call on the stream, which is not released, has failed.
            unsafe { get_last_error(&raw mut self.stream) }
        });
        let text = match text.is_null() {
            true => std::io::Error::from_raw_os_error(code).to_string(),
            // SAFETY: a NUL-terminated string, by the Arrow C stream interface.
            false => unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned(),
        };
        Err(Error::stream(format!("the stream failed with error {code}: {text}")))
    }
}

fn not_arrow(panic: &Error) -> Error {
    Error::invalid_argument(format!(
        "the array or its schema is not what the Arrow C data interface asks for ({})",
        panic.message
    ))
}

pub fn export(array: &dyn Array) -> FFI_ArrowArray {
    FFI_ArrowArray::new(&array.to_data())
}

pub fn export_batch(batch: RecordBatch) -> FFI_ArrowArray {
    export(&StructArray::from(batch))
}

pub fn export_stream(reader: Box<dyn RecordBatchReader + Send>) -> FFI_ArrowArrayStream {
    FFI_ArrowArrayStream::new(Box::new(Guarded { reader, failure: None }))
}

/// A stream whose callbacks are called from C: a panic becomes an error of the stream. An error is
/// given again and again, so that a stream cut short is never taken for one that ended; it is the
/// last error of the thread too, since a stream itself tells only a number and a text.
struct Guarded {
    reader: Box<dyn RecordBatchReader + Send>,
    failure: Option<Error>,
}

impl Iterator for Guarded {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = boundary::refuse_while_logging() {
            return Some(Err(told(error)));
        }
        let reader = &mut self.reader;
        let error = match &self.failure {
            Some(failure) => failure.clone(),
            None => match catch(move || reader.next()) {
                Ok(None) => return None,
                Ok(Some(Ok(batch))) => return Some(Ok(batch)),
                Ok(Some(Err(error))) => Error::from(error),
                Err(panic) => panic,
            },
        };
        self.failure = Some(error.clone());
        Some(Err(told(error)))
    }
}

fn told(error: Error) -> ArrowError {
    let status = error.status;
    let text = boundary::set_last_error("rds_reader_stream()", error);
    // What arrow-rs makes of these: EIO, ENOSYS, EINVAL.
    match status {
        Status::RDS_ERR_IO | Status::RDS_ERR_NOT_FOUND | Status::RDS_ERR_CORRUPT => {
            ArrowError::IoError(text.clone(), std::io::Error::other(text))
        }
        Status::RDS_ERR_NOT_SUPPORTED => ArrowError::NotYetImplemented(text),
        _ => ArrowError::CDataInterface(text),
    }
}

impl RecordBatchReader for Guarded {
    fn schema(&self) -> SchemaRef {
        self.reader.schema()
    }
}
