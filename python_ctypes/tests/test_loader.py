"""Batches of a loader: what they are, whose memory they have, and what is refused."""

import copy
import gc
import threading

import numpy as np
import pytest
from samples import DTYPES, assert_same_bits, dtype_name, numbered_ids, random_array, store, to_arrow, write

import rds

ROWS = 300
DATA = random_array("f4", (ROWS, 2, 3))
SCORE = random_array("f8", (ROWS,), seed=1)
IDS = numbered_ids(ROWS)


@pytest.fixture
def dataset(make_dataset):
    return make_dataset(IDS, DATA)


@pytest.fixture
def columns(make_dataset):
    return make_dataset(IDS, {"embedding": DATA, "score": SCORE})


def epoch(loader):
    """Numbers of the rows of an epoch, and the batches, copied."""
    rows, batches = [], []
    for batch in loader:
        rows.append(loader.rows)
        batches.append(batch.copy() if isinstance(batch, np.ndarray) else batch)
    return np.concatenate(rows), batches


def test_an_epoch_has_each_row_once_in_another_order(dataset):
    loader = rds.Loader(dataset, batch_size=32)
    assert len(loader) == 10
    first, batches = epoch(loader)
    assert [len(batch) for batch in batches] == [32] * 9 + [12]
    assert_same_bits(np.concatenate(batches), DATA[first])
    second, _ = epoch(loader)
    for rows in (first, second):
        assert rows.dtype == np.int64
        assert sorted(rows) == list(range(ROWS))
        assert rows.tolist() != list(range(ROWS))
    assert first.tolist() != second.tolist()
    assert epoch(rds.Loader(dataset, batch_size=7))[0].tolist() == first.tolist()
    assert epoch(rds.Loader(dataset, batch_size=7, seed=1))[0].tolist() != first.tolist()


def test_in_order_rows_come_as_they_are_numbered(dataset):
    _, batches = epoch(rds.Loader(dataset, batch_size=37, order="in_order"))
    assert_same_bits(np.concatenate(batches), DATA)


