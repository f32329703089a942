"""Workers that finish in any order, fail, are killed: the rows are there once, in one version."""

import functools
import os
import signal
import time
from pathlib import Path

import dask
import numpy as np
import pytest
from collections_of_dask import ROWS, check, files, frame, numbers, of_parts, opened
from dask.distributed import Client, LocalCluster
from samples import assert_same_bits

import rds
import rds.dask

PARTS = 6
PER_PART = ROWS // PARTS


@pytest.fixture(scope="module")
def processes():
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with dask.config.set({"distributed.scheduler.allowed-failures": 10}):
        with LocalCluster(processes=True, **options) as cluster:
            yield cluster


@pytest.fixture
def client(processes):
    with Client(processes) as client:
        client.wait_for_workers(2)
        yield client


@pytest.fixture(scope="module")
def threads():
    options = {"n_workers": 2, "threads_per_worker": 2, "dashboard_address": ":0"}
    with LocalCluster(processes=False, **options) as cluster, Client(cluster) as client:
        yield client


class Model:
    """Gives the rows as they are, after something that happens once for each of some rows."""

    def __init__(self, directory, at, happens):
        self.directory = Path(directory)
        self.at = at
        self.happens = happens

    def __call__(self, rows):
        for row in self.at:
            if row in rows:
                try:
                    (self.directory / f"{row}").touch(exist_ok=False)
                except FileExistsError:
                    continue
                self.happens()
        return rows


def fail():
    raise ConnectionError("once")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def infer(result_dir, model, **options):
    return rds.dask.infer(of_parts(frame, [PER_PART] * PARTS), model, result_dir, inputs="y", batch_size=5, **options)


def check_results(result_dir):
    dataset = opened(result_dir)
    assert dataset.ids() == [f"object-{number:04d}" for number in range(ROWS)]
    assert_same_bits(dataset, numbers() * 2.0)
    assert len(dataset.versions()) == 1 and len(files(result_dir)) == 1
    assert rds.parts.unfinished(result_dir) == {}


def slow_first(rows, first):
    time.sleep(0.3 * (first < 30))
    return frame(rows, first)


def test_rows_come_in_the_order_of_the_partitions_whoever_is_first(client, result_dir):
    rds.dask.write(of_parts(slow_first, [PER_PART] * PARTS, frame(1).iloc[:0]), result_dir)
    check(result_dir)


def test_workers_may_be_threads(threads, result_dir):
    done = rds.dask.write(of_parts(slow_first, [PER_PART] * PARTS, frame(1).iloc[:0]), result_dir)
    assert done.rows == ROWS
    check(result_dir)


def test_a_cluster_may_get_its_workers_later(result_dir):
    with LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster, Client(cluster) as client:
        delayed = rds.dask.write(of_parts(frame, [30] * 3), result_dir, compute=False)
        cluster.scale(1)
        assert client.compute(delayed).result().rows == ROWS
    check(result_dir)


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_a_task_writes_with_a_scheduler_of_its_own(client, result_dir, scheduler):
    def task():
        options = {"scheduler": scheduler}
        return rds.dask.write(of_parts(frame, [30] * 3), result_dir, compute_kwargs=options).rows

    assert client.submit(task, pure=False).result() == ROWS
    check(result_dir)


def test_what_is_delayed_is_computed_by_a_client(client, result_dir):
    delayed = rds.dask.write(of_parts(frame, [PER_PART] * PARTS), result_dir, compute=False)
    assert client.compute(delayed).result().rows == ROWS
    check(result_dir)


def test_what_is_in_the_memory_of_workers_is_written_from_there(client, result_dir):
    kept = of_parts(frame, [PER_PART] * PARTS).persist()
    rds.dask.write(kept, result_dir)
    check(result_dir)
    rds.dask.write(rds.dask.read(result_dir, rows_per_partition=20).persist(), result_dir.with_name("again"))
    check(result_dir.with_name("again"))


def test_workers_that_are_killed_in_the_middle_are_replaced(client, result_dir, tmp_path):
    # In the first slice of a part, in a later one, and when other parts were written by the same worker.
    model = Model(tmp_path, [0.0, 2.0 * (PER_PART + 7), 2.0 * (ROWS - 1)], die)
    assert infer(result_dir, model).rows == ROWS
    assert len(list(tmp_path.glob("[0-9]*"))) == 3
    check_results(result_dir)


