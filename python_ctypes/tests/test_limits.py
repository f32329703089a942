"""Few descriptors, many threads, large and tiny batches: a writer slows down, and loses nothing."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import lance
import numpy as np
import pyarrow as pa
import pytest
from killed import environment, ids_of, put, table_path

import rds

FILE_ROWS = 1 << 20


@contextmanager
def descriptors(spare):
    """So many more than are open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_batch_larger_than_a_file_fills_several(result_dir):
    rows = FILE_ROWS * 2 + 1000
    values = (np.arange(rows) % 251).astype(np.uint8)[:, None]
    with rds.ResultDatasetWriter(result_dir, mode="create") as writer:
        writer.write_batch(np.arange(rows), values)
    dataset = rds.ResultDataset({}, result_dir)
    np.testing.assert_array_equal(dataset.__get_all__(), values)
    fragments = lance.dataset(table_path(result_dir)).get_fragments()
    assert [fragment.count_rows() for fragment in fragments] == [FILE_ROWS, FILE_ROWS, 1000]


def test_finished_files_of_a_run_need_no_descriptor(result_dir):
    files = 24
    with rds.ResultDatasetWriter(result_dir) as warm:
        warm.write_batch(["a"], np.zeros((1, 1), np.uint8))
    writer = rds.ResultDatasetWriter(result_dir, durability="commit")
    ids = np.arange(FILE_ROWS) % 10
    with descriptors(16):
        for number in range(files):
            writer.write_batch(ids, np.full((FILE_ROWS, 1), number, np.uint8))
        writer.commit()
        writer.close()
    dataset = rds.ResultDataset({}, result_dir)
    assert len(dataset) == files * FILE_ROWS
    assert [dataset[number * FILE_ROWS][0] for number in range(files)] == list(range(files))


def test_tokens_need_no_descriptor_each(result_dir):
    tokens = []
    for number in range(40):
        with rds.ResultDatasetWriter(result_dir, mode="staged") as writer:
            put(writer, 3 * number)
            tokens.append(writer.stage())
    with descriptors(16):
        rds.commit_staged(result_dir, tokens)
    assert ids_of(result_dir) == list(range(120))


def test_a_forked_child_holds_nothing_of_a_staging_writer(result_dir):
    writer = rds.ResultDatasetWriter(result_dir, mode="staged")
    put(writer, 0, 100)
    time.sleep(0.1)
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        token = writer.stage()
        writer.close()
        rds.commit_staged(result_dir, [token])
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert ids_of(result_dir) == list(range(100))


def test_a_close_during_a_commit_loses_nothing(result_dir):
    writer = rds.ResultDatasetWriter(result_dir, mode="create", durability="batch")
    block = np.zeros((20_000, 100), np.float32)
    for number in range(12):
        writer.write_batch(np.arange(20_000 * number, 20_000 * (number + 1)), block)
        writer.flush()
    raised, begun = [], threading.Event()

    def commit():
        try:
            writer.commit(lambda done, total: begun.set())
        except rds.RdsError as error:
            raised.append(error)
        begun.set()

    thread = threading.Thread(target=commit)
    thread.start()
    begun.wait(20)
    writer.close()
    thread.join()
    # Closed meanwhile, or the wait was ended: never a defect.
    assert all(error.status in (2, 3, 12) for error in raised), raised
    assert len(rds.ResultDataset({}, result_dir)) == 240_000


