"""Signals while a call waits: it ends at once with what the handler raises, and loses neither that nor rows."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pyarrow as pa
import pytest
from killed import environment, ids_of, write_and_die
from preload import preloadable, run_with
from samples import numbered_ids, write

import rds
from rds import _ids, _waiting

SLOW_DISK = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
/* As long as SLOW_FSYNC is set, that many seconds at most. */
static void wait_for_disk(int fd) {
  struct stat status;
  if (fstat(fd, &status) || !S_ISREG(status.st_mode)) return;
  for (int waited = 0; ; waited++) {
    const char *seconds = getenv("SLOW_FSYNC");
    if (!seconds || waited >= 100 * atoi(seconds)) return;
    usleep(10000);
  }
}
int fsync(int fd) { wait_for_disk(fd); return (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { wait_for_disk(fd); return (int)syscall(SYS_fdatasync, fd); }
"""

WRITER = """
import json, os, signal, sys, threading, time
import numpy as np
import rds
from rds import _waiting
where, what, handler = sys.argv[1:]
ignored, sent = [], []
sys.unraisablehook = ignored.append

class Alarm(BaseException):
    pass

def ring(*_):
    raise Alarm

def later(seconds):
    def send():
        time.sleep(seconds)
        sent.append(time.monotonic())
        os.kill(os.getpid(), number)
    threading.Thread(target=send, daemon=True).start()

number = signal.SIGINT
if handler == "Alarm":
    number = signal.SIGTERM
    signal.signal(number, ring)
durability = {"durable batch": "batch", "room": "commit"}.get(what, "interval")
mode = "staged" if what in ("stage", "commit_staged", "recover") else "overwrite"
options = {} if mode == "staged" else {"durability": durability}
writer = rds.ResultDatasetWriter(where, mode=mode, max_queued_bytes=1 << 20, checkpoint_ms=3_600_000, **options)
written = 0

def put(rows=3):
    global written
    ids = np.arange(written, written + rows)
    writer.write_batch(ids, np.repeat(ids[:, None], 64, axis=1).astype("f4"))
    written += rows

def fill():
    # The writer is at a sync, and takes nothing from the queue.
    threading.Thread(target=writer.commit, daemon=True).start()
    time.sleep(0.3)
    while True:
        put(1000)

calls = {
    "commit": lambda: writer.commit(),
    "commit with progress": lambda: writer.commit(progress=lambda done, total: None),
    "flush": lambda: writer.flush(),
    "close": lambda: writer.close(),
    "abort": lambda: (threading.Thread(target=writer.flush, daemon=True).start(), time.sleep(0.2), writer.abort()),
    "stage": lambda: writer.stage(),
    "durable batch": lambda: put(),
    "room": fill,
}

def interrupt(call):
    later(0.5)
    try:
        call()
        told = "returned"
    except (KeyboardInterrupt, Alarm) as error:
        told = type(error).__name__
    except Exception as error:
        told = repr(error)
    return told, time.monotonic() - sent[-1], len(ignored)
"""

ONCE = WRITER + """
put()
os.environ["SLOW_FSYNC"] = "20"
print(json.dumps(interrupt(calls[what])), flush=True)
os._exit(0)
"""

CALLS = ["commit", "commit with progress", "flush", "close", "abort", "stage", "durable batch", "room"]


@pytest.fixture(scope="module")
def slow_disk(tmp_path_factory):
    return preloadable(tmp_path_factory.mktemp("preload"), SLOW_DISK)


@pytest.mark.parametrize("handler", ["KeyboardInterrupt", "Alarm"])
@pytest.mark.parametrize("what", CALLS)
def test_a_signal_ends_every_call_that_waits_for_the_disk(slow_disk, result_dir, what, handler):
    run = run_with(slow_disk, ONCE, result_dir, what, handler)
    assert run.returncode == 0, run.stderr
    told, late, ignored = json.loads(run.stdout)
    assert told == handler
    assert late < 1
    assert not ignored


AND_ON = WRITER + """
put()
os.environ["SLOW_FSYNC"] = "20"
told = [interrupt(calls[what])[0]]
del os.environ["SLOW_FSYNC"]
tokens = []
if what == "stage":
    put()
    tokens = [writer.stage(), writer.stage()]
    writer.close()
    rds.commit_staged(where, tokens)
elif what != "close":
    # A batch that was not accepted is written again.
    written = writer.stats().accepted_rows
    put()
    writer.commit()
    writer.close()
else:
    writer.close()
    for _ in range(200):
        try:
            if len(rds.ResultDataset({}, where)) == 3:
                break
        except FileNotFoundError:
            pass
        time.sleep(0.1)
print(json.dumps([*told, written]))
"""