@pytest.mark.parametrize("shape", [(), (2, 3)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=dtype_name)
def test_every_dtype_comes_back_bit_for_bit(make_dataset, dtype, shape):
    data = random_array(dtype, (50, *shape))
    loader = rds.Loader(make_dataset(IDS[:50], data), batch_size=16)
    rows, batches = epoch(loader)
    assert_same_bits(np.concatenate(batches), data[rows])


@pytest.mark.parametrize(
    "chosen", [None, "score", "embedding", ["score"], ("score", "embedding"), ["embedding", "score"]], ids=str
)
def test_a_batch_is_what_take_gives(columns, chosen):
    loader = rds.Loader(columns, batch_size=64, columns=chosen, tail="pad")
    for batch in loader:
        expected = columns.take(loader.rows, chosen)
        if isinstance(expected, dict):
            assert list(batch) == list(expected)
            for name, values in expected.items():
                assert_same_bits(batch[name], values)
        else:
            assert_same_bits(batch, expected)


@pytest.mark.parametrize("chosen", [[], ()], ids=str)
def test_without_columns_batches_are_row_numbers(columns, chosen):
    loader = rds.Loader(columns, batch_size=64, columns=chosen)
    for batch in loader:
        assert_same_bits(batch, loader.rows)


def test_a_table_whose_only_column_is_data_gives_arrays_and_with_names_a_dict(dataset):
    assert isinstance(next(iter(rds.Loader(dataset, batch_size=4))), np.ndarray)
    assert list(next(iter(rds.Loader(dataset, batch_size=4, columns=["data"])))) == ["data"]


def test_rows_that_are_decoded_are_the_same(result_dir):
    data = np.arange(2 * ROWS, dtype="i4").reshape(ROWS, 2)
    store(result_dir, to_arrow(IDS, data))
    rows, batches = epoch(rds.Loader(rds.ResultDataset({}, result_dir), batch_size=100))
    assert_same_bits(np.concatenate(batches), data[rows])


def test_batches_may_be_written_and_are_nobody_elses(dataset):
    loader = rds.Loader(dataset, batch_size=10, max_bytes=3 * 10 * 32)
    for batch in loader:
        assert batch.flags.writeable and batch.flags.c_contiguous
        batch[:] = 7
    assert_same_bits(dataset[:], DATA)
    rows, batches = epoch(loader)
    assert_same_bits(np.concatenate(batches), DATA[rows])


def test_memory_comes_back_when_nothing_refers_to_it(dataset):
    loader = rds.Loader(dataset, batch_size=10)
    iteration = iter(loader)
    kept = [next(iteration) for _ in range(5)]
    part = kept[0][3:5, 0]
    assert loader.stats().lent == 5
    expected = part.copy()
    del kept
    assert loader.stats().lent == 1
    for _ in iteration:
        assert_same_bits(part, expected)
    del part, _
    loader.close()
    # A view is enough to keep memory of a loader that is gone.
    loader = rds.Loader(dataset, batch_size=ROWS, order="in_order")
    view = next(iter(loader))[100:, 1]
    loader.close()
    del loader
    gc.collect()
    assert_same_bits(view, DATA[100:, 1])


@pytest.mark.parametrize("buffers", [1, 2, 3, 5])
def test_a_loader_of_little_memory_can_be_a_list(dataset, buffers):
    size = 10 * (24 + 8) + 64 + 64
    loader = rds.Loader(dataset, batch_size=10, max_bytes=buffers * size)
    for _ in range(2):
        kept, numbers = [], []
        for batch in loader:
            kept.append(batch)
            numbers.append(loader.rows)
            assert len(loader.rows) == len(batch)
        assert_same_bits(np.concatenate(kept), DATA[np.concatenate(numbers)])
        assert loader.stats().bytes <= buffers * size
        assert loader.stats().lent <= buffers


def test_a_batch_that_does_not_fit_is_refused(dataset):
    with pytest.raises(ValueError, match="max_bytes"):
        rds.Loader(dataset, batch_size=100, max_bytes=1000)


def test_what_the_dataset_showed_stays(dataset, result_dir):
    loader = rds.Loader(dataset, batch_size=100)
    write(result_dir, ["more"], DATA[:1], mode="append")
    assert dataset.refresh()
    assert sorted(epoch(loader)[0]) == list(range(ROWS))
    newer = rds.Loader(dataset, batch_size=100)
    assert newer.stats().epoch_rows == ROWS + 1
    dataset.close()
    assert sorted(epoch(loader)[0]) == list(range(ROWS))
    with pytest.raises(ValueError, match="the dataset is closed"):
        rds.Loader(dataset, batch_size=100)


def test_threads_share_the_batches_of_an_epoch(dataset):
    loader = rds.Loader(dataset, batch_size=3)
    for _ in range(5):
        rows = [[] for _ in range(4)]
        iterations = [iter(loader) for _ in rows]

        def take(iteration, mine):
            for batch in iteration:
                mine.append(batch.copy())

        threads = [threading.Thread(target=take, args=pair) for pair in zip(iterations, rows)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        taken = np.concatenate([batch for mine in rows for batch in mine])
        assert sorted(row.tobytes() for row in taken) == sorted(row.tobytes() for row in DATA)
        assert loader.consumed == 0
        # Whoever comes too late has no part of the next epoch.
        assert next(iterations[0], None) is None


def test_stats_tell_how_it_goes(dataset):
    loader = rds.Loader(dataset, global_batch_size=64, rank=1, world_size=3, ahead=5, threads=1)
    stats = loader.stats()
    assert (stats.epoch_rows, stats.epoch_steps, stats.batch_rows, stats.ahead) == (ROWS, 5, 22, 5)
    assert (stats.batches, stats.bytes, stats.lent) == (0, 0, 0)
    iteration = iter(loader)
    batch = next(iteration)
    stats = loader.stats()
    assert (stats.epoch, stats.consumed, stats.batches, stats.lent) == (0, 64, 1, 1)
    assert stats.stalls == 1 and stats.stalled_ns > 0 and stats.bytes > batch.nbytes


def test_a_closed_loader_says_so(dataset):
    with rds.Loader(dataset, batch_size=10) as loader:
        iteration = iter(loader)
        batch = next(iteration)
    expected = batch.copy()
    loader.close()
    for use in (lambda: next(iteration), loader.stats, loader.state_dict, lambda: iter(loader), lambda: len(loader)):
        with pytest.raises(ValueError, match="the loader is closed"):
            use()
    assert repr(loader) == "<Loader, closed>"
    assert_same_bits(batch, expected)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({}, ValueError, "batch_size is None, global_batch_size None"),
        ({"batch_size": 2, "global_batch_size": 4}, ValueError, "one of both"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
        ({"batch_size": 2.5}, TypeError, "batch_size is 2.5"),
        ({"batch_size": 1 << 64}, ValueError, "batch_size is"),
        ({"batch_size": 4, "columns": ["data", "data"]}, ValueError, "named once"),
        ({"batch_size": 4, "columns": "other"}, KeyError, "no column 'other'"),
        ({"batch_size": 4, "seed": -1}, ValueError, "seed is -1"),
        ({"batch_size": 4, "tail": "long"}, ValueError, "tail is 'long'; 'short', 'pad', 'drop'"),
        ({"batch_size": 400, "tail": "drop"}, ValueError, "leaves no step"),
        ({"batch_size": 4, "order": "sorted"}, ValueError, "order is 'sorted'"),
        ({"batch_size": 4, "order": "in_order", "clump": 3}, ValueError, "clump"),
        ({"batch_size": 4, "clump": 0}, ValueError, "clump is 0"),
        ({"batch_size": 4, "rows": [300]}, IndexError, "row 300 is out of range"),
        ({"batch_size": 4, "rows": [5, -1]}, IndexError, "row -1 is out of range"),
        ({"batch_size": 4, "rows": range(290, 301)}, IndexError, "row 300 is out of range"),
        ({"batch_size": 4, "rows": range(-1, 5)}, IndexError, "row -1 is out of range"),
        ({"batch_size": 4, "rows": [True]}, IndexError, "the mask has 1 values"),
        ({"batch_size": 4, "rows": [0.5]}, IndexError, "integers are expected"),
        ({"batch_size": 4, "weights": [1]}, ValueError, "weights"),
        ({"batch_size": 4, "epoch_rows": 10}, ValueError, "epoch_rows"),
        ({"batch_size": 4, "format": "jax"}, ValueError, "format is 'jax'"),
        ({"batch_size": 4, "pin_memory": True}, ValueError, "pin_memory"),
        ({"batch_size": 4, "threads": 1 << 32}, ValueError, "threads is 4294967296"),
        ({"batch_size": 4, "ahead": 0}, ValueError, "ahead is 0"),
        ({"batch_size": 4, "rank": 1}, ValueError, "rank is 1, world_size None"),
        ({"batch_size": 4, "rank": 2, "world_size": 2}, ValueError, "rank is 2, world_size 2"),
    ],
)
def test_wrong_options_are_refused_by_name(dataset, options, error, text):
    with pytest.raises(error, match=text) as caught:
        rds.Loader(dataset, **options)
    assert isinstance(caught.value, rds.RdsError)


@pytest.mark.parametrize("given", [[], 5, "results", [5], None], ids=str)
def test_what_is_no_dataset_is_refused(given):
    with pytest.raises((TypeError, ValueError), match="dataset is"):
        rds.Loader(given, batch_size=4)


@pytest.mark.parametrize("rows", [[], slice(5, 5), range(0), np.zeros(ROWS, bool)], ids=str)
def test_no_rows_are_an_epoch_without_batches(dataset, rows):
    loader = rds.Loader(dataset, batch_size=4, rows=rows)
    assert len(loader) == 0 and list(loader) == [] and loader.epoch == 1


def test_rows_are_as_they_were_when_the_loader_was_made(dataset):
    rows = np.arange(20)
    loader = rds.Loader(dataset, batch_size=20, rows=rows, rank=0, world_size=1)
    rows[:] = 0
    for one in (loader, copy.copy(loader)):
        batch = next(iter(one))
        assert sorted(one.rows) == list(range(20)) and len(batch) == 20


def test_rank_and_padding_of_a_batch(dataset):
    loaders = [
        rds.Loader(dataset, batch_size=40, rank=rank, world_size=3, tail="pad", order="in_order") for rank in range(3)
    ]
    last = [list(loader)[-1] for loader in loaders]
    # 300 rows are two steps of 120, and half of one.
    assert [loader.padded for loader in loaders] == [0, 20, 40]
    assert_same_bits(np.concatenate(last), np.concatenate([DATA[240:], DATA[:60]]))