def test_many_threads_with_a_writer_each_are_all_told_ok(result_dir):
    threads, seconds = 24, 3
    with rds.ResultDatasetWriter(result_dir, mode="create") as writer:
        put(writer, 0)
    writers = [rds.ResultDatasetWriter(result_dir, mode="append", durability="batch") for _ in range(threads)]
    together, raised, want = threading.Barrier(threads), [], [0, 1, 2]
    end = time.monotonic() + seconds

    def write(number):
        together.wait()
        first = 100_000 * (number + 1)
        try:
            while time.monotonic() < end:
                put(writers[number], first)
                want.extend(range(first, first + 3))
                first += 3
            writers[number].flush()
        except rds.RdsError as error:
            raised.append(error)

    running = [threading.Thread(target=write, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    for writer in writers:
        writer.close()
    assert not raised
    assert sorted(ids_of(result_dir)) == sorted(want)


ONE_ROW_BATCHES = """
import sys
from ctypes import byref
import numpy as np
import pyarrow as pa
import rds
from rds import _ids, _tensors
from rds._library import library

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

with rds.ResultDatasetWriter(sys.argv[1] + "/warm") as writer:
    writer.write_batch(["a"], np.zeros((1, 1), "f4"))
writer = rds.ResultDatasetWriter(sys.argv[1] + "/run", max_queued_bytes=1 << 20)
ids, tensor = _ids.to_struct(["a"]), _tensors.Structs({"data": np.zeros((1, 1), "f4")})
before, most = resident(), 0
for number in range(300_000):
    library().rds_write_tensors(writer._handle, byref(ids), tensor.array, 1)
    if number % 1000 == 0:
        most = max(most, resident())
writer.close()
print(most - before)
"""


def test_the_queue_is_bounded_in_what_it_holds_however_small_the_batches_are(result_dir):
    run = subprocess.run(
        [sys.executable, "-c", ONE_ROW_BATCHES, str(result_dir)], env=environment(), capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 24 << 20
    assert len(rds.ResultDataset({}, result_dir / "run")) == 300_000


@pytest.mark.parametrize("threads", [4])
def test_a_large_batch_takes_its_turn_among_small_ones(result_dir, threads):
    writer = rds.ResultDatasetWriter(result_dir, mode="create", max_queued_bytes=1 << 20)
    over = threading.Event()

    def write_small():
        row = np.zeros((1, 1024), "f4")
        while not over.is_set():
            writer.write_batch(["small"], row)

    running = [threading.Thread(target=write_small) for _ in range(threads)]
    for thread in running:
        thread.start()
    time.sleep(0.3)
    begun = time.monotonic()
    writer.write_batch(["large"] * 2000, np.zeros((2000, 1024), "f4"))
    waited = time.monotonic() - begun
    over.set()
    for thread in running:
        thread.join()
    writer.close()
    assert waited < 3
    assert rds.ResultDataset({}, result_dir).ids().count("large") == 2000


COLUMNS = """
import resource, sys
import numpy as np
import pyarrow as pa
import rds
resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
writer = rds.ResultDatasetWriter(sys.argv[1])
many = {f"c{number}": np.zeros((3, 2), "f4") for number in range(50)}
try:
    writer.write_batch(np.arange(3), many)
except ValueError as error:
    assert "RLIMIT_NOFILE" in str(error) and "50 columns" in str(error), error
else:
    raise AssertionError("accepted")
few = {name: values for name, values in many.items() if int(name[1:]) < 20}
writer.write_batch(np.arange(3), few)
writer.commit()
writer.close()
print(len(rds.ResultDataset({}, sys.argv[1])), flush=True)
"""


def test_more_columns_than_descriptors_are_refused_and_nothing_is_kept(result_dir):
    run = subprocess.run(
        [sys.executable, "-c", COLUMNS, str(result_dir)], env=environment(), capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["3"]


@pytest.mark.parametrize("bits", [4091, 4092, 4096, 8008])
def test_rows_of_many_bits_come_back(result_dir, bits):
    rows = np.random.default_rng(bits).random((300, bits)) < 0.5
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch(np.arange(300), rows)
    np.testing.assert_array_equal(rds.ResultDataset({}, result_dir).__get_all__(), rows)
    np.testing.assert_array_equal(lance_bits(result_dir), rows)


def lance_bits(path):
    return np.stack(lance.dataset(table_path(path)).to_table()["data"].to_numpy())


@pytest.mark.parametrize("bits", [4093, 4095, 8001])
def test_rows_of_bits_that_lance_has_no_page_for_are_refused_before_they_are_accepted(result_dir, bits):
    rows = np.ones((10, bits), "?")
    with rds.ResultDatasetWriter(result_dir) as writer:
        with pytest.raises(ValueError, match=f"\"data\": a row has {bits} booleans.*4092; make them"):
            writer.write_batch(np.arange(10), rows)
        writer.write_batch(["a"], np.ones((1, -(-bits // 8) * 8), "?"))
    assert len(rds.ResultDataset({}, result_dir)) == 1
    with pytest.raises(ValueError, match=f"\"flags\": a row has {bits} booleans"):
        rds.ResultDatasetWriter(result_dir / "declared", columns={"flags": ("?", (bits,))})
    with pytest.raises(ValueError, match=f"{bits} booleans"):
        rds.parts.write_part(result_dir / "parts", "j", 0, [(np.arange(10), rows)])
    assert not rds.parts.unfinished(result_dir / "parts")


@pytest.mark.parametrize(("version", "bits", "fits"), [("2.0", 4100, True), ("2.1", 4100, False), ("2.2", 4096, True)])
def test_whether_rows_of_many_bits_fit_depends_on_the_files_of_a_table(result_dir, version, bits, fits):
    kind = pa.schema({"object_id": pa.string(), "data": pa.list_(pa.bool_(), bits)})
    lance.write_dataset(kind.empty_table(), table_path(result_dir), schema=kind, data_storage_version=version)
    rows = np.random.default_rng(0).random((20, bits)) < 0.5
    if not fits:
        with pytest.raises(ValueError, match="4100 booleans"):
            rds.ResultDatasetWriter(result_dir, mode="append")
        return
    with rds.ResultDatasetWriter(result_dir, mode="append") as writer:
        writer.write_batch(np.arange(20), rows)
    np.testing.assert_array_equal(lance_bits(result_dir), rows)
