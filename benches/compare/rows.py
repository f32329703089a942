"""Rows by number: rds, pylance and np.memmap, interleaved in one run, medians.

    .venv/bin/python benches/compare/rows.py [width ...]

The table has 200,000 rows of float32 and is in the page cache. Both libraries read the same files.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import lance
import numpy as np

import rds

ROWS = 200_000
ROUNDS = 200


def make(directory: Path, width: int):
    """The three ways to the same values."""
    values = np.random.default_rng(0).random((ROWS, width), dtype=np.float32)
    with rds.ResultDatasetWriter(directory) as writer:
        for start in range(0, ROWS, 512):
            stop = min(start + 512, ROWS)
            writer.write_batch(np.arange(start, stop), values[start:stop])
    np.save(directory / "values.npy", values)
    table = lance.dataset(str(directory / "lance_db" / "results.lance"))
    results = rds.ResultDataset({}, directory)
    memmap = np.load(directory / "values.npy", mmap_mode="r")
    return {
        "rds": lambda rows: results[rows],
        "pylance": lambda rows: table.take(rows, columns=["data"]),
        "memmap": lambda rows: np.array(memmap[rows]),
    }


def main(widths: list[int]) -> None:
    random = np.random.default_rng(1)
    print(f"{'width':>6} {'rows':>5}" + "".join(f"{name:>12}" for name in ("rds", "pylance", "memmap")))
    for width in widths:
        with tempfile.TemporaryDirectory() as directory:
            readers = make(Path(directory), width)
            for count in (1, 512):
                times = {name: [] for name in readers}
                for _ in range(ROUNDS):
                    rows = random.integers(0, ROWS, count).tolist()
                    for name, read in readers.items():
                        start = time.perf_counter()
                        read(rows)
                        times[name].append(time.perf_counter() - start)
                medians = (statistics.median(times[name]) * 1e6 for name in readers)
                print(f"{width:6} {count:5}" + "".join(f"{median:9.1f} µs" for median in medians))


if __name__ == "__main__":
    main([int(width) for width in sys.argv[1:]] or [2, 64, 512])
