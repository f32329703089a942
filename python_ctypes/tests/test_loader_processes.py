"""Loaders in forked and started processes, beside threads, after a kill, and when a signal comes."""

import copy
import gc
import json
import multiprocessing
import os
import pickle
import random
import select
import signal
import subprocess
import sys
import threading
import types

import numpy as np
import pytest
from children import in_child
from killed import environment
from preload import preloadable, run_with
from samples import assert_same_bits, numbered_ids, random_array

import rds

ROWS = 400
DATA = random_array("f4", (ROWS, 16))

# pylance, which the tests import, warns at every fork; librds is what reads here.
pytestmark = pytest.mark.filterwarnings("ignore:lance is not fork-safe")


@pytest.fixture
def dataset(make_dataset):
    return make_dataset(numbered_ids(ROWS), DATA)


def check(loader, expected):
    """What is left of the epoch is what is expected, and the rows that it says."""
    found = []
    for batch in loader:
        assert_same_bits(batch, DATA[loader.rows])
        found += loader.rows.tolist()
    assert found == expected


def begun(dataset, batches, **options):
    """A loader that has given some batches, which are kept, and the rows that are left."""
    loader = rds.Loader(dataset, batch_size=10, **options)
    whole = rds.Loader(dataset, batch_size=10, columns=[])
    rows = np.concatenate([numbers.copy() for numbers in whole]).tolist()
    iteration = iter(loader)
    kept = [(next(iteration), loader.rows) for _ in range(batches)]
    return loader, kept, rows[10 * batches :]


@pytest.mark.parametrize("batches", [0, 1, 7])
@pytest.mark.parametrize("max_bytes", [None, 4000])
def test_a_child_goes_on_from_where_its_parent_was(dataset, batches, max_bytes):
    loader, kept, rest = begun(dataset, batches, max_bytes=max_bytes)

    def work():
        check(loader, rest)
        # What the parent was lent is still there, and not given back here.
        while kept:
            batch, rows = kept.pop()
            assert_same_bits(batch, DATA[rows])
        loader.seek(0)
        assert len(list(loader)) == ROWS // 10

    in_child(work)
    for batch, rows in kept:
        assert_same_bits(batch, DATA[rows])
    check(loader, rest)


def test_a_child_of_a_child_goes_on_and_each_has_memory_of_its_own(dataset):
    loader, kept, rest = begun(dataset, 2)

    def work(depth):
        batch = next(iter(loader))
        batch[:] = depth
        if depth:
            in_child(lambda: work(depth - 1))
        assert (batch == depth).all()
        check(loader, rest[10 * (3 - depth) :])

    in_child(lambda: work(2))
    check(loader, rest)


def test_a_child_that_closes_takes_nothing_from_its_parent(dataset):
    loader, kept, rest = begun(dataset, 3)

    def work():
        kept.clear()
        loader.close()

    in_child(work)
    for batch, rows in kept:
        assert_same_bits(batch, DATA[rows])
    check(loader, rest)


def test_children_are_forked_while_threads_iterate(dataset):
    loader = rds.Loader(dataset, batch_size=2)
    over = threading.Event()

    def iterate():
        while not over.is_set():
            for batch in loader:
                batch[:] = 0

    threads = [threading.Thread(target=iterate) for _ in range(3)]
    for thread in threads:
        thread.start()

    def work():
        left = ROWS - loader.consumed
        # Of this epoch, although nothing may be left of it.
        loader.set_epoch(loader.epoch)
        rows = np.concatenate([loader.rows for _ in loader] or [[]])
        assert len(rows) == len(set(rows)) == left

    try:
        for _ in range(5):
            in_child(work)
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_a_sampler_goes_on_in_a_child(dataset):
    sampler = rds.BatchSampler(dataset, 10)
    rows = list(rds.BatchSampler(dataset, 10))
    iteration = iter(sampler)
    assert next(iteration) == rows[0]

    def work():
        assert list(iteration) == rows[1:]

    with sampler._turn():
        in_child(work)
    assert list(iteration) == rows[1:]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_is_a_loader_of_its_own(dataset, copied):
    options = {"seed": 3, "rows": np.arange(100), "tail": "pad", "clump": 3, "global_batch_size": 30}
    loader = rds.Loader(dataset, rank=1, world_size=2, **options)
    next(iter(loader))
    again = copied(loader)
    dataset.close()
    assert again.state_dict() == loader.state_dict()
    expected = [loader.rows.tolist() for _ in loader]
    assert [again.rows.tolist() for _ in again] == expected
    assert again.padded == loader.padded == 15


