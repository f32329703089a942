"""A gather of rows that are on disk only: rds beside np.memmap, in turn, medians.

    .venv/bin/python benches/compare/cold.py [width ...]

Before every gather all files are thrown out of the page cache. That spares pages that a mapping has
been read through, so every gather has a mapping of its own, opened before. Opening is not timed.
"""

import gc
import os
from pathlib import Path

import numpy as np
from _common import ROWS, Measure, npy_path, seconds, table_path, widths, written

import rds

GATHER = 512
ROUNDS = 15


def evict(directory: Path) -> None:
    """Throws the data of the table and the .npy file out of the page cache."""
    files = [npy_path(directory), *Path(table_path(directory), "data").iterdir()]
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def openers(directory: Path) -> dict:
    return {
        "rds": lambda: rds.ResultDataset({}, directory),
        "rds, no prefetch": lambda: rds.ResultDataset({}, directory, prefetch=False),
        "memmap": lambda: np.load(npy_path(directory), mmap_mode="r"),
    }


def measure(directory: Path) -> dict[str, float]:
    times = {}
    os.sync()
    for number in range(ROUNDS):
        rows = np.random.default_rng(number).integers(0, ROWS, GATHER)
        for name, opened in openers(directory).items():
            reader = opened()
            # What was read by opening it, or by another one, must not help it.
            evict(directory)
            times.setdefault(name, []).append(seconds(reader.__getitem__, rows))
            del reader
            gc.collect()
    return {name: float(np.median(taken)) for name, taken in times.items()}


def main() -> None:
    cold = Measure(f"ds[{GATHER} random rows] from disk", "memmap", target=2.0)
    for width in widths():
        with written(width) as directory:
            cold.add(f"{width} wide", measure(directory))
    cold.show()


if __name__ == "__main__":
    main()
