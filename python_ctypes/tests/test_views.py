"""A row by number is the memory of the mapped file, valid for as long as somebody has it."""

import gc
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lance
import numpy as np
import pytest
from samples import DTYPES, assert_same_bits, dtype_name, mapped_rows, numbered_ids, random_array
from samples import store, to_arrow, write

import rds
from rds import _spans
from rds._structs import Span

ROWS = 60
DATA = random_array("f4", (ROWS, 2, 3))


@pytest.fixture
def dataset(make_dataset):
    return make_dataset(numbered_ids(ROWS), DATA)


def address(array):
    return array.__array_interface__["data"][0]


def is_mapped(result_dir):
    return str(result_dir) in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("shape", [(), (1,), (8,), (2, 3)], ids=str)
@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != np.bool_], ids=dtype_name)
def test_a_row_is_the_memory_of_the_table(make_dataset, dtype, shape):
    data = random_array(dtype, (ROWS, *shape))
    dataset = make_dataset(numbered_ids(ROWS), data)
    assert mapped_rows(dataset) == ROWS
    assert np.shares_memory(dataset[3], dataset[3])
    # All rows lie one after the other.
    begin = address(dataset[0])
    for row in range(ROWS):
        view = dataset[row]
        assert address(view) == begin + row * data[0].nbytes
        assert type(view) is np.ndarray
        assert_same_bits(view, data[row])


@pytest.mark.parametrize("index", [3, np.int64(3), np.array(3), True], ids=repr)
def test_any_integer_gives_the_same_view(dataset, index):
    assert np.shares_memory(dataset[index], dataset[int(index)])
    assert np.shares_memory(dataset.get_data(index), dataset[int(index)])
    assert_same_bits(dataset[index], DATA[int(index)])


def test_iteration_gives_the_same_views(dataset):
    for row, view in enumerate(dataset):
        assert np.shares_memory(view, dataset[row])


def test_a_view_is_read_only_and_stays_so(dataset):
    dataset[0]
    for view in (dataset[3], next(iter(dataset)), dataset[3].reshape(-1), dataset[3].base):
        assert not view.flags.writeable
        with pytest.raises(ValueError):
            view[...] = 0
        with pytest.raises(ValueError):
            view.flags.writeable = True


def test_a_copy_of_a_view_is_writable(dataset):
    copy = dataset[3].copy()
    copy[...] = 0
    assert_same_bits(dataset[3], DATA[3])


def test_rows_of_a_gather_are_no_views(dataset):
    for gathered in (dataset[[3]], dataset[3:4], dataset.__get_all__()):
        assert not any(np.shares_memory(gathered, view) for view in dataset)


@pytest.mark.parametrize("first_use", [True, False], ids=["whole", "by span"])
def test_views_outlive_dataset_and_files(make_dataset, result_dir, first_use):
    dataset = make_dataset(numbered_ids(ROWS), DATA)
    if first_use:
        dataset[0]
    views = [dataset[row] for row in range(ROWS)]
    dataset.close()
    del dataset
    gc.collect()
    shutil.rmtree(result_dir)
    for row, view in enumerate(views):
        assert_same_bits(view, DATA[row])


def test_the_file_is_unmapped_with_the_last_view_and_not_before(make_dataset, result_dir):
    dataset = make_dataset(numbered_ids(ROWS), DATA)
    first, last = dataset[0], dataset[ROWS - 1]
    dataset.close()
    del first
    gc.collect()
    assert is_mapped(result_dir)
    assert_same_bits(last, DATA[ROWS - 1])
    del last
    gc.collect()
    assert not is_mapped(result_dir)


def test_a_dataset_without_views_unmaps_when_it_is_closed(make_dataset, result_dir):
    dataset = make_dataset(numbered_ids(ROWS), DATA)
    dataset[0], dataset[[1, 2]], dataset.get_object_id(5), dataset.find(["x"])
    assert is_mapped(result_dir)
    dataset.close()
    assert not is_mapped(result_dir)


def test_a_forgotten_dataset_unmaps_without_the_garbage_collector(make_dataset, result_dir):
    gc.disable()
    try:
        dataset = make_dataset(numbered_ids(ROWS), DATA)
        dataset[0], dataset.ids()
        del dataset
        assert not is_mapped(result_dir)
    finally:
        gc.enable()


def test_of_a_closed_dataset_there_are_no_views(dataset):
    dataset[0]
    dataset.close()
    with pytest.raises(ValueError, match="the reader is NULL"):
        dataset[0]
    with pytest.raises(IndexError, match=f"row {ROWS} is out of range"):
        dataset[ROWS]


@pytest.mark.parametrize("touched", [False, True], ids=["first access", "later access"])
@pytest.mark.parametrize("index", [-1, -ROWS, np.int64(-1), ROWS, 2**63, 2**64, -(2**70)])
def test_a_row_out_of_range_is_named_and_never_counted_from_the_end(dataset, index, touched):
    if touched:
        dataset[0]
    with pytest.raises(IndexError) as caught:
        dataset[index]
    assert str(caught.value) == f"row {index} is out of range (the table has {ROWS} rows)"
    assert isinstance(caught.value, rds.RdsError)


