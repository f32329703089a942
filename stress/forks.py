"""A process forks while its threads read, and each child reads through every way: rows mapped and decoded, ids, find,
streams, refresh, of readers that it inherited and of its own. All values are right, and none takes ten seconds.

A third of the forks are during the first calls of a process (forks.c), a third beside threads that read for long
(forks.c), a third beside threads of Python.
"""

from __future__ import annotations

import faulthandler
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import numpy as np
import pyarrow as pa

import common
from common import expect

SECONDS = 10
WIDTH = 4
# Rows of the version before the newest, and of the newest.
OLD, NEW = 1000, 1100
# Forks of one process: those beside threads, and during its first calls at most.
AT_ONCE, AT_FIRST = 500, 6
WAYS = 6


# The table -----------------------------------------------------------------------------------------------------


def values(rows) -> np.ndarray:
    """As table.h of the C tests has them."""
    return (np.asarray(rows, np.int64)[:, None] * 1000 + np.arange(WIDTH)).astype(np.float32)


def write(table: Path, rows, mode: str) -> None:
    import rds

    with rds.ResultDatasetWriter(table, mode=mode) as writer:
        writer.write_batch([f"id-{row}" for row in rows], values(rows))


def make_table(table: Path) -> int:
    """Rows that are mapped, and rows of a file with deletions, which are decoded; gives the version before the last."""
    import lance

    write(table, range(400), "create")
    write(table, range(400, 800), "append")
    # Every other row is of no number, and deleted.
    write(table, [number for row in range(800, OLD) for number in (row, -1)], "append")
    dataset = lance.dataset(str(table))
    dataset.delete("object_id = 'id--1'")
    write(table, range(OLD, NEW), "append")
    return dataset.version


# Forks of C ----------------------------------------------------------------------------------------------------


def compile_program(place: Path) -> Path:
    import rds._library

    library, root = Path(rds.get_library()), common.HERE.parent
    for name in ("librds.so", "librds.so.0"):
        (place / name).symlink_to(library)
    program = place / "forks"
    command = [
        os.environ.get("CC", "cc"), "-std=c11", "-D_XOPEN_SOURCE=700", "-O1", "-g", "-rdynamic",
        f"-I{root / 'include'}", f"-I{root / 'c_tests'}", common.HERE / "forks.c", f"-L{place}",
        f"-Wl,-rpath,{place}", "-lrds", "-pthread", "-o", program,
    ]
    subprocess.run(command, check=True)
    return program


class Forks:
    def __init__(self, chosen, place: Path, counts):
        self.chosen, self.counts = chosen, counts
        self.chance = random.Random(chosen.seed)
        self.table = place / "t.lance"
        self.version = make_table(self.table)
        self.program = compile_program(place)

    def run(self, way: str, forks: int) -> int:
        """One process, and how many children it has had."""
        seed = self.chance.randrange(1 << 30)
        numbers = [self.version, OLD, NEW, forks, seed]
        warm = "--warm" if self.chosen.without_first else "--cold"
        begin = [sys.executable, __file__, warm] if way == "python" else [self.program, way]
        command = [str(part) for part in [*begin, self.table, *numbers]]
        # Its children hold the pipes too, and each may wait for its alarm.
        limit = 60 + forks * SECONDS
        ended = subprocess.run(command, capture_output=True, text=True, timeout=limit)
        said = re.fullmatch(r"(\d+) (\d+) (\d+)\n", ended.stdout)
        again = f"again with `{' '.join(command)}`"
        expect(ended.returncode == 0 and said, f"exit {ended.returncode}: {ended.stderr[-2000:]}; {again}")
        children, stuck, failed = map(int, said.groups())
        self.counts[way] += children
        wrong = f"{way}: of {children} children {stuck} took {SECONDS} s, {failed} failed"
        expect(not stuck and not failed, f"{wrong}: {ended.stderr[:3000]}; {again}")
        return children

    def run_all(self, way: str, forks: int) -> None:
        while forks > 0:
            children = self.run(way, min(forks, AT_FIRST if way == "first" else AT_ONCE))
            forks -= children
            self.counts["processes"] += 1


# Forks of Python -----------------------------------------------------------------------------------------------


def check(found, rows) -> None:
    expect(np.array_equal(np.asarray(found), values(rows)), "other values")


def warm_pyarrow() -> None:
    """It imports on first use, and a child that is forked meanwhile waits for ever for the lock of the import."""
    rows = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(WIDTH, np.float32)), WIDTH)
    table = pa.table({"object_id": pa.array(["0"]), "data": rows})
    total = pa.RecordBatchReader.from_stream(table).read_all()
    total["object_id"].to_pylist(), total["data"].combine_chunks().flatten().to_numpy()


