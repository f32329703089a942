"""What a call costs in Python, from the page cache: rds beside NumPy's memmap and a dict, in turn, medians.

    .venv/bin/python benches/compare/calls.py

The tables have 200,000 rows of float32. memmap has the same values in a .npy file. Gathers that are
named so read the same rows again and again, which the processor's cache then holds; others read rows
chosen anew each time.
"""

import tempfile

import numpy as np
from _common import ROWS, Measure, medians, npy_path, written

import rds

GATHER = 512
IDS = 1_000_000
# The clock takes as long as a tenth of a call.
AGAIN = 20


def again(call):
    def calls():
        for _ in range(AGAIN):
            call()

    return calls


def each(call):
    def calls(wanted):
        for one in wanted:
            call(one)

    return calls


def chosen(count):
    """Rows for each of the calls of a round."""
    return lambda: list(np.random.default_rng().integers(0, ROWS, (AGAIN, count)))


def measure_cached(measure, results, memmap):
    rows = np.random.default_rng(0).integers(0, ROWS, GATHER)
    start = int(rows[0]) % (ROWS - GATHER)
    containers = {
        "int64": rows,
        "int64, read-only": np.frombuffer(rows.tobytes(), np.int64),
        "uint32": rows.astype(np.uint32),
        "list": rows.tolist(),
        "slice": slice(start, start + GATHER),
    }
    for name, wanted in containers.items():
        # A copy, as that of rds is.
        copied = (lambda: memmap[wanted].copy()) if isinstance(wanted, slice) else (lambda: memmap[wanted])
        calls = {"rds": again(lambda: results[wanted]), "memmap": again(copied)}
        measure.add(name, medians(calls, 300), AGAIN)


def measure_take(measure, results, memmap):
    for count in (64, GATHER):
        out = np.empty((count, *memmap.shape[1:]), memmap.dtype)
        calls = {
            "rds": each(lambda rows: results.take(rows, out=out)),
            "np.take": each(lambda rows: np.take(memmap, rows, axis=0, out=out, mode="clip")),
        }
        measure.add(f"{count} rows", medians(calls, 150, chosen(count)), AGAIN)


def measure_one(measure, results, memmap):
    out = np.empty((1, *memmap.shape[1:]), memmap.dtype)
    place = out[0]

    def assign(row):
        place[...] = memmap[row]

    calls = {
        "rds": each(lambda row: results.take([row], out=out)),
        "copyto": each(lambda row: np.copyto(place, memmap[row])),
        "out[...] =": each(assign),
    }
    for case, rows in ("the same rows", list(range(AGAIN))), ("rows anew", None):
        wanted = (lambda: rows) if rows else (lambda: np.random.default_rng().integers(0, ROWS, AGAIN).tolist())
        measure.add(f"{memmap.shape[1]} wide, {case}", medians(calls, 600, wanted), AGAIN)


def measure_id(measure):
    ids = np.array([f"object-{number:012d}" for number in range(IDS)])
    with tempfile.TemporaryDirectory() as directory:
        with rds.ResultDatasetWriter(directory) as writer:
            writer.write_batch(ids, np.zeros((IDS, 2), np.float32))
        results = rds.ResultDataset({}, directory)
        ids = ids.tolist()
        rows = {name: row for row, name in enumerate(ids)}
        wanted = [ids[row] for row in np.random.default_rng(1).integers(0, IDS, 1000)]
        calls = {
            "index_of": each(results.index_of),
            "find([id])": each(lambda name: results.find([name])),
            "dict": each(lambda name: rows[name]),
        }
        measure.add("", medians(calls, 60, lambda: wanted), len(wanted))


def main() -> None:
    cached = Measure(f"ds[{GATHER} rows], 64 wide, in the processor's cache", "memmap", target=1.2)
    take = Measure("ds.take(rows, out=), 512 wide, rows anew", "np.take", target=1.1)
    one = Measure("one row into memory of the caller", "copyto", target=1.0)
    one_id = Measure(f"the row of one of {IDS:,} ids", limits={"index_of": 1.5e-6})
    for width in (64, 512):
        with written(width) as directory:
            results = rds.ResultDataset({}, directory)
            memmap = np.load(npy_path(directory), mmap_mode="r")
            if width == 64:
                measure_cached(cached, results, memmap)
            else:
                measure_take(take, results, memmap)
            measure_one(one, results, memmap)
    measure_id(one_id)
    for measure in (cached, take, one, one_id):
        measure.show()


if __name__ == "__main__":
    main()
