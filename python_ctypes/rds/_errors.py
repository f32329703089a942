"""The statuses of librds as exceptions, each also one of Python's own."""

from __future__ import annotations


class RdsError(Exception):
    """Any error of librds. `status` is the number of the C interface."""

    status: int = 14


class InvalidArgumentError(RdsError, ValueError):
    status = 1


class InvalidTypeError(RdsError, TypeError):
    """An argument is of a type that cannot be meant."""

    status = 1


class InvalidIndexError(RdsError, IndexError):
    """What selects rows is no row, no rows and no mask."""

    status = 1


class InvalidHandleError(RdsError, ValueError):
    """The reader or the writer is closed."""

    status = 2


class InvalidStateError(RdsError, RuntimeError):
    status = 3


class NotFoundError(RdsError, FileNotFoundError):
    status = 4


class AlreadyExistsError(RdsError, FileExistsError):
    status = 5


class SchemaMismatchError(RdsError, ValueError):
    status = 6


class OutOfRangeError(RdsError, IndexError):
    status = 7


class StorageError(RdsError, OSError):
    status = 8


class CommitConflictError(RdsError, RuntimeError):
    status = 9


class NotSupportedError(RdsError, NotImplementedError):
    status = 10


class CorruptError(RdsError, OSError):
    status = 11


class CancelledError(RdsError, RuntimeError):
    status = 12


class PanicError(RdsError, RuntimeError):
    status = 13


class InternalError(RdsError, RuntimeError):
    status = 14


class CommitUnknownError(RdsError, RuntimeError):
    """Whether a version of the table landed cannot be known. The rows are kept; they may be visible."""

    status = 15


class NoRoomError(RdsError, BlockingIOError):
    """The queue of a writer is full: nothing was accepted, and the call may be tried again."""

    status = 16


class StreamError(RdsError, OSError):
    """A stream of Arrow batches failed. The writer goes on, with the batches before."""

    status = 17


class UnsupportedDtypeError(NotSupportedError, TypeError):
    """No column of a table can hold this dtype."""


class ExportError(NotSupportedError, BufferError):
    """DLPack cannot pass the tensors on as asked for."""


class LegacyOnlyError(NotSupportedError, AttributeError):
    """Only results in Hyrax's earlier format have this."""


class UnknownIdError(RdsError, KeyError):
    """No row carries the id."""

    status = 4
    # That of KeyError shows the message in quotes.
    __str__ = Exception.__str__


class UnknownColumnError(RdsError, KeyError):
    """The table has no tensors of that name."""

    status = 4
    __str__ = Exception.__str__


class MissingResultsError(NotFoundError, RuntimeError):
    """The directory holds no results at all."""


class NotResultsError(SchemaMismatchError, RuntimeError):
    """The table is there, but is none that librds can read as results."""


BY_STATUS: dict[int, type[RdsError]] = {
    cls.status: cls
    for cls in (
        InvalidArgumentError,
        InvalidHandleError,
        InvalidStateError,
        NotFoundError,
        AlreadyExistsError,
        SchemaMismatchError,
        OutOfRangeError,
        StorageError,
        CommitConflictError,
        NotSupportedError,
        CorruptError,
        CancelledError,
        PanicError,
        InternalError,
        CommitUnknownError,
        NoRoomError,
        StreamError,
    )
}


def from_status(status: int, message: str) -> RdsError:
    """The exception for a status; one that a newer library added keeps its number."""
    cls = BY_STATUS.get(status)
    if cls is not None:
        return cls(message)
    error = RdsError(message)
    error.status = status
    return error
