"""Rows by number, from the page cache: rds beside np.memmap, in turn, medians; and pylance.

    .venv/bin/python benches/compare/rows.py [width ...]

The tables have 200,000 rows of float32. rds and pylance read the same files, np.memmap those
values in a .npy file.
"""

from concurrent.futures import ThreadPoolExecutor

import lance
import numpy as np
from _common import ROWS, Measure, medians, npy_path, table_path, widths, written

import rds

GATHER = 512
THREADS = 8
ALL = f"{THREADS} threads"


def each(read):
    """A call that reads one after the other."""

    def call(wanted):
        for rows in wanted:
            read(rows)

    return call


def single(count):
    return np.random.default_rng().integers(0, ROWS, count).tolist()


def gathers(count):
    return list(np.random.default_rng().integers(0, ROWS, (count, GATHER)))


def measure_one(measure, case, results, memmap, table):
    calls = {
        "rds": each(lambda row: results[row]),
        "memmap": each(lambda row: np.array(memmap[row])),
    }
    # A row takes less than the clock can tell. What the caller does with it is not in it: the copy
    # of memmap reads the row, the view of rds does not.
    times = medians(calls, 200, lambda: single(200))
    calls = {
        "rds, copied": each(lambda row: np.array(results[row])),
        "memmap": each(lambda row: np.array(memmap[row])),
    }
    times["rds, copied"] = medians(calls, 200, lambda: single(200))["rds, copied"]
    calls = {"pylance": each(lambda row: table.take([row], columns=["data"]))}
    times["pylance"] = medians(calls, 20, lambda: single(10))["pylance"] * 20
    measure.add(case, times, 200)


def measure_many(measure, case, results, memmap, table):
    calls = {"rds": lambda rows: results[rows], "memmap": lambda rows: memmap[rows]}
    times = medians(calls, 400, lambda: gathers(1)[0])
    # Apart: its threads go on for a while after a call, and it reads the files of rds.
    calls = {"pylance": lambda rows: table.take(rows, columns=["data"])}
    times |= medians(calls, 20, lambda: gathers(1)[0])
    measure.add(case, times)


def measure_threads(measure, case, wanted, readers):
    """Seconds for a row, alone and on all threads at once."""
    parts = [wanted[start::THREADS] for start in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:

        def alone(read):
            return lambda: each(read)(wanted)

        def together(read):
            return lambda: list(pool.map(each(read), parts))

        calls = {name: alone(read) for name, read in readers.items()}
        calls |= {f"{name}, {ALL}": together(read) for name, read in readers.items()}
        measure.add(case, medians(calls, 12), sum(np.size(rows) for rows in wanted))


def measure_whole(measure, case, results, memmap):
    calls = {"rds": lambda: np.asarray(results), "memmap": lambda: np.array(memmap)}
    measure.add(case, medians(calls, 14))


def main() -> None:
    one = Measure("ds[i]", "memmap", target=1.0)
    many = Measure(f"ds[{GATHER} random rows]", "memmap", target=1.0)
    one_threads = Measure(f"ds[i] from {ALL}, time of a row", "rds", f"rds, {ALL}")
    many_threads = Measure(
        f"ds[{GATHER} random rows] from {ALL}, time of a row", "rds", f"rds, {ALL}", target=1.5
    )
    whole = Measure("np.asarray(ds)", "memmap", target=0.8)
    for width in widths():
        with written(width) as directory:
            results = rds.ResultDataset({}, directory)
            memmap = np.load(npy_path(directory), mmap_mode="r")
            table = lance.dataset(table_path(directory))
            case = f"{width} wide"
            measure_whole(whole, case, results, memmap)
            measure_one(one, case, results, memmap, table)
            measure_many(many, case, results, memmap, table)
            readers = {"rds": lambda row: results[row], "memmap": lambda row: np.array(memmap[row])}
            measure_threads(one_threads, case, single(20_000), readers)
            readers = {"rds": lambda rows: results[rows], "memmap": lambda rows: memmap[rows]}
            measure_threads(many_threads, case, gathers(80), readers)
    for measure in (one, many, one_threads, many_threads, whole):
        measure.show()


if __name__ == "__main__":
    main()