@pytest.fixture(params=["runs of rds", "files of pylance"], scope="module")
def in_fragments(request, tmp_path_factory):
    """Where a table of 30 fragments is, 2 rows each."""
    place = tmp_path_factory.mktemp("fragments")
    if request.param == "runs of rds":
        for start in range(0, ROWS, 2):
            mode = "append" if start else "create"
            write(place, numbered_ids(2, start), DATA[start : start + 2], mode=mode)
    else:
        # Rows of 2.0 are mapped however narrow.
        table = to_arrow(numbered_ids(ROWS), DATA)
        store(place, table, max_rows_per_file=2, max_rows_per_group=2, data_storage_version="2.0")
    return place


@pytest.fixture
def fragments(in_fragments, result_dir):
    shutil.copytree(in_fragments, result_dir)
    return rds.ResultDataset({}, result_dir)


def test_rows_of_many_fragments_are_views(fragments):
    assert mapped_rows(fragments) == ROWS
    for row in np.random.default_rng(0).permutation(ROWS):
        assert_same_bits(fragments[row], DATA[row])
        assert np.shares_memory(fragments[row], fragments[row])
    for first in range(0, ROWS, 2):
        assert address(fragments[first + 1]) - address(fragments[first]) == DATA[0].nbytes
    assert_same_bits(np.stack(list(fragments)), DATA)


def test_rows_of_many_fragments_out_of_range_are_named(fragments):
    for index in (-1, ROWS):
        with pytest.raises(IndexError, match=f"row {index} is out of range"):
            fragments[index]


def test_views_into_many_fragments_outlive_them(fragments, result_dir):
    views = list(fragments)
    del fragments
    shutil.rmtree(result_dir)
    gc.collect()
    assert_same_bits(np.stack(views), DATA)


def test_rows_of_a_fragment_with_deletions_are_read_and_all_others_are_views(fragments, result_dir):
    table = lance.dataset(str(result_dir / "lance_db" / "results.lance"))
    table.delete("object_id in ('object-00000', 'object-00021', 'object-00059')")
    kept = [row for row in range(ROWS) if row not in (0, 21, 59)]
    dataset = rds.ResultDataset({}, result_dir)
    assert mapped_rows(dataset) == ROWS - 6
    for row, original in enumerate(kept):
        assert_same_bits(dataset[row], DATA[original])
        assert not dataset[row].flags.writeable
        read = original in (1, 20, 58)
        assert np.shares_memory(dataset[row], dataset[row]) is not read
    rows = np.random.default_rng(0).permutation(len(kept))
    assert_same_bits(dataset[rows], DATA[kept][rows])
    assert_same_bits(dataset[3:40], DATA[kept][3:40])
    assert_same_bits(dataset.__get_all__(), DATA[kept])
    assert_same_bits(np.stack(list(dataset)), DATA[kept])


@pytest.mark.parametrize(("width", "mapped"), [(2, False), (64, True), (512, True)])
def test_tables_as_pylance_writes_them_by_default(result_dir, width, mapped):
    data = random_array("f4", (3000, width))
    table = store(result_dir, to_arrow(numbered_ids(3000), data))
    dataset = rds.ResultDataset({}, result_dir)
    assert mapped_rows(dataset) == (3000 if mapped else 0)
    expected = table.to_table(columns=["data"])["data"].combine_chunks().flatten().to_numpy()
    expected = expected.reshape(3000, width)
    assert_same_bits(dataset.__get_all__(), expected)
    assert np.shares_memory(dataset[7], dataset[7]) is mapped
    # A row through Lance takes a thousand times as long.
    rows = range(3000) if mapped else range(0, 3000, 30)
    assert_same_bits(np.stack([dataset[row] for row in rows]), expected[rows.start : rows.stop : rows.step])


def test_an_export_that_is_a_copy_is_not_kept(dataset):
    """A table would lie in memory twice."""
    handle = dataset._snapshot.handle
    _, (span,) = _spans.find(handle, 0, ROWS)
    assert _spans.memory(handle, 0, span).tobytes() == DATA.tobytes()
    elsewhere = Span(first_row=0, row_count=ROWS, data=span.data + 8, stride=span.stride)
    assert _spans.memory(handle, 0, elsewhere) is None


def test_rows_of_bool_are_read_and_read_only(make_dataset):
    data = random_array("?", (ROWS, 8))
    dataset = make_dataset(numbered_ids(ROWS), data)
    for row in range(ROWS):
        assert_same_bits(dataset[row], data[row])
        assert not dataset[row].flags.writeable


def test_threads_that_come_first_together_see_the_same_memory(fragments):
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            dataset = rds.ResultDataset({}, fragments.data_location)
            begins = set(pool.map(lambda row: address(dataset[row]) - row % 2 * DATA[0].nbytes, [6, 7] * 8))
            assert len(begins) == 1
