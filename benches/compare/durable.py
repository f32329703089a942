"""What durable rows cost, and what a run leaves: the journal against files and LMDB.

    durable.py [large] [small] [step] [left] [span] [hours]    all, if none is named

Everything goes into the temporary directory (TMPDIR): the disk under it is measured. Peers take turns in one
run; figures are medians. `large` needs the package lmdb.
"""

import os
import statistics
import sys
import tempfile
import time
from ctypes import byref
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import rds
from rds import _ids, _tensors
from rds._library import library
from _common import duration, table_path

ROUNDS = 7
LARGE = (196, 512, 512)
SMALL = (2000, 64, 64)
STEP = 0.005


@contextmanager
def place():
    with tempfile.TemporaryDirectory() as name:
        os.sync()
        yield Path(name)


def batches(shape):
    count, rows, width = shape
    values = np.random.default_rng(0).random((rows, width), dtype=np.float32)
    ids = [np.arange(number * rows, (number + 1) * rows) for number in range(count)]
    return [(i, values + np.float32(number)) for number, i in enumerate(ids)]


def librds(directory, given, durability="batch", step=0.0):
    """Seconds in the calls that write, all together, and those of close."""
    writer = rds.ResultDatasetWriter(directory, durability=durability, mode="create")
    spent = 0.0
    for ids, values in given:
        begin = time.perf_counter()
        writer.write_batch(ids, values)
        spent += time.perf_counter() - begin
        time.sleep(step)
    begin = time.perf_counter()
    if durability == "interval":
        writer.commit()
    closing = time.perf_counter() - begin
    writer.close()
    return spent, closing


def two_files(directory, given, sync_each=True, step=0.0):
    """Rows and ids as bytes in a file each; the fsyncs per batch, or at the end."""
    spent = 0.0
    with open(directory / "rows", "wb", buffering=0) as rows, open(directory / "ids", "wb", buffering=0) as names:
        for ids, values in given:
            begin = time.perf_counter()
            rows.write(values.data)
            names.write(ids.astype("S").tobytes())
            if sync_each:
                os.fsync(rows.fileno())
                os.fsync(names.fileno())
            spent += time.perf_counter() - begin
            time.sleep(step)
        begin = time.perf_counter()
        os.fsync(rows.fileno())
        os.fsync(names.fileno())
        return spent, time.perf_counter() - begin


def one_file(directory, given):
    """The same bytes to one file whose blocks are all there, with fdatasync."""
    total = sum(values.nbytes + 8 * len(ids) for ids, values in given)
    spent = 0.0
    with open(directory / "rows", "wb", buffering=0) as file:
        file.write(bytes(total))
        os.fsync(file.fileno())
        file.seek(0)
        for ids, values in given:
            data = values.tobytes() + ids.astype("S8").tobytes()
            begin = time.perf_counter()
            file.write(data)
            os.fdatasync(file.fileno())
            spent += time.perf_counter() - begin
    return spent, 0.0


def lmdb_puts(directory, given):
    import lmdb

    spent = 0.0
    with lmdb.open(str(directory / "lmdb"), map_size=4 << 30) as environment:
        for ids, values in given:
            begin = time.perf_counter()
            with environment.begin(write=True) as transaction:
                for name, row in zip(ids.astype("S"), values):
                    transaction.put(name, row.tobytes())
            spent += time.perf_counter() - begin
    return spent, 0.0


def in_turn(peers, given):
    """Median seconds per peer, of the calls and of the end."""
    times = {name: [] for name in peers}
    for _ in range(ROUNDS):
        for name, call in peers.items():
            with place() as directory:
                times[name].append(call(directory, given))
    return {name: tuple(map(statistics.median, zip(*all_))) for name, all_ in times.items()}


def show(title, times, count, ours="librds"):
    print(title)
    own = sum(times[ours])
    for name, (calls, end) in times.items():
        print(
            f"  {name:28} {duration(calls / count):>9} a call, {duration(end):>9} at the end;"
            f" librds is {(calls + end) / own:.2f} times as fast"
        )


def large():
    peers = {"librds": librds, "two files, fsync each": two_files, "LMDB": lmdb_puts}
    show("BATCH, 512 x 512 float32", in_turn(peers, batches(LARGE)), LARGE[0])


