"""Exit codes, and which error has which."""

from __future__ import annotations

from .._errors import CommitConflictError, CommitUnknownError, CorruptError
from .._verify import MismatchError

OK = 0
MISMATCH = 1
USAGE = 2
NOT_FOUND = 3
EXISTS = 4
UNSUITABLE = 5
STORAGE = 6
MISSING_PACKAGE = 7
INTERNAL = 70
INTERRUPTED = 130
TERMINATED = 143

DESCRIPTIONS = {
    OK: "done",
    MISMATCH: "what was compared differs",
    USAGE: "the command line is wrong",
    NOT_FOUND: "there are no such results, files, columns or ids",
    EXISTS: "the output exists already, and was left as it is",
    UNSUITABLE: "the data is not of a kind that this can be done with",
    STORAGE: "a file is damaged, or the operating system refused",
    MISSING_PACKAGE: "a Python package is not installed",
    INTERNAL: "a defect of rds",
    INTERRUPTED: "Ctrl-C",
    TERMINATED: "SIGTERM",
}

# The first that fits counts: most errors are of several kinds.
_CODES: tuple[tuple[tuple[type[Exception], ...], int], ...] = (
    ((MismatchError,), MISMATCH),
    ((CorruptError,), STORAGE),
    ((ImportError,), MISSING_PACKAGE),
    ((FileNotFoundError, LookupError), NOT_FOUND),
    ((FileExistsError,), EXISTS),
    ((ValueError, TypeError, NotImplementedError), UNSUITABLE),
    ((OSError,), STORAGE),
)


def code_of(error: Exception) -> int:
    """The exit code that an error ends the command with."""
    # A TypeError, say, that nobody raised on purpose is a defect, unless NumPy refuses data.
    for kinds, code in _CODES:
        if isinstance(error, kinds):
            return code
    # Another writer was faster, or the disk failed while it was to tell whether a version landed.
    unsettled = (CommitConflictError, CommitUnknownError)
    return STORAGE if isinstance(error, unsettled) else INTERNAL
