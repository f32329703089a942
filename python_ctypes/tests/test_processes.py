"""A dataset in other processes: pickled as location and version, opened anew, and what loaders call."""

import copy
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from samples import assert_same_bits, mapped_rows, numbered_ids, random_array, write

import rds
from rds import _library

ROWS = 300
DATA = random_array("f4", (ROWS, 2, 3))
IDS = numbered_ids(ROWS)


@pytest.fixture
def dataset(make_dataset):
    return make_dataset(IDS, DATA)


def check(dataset, rows=ROWS):
    assert len(dataset) == rows
    assert_same_bits(dataset.__get_all__(), DATA[:rows])
    assert_same_bits(dataset[[7, 0]], DATA[[7, 0]])
    assert_same_bits(dataset[7], DATA[7])
    assert dataset.ids() == IDS[:rows]
    assert dataset.index_of(IDS[7]) == 7


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_it_is_pickled_as_its_location(dataset, protocol):
    dataset[0], dataset.ids(), dataset.lance_dataset
    pickled = pickle.dumps(dataset, protocol)
    assert len(pickled) < 1000
    again = pickle.loads(pickled)
    check(again)
    assert type(again) is rds.ResultDataset
    assert again.data_location == dataset.data_location and again.config == dataset.config


def test_options_and_config_are_pickled_too(dataset):
    one = rds.ResultDataset({"a": [1]}, dataset.data_location, access="lance", prefetch=False, id_column="object_id")
    again = pickle.loads(pickle.dumps(one))
    assert again._options == {"access": "lance", "prefetch": False, "id_column": "object_id"}
    assert again.config == {"a": [1]}
    assert mapped_rows(again) == 0
    check(again)


def test_the_version_is_the_one_that_was_shown(make_dataset, result_dir):
    dataset = make_dataset(IDS[:10], DATA[:10])
    pickled = pickle.dumps(dataset)
    write(result_dir, IDS[10:], DATA[10:], mode="append")
    again = pickle.loads(pickled)
    check(again, 10)
    assert again.lance_dataset.count_rows() == 10
    assert again.refresh() is True
    check(again)
    check(pickle.loads(pickle.dumps(again)))


def test_a_table_that_took_the_place_of_the_pickled_one_is_refused(make_dataset, result_dir):
    pickled = pickle.dumps(make_dataset(IDS[:10], DATA[:10]))
    shutil.rmtree(result_dir)
    write(result_dir, IDS[10:20], DATA[10:20])
    with pytest.raises(FileNotFoundError, match="was replaced"):
        pickle.loads(pickled)


def test_a_table_that_is_gone_is_an_error(dataset, result_dir):
    pickled = pickle.dumps(dataset)
    shutil.rmtree(result_dir)
    with pytest.raises(FileNotFoundError):
        pickle.loads(pickled)


def test_a_relative_location_is_that_of_the_time_of_opening(dataset, monkeypatch, tmp_path):
    monkeypatch.chdir(dataset.data_location.parent)
    relative = rds.ResultDataset({}, "results")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = pickle.loads(pickle.dumps(relative))
    check(again)
    for one in (relative, again):
        assert one.data_location == "results" and one.lance_dir == Path("results/lance_db")
        assert one.refresh() is False
        assert one.table.count_rows() == one.lance_dataset.count_rows() == ROWS


@pytest.mark.parametrize("location", ["table", "URI"])
def test_every_spelling_of_the_location_is_pickled(dataset, location):
    path = dataset.lance_dir / "results.lance"
    again = pickle.loads(pickle.dumps(rds.ResultDataset({}, path if location == "table" else path.as_uri())))
    check(again)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_is_a_dataset_of_its_own(dataset, copied):
    again = copied(dataset)
    dataset.close()
    check(again)


def test_a_closed_dataset_is_not_pickled(dataset):
    dataset.close()
    with pytest.raises(ValueError, match="closed"):
        pickle.dumps(dataset)


def test_a_pickled_writer_in_another_process_leaves_the_table_alone(result_dir):
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch(IDS, DATA)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(refused, (writer,)) is True
        writer.write_batch(IDS, DATA)
    assert len(rds.ResultDataset({}, result_dir)) == 2 * ROWS


def refused(writer):
    """Whether a writer that came from another process refuses to write; it is forgotten then."""
    try:
        writer.write_batch(IDS, DATA)
    except RuntimeError as error:
        return "belongs to the process that opened it" in str(error)
    return False


def work(dataset, rows):
    return os.getpid(), np.stack([dataset[int(row)] for row in rows]), dataset.take(rows), dataset.ids()[3]


@pytest.mark.filterwarnings("ignore:lance is not fork-safe")
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_of_every_start_method_read(dataset, method):
    dataset[0], dataset.ids()
    jobs = [(dataset, np.random.default_rng(seed).permutation(ROWS)[:40]) for seed in range(6)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        for (_, rows), (pid, one_by_one, taken, name) in zip(jobs, pool.starmap_async(work, jobs).get(120)):
            assert pid != os.getpid()
            assert_same_bits(one_by_one, DATA[rows])
            assert_same_bits(taken, DATA[rows])
            assert name == IDS[3]


def test_a_worker_loads_nothing_but_the_package(dataset, tmp_path):
    (tmp_path / "pickled").write_bytes(pickle.dumps(dataset))
    code = (
        "import pickle, sys\n"
        f"ds = pickle.load(open({str(tmp_path / 'pickled')!r}, 'rb'))\n"
        "print(len(ds), [n for n in ('pyarrow', 'lance', 'lancedb', 'torch') if n in sys.modules])"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(rds.__file__).parents[1]),
        "RDS_LIBRARY": os.path.abspath(_library.library()._name),
    }
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == f"{ROWS} []"


@pytest.mark.parametrize("rows", [[3, 299, 3], np.array([1, 2]), [], (5,)], ids=str)
def test_getitems_gives_what_a_loader_collates(dataset, rows):
    items = dataset.__getitems__(rows)
    assert type(items) is list and len(items) == len(rows)
    for item, row in zip(items, rows):
        assert_same_bits(item, DATA[row])
        assert item.flags.writeable
    if len(rows) > 1:
        assert all(item.base is items[0].base for item in items)


def test_getitems_of_scalars_is_collated_too(make_dataset):
    dataset = make_dataset(["a", "b", "c"], np.array([1, 2, 3], "f4"))
    items = dataset.__getitems__([2, 0])
    assert_same_bits(np.stack(items), np.array([3, 1], "f4"))


@pytest.mark.parametrize("rows", [[ROWS], [-1], [[0]]], ids=str)
def test_getitems_out_of_range_is_an_index_error(dataset, rows):
    with pytest.raises(IndexError):
        dataset.__getitems__(rows)