def test_a_copy_of_a_mixture_has_its_weights(dataset, tmp_path):
    with rds.ResultDatasetWriter(tmp_path / "other") as writer:
        writer.write_batch(np.arange(30), DATA[:30])
    loader = rds.Loader([dataset, rds.ResultDataset({}, tmp_path / "other")], batch_size=10, weights=[0.5, 0.5])
    next(iter(loader))
    loader.set_weights([0.1, 0.9])
    again = pickle.loads(pickle.dumps(loader))
    assert [again.tables.tolist() for _ in again] == [loader.tables.tolist() for _ in loader]
    assert again.state_dict() == loader.state_dict()


def work(loader):
    return os.getpid(), [loader.rows.tolist() for _ in loader], loader.state_dict()


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_of_every_start_method_go_on(dataset, method):
    loader, _, rest = begun(dataset, 5)
    with multiprocessing.get_context(method).Pool(1) as pool:
        pid, rows, state = pool.apply_async(work, (loader,)).get(120)
    assert pid != os.getpid()
    assert sum(rows, []) == rest
    check(loader, rest)
    assert loader.state_dict() == state


def tell(loader, sampler, connection):
    connection.send((loader._opened[0], next(iter(sampler))))


def test_a_process_that_is_started_is_the_rank_that_its_parent_is(dataset, monkeypatch):
    """It is not told itself; but whoever reads a pickle elsewhere is another rank."""
    distributed = types.SimpleNamespace(
        is_available=lambda: True, is_initialized=lambda: True, get_rank=lambda: 2, get_world_size=lambda: 4
    )
    monkeypatch.setitem(sys.modules, "torch.distributed", distributed)
    loader, sampler = rds.Loader(dataset, batch_size=10), rds.BatchSampler(ROWS, 10)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=tell, args=(loader, sampler, theirs))
    process.start()
    assert ours.recv() == ((2, 4), list(rds.BatchSampler(ROWS, 40, rank=0, world_size=1))[0][20:30])
    process.join()
    pickled = pickle.dumps((loader, sampler))
    monkeypatch.delitem(sys.modules, "torch.distributed")
    for one in pickle.loads(pickled):
        assert one._opened in ((0, 1), ((0, 1), (0, 1)))


TRAIN = """
import json, sys
import rds
where, log, rank, world_size, state = sys.argv[1:]
loader = rds.Loader(rds.ResultDataset({}, where), batch_size=5, rank=int(rank), world_size=int(world_size))
if state:
    loader.load_state_dict({"rds": bytes.fromhex(state)})
loader.set_epoch(0)
with open(log, "a") as file:
    for batch in loader:
        line = json.dumps([loader.rows.tolist(), loader.state_dict()["rds"].hex()])
        file.write(line + "\\n")
        file.flush()
"""


def logged(path):
    """Rows and states of the steps that were written whole."""
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


@pytest.mark.parametrize("seed", range(3))
def test_after_a_kill_another_number_of_ranks_goes_on_where_it_was(dataset, tmp_path, seed):
    rng = random.Random(seed)
    log = tmp_path / "log"
    command = [sys.executable, "-c", TRAIN, str(dataset.data_location)]
    run = subprocess.Popen([*command, str(log), "0", "1", ""], env=environment())
    while not log.exists() or log.stat().st_size < 100 * rng.randrange(1, 40):
        assert run.poll() is None or log.stat().st_size > 2000
    run.kill()
    run.wait()
    steps = logged(log)
    seen = sum((rows for rows, _ in steps), [])
    for rank in range(3):
        path = tmp_path / f"rank {rank}"
        subprocess.run([*command, str(path), str(rank), "3", steps[-1][1]], env=environment(), check=True)
        seen += sum((rows for rows, _ in logged(path)), [])
    assert sorted(seen) == list(range(ROWS))


# As long as SLOW_READ is set.
SLOW_DISK = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>
static void wait_for_disk(void) { while (getenv("SLOW_READ")) usleep(10000); }
ssize_t pread64(int fd, void *to, size_t n, off_t at) { wait_for_disk(); return syscall(SYS_pread64, fd, to, n, at); }
ssize_t pread(int fd, void *to, size_t n, off_t at) { wait_for_disk(); return syscall(SYS_pread64, fd, to, n, at); }
"""

WAIT = """
import json, os, signal, sys, threading, time
import rds
where, what = sys.argv[1:]
loader = rds.Loader(rds.ResultDataset({}, where, access="lance"), batch_size=10, ahead=1, threads=1)
whole = [rows.tolist() for rows in rds.Loader(rds.ResultDataset({}, where), batch_size=10, columns=[])]
told = []

