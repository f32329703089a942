"""Ids of a million rows, row to id and id to row: rds beside a dict of Python.

    .venv/bin/python benches/compare/ids.py [rows]
"""

import sys
import tempfile

import numpy as np
from _common import Measure, medians, seconds

import rds

BATCH = 100_000


def write(directory: str, ids: np.ndarray) -> None:
    with rds.ResultDatasetWriter(directory) as writer:
        for start in range(0, len(ids), BATCH):
            part = ids[start : start + BATCH]
            writer.write_batch(part, np.zeros((len(part), 2), np.float32))


def measure_first(directory: str, ids: list[str]) -> rds.ResultDataset:
    """What the first calls take; the dataset after them."""
    first = Measure(f"the first call, {len(ids):,} ids")
    results = rds.ResultDataset({}, directory)
    times = {
        "load ids": seconds(results.get_object_id, 0),
        "build index": seconds(results.index_of, ids[0]),
        "ids()": seconds(results.ids),
        "dict of ids()": seconds(lambda: {name: row for row, name in enumerate(ids)}),
    }
    first.add("", times)
    first.show()
    return results


def measure_one(results: rds.ResultDataset, ids: list[str], rows: dict) -> None:
    limits = {
        "get_object_id(int)": 2e-6,
        "get_object_id(int64)": 2e-6,
        "index_of": 3e-6,
        "find([id])": 3e-6,
    }
    one = Measure("one id, chosen at random", limits=limits)
    numbers = np.random.default_rng(1).integers(0, len(ids), 1000)
    wanted = [ids[number] for number in numbers]

    def each(call, values):
        return lambda: [call(value) for value in values]

    calls = {
        "get_object_id(int)": each(results.get_object_id, numbers.tolist()),
        "get_object_id(int64)": each(results.get_object_id, list(numbers)),
        "index_of": each(results.index_of, wanted),
        "find([id])": each(lambda name: results.find([name]), wanted),
        "dict": each(rows.__getitem__, wanted),
    }
    one.add("", medians(calls, 50), 1000)
    one.show()


def measure_batches(results: rds.ResultDataset, ids: np.ndarray, rows: dict) -> None:
    batches = Measure("find, an id of a batch in random order", "dict of a list", "rds, list")
    for count in (1000, len(ids)):
        given = ids[np.random.default_rng(2).integers(0, len(ids), count)]
        as_bytes, as_list = given.astype("S"), given.tolist()
        calls = {
            "rds, U array": lambda: results.find(given),
            "rds, S array": lambda: results.find(as_bytes),
            "rds, list": lambda: results.find(as_list),
            "dict of a list": lambda: np.fromiter(map(rows.__getitem__, as_list), np.int64),
        }
        batches.add(f"{count:,} ids", medians(calls, 8 if count > 1000 else 60), count)
    batches.show()


def main(count: int) -> None:
    ids = np.array([f"object-{number:012d}" for number in range(count)])
    listed = ids.tolist()
    rows = {name: row for row, name in enumerate(listed)}
    with tempfile.TemporaryDirectory() as directory:
        write(directory, ids)
        results = measure_first(directory, listed)
        measure_one(results, listed, rows)
        measure_batches(results, ids, rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
