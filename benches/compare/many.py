"""Tables from the workers of Dask: rows of a catalogue beside LSDB's own `to_lance`, two workers beside one, a pass over
a table that is larger than the memory of the workers, and a million parts.

    many.py [catalogue] [workers] [pass] [million] [--small]    all, if none is named

The catalogue needs LSDB. Some 10 GB are written into the temporary directory (TMPDIR): the disk under it is measured.
"""

import importlib.util
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import lance
import numpy as np
import psutil
from dask.distributed import Client, LocalCluster

import rds
import rds.dask
from _common import Measure, judged, seconds
from _many_rows import BANDS, SUMS, WIDTH, block, catalogue, collection, columns, embeddings, observations, sums

SMALL = "--small" in sys.argv
PARTITIONS, ROWS = (20, 5_000) if SMALL else (200, 5_000)
ROUNDS = 5
LIMIT = (400 << 20) if SMALL else (1 << 30)
PRIVATE = 250 << 20


@contextmanager
def cluster(workers, memory="auto"):
    """Processes with a thread each."""
    options = {"n_workers": workers, "threads_per_worker": 1, "memory_limit": memory, "dashboard_address": ":0"}
    with LocalCluster(processes=True, **options) as made, Client(made) as client:
        # What is imported and allocated first is not measured.
        with tempfile.TemporaryDirectory() as name:
            rds.dask.write(collection(2 * workers, 100), name)
            rds.dask.read(name).map_partitions(sums, meta=SUMS).compute()
        yield client


@contextmanager
def scratch():
    """An empty directory on a disk that has nothing else to do."""
    with tempfile.TemporaryDirectory() as name:
        os.sync()
        yield Path(name)


# 1. Beside LSDB -----------------------------------------------------------------------------------


def beside_lsdb():
    if importlib.util.find_spec("lsdb") is None:
        print("LSDB is not installed; nothing is measured beside it")
        return
    rows = catalogue(PARTITIONS, ROWS)
    title = f"{PARTITIONS} partitions of {ROWS:,} rows of {WIDTH} float32, from a catalogue by two workers"
    measure = Measure(title, slow="to_lance", fast="rds", target=10)
    writers = {
        "to_lance": lambda path: rows.to_lance(path, progress_bar=False),
        "rds": lambda path: rds.dask.write(rows, path, tensors=["embedding"]),
    }
    checks = {"to_lance": rows_of_theirs, "rds": rows_of_ours}
    times = {name: [] for name in writers}
    with cluster(2):
        for _ in range(ROUNDS):
            # Each begins with what the other has left: memory and disk.
            for name, write in writers.items():
                with scratch() as directory:
                    times[name].append(seconds(lambda: write(directory / "results")))
                    print(f"{name}: {times[name][-1]:.2f} s, rows as given:", judged(checks[name](directory / "results")))
    measure.add(f"median of {ROUNDS}", {name: statistics.median(taken) for name, taken in times.items()})
    measure.show()


def rows_of_ours(path):
    """Whether all rows are there, and in order."""
    dataset, total = rds.ResultDataset({}, path), PARTITIONS * ROWS
    met = dataset.ids() == [str(number) for number in range(total)]
    return met and is_as_made(dataset)


def is_as_made(dataset):
    stored, firsts = np.asarray(dataset["embedding"]), range(0, PARTITIONS * ROWS, ROWS)
    met = len(stored) == PARTITIONS * ROWS
    return met and all(np.array_equal(stored[n : n + ROWS], embeddings(n, ROWS)) for n in firsts)