def test_parts_that_were_written_by_a_worker_that_is_killed_are_not_made_again(client, result_dir, tmp_path):
    marks = tmp_path / "made"
    marks.mkdir()

    def part(rows, first):
        (marks / f"{first}-{os.getpid()}").touch()
        if first == ROWS - PER_PART and len(list(marks.glob(f"{first}-*"))) == 1:
            while len(rds.parts.unfinished(result_dir).get("night", ())) < PARTS - 1:
                time.sleep(0.02)
            die()
        return frame(rows, first)

    collection = of_parts(part, [PER_PART] * PARTS, frame(1).iloc[:0])
    assert rds.dask.write(collection, result_dir, job="night").rows == ROWS
    made = [mark.name.split("-") for mark in marks.iterdir()]
    last = str(ROWS - PER_PART)
    killed, others = {process for first, process in made if first == last}, [one for one in made if one[0] != last]
    # The one that was killed is among those that made the others, whose tokens went with it.
    assert len(killed) == 2 and killed & {process for _, process in others}
    assert sorted(int(first) for first, _ in others) == list(range(0, ROWS - PER_PART, PER_PART))
    check(result_dir)


def test_a_task_that_fails_is_tried_again_if_it_is_asked_for(client, result_dir, tmp_path):
    model = Model(tmp_path, [0.0, 2.0 * (PER_PART + 7)], fail)
    assert infer(result_dir, model, compute_kwargs={"retries": 2}).rows == ROWS
    check_results(result_dir)


@pytest.mark.filterwarnings("error::UserWarning")
def test_annotations_around_the_call_are_for_the_tasks_that_write(client, result_dir, tmp_path):
    collection = of_parts(frame, [PER_PART] * PARTS)
    with dask.annotate(retries=2):
        rds.dask.infer(collection, Model(tmp_path, [0.0], fail), result_dir, inputs="y")
    check_results(result_dir)


def test_a_job_that_failed_is_no_table_and_can_be_gone_on_with(client, result_dir, tmp_path):
    model = Model(tmp_path, [2.0 * (ROWS - 1)], fail)
    with pytest.raises(ConnectionError):
        infer(result_dir, model, job="night")
    with pytest.raises(FileNotFoundError):
        opened(result_dir)
    assert infer(result_dir, model, job="night", resume=True).rows == ROWS
    check_results(result_dir)


def test_errors_of_workers_say_which_partition(client, result_dir):
    said = r"partition \d: the model was given 5 rows, and of 'data' it gave 1"
    with pytest.raises(ValueError, match=said) as caught:
        infer(result_dir, lambda rows: rows[:1])
    assert isinstance(caught.value, rds.RdsError) and caught.value.status == 1


def plus(number, rows):
    return rows + number


@dask.delayed
def made_by_a_task():
    return functools.partial(plus, 0)


@pytest.mark.parametrize(
    "make", [lambda client: client.scatter(functools.partial(plus, 0)), lambda _: made_by_a_task()]
)
def test_a_model_is_sent_to_the_workers_once(client, result_dir, make):
    assert infer(result_dir, make(client)).rows == ROWS
    check_results(result_dir)


def private_bytes():
    """What of this process nobody else has: its own memory, and pages of files that only it maps."""
    rows = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(row.split()[1]) << 10 for row in rows if row.startswith("Private_"))


def test_a_pass_over_a_table_leaves_nothing_in_the_memory_of_workers(client, tmp_path):
    rows, width, step = 16_384, 1024, 1024
    values = np.arange(rows, dtype="f4")
    with rds.ResultDatasetWriter(tmp_path / "results") as writer:
        for first in range(0, rows, step):
            part = np.arange(first, first + step)
            writer.write_batch(part, np.repeat(values[part][:, None], width, axis=1))
    with rds.ResultDatasetWriter(tmp_path / "small") as writer:
        writer.write_batch(range(64), np.zeros((64, width), "f4"))
    # What is loaded first is no growth.
    rds.dask.read(tmp_path / "small", kind="array", rows_per_partition=8).sum(dtype="f8").compute()
    before = client.run(private_bytes)
    array = rds.dask.read(tmp_path / "results", kind="array", rows_per_partition=step)
    for _ in range(4):
        assert array.sum(dtype="f8").compute() == values.sum(dtype="f8") * width
    grown = {worker: size - before[worker] for worker, size in client.run(private_bytes).items()}
    # Each has looked at some 128 MiB.
    assert max(grown.values()) < 24 << 20, grown
