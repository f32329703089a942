"""Durable and visible are two things: when rows survive, when readers see them, and what a writer tells."""

import resource
import time
import weakref

import lance
import numpy as np
import pyarrow as pa
import pytest
from killed import ids_of, put, show, table_path

import rds


def rows(location):
    try:
        return len(rds.ResultDataset({}, location))
    except FileNotFoundError:
        return 0


def within(seconds, holds):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_durable_batch_is_visible_by_flush_and_not_before(result_dir):
    writer = rds.ResultDatasetWriter(result_dir, durability="batch")
    for number in range(3):
        put(writer, 3 * number)
        stats = writer.stats()
        assert (stats.durable_rows, stats.visible_rows) == (3 * number + 3, 3 * number)
        assert rows(result_dir) == 3 * number
        writer.flush()
        assert writer.stats().visible_rows == rows(result_dir) == 3 * number + 3
    writer.close()
    assert ids_of(result_dir) == list(range(9))


def test_an_interval_makes_rows_durable_and_no_version(result_dir):
    writer = rds.ResultDatasetWriter(result_dir, checkpoint_ms=20)
    for number in range(5):
        put(writer, 3 * number)
        within(20, lambda: writer.stats().durable_rows == 3 * number + 3)
    stats = writer.stats()
    assert stats.checkpoints >= 5 and (stats.versions, stats.visible_rows) == (0, 0)
    assert rows(result_dir) == 0
    writer.close()
    assert ids_of(result_dir) == list(range(15))


@pytest.mark.parametrize("durability", ["interval", "batch"])
def test_rows_become_visible_by_themselves_after_visible_ms(result_dir, durability):
    writer = rds.ResultDatasetWriter(
        result_dir, mode="create", durability=durability, checkpoint_ms=20, visible_ms=50
    )
    put(writer, 0)
    within(20, lambda: rows(result_dir) == 3)
    put(writer, 3)
    within(20, lambda: rows(result_dir) == 6)
    within(20, lambda: writer.stats()[8:10] == (6, 2))
    writer.close()
    assert ids_of(result_dir) == list(range(6))


def test_versions_of_a_run_are_few_whatever_is_written(result_dir):
    writer = rds.ResultDatasetWriter(result_dir, mode="create", durability="batch")
    for number in range(200):
        put(writer, 3 * number)
    assert writer.stats().versions == 0
    writer.close()
    assert ids_of(result_dir) == list(range(600))
    assert rds.ResultDataset({}, result_dir)._snapshot.info.version == 1


def test_what_replaces_a_table_is_never_visible_by_time(result_dir):
    with rds.ResultDatasetWriter(result_dir) as writer:
        put(writer, 100)
    writer = rds.ResultDatasetWriter(result_dir, mode="overwrite", checkpoint_ms=10, visible_ms=10)
    put(writer, 0)
    within(20, lambda: writer.stats().durable_rows == 3)
    time.sleep(0.3)
    assert ids_of(result_dir) == [100, 101, 102]
    writer.flush()
    assert ids_of(result_dir) == [0, 1, 2]
    writer.close()


def test_abort_shows_what_is_durable_and_drops_the_rest(result_dir):
    writer = rds.ResultDatasetWriter(result_dir, mode="create", checkpoint_ms=20)
    put(writer, 0)
    within(20, lambda: writer.stats().durable_rows == 3)
    assert rows(result_dir) == 0
    writer.abort()
    assert ids_of(result_dir) == [0, 1, 2]

    writer = rds.ResultDatasetWriter(result_dir, mode="append", checkpoint_ms=3_600_000)
    put(writer, 3)
    writer.abort()
    assert ids_of(result_dir) == [0, 1, 2]
    assert rds.recover(result_dir, dry_run=True).waiting_rows == 0


def test_memory_of_an_arrow_batch_is_its_owners_again_when_write_batch_returns(result_dir):
    buffer = np.zeros((500, 64), "f4")
    with rds.ResultDatasetWriter(result_dir) as writer:
        for number in range(20):
            buffer[:] = np.arange(500 * number, 500 * (number + 1))[:, None]
            values = pa.FixedSizeListArray.from_arrays(pa.array(buffer.reshape(-1)), 64)
            ids = pa.array([str(row) for row in range(500 * number, 500 * (number + 1))])
            writer.write_batch(pa.record_batch({"object_id": ids, "data": values}))
        buffer[:] = -1
    assert ids_of(result_dir) == list(range(10_000))


@pytest.mark.parametrize("alias", [False, True])
def test_an_aliased_batch_is_kept_until_it_is_written_and_a_copied_one_is_not(result_dir, alias):
    def batch(number):
        numbers = np.arange(64 * number, 64 * (number + 1))
        data = np.repeat(numbers[:, None], 64, axis=1).astype("f4")
        values = pa.FixedSizeListArray.from_arrays(pa.array(data.reshape(-1)), 64)
        ids = pa.array([str(name) for name in numbers])
        return pa.record_batch({"object_id": ids, "data": values}), weakref.ref(data)

    with rds.ResultDatasetWriter(result_dir, alias_arrow=alias) as writer:
        for number in range(50):
            made, kept = batch(number)
            writer.write_batch(made)
            del made
            assert alias or kept() is None
        writer.flush()
        assert kept() is None
    assert ids_of(result_dir) == list(range(64 * 50))


def test_what_may_pass_is_tried_again_and_told_meanwhile(result_dir):
    with rds.ResultDatasetWriter(result_dir) as warm:
        put(warm, 0)
    writer = rds.ResultDatasetWriter(result_dir, mode="append", checkpoint_ms=20)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        put(writer, 3)
        within(20, lambda: writer.stats().state == "retrying")
        stats = writer.stats()
        assert "open files" in stats.failure
        assert (stats.accepted_rows, stats.durable_rows) == (3, 0)
        put(writer, 6)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    writer.flush()
    assert writer.stats()[-2:] == ("running", None)
    assert ids_of(result_dir) == list(range(9))
    writer.close()


def test_a_failed_writer_says_what_failed(result_dir):
    writer = rds.ResultDatasetWriter(result_dir, durability="batch")
    show(writer, 0)
    import lance

    dataset = lance.dataset(table_path(result_dir))
    lance.write_dataset(dataset.to_table().slice(0, 1), table_path(result_dir), mode="overwrite")
    put(writer, 3)
    with pytest.raises(RuntimeError, match="replaced") as raised:
        writer.flush()
    stats = writer.stats()
    assert stats.state == "failed" and "replaced" in stats.failure
    assert stats.durable_rows == 6 and raised.value.status == 9
    with pytest.raises(RuntimeError, match="replaced"):
        put(writer, 6)
    with pytest.raises(RuntimeError, match="replaced"):
        writer.close()
    assert rds.recover(result_dir, dry_run=True).waiting_rows == 3
    assert rds.recover(result_dir, onto_replaced=True).recovered_rows == 3
    assert ids_of(result_dir) == [0, 3, 4, 5]