def rows_of_theirs(path):
    """Whether all rows are there: they come in any order."""
    counted, met = np.zeros(PARTITIONS * ROWS, np.int64), True
    for batch in lance.dataset(path / "data.lance").to_batches(columns=["id", "embedding"], batch_size=ROWS):
        numbers = batch["id"].to_numpy()
        counted[numbers] += 1
        expected = block(ROWS)[numbers // ROWS + numbers % ROWS]
        met &= np.array_equal(batch["embedding"].flatten().to_numpy().reshape(-1, WIDTH), expected)
    return met and bool((counted == 1).all())


# 2. Two workers beside one ------------------------------------------------------------------------


class Run(NamedTuple):
    """A job: how long it took, and how many cores of the machine it kept busy."""

    seconds: float
    cores: float


def two_workers():
    """A worker that waits for the system does something else, so that one has some of the second core, too: what the
    second adds when each has a core of its own is measured besides."""
    wide, narrow = collection(PARTITIONS, ROWS), observations(PARTITIONS, 4 * ROWS)
    tensors = {"position": ["ra", "dec"], "magnitudes": BANDS}
    jobs = {f"{WIDTH} float32 each": lambda path: rds.dask.write(wide, path)}
    jobs["a text, 2 float64 and 5 float32 each"] = lambda path: rds.dask.write(narrow, path, tensors=tensors)
    for cores, pinned in (("all cores for each", False), ("a core for each", True)):
        measure = Measure(f"Rows from a DataFrame, {cores}", slow="one worker", fast="two workers", target=1.7)
        for case, job in jobs.items():
            runs = {"one worker": [], "two workers": []}
            for _ in range(ROUNDS):
                for workers, made in enumerate(runs.values(), 1):
                    made.append(by_workers(workers, pinned, job, case))
            measure.add(case, {name: statistics.median(run.seconds for run in made) for name, made in runs.items()})
            busy = [f"{name} {statistics.median(run.cores for run in made):.2f}" for name, made in runs.items()]
            print(f"{case}, {cores}: cores busy:", ", ".join(busy))
        measure.show()
    print("How many times as much as one process do two?", ", ".join(f"{n} {twice(w):.2f}" for n, w in PLAIN.items()))


def by_workers(workers, pinned, job, case):
    with cluster(workers) as client, scratch() as directory:
        if pinned:
            for core, address in zip(sorted(os.sched_getaffinity(0)), client.scheduler_info()["workers"]):
                client.run(pin, core, workers=[address])
        # The first time memory is new to the process, and to the machine.
        job(directory / "first")
        shutil.rmtree(directory / "first")
        os.sync()
        before = psutil.cpu_times()
        taken = seconds(lambda: job(directory / "results"))
        after = psutil.cpu_times()
        check(directory / "results", case)
        return Run(taken, (after.user + after.system - before.user - before.system) / taken)


def pin(core):
    """All threads of this process to a core, and with them those that they start."""
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), [core])


def plain_count(_):
    return sum(range(20_000_000))


def plain_copy(_):
    content = embeddings(0, ROWS)
    for _ in range(100):
        content.copy()


def plain_write(path):
    content = embeddings(0, ROWS)
    for _ in range(50):
        content.tofile(path)


# What a machine does of which no second worker can make more than that.
PLAIN = {"counting": plain_count, "copying memory": plain_copy, "writing files of 10 MB": plain_write}


def twice(work):
    taken = []
    for processes in (1, 2):
        with scratch() as directory, multiprocessing.get_context("spawn").Pool(processes) as pool:
            paths = [(work, directory / str(number)) for number in range(processes)]
            taken.append(min(max(pool.starmap(seconds, paths, chunksize=1)) for _ in range(3)))
    return 2 * taken[0] / taken[1]


def check(path, case):
    """Whether the rows are there, in order."""
    dataset = rds.ResultDataset({}, path)
    if "embedding" in dataset.columns:
        met = is_as_made(dataset)
    else:
        rows = columns(4 * ROWS)
        met = np.array_equal(np.asarray(dataset["position"])[:, 0], np.tile(rows["ra"], PARTITIONS))
        met &= np.array_equal(np.asarray(dataset["magnitudes"])[-4 * ROWS :, 1], rows[BANDS[1]])
    if not met:
        sys.exit(f"{path} has other rows than were written: {case}")


# 3. A pass over a large table ---------------------------------------------------------------------

