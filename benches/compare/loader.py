"""The training reader: what it promises, and how fast it is beside np.memmap, LanceDB, MDS and a DataLoader.

    loader.py [cases] [start] [warm] [cold] [step] [workers] [kills] [random]    all, if none is named

warm asks for torch, lancedb and mosaicml-streaming, cold for fio, and kills are of workers too where torch is: what is
missing is said, and not measured. The table of warm, cold, step and workers has 200,000 rows of 512 float32, and batches
have 512 rows. With what others make of it, it takes 1.7 GB in the temporary directory (TMPDIR): the disk under that is
measured.
"""

import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from _common import BATCH, ROWS, duration, judged, npy_path, table_path, written
from _loader_cases import compare_cases
from _loader_peers import available, gathered, missing, opened_memmap, order_of, rds_batches
from _loader_ranks import growths, killed, private_bytes

import rds
from cold import evict

WIDTH = 512
ROUNDS = 7
PEER_BATCHES = 64
COLD_BATCHES = 8
# Beside fio: so many that what is gathered ahead of the last one hardly counts.
FIO_BATCHES = 32
PAGE_BYTES = 4096
DEPTHS = (128, 512)


class Report:
    """Measures with their targets, shown at the end."""

    def __init__(self):
        self.lines = [("measure", "target", "result")]

    def add(self, measure, target, result, met=None):
        self.lines.append((measure, target, result if met is None else f"{result} ({judged(met)})"))
        print(" | ".join(self.lines[-1]))
        sys.stdout.flush()

    def compare(self, other, own, its, unit, target):
        """Rates: how many times as much as the other one."""
        ratio = own / its
        met = None if target is None else ratio >= target
        self.add(f"  beside {other}", f">= {target}x" if target else "", f"{ratio:.2f}x of {its:,.0f} {unit}", met)

    def show(self):
        sizes = [max(map(len, column)) for column in zip(*self.lines)]
        print()
        for line in self.lines:
            print(" | ".join(cell.ljust(size) for cell, size in zip(line, sizes)).rstrip())


@contextmanager
def scratch():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


# What is promised -----------------------------------------------------------------------------------


def cases(report):
    """Batches of the loader against those of docs/order.py."""
    count = 10_000
    wrong = compare_cases(count)
    report.add(f"{count:,} random cases against the reference that differ", "0", f"{wrong}", wrong == 0)


def start(report):
    """What the begin of an epoch costs, where there are too many rows to shuffle."""
    rows = 10**9
    sampler = rds.BatchSampler(rows, 16, seed=1)
    times, peaks = [], []

    def begin(epoch):
        sampler.set_epoch(epoch)
        return next(iter(sampler))

    for epoch in range(1, 201):
        since = time.perf_counter()
        begin(epoch)
        times.append(time.perf_counter() - since)
    before = private_bytes()
    for epoch in range(201, 1201):
        begin(epoch)
    private = int((private_bytes() - before).max()) / 1000
    tracemalloc.start()
    for epoch in range(1201, 1221):
        begin(epoch)
        tracemalloc.reset_peak()
        held = tracemalloc.get_traced_memory()[0]
        begin(epoch + 1000)
        peaks.append(tracemalloc.get_traced_memory()[1] - held)
    tracemalloc.stop()
    taken, peak = statistics.median(times), max(peaks)
    report.add(f"start of an epoch of {rows:,} rows, to the first batch", "< 1 ms", duration(taken), taken < 1e-3)
    report.add("  memory of Python for it, at most", "< 4 KiB", f"{peak} bytes", peak < 4096)
    report.add("  private memory for it, mean of 1,000", "< 4 KiB", f"{private:.0f} bytes", private < 4096)


def kills(report):
    count, with_torch = 100, not missing("torch")
    if not with_torch:
        print("workers of a DataLoader are not killed: torch is not installed")
    with scratch() as directory:
        counts, within, changed = killed(directory, count, with_torch)
    wrong = sum(int((of_epoch != 1).sum()) for of_epoch in counts)
    measure = f"rows lost or doubled by {count} kills, {within} within an epoch"
    report.add(measure, "0", f"{wrong} in {len(counts)} epochs", not wrong)
    left = ", ".join(changed[:3]) or "nothing"
    report.add("  changed in the directory of the table and /dev/shm", "nothing", left, not changed)


