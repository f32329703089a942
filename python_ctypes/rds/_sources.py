"""What a loader goes through: tables as datasets showed them, which of their rows, and how often those of each."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _select, _stored
from ._errors import InvalidArgumentError, InvalidHandleError, InvalidTypeError

if TYPE_CHECKING:
    from .reader import ResultDataset

# From a position on (epoch, consumed), one number for each table.
Weights = tuple[int, int, list[int]]

# Sums of weights have fewer bits than librds takes.
_MOST_WEIGHT = 1 << 53


class Source:
    """A table as a dataset shows it now, whatever becomes of the dataset; it is pickled as the dataset is."""

    __slots__ = ("_reduced", "snapshot")

    def __init__(self, dataset: ResultDataset):
        snapshot = dataset._snapshot
        if not snapshot.handle:
            raise InvalidHandleError("the dataset is closed; open another one")
        self.snapshot = snapshot
        self._reduced = dataset._reduced(snapshot)

    def __reduce__(self):
        reopen, arguments = self._reduced
        return _again, (reopen, arguments)


def _again(reopen, arguments) -> Source:
    return Source(reopen(*arguments))


def of(datasets) -> list[Source]:
    """The tables of one dataset, or of several."""
    several = datasets if isinstance(datasets, (list, tuple)) else [datasets]
    if not several:
        raise InvalidArgumentError("dataset is an empty list; at least one ResultDataset is expected")
    return [dataset if isinstance(dataset, Source) else _source(dataset) for dataset in several]


def _source(dataset) -> Source:
    from .reader import ResultDataset

    if not isinstance(dataset, ResultDataset):
        raise InvalidTypeError(f"dataset is {type(dataset).__name__}; a ResultDataset or a list of them is expected")
    return Source(dataset)


class Subset(NamedTuple):
    """Rows of a table: those of a list, or `length` from `first` on, 0 being all there are."""

    rows: np.ndarray | None = None
    first: int = 0
    length: int = 0


def subsets(rows, counts: list[int], is_list: bool) -> list[Subset]:
    """The rows chosen of each table, whose rows are counted; of a list of tables a list."""
    if rows is None:
        return [Subset()] * len(counts)
    if not is_list:
        return [subset(rows, counts[0])]
    if not isinstance(rows, (list, tuple)) or len(rows) != len(counts):
        raise InvalidArgumentError(f"rows: {len(counts)} datasets are given; a list with rows of each is expected")
    return [subset(of_table, count) for of_table, count in zip(rows, counts)]


def subset(rows, count: int) -> Subset:
    """The rows that somebody chose of `count`: a slice, a range, a mask or integers."""
    if rows is None:
        return Subset()
    if isinstance(rows, Subset):
        return rows
    if isinstance(rows, (slice, range)):
        run = _select.run(rows, count)
        if run:
            if run.start < 0 or run.stop > count:
                raise _stored.out_of_range(run.start if run.start < 0 else run.stop - 1, count)
            return Subset(first=run.start, length=len(run))
        if isinstance(rows, slice):
            rows = range(*rows.indices(count))
    # What the caller may change later is of no account.
    chosen = np.array(_select.rows(np.asarray(rows), count))
    _stored.check(chosen, count)
    return Subset(rows=chosen, length=len(chosen))


def schedule(weights, tables: int) -> list[Weights]:
    """Weights from the begin on, or from several positions on, in whole numbers."""
    if weights is None:
        return []
    given = _listed(weights)
    if not given or not isinstance(given[0], (tuple, list)):
        return [(0, 0, whole(given, tables))]
    made = []
    for entry in given:
        if not isinstance(entry, (tuple, list)) or len(entry) != 3:
            raise InvalidArgumentError(f"weights: {entry!r} is no (epoch, consumed, weights)")
        epoch, consumed, of_tables = entry
        made.append((int(epoch), int(consumed), whole(of_tables, tables)))
    return made


def whole(weights: Iterable[Any], tables: int) -> list[int]:
    """A weight for each table as a whole number: of fractions, as decimals are written, their common multiple."""
    given = _listed(weights)
    if len(given) != tables:
        raise InvalidArgumentError(f"weights: {len(given)} are given for {tables} datasets")
    if all(isinstance(weight, (int, np.integer)) for weight in given):
        numbers = [int(weight) for weight in given]
    else:
        numbers = _multiple(given)
    if min(numbers) < 0 or not 0 < sum(numbers) < 1 << 62:
        raise InvalidArgumentError(f"weights are {given}; none may be negative, not all 0, and their sum below 2^62")
    return numbers


def _listed(weights) -> list:
    try:
        return list(weights)
    except TypeError:
        raise InvalidTypeError(f"weights are {weights!r}; one for each dataset is expected") from None


def _multiple(weights: list) -> list[int]:
    try:
        parts = [Fraction(str(weight)) for weight in weights]
    except (ValueError, ZeroDivisionError) as error:
        raise InvalidArgumentError(f"weights are {weights}; finite numbers are expected: {error}") from None
    multiple = math.lcm(*(part.denominator for part in parts))
    numbers = [int(part * multiple) for part in parts]
    divisor = math.gcd(*numbers) or 1
    numbers = [number // divisor for number in numbers]
    total = sum(map(abs, numbers))
    if total <= _MOST_WEIGHT:
        return numbers
    # A weight that is not 0 stays so.
    return [number * _MOST_WEIGHT // total or min(number, 1) for number in numbers]
