"""The contract of ResultDatasetWriter, and when rows become visible."""

import gc
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from samples import DTYPES, assert_same_bits, dtype_name, numbered_ids, random_array

import rds
from rds import _library


def rows(location):
    return len(rds.ResultDataset({}, location))


def test_the_directory_is_made_with_its_parents_and_the_table_with_the_first_batch(tmp_path):
    result_dir = tmp_path / "a" / "b" / "c"
    writer = rds.ResultDatasetWriter(result_dir)
    assert result_dir.is_dir()
    assert not list(result_dir.iterdir())
    writer.write_batch(["a"], np.ones((1, 2)))
    writer.commit()
    assert (result_dir / "lance_db" / "results.lance").is_dir()
    writer.close()


def test_nothing_but_the_table_is_touched(result_dir):
    result_dir.mkdir()
    (result_dir / "weights.pth").write_bytes(b"weights")
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch(["a"], np.ones((1, 2)))
    assert sorted(path.name for path in result_dir.iterdir()) == ["lance_db", "weights.pth"]
    assert [path.name for path in (result_dir / "lance_db").iterdir()] == ["results.lance"]
    assert (result_dir / "weights.pth").read_bytes() == b"weights"


def test_attributes_are_those_of_the_contract(result_dir):
    writer = rds.ResultDatasetWriter(str(result_dir))
    assert writer.result_dir == result_dir
    assert writer.lance_dir == result_dir / "lance_db"
    assert (writer.schema, writer.tensor_dtype, writer.tensor_shape) == (None, None, None)
    assert writer.batch_count == 0
    writer.write_batch(["a"], np.ones((1, 2, 3), "f4"))
    writer.write_batch(["b"], np.ones((1, 2, 3), "f4"))
    assert writer.tensor_dtype == np.float32 and isinstance(writer.tensor_dtype, np.dtype)
    assert writer.tensor_shape == [2, 3]
    assert writer.batch_count == 2
    writer.close()


@pytest.mark.parametrize("dtype", DTYPES, ids=dtype_name)
def test_schema_is_the_schema_of_the_table(result_dir, dtype):
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch(["a"], random_array(dtype, (1, 2, 4)))
    stored = pa.schema(rds.ResultDataset({}, result_dir))
    assert writer.schema.equals(stored)
    assert writer.schema.metadata == stored.metadata


def test_create_results_writer_returns_a_writer(result_dir):
    writer = rds.create_results_writer(result_dir)
    assert isinstance(writer, rds.ResultDatasetWriter)
    writer.close()


@pytest.mark.parametrize(
    ("ids", "data"),
    [(["a"], np.ones((2, 3))), (["a", "b"], [np.ones(3)]), ([], np.ones((1, 2)))],
    ids=["fewer ids", "more ids", "no ids"],
)
def test_unequal_lengths_are_a_value_error_with_the_message_of_hyrax(result_dir, ids, data):
    with rds.ResultDatasetWriter(result_dir) as writer:
        with pytest.raises(ValueError, match="^Length of object_ids must match length of data$"):
            writer.write_batch(ids, data)


@pytest.mark.parametrize("data", [[], np.empty((0, 3)), np.empty(0)], ids=["list", "rows", "flat"])
def test_an_empty_batch_does_nothing(result_dir, data):
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch([], data)
        assert writer.batch_count == 0 and writer.tensor_shape is None
    assert not (result_dir / "lance_db").exists()


def test_commit_without_a_batch_makes_no_table(result_dir):
    writer = rds.ResultDatasetWriter(result_dir)
    assert writer.commit() is None
    writer.commit()
    writer.close()
    assert not (result_dir / "lance_db").exists()


def test_commit_may_be_called_again_and_writing_goes_on(result_dir):
    writer = rds.ResultDatasetWriter(result_dir)
    for batch in range(3):
        writer.write_batch(numbered_ids(5, 5 * batch), np.full((5, 2), batch, "f4"))
        writer.commit()
        writer.commit()
        assert rows(result_dir) == 5 * (batch + 1)
    writer.close()
    dataset = rds.ResultDataset({}, result_dir)
    assert dataset.ids() == numbered_ids(15)
    assert dataset.__get_all__()[:, 0].tolist() == [0] * 5 + [1] * 5 + [2] * 5


def test_many_small_batches_keep_their_order(result_dir):
    data = random_array("f4", (3000, 5))
    with rds.ResultDatasetWriter(result_dir) as writer:
        for start in range(0, 3000, 10):
            writer.write_batch(numbered_ids(10, start), data[start : start + 10])
    dataset = rds.ResultDataset({}, result_dir)
    assert dataset.ids() == numbered_ids(3000)
    assert_same_bits(dataset.__get_all__(), data)