def random(report):
    """Orders of 10^6 rows beside those of Fisher and Yates: the largest of several seeds, in standard deviations."""
    count, blocks, seeds = 10**6, 100, 6

    def by_loader(seed):
        sampler = rds.BatchSampler(count, count, seed=seed)
        return [np.concatenate(list(sampler)) for _ in range(2)]

    def by_numpy(seed):
        generator = np.random.default_rng(seed)
        return [generator.permutation(count) for _ in range(2)]

    def correlation(one, other):
        return abs(np.corrcoef(one, other)[0, 1]) * np.sqrt(count)

    def spread(order):
        """Chi-square of where the rows of each block of the table come in the epoch."""
        counts = np.zeros((blocks, blocks))
        np.add.at(counts, (np.arange(count) * blocks // count, order * blocks // count), 1)
        expected, free = count / blocks**2, (blocks - 1) ** 2
        return abs(((counts - expected) ** 2 / expected).sum() - free) / np.sqrt(2 * free)

    found = {}
    for name, shuffle in (("rds", by_loader), ("NumPy", by_numpy)):
        orders = [shuffle(seed) for seed in range(seeds)]
        found[name] = {
            "correlation of rows that follow each other": max(correlation(o[:-1], o[1:]) for o, _ in orders),
            "correlation of two epochs": max(correlation(o, other) for o, other in orders),
            f"chi-square over {blocks} x {blocks} blocks": max(spread(o) for o, _ in orders),
        }
    for measure, most in found["rds"].items():
        result = f"{most:.2f}, of np.random's permutation {found['NumPy'][measure]:.2f}"
        report.add(f"{measure}, {seeds} seeds, in deviations", "< 4", result, most < 4)


# How fast it is -------------------------------------------------------------------------------------


def check_rows(directory):
    """Both ways of an epoch, bit for bit; nothing is measured before."""
    memmap = opened_memmap(directory)
    order = order_of(directory, 0)
    same = sum(
        np.array_equal(rows, values) for rows, values in zip(rds_batches(directory, 0), gathered(memmap, order))
    )
    every = np.array_equal(np.sort(np.concatenate(order)), np.arange(ROWS))
    if same != len(order) or not every:
        sys.exit(f"ROWS DIFFER: {same} of {len(order)} batches are equal")
    print("rows equal: an epoch of rds.Loader and of np.memmap, and each row once")
    sys.stdout.flush()


def rate(batches, most=ROWS):
    """Rows per second of an iterator, at most so many."""
    since, rows = time.perf_counter(), 0
    for batch in batches:
        rows += len(batch)
        if rows >= most:
            break
    return rows / (time.perf_counter() - since)


def rate_of_peer(read, *arguments):
    """The first batch of a peer is not timed: its processes and threads start meanwhile."""
    batches = read(*arguments)
    next(batches)
    return rate(batches, PEER_BATCHES * BATCH)


def check_peer(name, batches, memmap, places):
    """That it gives rows of the table."""
    batch = np.asarray(next(batches))
    found = [places[row.tobytes()] for row in batch[:, :4]]
    if len(batch) != BATCH or not np.array_equal(batch, memmap[found]):
        sys.exit(f"ROWS DIFFER: {name}")


def in_turn(turns_of):
    """Median rates of what a round has, by name; each is the first as often as the others."""
    rates = {}
    for number in range(ROUNDS):
        turns = turns_of(number)
        names = list(turns)
        first = number % len(names)
        for name in names[first:] + names[:first]:
            rates.setdefault(name, []).append(turns[name]())
            gc.collect()
    return {name: statistics.median(of_name) for name, of_name in rates.items()}


def warm(report, directory):
    """Epochs out of the page cache. Peers come after memmap: their threads go on for a while."""
    memmap, peers = opened_memmap(directory), list(available())

    def of_memmap(number):
        order = order_of(directory, number)
        epochs = {"rds": lambda: rate(rds_batches(directory, number))}
        return epochs | {"memmap": lambda: rate(gathered(memmap, order))}

    def of_peers(number):
        turns = {"rds": lambda: rate(rds_batches(directory, number))}
        for peer in peers:
            for way, (read, *arguments) in peer.ways.items():
                turns[peer.name, way] = partial(rate_of_peer, read, directory, number, *arguments)
        return turns

    rates = in_turn(of_memmap)
    report.add(f"{WIDTH} float32, batches of {BATCH}, from the page cache", "", f"{rates['rds']:,.0f} rows/s")
    report.compare("memmap, the same rows", rates["rds"], rates["memmap"], "rows/s", 1)
    places = {row.tobytes(): number for number, row in enumerate(np.array(memmap[:, :4]))}
    for peer in peers:
        if peer.write:
            peer.write(directory)
        for read, *arguments in peer.ways.values():
            check_peer(peer.name, read(directory, 0, *arguments), memmap, places)
    rates = in_turn(of_peers)
    for peer in peers:
        way = max(peer.ways, key=lambda way: rates[peer.name, way])
        report.compare(f"{peer.name}, {way}", rates["rds"], rates[peer.name, way], "rows/s", peer.target)


def fio(file, depth):
    """Random reads of a page each, so many at a time, in reads per second."""
    command = ["fio", "--name=rows", f"--filename={file}", "--readonly", "--rw=randread", f"--bs={PAGE_BYTES}", "--direct=1"]
    command += ["--ioengine=libaio", f"--iodepth={depth}", f"--number_ios={FIO_BATCHES * BATCH}"]
    done = subprocess.run([*command, "--output-format=json"], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["jobs"][0]["read"]["iops"]


def cold(report, directory):
    """The first batches of an epoch of which nothing is in the page cache, in turn.

    The kernel reads megabytes around each row that is touched: after few batches memmap has read the whole file, which
    the file of a table that is larger than memory has no end of. So there are few.
    """
    rows, rates = COLD_BATCHES * BATCH, {}
    with_fio = shutil.which("fio") is not None
    if not with_fio:
        print("random reads of fio are not measured: fio is not installed")
    os.sync()
    for number in range(3 * ROUNDS):
        order = order_of(directory, number)
        # Opened before: a mapping keeps pages that it was read through, and what opening reads must not help.
        opened = {"rds": rds_batches(directory, number), "memmap": gathered(opened_memmap(directory), order)}
        for name in list(opened):
            evict(directory)
            rates.setdefault(name, []).append(rate(opened.pop(name), rows))
            gc.collect()
        if with_fio:
            evict(directory)
            for depth in DEPTHS:
                rates.setdefault(depth, []).append(fio(npy_path(directory), depth))
            batches = rds_batches(directory, number)
            evict(directory)
            # Two rows may lie in one page.
            read = np.concatenate(order[:FIO_BATCHES])
            pages = len(np.unique(read * (4 * WIDTH) // PAGE_BYTES))
            rates.setdefault("pages", []).append(rate(batches, len(read)) * pages / len(read))
            del batches
            gc.collect()
    medians = {name: statistics.median(of_name) for name, of_name in rates.items()}
    own = medians["rds"]
    report.add(f"the first {rows:,} rows, none in the page cache", "", f"{own:,.0f} rows/s")
    report.compare("memmap, the same rows", own, medians["memmap"], "rows/s", 5)
    if with_fio:
        depth = max(DEPTHS, key=medians.get)
        pages = medians["pages"]
        report.add(f"pages of the first {FIO_BATCHES * BATCH:,} rows", "", f"{pages:,.0f} pages/s")
        report.compare(f"fio, {depth} random reads of a page at a time", pages, medians[depth], "pages/s", 0.8)


def waited(batches):
    """The share of an epoch that a consumer waits which computes for 5 ms a step."""
    waited = 0.0
    since = began = time.perf_counter()
    for _ in batches:
        now = time.perf_counter()
        waited += now - since
        while time.perf_counter() < now + 5e-3:
            pass
        since = time.perf_counter()
    return waited / (since - began)


def step(report, directory):
    share = statistics.median(waited(rds_batches(directory, seed)) for seed in range(3))
    report.add("time that a consumer of 5 ms a step waits", "< 2 %", f"{share:.2%}", share < 0.02)


def workers(report, directory):
    count, epochs, limit = 8, 20, 2_000_000
    whole, later = growths(directory, count, epochs, BATCH // count).max(axis=0)
    measure = f"private memory that each of {count} workers got in {epochs} epochs, at most"
    report.add(measure, "< 2 MB", f"{whole / 1e6:.2f} MB, {later / 1e6:.2f} MB after the first", whole < limit)


MEASURES = {"cases": cases, "start": start, "kills": kills, "random": random}
OF_TABLE = {"warm": warm, "cold": cold, "step": step, "workers": workers}


def main(names):
    report = Report()
    of_table = [OF_TABLE[name] for name in names if name in OF_TABLE]
    if of_table:
        with written(WIDTH) as directory:
            # MDS leaves files where temporary ones go.
            tempfile.tempdir = str(directory)
            check_rows(directory)
            for measure in of_table:
                measure(report, directory)
        tempfile.tempdir = None
    for name in names:
        if name in MEASURES:
            MEASURES[name](report)
    report.show()


if __name__ == "__main__":
    main(sys.argv[1:] or [*OF_TABLE, *MEASURES])
