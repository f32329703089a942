"""Options of a constructor as librds has them: a number for a name, 0 for a default."""

from __future__ import annotations

import operator
from datetime import datetime, timezone

import numpy as np

from ._errors import InvalidArgumentError, InvalidTypeError


def choice(name: str, value: str, choices: dict[str, int]) -> int:
    if value not in choices:
        raise InvalidArgumentError(f"{name} is {value!r}; {', '.join(map(repr, choices))} are possible")
    return choices[value]


def number(name: str, value: int | None) -> int:
    if value is None:
        return 0
    if not 0 <= value < 1 << 64:
        raise InvalidArgumentError(f"{name} is {value}; it must be at least 0 and fit 64 bits")
    return value


def whole(name: str, value) -> int:
    """A number of rows, or of an epoch, of whatever kind of integers it is."""
    try:
        return number(name, operator.index(value))
    except TypeError:
        raise InvalidTypeError(f"{name} is {value!r}; an integer is expected") from None


def text(name: str, value: str | None) -> bytes | None:
    """A string as the C interface takes it."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidTypeError(f"{name} is {value!r}; a str is expected")
    if "\0" in value:
        raise InvalidArgumentError(f"{name} is {value!r}, which has a NUL character")
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"{name} is {value!r}, which is not UTF-8: {error.reason}") from error


def positive(name: str, value: int | None) -> int:
    if value is None:
        return 0
    if value < 1:
        raise InvalidArgumentError(f"{name} is {value}; it must be at least 1")
    return value


def nanoseconds(name: str, value) -> int:
    """A moment as nanoseconds since 1970, which 64 bits can say from 1678 to 2262; 0 is left to mean none."""
    if isinstance(value, (int, np.integer)):
        moment = int(value)
    else:
        if isinstance(value, datetime) and value.tzinfo is not None:
            value = value.astimezone(timezone.utc).replace(tzinfo=None)
        moment = int(np.datetime64(value, "us").astype(np.int64)) * 1000
        if isinstance(value, np.datetime64) and abs(moment) < 1 << 63:
            moment = int(value.astype("datetime64[ns]").astype(np.int64))
    if not -(1 << 63) <= moment < 1 << 63:
        raise InvalidArgumentError(f"{name} is {value!r}; years from 1678 to 2262 are possible")
    return moment or -1
