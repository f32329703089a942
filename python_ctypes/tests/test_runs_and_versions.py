"""What runs say of themselves, which versions there are, and a queue without room."""

import numpy as np
import pytest
from preload import preloadable, run_with

import rds


def append(where, first, **options):
    with rds.ResultDatasetWriter(where, **options) as writer:
        writer.write_batch(np.arange(first, first + 3), {"a": np.full((3, 2), first, "f4"), "b": np.zeros(3)})


def test_what_a_run_says_is_read_back_and_the_last_word_counts(result_dir):
    append(result_dir, 0, metadata={"model": "résnet", "empty": ""})
    assert rds.ResultDataset({}, result_dir).run_metadata == {"empty": "", "model": "résnet"}
    append(result_dir, 3, mode="append", metadata={"model": "other", "more": "x" * 10_000})
    said = rds.ResultDataset({}, result_dir).run_metadata
    assert said == {"empty": "", "model": "other", "more": "x" * 10_000}
    append(result_dir, 0, mode="overwrite")
    assert rds.ResultDataset({}, result_dir).run_metadata == {}


@pytest.mark.parametrize("bad", [{1: "a"}, {"a": 1}, {"": "a"}, {"a": "b\0"}])
def test_metadata_that_is_no_text_is_refused(result_dir, bad):
    with pytest.raises((TypeError, ValueError)):
        rds.ResultDatasetWriter(result_dir, metadata=bad)
    assert not result_dir.exists() or not list(result_dir.rglob("*.manifest"))


def test_versions_are_told_and_opened_by_their_time(result_dir):
    for first in range(0, 9, 3):
        append(result_dir, first, mode="append" if first else "create")
    versions = rds.ResultDataset({}, result_dir).versions()
    assert [version.rows for version in versions] == [3, 6, 9]
    assert sorted(versions) == versions
    for version in versions:
        then = rds.ResultDataset({}, result_dir, committed_until=version.committed_at)
        assert len(then) == version.rows
        assert len(rds.ResultDataset({}, result_dir, version=version.version)) == version.rows
    between = np.datetime64(versions[1].committed_at, "ns") + np.timedelta64(1, "ns")
    assert len(rds.ResultDataset({}, result_dir, committed_until=between)) == 6
    with pytest.raises(FileNotFoundError, match="oldest"):
        rds.ResultDataset({}, result_dir, committed_until=versions[0].committed_at - 1)
    for beyond in ("1600-01-01", "2500-01-01", 1 << 64):
        with pytest.raises(ValueError, match="committed_until"):
            rds.ResultDataset({}, result_dir, committed_until=beyond)
    for early in (0, "1970-01-01"):
        with pytest.raises(FileNotFoundError, match="oldest"):
            rds.ResultDataset({}, result_dir, committed_until=early)
    with pytest.raises(ValueError, match="committed_until"):
        rds.ResultDataset({}, result_dir, version=1, committed_until=between)


NO_ROOM = """
import os, sys, threading, time
import numpy as np
import rds
writer = rds.ResultDatasetWriter(sys.argv[1], durability="commit", max_queued_bytes=1 << 20, room_ms=int(sys.argv[2]))
batch = np.zeros((1000, 64), "f4")
written = 0
writer.write_batch(np.arange(1000), batch)
os.environ["SLOW_FSYNC"] = "3"
threading.Thread(target=writer.commit, daemon=True).start()
time.sleep(0.5)
try:
    while True:
        begun = time.monotonic()
        writer.write_batch(np.arange(1000), batch)
except BlockingIOError as error:
    waited = time.monotonic() - begun
    assert error.status == 16 and "queued" in str(error), error
del os.environ["SLOW_FSYNC"]
accepted = writer.stats().accepted_rows
while True:
    try:
        writer.write_batch(np.arange(1000), batch)
        break
    except BlockingIOError:
        time.sleep(0.1)
assert writer.stats().accepted_rows == accepted + 1000
writer.commit()
writer.close()
print(accepted + 1000, waited)
"""


@pytest.mark.parametrize("room_ms", [0, 200])
def test_a_writer_without_room_says_so_and_accepts_nothing(tmp_path, result_dir, room_ms):
    from test_interrupts import SLOW_DISK

    run = run_with(preloadable(tmp_path, SLOW_DISK), NO_ROOM, result_dir, str(room_ms))
    assert run.returncode == 0, run.stderr
    rows, waited = run.stdout.split()
    assert room_ms / 1000 <= float(waited) < room_ms / 1000 + 1
    assert len(rds.ResultDataset({}, result_dir)) == int(rows)