@pytest.mark.parametrize("what", [call for call in CALLS if call != "abort"])
def test_what_was_accepted_is_there_after_an_interrupt_once(slow_disk, result_dir, what):
    run = run_with(slow_disk, AND_ON, result_dir, what, "KeyboardInterrupt")
    assert run.returncode == 0, run.stderr
    told, written = json.loads(run.stdout)
    assert told == "KeyboardInterrupt"
    assert ids_of(result_dir) == list(range(written))


WITHOUT_WRITER = WRITER + """
put()
tokens = [writer.stage()]
os.environ["SLOW_FSYNC"] = "20"
call = {
    "commit_staged": lambda: rds.commit_staged(where, tokens),
    "recover": lambda: rds.recover(os.environ["DEAD"]),
}[what]
print(json.dumps(interrupt(call)), flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("what", ["commit_staged", "recover"])
def test_a_signal_ends_calls_that_have_no_writer(slow_disk, tmp_path, monkeypatch, what):
    write_and_die(tmp_path / "dead", "create")
    monkeypatch.setenv("DEAD", str(tmp_path / "dead"))
    run = run_with(slow_disk, WITHOUT_WRITER, tmp_path / "staged", what, "KeyboardInterrupt")
    assert run.returncode == 0, run.stderr
    told, late, ignored = json.loads(run.stdout)
    assert (told, ignored) == ("KeyboardInterrupt", 0)
    assert late < 1


FORGOTTEN = WRITER + """
put()
os.environ["SLOW_FSYNC"] = "20"

def forget():
    global writer
    del writer
    time.sleep(5)

print(json.dumps(interrupt(forget)), flush=True)
os._exit(0)
"""


def test_an_interrupt_in_the_close_of_a_forgotten_writer_is_not_lost(slow_disk, result_dir):
    run = run_with(slow_disk, FORGOTTEN, result_dir, "forgotten", "KeyboardInterrupt")
    assert run.returncode == 0, run.stderr
    told, late, ignored = json.loads(run.stdout)
    assert (told, ignored) == ("KeyboardInterrupt", 0)
    assert late < 1


def test_progress_is_told_on_any_thread_to_the_end(result_dir):
    writer = rds.ResultDatasetWriter(result_dir)
    told = []

    def commit(first):
        writer.write_batch(np.arange(first, first + 1000), np.zeros((1000, 64), "f4"))
        calls = []
        writer.commit(lambda *numbers: calls.append(numbers))
        told.append(calls)

    commit(0)
    thread = threading.Thread(target=commit, args=(1000,))
    thread.start()
    thread.join()
    writer.close()
    for calls, rows in zip(told, (1000, 2000)):
        assert calls[-1][0] == calls[-1][1] >= rows
        assert sorted(calls) == calls and all(done <= total for done, total in calls)


@pytest.mark.parametrize("on_thread", [False, True])
def test_what_progress_raises_is_raised(result_dir, on_thread):
    writer = rds.ResultDatasetWriter(result_dir)
    writer.write_batch(["a"], np.zeros((1, 2)))
    raised = []

    def commit():
        try:
            writer.commit(lambda done, total: 1 / 0)
        except ZeroDivisionError as error:
            raised.append(error)

    if on_thread:
        thread = threading.Thread(target=commit)
        thread.start()
        thread.join()
    else:
        commit()
    assert len(raised) == 1
    writer.close()
    assert rds.ResultDataset({}, result_dir).ids() == ["a"]


AT_EXIT = """
import sys, threading, time
import numpy as np
import rds

def commit_for_ever(place):
    writer = rds.ResultDatasetWriter(place)
    row = 0
    while True:
        writer.write_batch([row], np.zeros((1, 64), "f4"))
        writer.commit(progress=eval(sys.argv[2]))
        row += 1

for number in range(4):
    threading.Thread(target=commit_for_ever, args=(f"{sys.argv[1]}/{number}",), daemon=True).start()
