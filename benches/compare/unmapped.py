"""Rows that cannot be mapped: decoded by librds, and taken by pylance from the same table.

    unmapped.py

Tables of 200,000 rows by pylance with its defaults, without and with deleted rows; one row, and 512 random ones. Both
read warm; figures are medians, taken in turns.
"""

import statistics
import tempfile
import time
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa

import rds
from _common import duration

ROWS = 200_000
ROUNDS = 41


def make(path, width, version, deleted):
    values = np.random.default_rng(0).random(ROWS * width, dtype=np.float32)
    columns = {
        "object_id": pa.array([f"id{i}" for i in range(ROWS)]),
        "data": pa.FixedSizeListArray.from_arrays(pa.array(values), width),
    }
    metadata = {"tensor_shape": f"[{width}]", "tensor_dtype": "float32"}
    rows = pa.table(columns).replace_schema_metadata(metadata)
    dataset = lance.write_dataset(rows, path, data_storage_version=version)
    if deleted:
        dataset.delete("object_id in ('id5', 'id77', 'id1000')")


def timed(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def compare(path, count):
    dataset, table = rds.ResultDataset({}, path, access="lance"), lance.dataset(path)
    chance, ours, theirs = np.random.default_rng(1), [], []
    for _ in range(ROUNDS):
        rows = chance.integers(0, len(dataset), count)
        numbers = rows.tolist()
        ours.append(timed(lambda: dataset[rows]))
        theirs.append(timed(lambda: table.take(numbers, columns=["data"])))
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    return f"{duration(ours):>9} and {duration(theirs):>9} by pylance: {theirs / ours:5.1f} times as fast"


def main():
    for width in (4, 64):
        for version in ("2.0", "2.1", "2.2"):
            for deleted in (False, True):
                with tempfile.TemporaryDirectory() as place:
                    path = Path(place, "t.lance")
                    make(path, width, version, deleted)
                    for count in (1, 512):
                        kind = f"{width} wide, {version}{', deleted rows' if deleted else ''}, {count} rows"
                        print(f"{kind:38} {compare(path, count)}", flush=True)


if __name__ == "__main__":
    main()
