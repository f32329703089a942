//! What every fallible function of the crate returns: a status, and a sentence with names and
//! values. The boundary puts the name of the C function before it.

#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt::{self, Display};
use std::ops::Deref;

use arrow::error::ArrowError;

pub type Result<T> = std::result::Result<T, Error>;

/// What became of a call.
///
/// Values are never renumbered; a later version may add to them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types)] // the names are the C names
pub enum Status {
    /// Success.
    RDS_OK = 0,
    /// An argument is NULL, malformed, or outside what the function accepts.
    RDS_ERR_INVALID_ARGUMENT = 1,
    /// The handle is NULL, closed, of another type, or never was one.
    RDS_ERR_INVALID_HANDLE = 2,
    /// The call does not fit what was called before, or the process it is called in.
    RDS_ERR_INVALID_STATE = 3,
    /// No such table, version, row or file.
    RDS_ERR_NOT_FOUND = 4,
    /// The table exists, and the mode does not allow that.
    RDS_ERR_ALREADY_EXISTS = 5,
    /// Columns, dtype or shape are not those of the table or of librds.
    RDS_ERR_SCHEMA_MISMATCH = 6,
    /// A row, or a range of rows, lies outside the table.
    RDS_ERR_OUT_OF_RANGE = 7,
    /// The operating system or the object store refused.
    RDS_ERR_IO = 8,
    /// Another writer changed the table first.
    RDS_ERR_COMMIT_CONFLICT = 9,
    /// Valid, but not offered by this build or this version.
    RDS_ERR_NOT_SUPPORTED = 10,
    /// A file of the table is damaged.
    RDS_ERR_CORRUPT = 11,
    /// A callback of the caller asked to stop.
    RDS_ERR_CANCELLED = 12,
    /// A defect of librds was caught at the boundary; the handle in use is poisoned.
    RDS_ERR_PANIC = 13,
    /// A state that should not occur; please report it.
    RDS_ERR_INTERNAL = 14,
    /// Whether a version of the table landed cannot be known: the rows are kept, and are neither certainly
    /// visible nor certainly not.
    RDS_ERR_COMMIT_UNKNOWN = 15,
    /// The queue of a writer is full, and the call was not to wait for room, or no longer: nothing was accepted.
    RDS_ERR_NO_ROOM = 16,
    /// A stream of the caller failed.
    RDS_ERR_STREAM = 17,
}

impl Status {
    /// cbindgen:ignore
    pub const ALL: [Status; 18] = [
        Self::RDS_OK,
        Self::RDS_ERR_INVALID_ARGUMENT,
        Self::RDS_ERR_INVALID_HANDLE,
        Self::RDS_ERR_INVALID_STATE,
        Self::RDS_ERR_NOT_FOUND,
        Self::RDS_ERR_ALREADY_EXISTS,
        Self::RDS_ERR_SCHEMA_MISMATCH,
        Self::RDS_ERR_OUT_OF_RANGE,
        Self::RDS_ERR_IO,
        Self::RDS_ERR_COMMIT_CONFLICT,
        Self::RDS_ERR_NOT_SUPPORTED,
        Self::RDS_ERR_CORRUPT,
        Self::RDS_ERR_CANCELLED,
        Self::RDS_ERR_PANIC,
        Self::RDS_ERR_INTERNAL,
        Self::RDS_ERR_COMMIT_UNKNOWN,
        Self::RDS_ERR_NO_ROOM,
        Self::RDS_ERR_STREAM,
    ];
}

/// In a box: so a result costs a register on the way of a row, where nothing fails.
#[derive(Clone, Debug)]
pub struct Error(Box<Report>);

#[derive(Clone, Debug)]
pub struct Report {
    pub status: Status,
    pub message: String,
    /// It may pass: space, descriptors, memory or locks were short, or others were faster.
    pub passes: bool,
}

impl Deref for Error {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.0
    }
}