time.sleep(0.4)
sys.exit(7)
"""


@pytest.mark.parametrize("progress", ["None", "lambda done, total: None"])
def test_a_daemon_thread_in_a_commit_at_exit_does_not_end_the_process(tmp_path, progress):
    for number in range(4):
        run = subprocess.run(
            [sys.executable, "-c", AT_EXIT, str(tmp_path / str(number)), progress],
            env=environment(), capture_output=True, text=True, timeout=30, check=False,
        )
        # A writer that is closed at exit while its thread writes is an error of that thread.
        assert run.returncode == 7, run.stderr
        assert "panicked" not in run.stderr and "FATAL" not in run.stderr
    for place in tmp_path.glob("*/*"):
        ids = rds.ResultDataset({}, place).ids()
        assert ids == list(map(str, range(len(ids))))


def interrupt_later(seconds):
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()


def test_a_long_call_of_a_reader_is_left_at_an_interrupt():
    begin = time.monotonic()
    interrupt_later(0.3)
    with pytest.raises(KeyboardInterrupt):
        _waiting.aside(lambda: time.sleep(5))
    assert time.monotonic() - begin < 1.5


def test_a_long_call_gives_its_result_or_its_error():
    assert _waiting.aside(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        _waiting.aside(lambda: 1 / 0)


READS = {
    "find": lambda dataset: dataset.find([5]),
    "index_of": lambda dataset: dataset.index_of("5"),
    "ids": lambda dataset: dataset.ids(),
    "get_object_id": lambda dataset: dataset.get_object_id(3),
    "batch": lambda dataset: np.asarray(dataset.batch([1])),
    "iteration": lambda dataset: next(iter(dataset.stream(rows=[2, 1])))["data"],
}


@pytest.mark.parametrize("rows", [10, 1 << 17])
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_many_ids_are_loaded_aside_once(result_dir, monkeypatch, rows, read):
    write(result_dir, np.arange(rows), np.zeros((rows, 1), np.uint8))
    calls = []

    def aside(call):
        calls.append(call)
        return call()

    monkeypatch.setattr(_waiting, "aside", aside)
    dataset = rds.ResultDataset({}, result_dir)
    read(dataset)
    read(dataset)
    assert len(calls) == (rows > 10)


IDS = {
    "list of strings": numbered_ids,
    "list of bytes": lambda count: [name.encode() for name in numbered_ids(count)],
    "U": lambda count: np.array(numbered_ids(count)),
    "S": lambda count: np.array(numbered_ids(count), "S"),
    "objects": lambda count: np.array(numbered_ids(count), object),
    "beyond ASCII": lambda count: [f"β{number}" for number in range(count)],
    "int64": lambda count: np.arange(count),
    "int16": lambda count: np.arange(count, dtype="i2"),
    "uint64": lambda count: np.arange(count, dtype="u8") + 2**63,
}


@pytest.mark.parametrize("count", [0, 1, 6, 7, 8, 50])
@pytest.mark.parametrize("make", IDS.values(), ids=IDS)
def test_ids_are_looked_up_in_parts(make_dataset, monkeypatch, make, count):
    dataset = make_dataset(make(60), np.zeros((60, 1)))
    order = np.random.default_rng(0).permutation(count)
    ids = make(count)
    shuffled = [ids[i] for i in order] if isinstance(ids, list) else ids[order]
    monkeypatch.setattr(_ids, "_IDS_AT_ONCE", 7)
    assert dataset.find(shuffled).tolist() == order.tolist()


def test_an_interrupt_of_a_consumer_of_a_stream_is_not_lost(result_dir):
    write(result_dir, np.arange(60_000), np.zeros((60_000, 4), "f4"))
    dataset = rds.ResultDataset({}, result_dir)
    dataset.ids()
    order = np.random.default_rng(1).permutation(60_000)
    ignored, told = [], []
    before, sys.unraisablehook = sys.unraisablehook, ignored.append
    try:
        for number in range(8):
            timer = threading.Timer(0.004 + 0.004 * number, os.kill, (os.getpid(), signal.SIGINT))
            rows = None
            try:
                timer.start()
                rows = pa.table(dataset.stream(rows=order, batch_size=16)).num_rows
                timer.join()
                time.sleep(5)
            except KeyboardInterrupt:
                told.append(rows)
            timer.join()
    finally:
        sys.unraisablehook = before
    assert len(told) == 8 and set(told) <= {None, 60_000}
    assert not ignored