def calls_of_c(directory, given):
    """As `librds`, with the structs of the C interface made before: what a loop in C pays."""
    lib = library()
    writer = rds.ResultDatasetWriter(directory, durability="batch", mode="create")
    structs = [(_ids.to_struct(ids), _tensors.to_struct(values)) for ids, values in given]
    spent = 0.0
    for ids, tensor in structs:
        begin = time.perf_counter()
        lib.rds_write_tensors(writer._handle, byref(ids), byref(tensor))
        spent += time.perf_counter() - begin
    writer.close()
    return spent, 0.0


def small():
    peers = {"librds": calls_of_c, "librds, write_batch of Python": librds, "write + fdatasync": one_file}
    show("BATCH, 64 x 64 float32", in_turn(peers, batches(SMALL)), SMALL[0])


def step():
    peers = {
        "librds": lambda directory, given: librds(directory, given, "interval", STEP),
        "two files, fsync at the end": lambda directory, given: two_files(directory, given, False, STEP),
    }
    show(f"INTERVAL, {STEP * 1e3:.0f} ms between 512 x 512 float32", in_turn(peers, batches(LARGE)), LARGE[0])


def blocks(directory):
    """Bytes on disk; what has several names counts once."""
    files = {status.st_ino: status.st_blocks * 512 for status in map(os.stat, walk(directory))}
    return sum(files.values())


def walk(directory):
    return [path for path in Path(directory).rglob("*") if path.is_file()]


def versions(directory):
    return len(list(Path(table_path(directory), "_versions").glob("*.manifest")))


def left():
    count = 2_000_000_000 // (512 * 512 * 4) + 1
    values = np.random.default_rng(0).random((512, 512), dtype=np.float32)
    with place() as directory:
        writer = rds.ResultDatasetWriter(directory, mode="create")
        for number in range(count):
            writer.write_batch(np.arange(number * 512, (number + 1) * 512), values)
        writer.commit()
        writer.close()
        data = list(Path(table_path(directory), "data").iterdir())
        ratio = blocks(directory) / (count * values.nbytes)
        print(f"2 GB in INTERVAL: {versions(directory)} versions, {len(data)} data files, {ratio:.4f} times the disk")


def span():
    with place() as directory:
        with rds.ResultDatasetWriter(directory, mode="create", checkpoint_ms=50) as writer:
            for number in range(2000):
                ids = np.arange(number * 500, (number + 1) * 500)
                writer.write_batch(ids, np.full((500, 64), number, np.float32))
        reader = rds.ResultDataset({}, directory)
        kind = "a copy" if np.asarray(reader).flags.owndata else "a view"
        print(f"10^6 x 64 float32 in 2,000 batches: np.asarray gives {kind} of {len(reader)} rows")


def hours():
    """Three hours at one batch a second, 300 times as fast."""
    faster = 300
    writer_options = {"visible_ms": 10_000 // faster, "checkpoint_ms": 1000 // faster}
    values = np.zeros((64, 64), np.float32)
    with place() as directory:
        writer = rds.ResultDatasetWriter(directory, mode="create", **writer_options)
        begin = time.perf_counter()
        for number in range(3 * 3600):
            writer.write_batch(np.arange(number * 64, (number + 1) * 64), values)
            time.sleep(max(0.0, begin + (number + 1) / faster - time.perf_counter()))
        stats = writer.stats()
        start = time.perf_counter()
        writer.commit()
        commit = time.perf_counter() - start
        writer.close()
        opening = []
        for _ in range(9):
            start = time.perf_counter()
            rds.ResultDataset({}, directory)
            opening.append(time.perf_counter() - start)
        print(
            f"3 hours, {faster} times as fast: {versions(directory)} versions, {stats.checkpoints} checkpoints,"
            f" commit {duration(commit)}, open {duration(statistics.median(opening))}"
        )


MEASURES = {"large": large, "small": small, "step": step, "left": left, "span": span, "hours": hours}

if __name__ == "__main__":
    for name in sys.argv[1:] or MEASURES:
        MEASURES[name]()