def ring(*_):
    told.append(loader.state_dict()["rds"][24])
    if what == "raises":
        raise TimeoutError

signal.signal(signal.SIGTERM, ring)
if what == "quiet":
    signal.signal(signal.SIGINT, ring)
iteration = iter(loader)
next(iteration)
while loader.stats().ready < 1:
    time.sleep(0.01)
os.environ["SLOW_READ"] = "1"
next(iteration)
# The thread reads what comes next.
time.sleep(0.2)

def send():
    time.sleep(0.5)
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGTERM if what == "raises" else signal.SIGINT)
    if what == "quiet":
        time.sleep(0.5)
        del os.environ["SLOW_READ"]

sent = []
threading.Thread(target=send).start()
try:
    next(iteration)
    raised = "nothing"
except (KeyboardInterrupt, TimeoutError) as error:
    raised = type(error).__name__
late = time.monotonic() - sent[0]
os.environ.pop("SLOW_READ", None)
rows = [loader.rows.tolist()] if what == "quiet" else []
rows += [loader.rows.tolist() for _ in iteration]
print(json.dumps([raised, late, told, rows == whole[2:]]))
"""


@pytest.mark.parametrize(
    ("what", "raised", "told"),
    [("interrupt", "KeyboardInterrupt", []), ("raises", "TimeoutError", [20]), ("quiet", "nothing", [20])],
)
def test_a_signal_ends_the_wait_for_a_batch_which_comes_next(dataset, tmp_path, what, raised, told):
    """And a handler may ask for the position meanwhile."""
    library = preloadable(tmp_path, SLOW_DISK)
    run = run_with(library, WAIT, dataset.data_location, what)
    assert run.returncode == 0, run.stderr
    got, late, seen, is_rest = json.loads(run.stdout)
    assert (got, seen, is_rest) == (raised, told, True)
    assert late < 2


def test_a_batch_that_a_signal_kept_from_its_loop_comes_again(dataset):
    """One that comes behind the call of librds, and one whose handler asks for the position there."""
    loader, _, rest = begun(dataset, 2)
    native = loader._native
    told = []

    class Interrupting(type(native)):
        def arrays(self, given):
            told.append(loader.state_dict()["rds"][24])
            raise KeyboardInterrupt

    native.__class__ = Interrupting
    with pytest.raises(KeyboardInterrupt):
        next(iter(loader))
    native.__class__ = Interrupting.__base__
    assert told == [20] and loader.consumed == 20
    check(loader, rest)


def test_an_interpreter_ends_with_batches_and_threads_at_work(dataset):
    code = (
        "import sys, rds\n"
        "loader = rds.Loader(rds.ResultDataset({}, sys.argv[1]), batch_size=3)\n"
        "iteration = iter(loader)\n"
        "kept = [next(iteration) for _ in range(3)]\n"
    )
    command = [sys.executable, "-X", "dev", "-c", code, str(dataset.data_location)]
    run = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")


def test_an_interrupt_loses_no_memory(tmp_path):
    with rds.ResultDatasetWriter(tmp_path) as writer:
        writer.write_batch(np.arange(4000), np.zeros((4000, 8), np.float32))
    loader = rds.Loader(rds.ResultDataset({}, tmp_path), batch_size=16, ahead=2, max_bytes=8 * 16 * 48)
    told = []

    def interrupt(*_):
        told.append(True)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        for number in range(1, 61):
            timer = threading.Timer(0.002, signal.pthread_kill, (threading.main_thread().ident, signal.SIGUSR1))
            try:
                timer.start()
                # Where a finalizer was interrupted, nobody sees it.
                while len(told) < number:
                    for _batch in loader:
                        if len(told) == number:
                            break
            except KeyboardInterrupt:
                pass
            timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    _batch = None
    gc.collect()
    assert len(told) == 60
    # As many as are lent at once, the last one is not copied.
    kept = [loader._next() for _ in range(5)]
    assert len(kept) == 5
    del kept
    gc.collect()
    loader._native._find_lost()
    assert loader.stats().lent == 0


def test_a_loader_has_a_descriptor_to_wait_for(tmp_path):
    with rds.ResultDatasetWriter(tmp_path) as writer:
        writer.write_batch(np.arange(100), np.zeros((100, 8), np.float32))
    loader = rds.Loader(rds.ResultDataset({}, tmp_path), batch_size=50)
    for _ in range(2):
        assert select.select([loader], [], [], 10)[0] == [loader]
        next(iter(loader))
    with pytest.raises(RuntimeError, match="threads"):
        rds.Loader(rds.ResultDataset({}, tmp_path), batch_size=50, columns=[]).fileno()
