"""What the benchmarks share: the same values in every format, medians in turn, and how they are shown."""

import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import rds

ROWS = 200_000
BATCH = 512


def widths() -> list[int]:
    """Numbers of float32 in a row: those of the command line, or the default."""
    return [int(width) for width in sys.argv[1:]] or [2, 64, 512, 2048]


def table_path(directory: Path) -> str:
    return str(directory / "lance_db" / "results.lance")


def npy_path(directory: Path) -> Path:
    return directory / "values.npy"


@contextmanager
def written(width: int):
    """A directory with the same random values as a table of librds and as a .npy file."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        values = np.random.default_rng(0).random((ROWS, width), dtype=np.float32)
        with rds.ResultDatasetWriter(directory) as writer:
            for start in range(0, ROWS, BATCH):
                stop = min(start + BATCH, ROWS)
                writer.write_batch(np.arange(start, stop), values[start:stop])
        np.save(npy_path(directory), values)
        del values
        yield directory


def seconds(call, *arguments) -> float:
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def medians(calls: dict, rounds: int, argument=None) -> dict[str, float]:
    """Median seconds of each call. They take turns, and each is the first as often as the others;
    `argument()` makes what all calls of a round are given."""
    times = {name: [] for name in calls}
    names = list(calls)
    for number in range(rounds):
        given = [] if argument is None else [argument()]
        first = number % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(seconds(calls[name], *given))
    return {name: statistics.median(taken) for name, taken in times.items()}


class Measure:
    """One table of figures: a line for each case.

    The last columns say how many times as fast `fast` is as `slow`, and whether that is at least
    `target`. A figure with a limit of its own in `limits` is marked if it is above it.
    """

    def __init__(self, title, slow="", fast="rds", target=None, limits=None):
        self.title = title
        self.slow, self.fast = slow, fast
        self.target = target
        self.limits = limits or {}
        self.lines: list[tuple[str, dict[str, float]]] = []

    def add(self, case: str, times: dict[str, float], count: int = 1) -> None:
        """`times` are seconds for `count` of what the title names; shown is one of them."""
        self.lines.append((case, {name: time / count for name, time in times.items()}))

    def show(self) -> None:
        names = list(self.lines[0][1])
        ratio = [f"{self.slow} / {self.fast}", "target"] if self.slow else []
        table = [["", *names, *ratio]]
        table += [[case, *self._figures(figures), *self._ratio(figures)] for case, figures in self.lines]
        sizes = [max(map(len, column)) for column in zip(*table)]
        print(f"\n{self.title}")
        for line in table:
            cells = [cell.rjust(size) for cell, size in zip(line, sizes)]
            print("  ".join([line[0].ljust(sizes[0]), *cells[1:]]).rstrip())
        sys.stdout.flush()

    def _figures(self, figures):
        for name, time in figures.items():
            limit = self.limits.get(name)
            verdict = "" if limit is None else f" ({judged(time <= limit)}: {duration(limit)})"
            yield duration(time) + verdict

    def _ratio(self, figures):
        if self.slow:
            ratio = figures[self.slow] / figures[self.fast]
            yield f"{ratio:.2f}"
            yield "-" if self.target is None else f"{self.target:g} {judged(ratio >= self.target)}"


def judged(met: bool) -> str:
    return "met" if met else "MISSED"


def duration(time: float) -> str:
    for unit, size in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if time >= size:
            return f"{time / size:.3g} {unit}"
    return f"{time / 1e-9:.3g} ns"
