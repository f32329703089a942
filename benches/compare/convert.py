"""Batches of Hyrax's earlier format made into a table: `rds.convert` beside a loop over Lance.

    .venv/bin/python benches/compare/convert.py [rows] [rounds]

The batches have 512 rows of 64 float32; default 1,000,000 rows, 3 rounds. The loop appends each batch
with pylance and then reads back every row, and compares it; because that takes hours or nearly so, it
is done for 2,000 rows spread over all, and the time multiplied. `copy` copies the files of the batches
and compares nothing. Both tables lie on the same disk as the batches.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
from _common import BATCH, Measure, judged, medians

import rds

WIDTH = 64
CHECKED = 2_000
TARGET = 10
MEMORY_LIMIT = 300 << 20
SCHEMA = pa.schema([("object_id", pa.utf8()), ("data", pa.list_(pa.float32(), WIDTH))])

MEMORY_OF_ONE = """
import sys, rds
rds.convert(sys.argv[1], sys.argv[2], progress=lambda *_: None)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) * 1024)
"""


def write_batches(directory: Path, rows: int) -> None:
    directory.mkdir()
    ids = np.array([f"object-{row:012d}" for row in range(rows)])
    rng = np.random.default_rng(0)
    for number, start in enumerate(range(0, rows, BATCH)):
        part = ids[start : start + BATCH]
        batch = np.empty(len(part), [("id", ids.dtype), ("tensor", np.float32, WIDTH)])
        batch["id"] = part
        batch["tensor"] = rng.random((len(part), WIDTH), dtype=np.float32)
        np.save(directory / f"batch_{number}.npy", batch)
    index = np.empty(rows, [("id", ids.dtype), ("batch_num", np.int64)])
    index["id"], index["batch_num"] = ids, np.arange(rows) // BATCH
    np.save(directory / "batch_index.npy", index)


def load(directory: Path, number: int) -> np.ndarray:
    return np.load(directory / f"batch_{number}.npy")


def append_each(source: Path, target: Path, rows: int) -> None:
    for number in range(-(-rows // BATCH)):
        batch = load(source, number)
        values = pa.array(batch["tensor"].reshape(-1))
        columns = [pa.array(batch["id"]), pa.FixedSizeListArray.from_arrays(values, WIDTH)]
        table = pa.table(columns, schema=SCHEMA)
        lance.write_dataset(table, str(target), mode="append" if number else "create")


def verify_each(source: Path, target: Path, wanted: np.ndarray) -> None:
    table = lance.dataset(str(target))
    number, batch = -1, None
    for row in wanted.tolist():
        if row // BATCH != number:
            number = row // BATCH
            batch = load(source, number)
        got = table.take([row])
        expected = batch[row % BATCH]
        assert got["object_id"][0].as_py() == expected["id"]
        assert got["data"].combine_chunks().flatten().to_numpy().tobytes() == expected["tensor"].tobytes()


def memory(source: Path, target: Path) -> int:
    command = [sys.executable, "-c", MEMORY_OF_ONE, source, target]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


def main(rows: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        source, by_rds, by_lance, copied = (place / part for part in ("batches", "rds", "lance", "copy"))
        write_batches(source, rows)
        checked = np.linspace(0, rows - 1, min(rows, CHECKED), dtype=np.int64)

        def emptied(target: Path) -> Path:
            shutil.rmtree(target, ignore_errors=True)
            return target

        calls = {
            "rds": lambda: rds.convert(source, emptied(by_rds), progress=lambda *_: None),
            "append": lambda: append_each(source, emptied(by_lance), rows),
            "verify": lambda: verify_each(source, by_lance, checked),
            "copy": lambda: shutil.copytree(source, emptied(copied)),
        }
        # The first append makes what is verified, whichever call is the first of a round.
        append_each(source, by_lance, rows)
        times = medians(calls, rounds)
        whole = times["verify"] * rows / len(checked)
        measure = Measure(f"convert {rows:,} rows of {WIDTH} float32", "loop", target=TARGET)
        parts = {"append": times["append"], "verify": whole, "copy": times["copy"]}
        measure.add("", {"rds": times["rds"], "loop": times["append"] + whole, **parts})
        measure.show()
        print(f"verify: {len(checked):,} rows in {times['verify']:.3g} s, times {rows / len(checked):g}")
        peak = memory(source, emptied(by_rds))
        verdict = judged(peak < MEMORY_LIMIT)
        print(f"memory of rds.convert at its peak: {peak / 2**20:.0f} MiB ({verdict}: {MEMORY_LIMIT >> 20})")


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given, *[1_000_000, 3][len(given) :])
