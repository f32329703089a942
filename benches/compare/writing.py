"""Writing: the time a loop spends in write_batch, and whole runs from open to the end of commit.

    writing.py [loop] [run] [small] [table] [memory]    all, if none is named

`run` and `memory` write gigabytes into the temporary directory (TMPDIR): the disk under it is measured.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import rds
from _common import Measure, duration, judged, seconds, table_path

ROWS, WIDTH = 512, 512
BATCH_BYTES = ROWS * WIDTH * 4
# 2 GB, to the next batch.
RUN_BATCHES = 2_000_000_000 // BATCH_BYTES + 1


@contextmanager
def scratch():
    """An empty directory on a disk that has nothing else to do, and free memory that was just used.

    A virtual machine gives free memory back to its host, and to get it again costs seconds per gigabyte:
    without the second, whoever came after a pause would pay.
    """
    with tempfile.TemporaryDirectory() as name:
        os.sync()
        np.ones(4 << 30, np.uint8)
        yield Path(name)


def random_batches(count, rows=ROWS, width=WIDTH) -> np.ndarray:
    return np.random.default_rng(0).random((count, rows, width), dtype=np.float32)


def write(directory, batches, durability="interval") -> None:
    writer = rds.ResultDatasetWriter(directory, durability=durability)
    ids = np.arange(batches.shape[1])
    for number, batch in enumerate(batches):
        writer.write_batch(ids + number * len(ids), batch)
    writer.commit()
    writer.close()


def write_npy(directory, batches) -> None:
    with open(directory / "values.npy", "wb") as file:
        np.save(file, batches)
        file.flush()
        os.fsync(file.fileno())


def write_lance(directory, batches) -> None:
    import lance
    import pyarrow as pa

    path = table_path(directory)
    for number, batch in enumerate(batches):
        values = pa.FixedSizeListArray.from_arrays(pa.array(batch.ravel()), batch.shape[1])
        ids = pa.array([str(number * len(batch) + row) for row in range(len(batch))])
        table = pa.table({"object_id": ids, "data": values})
        lance.write_dataset(table, path, mode="append" if number else "create")
    lance.dataset(path).optimize.compact_files()


def in_turn(writers: dict, batches, rounds) -> dict[str, float]:
    """Median seconds of each writer; they take turns, each into a directory of its own."""
    times = {name: [] for name in writers}
    for _ in range(rounds):
        for name, call in writers.items():
            with scratch() as directory:
                times[name].append(seconds(call, directory, batches))
    return {name: statistics.median(taken) for name, taken in times.items()}


def loop() -> None:
    """A producer that is slower than the disk: what a batch costs it."""
    batches = random_batches(32)
    writing, copying = [], []
    with scratch() as directory, rds.ResultDatasetWriter(directory) as writer:
        ids = np.arange(ROWS)
        for number in range(1500):
            batch = batches[number % len(batches)]
            copying.append(seconds(np.copy, batch))
            writing.append(seconds(writer.write_batch, ids + number * ROWS, batch))
            time.sleep(0.005)
    median, copy = statistics.median(writing), statistics.median(copying)
    slowest = float(np.percentile(writing, 99))
    print(f"\nwrite_batch of {ROWS} x {WIDTH} float32, one every 5 ms")
    limit = 2 * copy + 100e-6
    print(f"  np.copy   median {duration(copy)}")
    print(f"  rds       median {duration(median)} ({judged(median < limit)}: {duration(limit)})")
    print(f"  rds       99th percentile {duration(slowest)} ({judged(slowest < 5e-3)}: 5 ms)")


def run() -> None:
    """Whole runs of 2 GB, fsync included but for pylance, which does none."""
    batches = random_batches(RUN_BATCHES)
    times = in_turn({"np.save": write_npy, "rds": write}, batches, 9)
    measure = Measure("2 GB in batches of 512 x 512 float32", slow="np.save", target=0.8)
    measure.add("open to end of commit", times)
    measure.show()
    times = in_turn({"pylance": write_lance, "rds": write}, batches, 1)
    measure = Measure("the same against an append a batch, and compaction", slow="pylance", target=4)
    measure.add("open to end of commit", times)
    measure.show()


def small() -> None:
    """Many small batches."""
    batches = random_batches(10_000, 64, 64)
    few = in_turn({"rds": write}, batches[:1000], 5)["rds"]
    many = in_turn({"rds": write}, batches, 5)["rds"]
    print("\nbatches of 64 x 64 float32, open to end of commit")
    print(f"  1,000: {duration(few)}, 10,000: {duration(many)}", end="")
    print(f", {many / few:.1f} times as long ({judged(many <= 11 * few)}: 11)")
    times = in_turn({"pylance": write_lance, "rds": write}, batches[:1000], 1)
    measure = Measure("1,000 of them against an append a batch", slow="pylance", target=20)
    measure.add("open to end of commit", times)
    measure.show()


def table() -> None:
    """What is left after the commit, in each durability."""
    print("\nafter commit: data files, versions, bytes on disk / bytes of tensors and ids")
    for durability, count in (("interval", 2000), ("commit", 2000), ("batch", 500)):
        batches = random_batches(count, 64, 64)
        with scratch() as directory:
            write(directory, batches, durability)
            path = Path(table_path(directory))
            files = len(list((path / "data").iterdir()))
            versions = len(list((path / "_versions").glob("*.manifest")))
            on_disk = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            ids = sum(len(str(row)) + 4 for row in range(count * 64))
            ratio = on_disk / (batches.nbytes + ids)
            fits = judged(files == 1 and versions <= 3 and ratio <= 1.02)
            print(f"  {durability}: {files}, {versions}, {ratio:.4f} ({fits}: 1, 3, 1.02)")


def memory() -> None:
    """The most private memory of a process that writes 1, 4 and 8 GiB; in processes of their own."""
    sizes = {1: [], 4: [], 8: []}
    for _ in range(5):
        for size, peaks in sizes.items():
            with scratch() as directory:
                count = str(size * 1024)
                command = [sys.executable, __file__, "--peak", str(directory), count]
                output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
                peaks.append(int(output) / 1e6)
    one, four, eight = (statistics.median(peaks) for peaks in sizes.values())
    print("\npeak private memory")
    print(f"  writing 1 GiB: {one:.0f} MB, 4 GiB: {four:.0f} MB, 8 GiB: {eight:.0f} MB", end="")
    print(f" ({judged(four < 250 and four <= 1.1 * one)}: 250 MB, 1.1 times from 1 to 4)")


def print_peak(directory, count) -> None:
    batches, ids = random_batches(16), np.arange(ROWS)
    before = private_bytes()
    peak = 0
    writer = rds.ResultDatasetWriter(directory)
    for number in range(int(count)):
        writer.write_batch(ids + number * ROWS, batches[number % len(batches)])
        if number % 8 == 0:
            peak = max(peak, private_bytes())

    def look(_done, _total):
        nonlocal peak
        peak = max(peak, private_bytes())

    writer.commit(look)
    writer.close()
    print(peak - before)


def private_bytes() -> int:
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) * 1024
    raise OSError("smaps_rollup tells no private memory")


MEASURES = {"loop": loop, "run": run, "small": small, "table": table, "memory": memory}

if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        print_peak(*sys.argv[2:])
    else:
        for name in sys.argv[1:] or MEASURES:
            MEASURES[name]()