def test_a_queue_smaller_than_a_batch_only_waits(result_dir):
    data = random_array("f8", (400, 64))
    with rds.ResultDatasetWriter(result_dir, max_queued_bytes=1000) as writer:
        for start in range(0, 400, 100):
            writer.write_batch(numbered_ids(100, start), data[start : start + 100])
    assert_same_bits(rds.ResultDataset({}, result_dir).__get_all__(), data)


def test_flush_makes_rows_visible(result_dir):
    writer = rds.ResultDatasetWriter(result_dir, checkpoint_ms=3_600_000)
    writer.write_batch(["a"], np.ones((1, 2)))
    writer.flush()
    assert rows(result_dir) == 1
    writer.close()


def test_durability_commit_shows_nothing_before_commit(result_dir):
    writer = rds.ResultDatasetWriter(result_dir, durability="commit", checkpoint_ms=10)
    writer.write_batch(["a"], np.ones((1, 2)))
    time.sleep(0.1)
    with pytest.raises(FileNotFoundError):
        rows(result_dir)
    with pytest.raises(rds.RdsError, match="rds_flush"):
        writer.flush()
    writer.commit()
    assert rows(result_dir) == 1
    writer.write_batch(["b"], np.ones((1, 2)))
    writer.close()
    assert rows(result_dir) == 1


def test_close_makes_rows_durable_and_may_be_called_again(result_dir):
    writer = rds.ResultDatasetWriter(result_dir)
    writer.write_batch(["a"], np.ones((1, 2)))
    writer.close()
    writer.close()
    assert rows(result_dir) == 1


def test_a_closed_writer_refuses_every_call(result_dir):
    writer = rds.ResultDatasetWriter(result_dir)
    writer.close()
    for call in (lambda: writer.write_batch(["a"], np.ones((1, 2))), writer.flush, writer.commit):
        with pytest.raises(ValueError, match="rds_"):
            call()


def test_a_block_that_raises_keeps_its_exception(result_dir):
    with pytest.raises(ZeroDivisionError):
        with rds.ResultDatasetWriter(result_dir) as writer:
            writer.write_batch(["a"], np.ones((1, 2)))
            raise ZeroDivisionError
    assert rows(result_dir) == 1


def test_a_block_that_raises_publishes_nothing_with_durability_commit(result_dir):
    with pytest.raises(ZeroDivisionError):
        with rds.ResultDatasetWriter(result_dir, durability="commit") as writer:
            writer.write_batch(["a"], np.ones((1, 2)))
            raise ZeroDivisionError
    assert not (result_dir / "lance_db" / "results.lance" / "_versions").exists()


def test_a_forgotten_writer_loses_nothing(result_dir):
    writer = rds.ResultDatasetWriter(result_dir)
    writer.write_batch(["a"], np.ones((1, 2)))
    del writer
    gc.collect()
    assert rows(result_dir) == 1


def test_a_writer_open_at_exit_loses_nothing(result_dir):
    code = (
        "import numpy as np, rds\n"
        f"writer = rds.ResultDatasetWriter({str(result_dir)!r})\n"
        "writer.write_batch(['a'], np.ones((1, 2)))\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(rds.__file__).parents[1]),
        "RDS_LIBRARY": os.path.abspath(_library.library()._name),
    }
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert rows(result_dir) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "w"},
        {"durability": "never"},
        {"checkpoint_ms": 0},
        {"max_queued_bytes": -1},
        {"visible_ms": 0},
        {"job": "j"},
        {"part": 0},
        {"part": -1, "job": "j"},
        {"part": 1 << 64, "job": "j"},
        {"job": "a\0b", "part": 0},
        {"job": "\ud800", "part": 0},
    ],
    ids=str,
)
def test_an_unknown_option_is_refused_by_name(result_dir, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        rds.ResultDatasetWriter(result_dir, **options)


def test_progress_that_raises_ends_the_wait_and_loses_nothing(result_dir):
    class Stop(Exception):
        pass

    def progress(done, total):
        raise Stop

    writer = rds.ResultDatasetWriter(result_dir)
    data = np.ones((200_000, 64), "f4")
    writer.write_batch(np.arange(len(data)), data)
    try:
        writer.commit(progress)
    except Stop:
        pass
    writer.commit()
    writer.close()
    assert rows(result_dir) == len(data)


def test_relative_directories_are_those_of_the_time_of_opening(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writer = rds.ResultDatasetWriter("results")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    writer.write_batch(["a"], np.ones((1, 2)))
    writer.close()
    assert rows(tmp_path / "results") == 1
