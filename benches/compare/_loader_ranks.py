"""Processes that share the epochs of a table: what memory they come to have, and what is left when they are killed."""

import os
import random
import signal
import struct
import tempfile
import threading
import time
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from _common import table_path

import rds

FORKED = get_context("fork")


def private_bytes():
    """Memory that this process alone has: what it wrote, and what is in no file."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    sizes = {name: int(size.split()[0]) * 1024 for name, _, size in (line.partition(":") for line in lines[1:])}
    return np.array([sizes["Private_Dirty"], sizes["Anonymous"]])


# Memory -------------------------------------------------------------------------------------------


def growths(directory, workers, epochs, batch):
    """Bytes that each of the workers has more after the last epoch than before the first, and than after the first."""
    dataset = rds.ResultDataset({}, directory)
    links, started = [], []
    for worker in range(workers):
        ours, theirs = FORKED.Pipe()
        started.append(FORKED.Process(target=_measure, args=(dataset, worker, workers, epochs, batch, theirs)))
        started[-1].start()
        links.append(ours)
    sizes = np.array([link.recv() for link in links])
    for process in started:
        process.join()
    return sizes


def _measure(dataset, worker, workers, epochs, batch, link):
    loader = rds.Loader(dataset, batch_size=batch, rank=worker, world_size=workers)
    sizes = [private_bytes()]
    for _ in range(epochs):
        for rows in loader:
            rows[0, 0] = 0
        sizes.append(private_bytes())
    link.send([int((sizes[-1] - sizes[at]).max()) for at in (0, 1)])


# Kills --------------------------------------------------------------------------------------------

KILL_ROWS, KILL_BATCH = 20_000, 256
# A record of a log: epoch, rows consumed after the step, rows of this rank; then the state, and the rows.
HEAD = struct.Struct("<QQQ")


def write_numbered(directory):
    """A table whose rows say their number."""
    numbers = np.arange(KILL_ROWS)
    with rds.ResultDatasetWriter(directory) as writer:
        writer.write_batch(numbers, np.repeat(numbers[:, None], 8, axis=1))


def _rank(directory, options, state, log, worker_dies):
    """What one process does until it is killed: steps, each of which takes it a while, by a loader or with workers of a
    DataLoader, of which one may be killed after so many seconds."""
    os.setpgrp()
    loader = rds.Loader(rds.ResultDataset({}, directory), seed=3, **options)
    if state:
        loader.load_state_dict({"rds": state})
    steps = _of_loader(loader) if worker_dies is None else _of_workers(directory, loader, options, worker_dies)
    try:
        with open(log, "ab", buffering=0) as file:
            for rows in steps:
                numbers = np.asarray(rows)[:, 0]
                head = HEAD.pack(loader.epoch, loader.consumed, len(numbers))
                file.write(head + loader.state_dict()["rds"] + numbers.tobytes())
                time.sleep(0.0005)
    except RuntimeError as error:
        # How torch tells it, wherever the program is.
        os._exit("is killed by signal" not in str(error))


def _kill(how, process):
    """If it is still there."""
    with suppress(ProcessLookupError):
        how(process, signal.SIGKILL)


def _as_it_is(batch):
    return batch


def _of_loader(loader):
    while True:
        yield from loader


def _of_workers(directory, loader, options, dies):
    """The same batches from two workers; the loader is moved to where they are."""
    from torch.utils.data import DataLoader

    dataset = rds.torch.IterableDataset(rds.ResultDataset({}, directory), seed=3, format="numpy", **options)
    dataset.load_state_dict(loader.state_dict())
    epoch, consumed, end = loader.epoch, loader.consumed, time.monotonic() + dies
    while True:
        # As arrays: tensors would come in shared memory of torch, which leaves it behind when it is killed.
        batches = iter(DataLoader(dataset, batch_size=None, num_workers=2, collate_fn=_as_it_is))
        if dies:
            victim = batches._workers[epoch % 2].pid
            # An epoch may be shorter, and its workers are gone then.
            threading.Timer(max(end - time.monotonic(), 0), _kill, (os.kill, victim)).start()
        for rows in batches:
            consumed = min(consumed + options["global_batch_size"], KILL_ROWS)
            loader.seek(epoch, consumed)
            yield rows
        epoch, consumed = epoch + 1, 0


def _logged(log):
    """The steps of a log: (epoch, consumed) to state and rows. One that was being written is not there."""
    data, steps, at = log.read_bytes(), {}, 0
    while at + HEAD.size <= len(data):
        epoch, consumed, count = HEAD.unpack_from(data, at)
        state, rows = at + HEAD.size, at + HEAD.size + 64
        at = rows + 8 * count
        if at <= len(data):
            steps[epoch, consumed] = data[state:rows], np.frombuffer(data, np.int64, count, rows)
    return steps


def _run(directory, logs, state, choose, with_workers):
    """Starts ranks and kills one, or a worker of one, and then the others, which cannot go on. Returns their logs."""
    ranks, batch = choose.randint(1, 4), choose.choice([KILL_BATCH // 2, KILL_BATCH, 3 * KILL_BATCH])
    delay, victim = choose.uniform(0.01, 0.12), choose.randrange(ranks)
    files = [Path(logs, str(rank)) for rank in range(ranks)]
    started = []
    for rank, file in enumerate(files):
        file.write_bytes(b"")
        options = {"global_batch_size": batch, "rank": rank, "world_size": ranks}
        dies = (delay if rank == victim else 0) if with_workers else None
        started.append(FORKED.Process(target=_rank, args=(directory, options, state, file, dies)))
        started[-1].start()
    if with_workers:
        started[victim].join()
    else:
        time.sleep(delay)
    for process in started[victim:] + started[:victim]:
        _kill(os.killpg, process.pid)
        process.join()
    return [_logged(file) for file in files]


def _files(path):
    return {(str(file), (file.stat().st_size, file.stat().st_mtime_ns)) for file in path.rglob("*")}


def killed(directory, kills, with_workers):
    """Kills ranks, or workers of them in turn with these, and goes on with another number of ranks each time.

    Returns, for each epoch that was done, how often each row came; how many kills were in the middle of one; and which
    files of the directory of the table and of /dev/shm are others now.
    """
    if with_workers:
        # Ranks are forked with it.
        import torch  # noqa: F401
    choose = random.Random(0)
    write_numbered(directory)
    places = Path(table_path(directory)), Path("/dev/shm")
    before = [_files(place) for place in places]
    epochs, state, within = {}, b"", 0
    with tempfile.TemporaryDirectory() as logs:
        for number in range(kills):
            steps = _run(directory, logs, state, choose, with_workers and number % 2)
            if all(steps):
                # What all of them have done.
                last = min(max(of_rank) for of_rank in steps)
                within += 0 < last[1] < KILL_ROWS
                state = next(of_rank[last][0] for of_rank in steps if last in of_rank)
                for of_rank in steps:
                    for place, (_, rows) in of_rank.items():
                        if place <= last:
                            epochs.setdefault(place[0], []).append(rows)
    changed = [file for place, files in zip(places, before) for file, _ in files ^ _files(place)]
    _finish(directory, state, epochs)
    counts = [np.bincount(np.concatenate(rows), minlength=KILL_ROWS) for _, rows in sorted(epochs.items())]
    return counts, within, changed


def _finish(directory, state, epochs):
    """The rest of the epoch."""
    loader = rds.Loader(rds.ResultDataset({}, directory), batch_size=KILL_BATCH, seed=3)
    loader.load_state_dict({"rds": state})
    for rows in loader:
        epochs.setdefault(loader.epoch, []).append(rows[:, 0].copy())
