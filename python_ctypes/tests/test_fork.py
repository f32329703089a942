"""A forked child reads on, whatever its parent was doing."""

import multiprocessing
import threading

import numpy as np
import pytest
from children import in_child
from samples import assert_same_bits, numbered_ids, random_array, write

import rds

DATA = random_array("f4", (300, 8))
IDS = numbered_ids(300)

# pylance, which the tests import, warns at every fork; librds is what reads here.
pytestmark = pytest.mark.filterwarnings("ignore:lance is not fork-safe")


@pytest.fixture(params=["mapped", "lance"])
def dataset(request, result_dir):
    for start in range(0, 300, 100):
        part = slice(start, start + 100)
        write(result_dir, IDS[part], DATA[part], mode="append" if start else "create")
    return rds.ResultDataset({}, result_dir, access=request.param)


def check(dataset):
    rows = np.random.default_rng(0).permutation(len(dataset))
    assert_same_bits(dataset[rows], DATA[rows])
    assert_same_bits(dataset[10:250], DATA[10:250])
    assert_same_bits(dataset.__get_all__(), DATA)
    for row in (0, 150, 299):
        assert_same_bits(dataset[row], DATA[row])
        assert dataset.get_object_id(row) == IDS[row]
    assert dataset.ids() == IDS
    assert dataset.find(IDS[::-1]).tolist() == list(range(299, -1, -1))


@pytest.mark.parametrize("used", [False, True], ids=["never read", "read before"])
def test_a_child_reads_what_its_parent_opened(dataset, used):
    if used:
        check(dataset)
    in_child(lambda: check(dataset))
    check(dataset)


def test_a_child_of_a_child_reads(dataset):
    in_child(lambda: (check(dataset), in_child(lambda: check(dataset))))


def test_a_child_that_closes_takes_nothing_from_its_parent(dataset):
    view = dataset[3]
    in_child(dataset.close)
    check(dataset)
    assert_same_bits(view, DATA[3])


def test_a_view_is_valid_in_a_child(dataset):
    views = list(dataset)
    in_child(lambda: assert_same_bits(np.stack(views), DATA))


def test_a_child_opens_a_dataset_of_its_own(dataset):
    dataset[0]
    in_child(lambda: check(rds.ResultDataset({}, dataset.data_location)))


def test_a_child_refreshes_although_another_thread_of_its_parent_was_refreshing(dataset, result_dir):
    write(result_dir, ["more"], DATA[:1], mode="append")

    def refresh():
        assert dataset.refresh() is True
        assert len(dataset) == 301
        assert dataset.get_object_id(300) == "more"

    with dataset._turn():
        in_child(refresh)
    assert len(dataset) == 300


def test_children_are_forked_while_threads_read(dataset):
    over = threading.Event()

    def read():
        while not over.is_set():
            dataset[np.arange(0, 300, 7)], dataset[3], dataset.get_object_id(5), dataset.find(["x"])

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            in_child(lambda: check(dataset))
    finally:
        over.set()
        for thread in threads:
            thread.join()


def load(rows):
    """What a worker of a data loader does: rows one by one, stacked, and their ids."""
    dataset = load.dataset
    return np.stack([dataset[int(row)] for row in rows]), [dataset.get_object_id(row) for row in rows]


@pytest.mark.parametrize("used", [False, True], ids=["never read", "read before"])
def test_four_forked_workers_load_batches(dataset, used):
    if used:
        check(dataset)
    load.dataset = dataset
    batches = np.random.default_rng(0).permutation(300).reshape(20, 15)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        for rows, (data, ids) in zip(batches, pool.map_async(load, batches).get(60)):
            assert_same_bits(data, DATA[rows])
            assert ids == [IDS[row] for row in rows]