def stream(dataset, count: int) -> None:
    total = pa.RecordBatchReader.from_stream(dataset.stream(batch_size=300)).read_all()
    expect(total["object_id"].to_pylist() == [f"id-{row}" for row in range(count)], "other ids in a stream")
    check(total["data"].combine_chunks().flatten().to_numpy().reshape(-1, WIDTH), range(count))


def read(dataset, seed: int, way: int, count: int) -> None:
    chosen = (np.arange(200) * 7919 + seed) % count
    row = seed % count
    if way == 0:
        check(dataset[chosen], chosen)
    elif way == 1:
        check(dataset[row : row + 100], range(row, min(row + 100, count)))
        check([dataset[row]], [row])
    elif way == 2:
        expect(dataset.find([f"id-{row}", "none"]).tolist() == [row, -1], "a row is not found")
    elif way == 3:
        expect(dataset.ids() == [f"id-{row}" for row in range(count)], "other ids")
        expect(dataset.get_object_id(row) == f"id-{row}", "another id")
    else:
        stream(dataset, count)


def open_and_refresh(table: Path, version: int, access: str) -> None:
    import rds

    with rds.ResultDataset({}, table, version=version, access=access) as dataset:
        expect(len(dataset) == OLD, "other rows")
        expect(dataset.refresh() and len(dataset) == NEW, "it is not refreshed")
        read(dataset, version, 0, NEW)


def use(dataset, seed: int, old: bool) -> None:
    for way in range(5):
        read(dataset, seed, way, OLD if old else NEW)
    expect(dataset.refresh() == old, "refreshed wrongly")
    read(dataset, seed, seed % 5, NEW)


class Load(threading.Thread):
    """Reads in one way through each of the datasets, in turn."""

    over = threading.Event()

    def __init__(self, way: int, table: Path, version: int, datasets, seed: int):
        super().__init__()
        self.way, self.table, self.version, self.datasets = way, table, version, datasets
        self.chance, self.calls, self.error = random.Random(seed + way), 0, None

    def run(self):
        try:
            while not self.over.is_set():
                if self.way < 5:
                    read(self.chance.choice(self.datasets), self.chance.randrange(1 << 30), self.way, NEW)
                else:
                    open_and_refresh(self.table, self.version, self.chance.choice(["auto", "lance"]))
                self.calls += 1
        except BaseException as error:
            self.error = error
            raise


def python(table: Path, version: int, forks: int, seed: int, warm: bool) -> None:
    warm_pyarrow()
    import rds

    faulthandler.register(signal.SIGALRM, chain=True)
    chance = random.Random(seed)
    used = [rds.ResultDataset({}, table, access=access) for access in ("auto", "lance")]
    if warm:
        for dataset in used:
            use(dataset, seed, False)
    threads = [Load(way, table, version, used, seed) for way in range(WAYS)]
    for thread in threads:
        thread.start()
    counts = [0, 0, 0]
    while counts[0] < forks and not any(counts[1:]) and all(thread.is_alive() for thread in threads):
        unused = [rds.ResultDataset({}, table, version=version, access=access) for access in ("auto", "lance")]
        time.sleep(chance.random() / 1000)
        seed = chance.randrange(1 << 30)
        child = os.fork()
        if child == 0:
            python_child(table, version, used, unused, seed)
        status = os.waitpid(child, 0)[1]
        counts[0] += 1
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
            counts[1] += 1
        elif status:
            counts[2] += 1
    Load.over.set()
    for thread in threads:
        thread.join()
        counts[2] += thread.error is not None or not thread.calls
    print(*counts, flush=True)


def python_child(table: Path, version: int, used, unused, seed: int) -> None:
    import rds

    signal.alarm(SECONDS)
    try:
        own = [rds.ResultDataset({}, table, access=access) for access in ("auto", "lance")]
        for dataset in [*own, *used] if seed % 2 else [*used, *own]:
            use(dataset, seed, False)
        for dataset in unused:
            use(dataset, seed, True)
        open_and_refresh(table, version, "lance" if seed % 3 else "auto")
        for dataset in [*own, *used, *unused]:
            dataset.close()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(1)


# The program ---------------------------------------------------------------------------------------------------


def run(chosen, place, counts) -> None:
    forks = Forks(chosen, place, counts)
    first = 0 if chosen.without_first else chosen.count // 3
    forks.run_all("first", first)
    forks.run_all("busy", (chosen.count - first) // 2)
    forks.run_all("python", chosen.count - counts["first"] - counts["busy"])


if __name__ == "__main__":
    if sys.argv[1:2] in (["--warm"], ["--cold"]):
        python(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[6]), int(sys.argv[7]), sys.argv[1] == "--warm")
    else:
        chosen_options = common.options(__doc__.splitlines()[0], count=300, without_first=False)
        needed = ("busy", "python") if chosen_options.without_first else ("first", "busy", "python")
        common.program(run, chosen_options, *needed)