/// One constructor per status: `Error::io("...")`.
macro_rules! constructors {
    ($($name:ident => $status:ident),* $(,)?) => {
        impl Error {
            $(#[cold]
            pub fn $name(message: impl Into<String>) -> Self {
                Self(Box::new(Report { status: Status::$status, message: message.into(), passes: false }))
            })*
        }
    };
}

constructors! {
    invalid_argument => RDS_ERR_INVALID_ARGUMENT,
    invalid_handle => RDS_ERR_INVALID_HANDLE,
    invalid_state => RDS_ERR_INVALID_STATE,
    not_found => RDS_ERR_NOT_FOUND,
    already_exists => RDS_ERR_ALREADY_EXISTS,
    schema_mismatch => RDS_ERR_SCHEMA_MISMATCH,
    out_of_range => RDS_ERR_OUT_OF_RANGE,
    io => RDS_ERR_IO,
    commit_conflict => RDS_ERR_COMMIT_CONFLICT,
    not_supported => RDS_ERR_NOT_SUPPORTED,
    corrupt => RDS_ERR_CORRUPT,
    cancelled => RDS_ERR_CANCELLED,
    panic => RDS_ERR_PANIC,
    internal => RDS_ERR_INTERNAL,
    commit_unknown => RDS_ERR_COMMIT_UNKNOWN,
    no_room => RDS_ERR_NO_ROOM,
    stream => RDS_ERR_STREAM,
}

impl Error {
    /// Says that the same may succeed later.
    pub fn passing(mut self) -> Self {
        self.0.passes = true;
        self
    }

    /// Says what was being done: `what: message`.
    pub fn context(mut self, what: impl Display) -> Self {
        self.0.message = format!("{what}: {}", self.message);
        self
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        let made = match error.kind() {
            std::io::ErrorKind::NotFound => Self::not_found(error.to_string()),
            _ => Self::io(error.to_string()),
        };
        if passes(&error) { made.passing() } else { made }
    }
}

/// Whether the system refused for want of something that may come again.
fn passes(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ENOSPC
                | libc::EDQUOT
                | libc::EMFILE
                | libc::ENFILE
                | libc::ENOMEM
                | libc::EAGAIN
                | libc::ENOLCK
                | libc::ESTALE
                | libc::EBUSY
                | libc::ETIMEDOUT
        )
    )
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::SchemaError(message) => Self::schema_mismatch(message),
            ArrowError::IoError(message, _) => Self::io(message),
            // Ours, on its way back through an Arrow interface.
            ArrowError::ExternalError(inner) => match inner.downcast::<Error>() {
                Ok(error) => *error,
                Err(other) => match other.downcast::<lance::Error>() {
                    Ok(error) => Self::from(*error),
                    Err(other) => Self::internal(other.to_string()),
                },
            },
            other => Self::invalid_argument(other.to_string()),
        }
    }
}

impl From<Error> for ArrowError {
    fn from(error: Error) -> Self {
        ArrowError::ExternalError(Box::new(error))
    }
}

impl From<lance::Error> for Error {
    fn from(error: lance::Error) -> Self {
        if let Some(own) = own(&error) {
            return own;
        }
        let made = Self::of_lance(&error);
        // Not every layer of Lance hands the error of the system on; its text always is.
        let number = system(&error).and_then(std::io::Error::raw_os_error);
        let number = number.or_else(|| {
            let text = made.message.rsplit_once("(os error ")?.1;
            text.split_once(')')?.0.parse().ok()
        });
        let passes = number.is_some_and(|n| passes(&std::io::Error::from_raw_os_error(n)));
        if passes { made.passing() } else { made }
    }
}