def large_pass():
    rows = -(-4 * 2 * LIMIT // (4 * WIDTH) // ROWS) * ROWS
    print(f"\nA pass over {rows:,} rows ({rows * WIDTH * 4 / 1e9:.1f} GB) by two workers of {LIMIT / 1e9:.2f} GB each")
    with scratch() as directory:
        expected = 0.0
        with rds.ResultDatasetWriter(directory) as writer:
            for first in range(0, rows, ROWS):
                values = embeddings(first, ROWS)
                writer.write_batch(np.arange(first, first + ROWS), {"embedding": values})
                expected += values.sum(dtype="f8")
        for kind in ("array", "dataframe"):
            with cluster(2, LIMIT) as client:
                processes = sorted(client.run(os.getpid).values())
                with watched(client, processes) as seen:
                    start = time.perf_counter()
                    found = total(directory, kind)
                    taken = time.perf_counter() - start
                alive = sorted(client.run(os.getpid).values()) == processes
            show(kind, taken, np.isclose(found, expected, rtol=1e-12), alive, seen)


def total(directory, kind):
    read = rds.dask.read(directory, kind=kind)
    if kind == "array":
        return float(read.sum(dtype="f8").compute())
    # Optimised, a partition is read by the task that adds it up, and none waits in the memory of a worker.
    return float(read.map_partitions(sums, meta=SUMS).optimize().compute().sum())


def show(kind, taken, equal, alive, seen):
    print(
        f"{kind:10} {taken:.1f} s; sum equal: {judged(equal)}; no worker killed or paused: "
        f"{judged(alive and not seen['paused'])}; memory of a worker at most: {seen['own'] >> 20} MiB of its own "
        f"({judged(seen['own'] < PRIVATE)}: {PRIVATE >> 20}), {seen['resident'] >> 20} MiB with pages of files"
    )


def paused(dask_scheduler):
    return any(worker.status.name == "paused" for worker in dask_scheduler.workers.values())


@contextmanager
def watched(client, processes):
    """The most memory that one of some processes has meanwhile: what would have to be swapped, and all that is
    resident; and whether a worker was paused."""
    seen, ended = {"own": 0, "resident": 0, "paused": False}, threading.Event()

    def watch():
        while not ended.wait(0.05):
            for process in processes:
                try:
                    rows = Path(f"/proc/{process}/status").read_text().splitlines()
                except FileNotFoundError:
                    continue
                sizes = {row.split(":")[0]: int(row.split()[1]) << 10 for row in rows if "Rss" in row or "VmRSS" in row}
                seen["own"] = max(seen["own"], sizes["RssAnon"] + sizes["RssShmem"])
                seen["resident"] = max(seen["resident"], sizes["VmRSS"])
            seen["paused"] |= client.run_on_scheduler(paused)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


# 4. A million parts -------------------------------------------------------------------------------


def million():
    """Parts of a row each, as they are written, and the commit of all of them in a process of its own."""
    count = 20_000 if SMALL else 1_000_000
    spawn = multiprocessing.get_context("spawn")
    with scratch() as directory:
        with spawn.Pool(2) as pool:
            pool.starmap(tiny_parts, [(directory, first, min(first + 1000, count)) for first in range(0, count, 1000)])
        with spawn.Pool(1) as pool:
            taken, peak = pool.apply(commit_all, (directory,))
        rows = np.asarray(rds.ResultDataset({}, directory))[:, 0]
        print(
            f"\nA commit of {count:,} parts: {taken:.1f} s ({judged(taken < 60)}: 60), {peak >> 20} MiB at most "
            f"({judged(peak < 2 << 30)}: 2048); rows equal: {judged(np.array_equal(rows, np.arange(count)))}"
        )


def tiny_parts(directory, first, end):
    for number in range(first, end):
        rds.parts.write_part(directory, "job", number, [([str(number)], np.full((1, 4), number, "f8"))])


def commit_all(directory):
    tokens = list(rds.parts.unfinished(directory)["job"].values())
    taken = seconds(lambda: rds.parts.commit_parts(directory, "job", tokens))
    rows = Path("/proc/self/status").read_text().splitlines()
    return taken, next(int(row.split()[1]) << 10 for row in rows if row.startswith("VmHWM"))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    cases = {"catalogue": beside_lsdb, "workers": two_workers, "pass": large_pass, "million": million}
    for name in [name for name in sys.argv[1:] if name in cases] or cases:
        cases[name]()