impl Error {
    fn of_lance(error: &lance::Error) -> Self {
        use lance::Error as L;
        let message = without_source_location(&error.to_string());
        if error.is_not_found() {
            return Self::not_found(message);
        }
        match error.find_root() {
            L::InvalidInput { .. } => Self::invalid_argument(message),
            L::DatasetAlreadyExists { .. } => Self::already_exists(message),
            L::SchemaMismatch { .. } | L::Schema { .. } | L::FieldNotFound { .. } => {
                Self::schema_mismatch(message)
            }
            L::DatasetNotFound { .. } | L::VersionNotFound { .. } => Self::not_found(message),
            L::CorruptFile { .. } => Self::corrupt(message),
            L::NotSupported { .. } | L::VersionConflict { .. } => Self::not_supported(message),
            L::CommitConflict { .. }
            | L::IncompatibleTransaction { .. }
            | L::RetryableCommitConflict { .. }
            | L::TooMuchWriteContention { .. } => Self::commit_conflict(message),
            L::IO { .. } | L::Timeout { .. } => Self::io(message),
            _ => Self::internal(message),
        }
    }
}

impl Error {
    /// Of a read whose arguments are known to be good: what Lance then calls invalid input, or an
    /// I/O error that the operating system knows nothing of, is a damaged file.
    pub fn reading(error: lance::Error) -> Self {
        if let Some(own) = own(&error) {
            return own;
        }
        let from_system = system(&error).is_some();
        let error = Self::from(error);
        match error.status {
            Status::RDS_ERR_INVALID_ARGUMENT | Status::RDS_ERR_INTERNAL => {
                Self::corrupt(&error.message)
            }
            Status::RDS_ERR_IO if !from_system => Self::corrupt(&error.message),
            _ => error,
        }
    }
}

/// Ours, on its way back through Lance.
fn own(error: &lance::Error) -> Option<Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(own) = error.downcast_ref::<Error>() {
            return Some(own.clone());
        }
        cause = error.source();
    }
    None
}

/// What the operating system said, if that is at the root of an error.
fn system(error: &lance::Error) -> Option<&std::io::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.find_root());
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if let Some(io) = io.filter(|io| io.raw_os_error().is_some()) {
            return Some(io);
        }
        cause = error.source();
    }
    None
}

/// Does what calls into libraries that may panic at what a damaged file says: that is the file's fault.
pub fn caught<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    done.unwrap_or_else(|payload| {
        let text = panic_text(payload);
        Err(Error::corrupt(format!("decoding panicked at what a file says: {text}")))
    })
}

/// The text of a panic. A payload that is no text is forgotten: dropping it could panic again.
pub fn panic_text(payload: Box<dyn Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => match payload.downcast::<&'static str>() {
            Ok(text) => text.to_string(),
            Err(payload) => {
                std::mem::forget(payload);
                "a panic without a message".to_string()
            }
        },
    }
}

/// Lance ends its messages with the place in its source (`, /path/to/file.rs:12:34`), which is
/// of no use to the caller.
fn without_source_location(message: &str) -> String {
    let is_location = |part: &str| {
        let mut fields = part.rsplitn(3, ':');
        let numeric = |f: Option<&str>| f.is_some_and(|f| f.bytes().all(|b| b.is_ascii_digit()));
        numeric(fields.next())
            && numeric(fields.next())
            && fields.next().is_some_and(|f| f.ends_with(".rs"))
    };
    message.split(", ").filter(|part| !is_location(part)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_keep_their_numbers() {
        for (number, status) in Status::ALL.iter().enumerate() {
            assert_eq!(*status as usize, number);
        }
    }

    #[test]
    fn source_locations_of_lance_are_dropped_from_messages() {
        let raw = "Not found: a, b, /registry/src/x.rs:12:34";
        assert_eq!(without_source_location(raw), "Not found: a, b");
        assert_eq!(without_source_location("plain: 1:2"), "plain: 1:2");
    }

    #[test]
    fn an_error_keeps_its_status_through_an_arrow_interface() {
        let error = Error::from(ArrowError::from(Error::corrupt("page 3")));
        assert_eq!(error.status, Status::RDS_ERR_CORRUPT);
        assert_eq!(error.context("reading").to_string(), "reading: page 3");
    }
}
