"""The contract of ResultDataset."""

import inspect
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

import numpy as np
import pytest
from samples import assert_same_bits, numbered_ids, random_array

import rds

ROWS = 500
IDS = numbered_ids(ROWS)
DATA = random_array("f4", (ROWS, 2, 3))


@pytest.fixture(scope="module")
def location(tmp_path_factory):
    path = tmp_path_factory.mktemp("results")
    with rds.ResultDatasetWriter(path) as writer:
        for start in range(0, ROWS, 100):
            writer.write_batch(IDS[start : start + 100], DATA[start : start + 100])
    return path


@pytest.fixture(scope="module")
def dataset(location):
    return rds.ResultDataset({}, location)


def test_it_is_opened_by_position_and_by_keyword(location):
    config = MappingProxyType({"a": 1})
    for dataset in (
        rds.ResultDataset(config, location),
        rds.ResultDataset(config=config, data_location=str(location)),
    ):
        assert len(dataset) == ROWS
        assert dataset.config is config


def test_attributes_are_those_of_the_contract(dataset, location):
    assert dataset.data_location == location
    assert dataset.lance_dir == location / "lance_db"
    assert dataset.tensor_shape == [2, 3]
    assert dataset.tensor_dtype == np.float32 and isinstance(dataset.tensor_dtype, np.dtype)


def test_hyrax_finds_no_field_but_data_and_object_id():
    public = [name for name, _ in inspect.getmembers(rds.ResultDataset)]
    fields = [name for name in public if name.startswith(("get_", "collate", "augment"))]
    assert fields == ["get_data", "get_object_id"]


@pytest.mark.parametrize("kind", [int, np.int64, np.int32, np.uint8, np.array], ids=lambda k: k.__name__)
def test_one_row_by_any_integer(dataset, kind):
    for row in (0, 7, 255):
        assert_same_bits(dataset[kind(row)], DATA[row])
        assert_same_bits(dataset.get_data(kind(row)), DATA[row])
        assert dataset.get_object_id(kind(row)) == IDS[row]


SELECTIONS = {
    "list": [3, 499, 0],
    "tuple": (5, 4),
    "int64 array": np.array([250, 1, 250]),
    "int32 array": np.array([3, 2], np.int32),
    "uint64 array": np.array([3, 2], np.uint64),
    "big-endian array": np.array([300, 2], ">i8"),
    "strided array": np.arange(100)[::7],
    "list of np.int64": [np.int64(9), np.int64(8)],
    "duplicates": [7, 7, 7],
    "one": [42],
    "all, reversed": np.arange(ROWS)[::-1],
    "permutation": np.random.default_rng(0).permutation(ROWS),
    "slice": slice(10, 20),
    "open slice": slice(None),
    "stepped slice": slice(1, 400, 13),
    "reversed slice": slice(None, None, -1),
    "slice from the end": slice(-5, None),
    "slice beyond the end": slice(490, 1000),
    "empty slice": slice(7, 7),
    "slice that ends before it begins": slice(10, 5),
    "empty stepped slice": slice(10, 5, 2),
    "mask": np.arange(ROWS) % 3 == 0,
}


@pytest.mark.parametrize("selection", SELECTIONS.values(), ids=SELECTIONS)
def test_many_rows_are_what_numpy_gives(dataset, selection):
    as_numpy = list(selection) if isinstance(selection, tuple) else selection
    assert_same_bits(dataset[selection], DATA[as_numpy])
    assert_same_bits(dataset.get_data(selection), DATA[as_numpy])


@pytest.mark.parametrize("selection", [[], (), np.array([]), np.array([], int)], ids=repr)
def test_no_rows_are_an_empty_stack(dataset, selection):
    assert_same_bits(dataset[selection], DATA[:0])


@pytest.mark.parametrize(
    "index",
    [-1, ROWS, 2**64, -(2**70), [0, -1], [0, ROWS], np.array([-1]), np.array([2**64 - 1], np.uint64)],
    ids=repr,
)
def test_rows_out_of_range_are_an_index_error_with_row_and_count(dataset, index):
    with pytest.raises(IndexError, match=f"row -?[0-9]+ is out of range .* {ROWS} rows") as caught:
        dataset[index]
    assert isinstance(caught.value, rds.RdsError)


@pytest.mark.parametrize("make", [list, np.array, tuple], ids=lambda make: make.__name__)
@pytest.mark.parametrize("dtype", ["i1", "i4", "i8", ">i8"])
def test_a_negative_row_among_many_is_named(dataset, make, dtype):
    rows = np.array([3, 7, -5, 0, -1], dtype)
    with pytest.raises(IndexError) as caught:
        dataset[make(rows)]
    assert str(caught.value) == f"row -5 is out of range (the table has {ROWS} rows)"


def test_a_negative_row_beside_one_too_large_is_named(dataset):
    with pytest.raises(IndexError, match="row -1 is out"):
        dataset[[ROWS, -1]]


def test_rows_may_be_in_memory_that_is_read_only(dataset):
    rows = np.array([7, 3, 3])
    rows.flags.writeable = False
    assert_same_bits(dataset[rows], DATA[[7, 3, 3]])


@pytest.mark.parametrize("mask", [np.zeros(ROWS, bool), np.ones(ROWS, bool)], ids=["nothing", "all"])
def test_a_mask_selects(dataset, mask):
    assert_same_bits(dataset[mask], DATA[mask])
    assert_same_bits(dataset[mask.tolist()], DATA[mask])


@pytest.mark.parametrize("mask", [np.zeros(ROWS - 1, bool), np.zeros(ROWS + 1, bool), [True]], ids=len)
def test_a_mask_of_another_length_is_an_index_error(dataset, mask):
    with pytest.raises(IndexError, match=f"the mask has {len(mask)} values, the table {ROWS} rows"):
        dataset[mask]


@pytest.mark.parametrize("index", [-1, ROWS, np.int64(-1), 2**64])
def test_ids_out_of_range_are_an_index_error(dataset, index):
    with pytest.raises(IndexError, match="out of range"):
        dataset.get_object_id(index)


@pytest.mark.parametrize("index", [1.0, b"a", [1.0], [[1]], [True, False], None, {}], ids=repr)
def test_what_is_no_row_is_an_index_error(dataset, index):
    with pytest.raises(IndexError):
        dataset[index]


def test_results_are_read_only(dataset):
    whole = (dataset.__get_all__(), np.asarray(dataset))
    for array in (dataset[0], dataset[[0, 1]], dataset[:2], dataset[[]], *whole):
        assert not array.flags.writeable
        with pytest.raises(ValueError):
            array[...] = 0


def test_iteration_gives_every_row_in_order_and_ends(dataset):
    tensors = list(dataset)
    assert len(tensors) == ROWS
    assert_same_bits(np.stack(tensors), DATA)


def test_ids_are_strings_in_row_order(dataset):
    assert dataset.ids() == IDS
    assert all(type(one) is str for one in dataset.ids())


def test_get_all_is_every_row(dataset):
    assert_same_bits(dataset.__get_all__(), DATA)


def test_numpy_takes_it_as_an_array(dataset):
    assert_same_bits(np.asarray(dataset), DATA)
    with np.errstate(invalid="ignore"):
        assert np.asarray(dataset, np.float64).dtype == np.float64
    assert_same_bits(np.argmax(dataset, axis=1), np.argmax(DATA, axis=1))


def test_a_numpy_copy_is_writable(dataset):
    copy = np.array(dataset)
    copy[...] = 0
    assert_same_bits(dataset[0], DATA[0])


def test_a_tree_takes_it(make_dataset):
    from sklearn.neighbors import KDTree

    points = np.random.default_rng(0).normal(size=(50, 3))
    tree = KDTree(make_dataset(numbered_ids(50), points))
    assert tree.query(points[7:8], return_distance=False).tolist() == [[7]]


def test_find_gives_rows_and_minus_one(dataset):
    found = dataset.find(["object-00007", "nobody", "object-00499", "object-00007"])
    assert found.dtype == np.int64
    assert found.tolist() == [7, -1, 499, 7]


@pytest.mark.parametrize("ids", [[], np.array([], "U5"), np.array([], int), np.array([])], ids=repr)
def test_finding_nothing_finds_nothing(dataset, ids):
    assert dataset.find(ids).tolist() == []


def test_find_takes_integers(make_dataset):
    dataset = make_dataset(np.arange(100, 200), np.zeros((100, 2)))
    assert dataset.find(np.array([150, 7])).tolist() == [50, -1]
    assert dataset.index_of(150) == dataset.index_of("150") == 50


def test_of_duplicate_ids_the_first_row_is_found(make_dataset):
    dataset = make_dataset(["a", "b", "a", "b"], np.zeros((4, 2)))
    assert dataset.find(["b", "a"]).tolist() == [1, 0]
    assert dataset.index_of("b") == 1


def test_index_of_an_absent_id_is_a_key_error_that_names_it(dataset):
    assert dataset.index_of("object-00321") == 321
    with pytest.raises(KeyError, match="nobody"):
        dataset.index_of("nobody")


def test_every_row_is_found_by_its_id(dataset):
    assert dataset.find(dataset.ids()).tolist() == list(range(ROWS))


def test_a_closed_dataset_refuses_reads_but_its_arrays_stay(location):
    with rds.ResultDataset({}, location) as dataset:
        row, rows = dataset[3], dataset[[4, 5]]
    for call in (lambda: dataset[0], lambda: dataset[[0]], dataset.ids, lambda: dataset.get_object_id(0)):
        with pytest.raises(ValueError, match="rds_reader_"):
            call()
    dataset.close()
    assert_same_bits(row, DATA[3])
    assert_same_bits(rows, DATA[4:6])


def test_lance_and_lancedb_are_opened_lazily_and_once(dataset):
    assert dataset.lance_dataset is dataset.lance_dataset
    assert dataset.table is dataset.table
    assert dataset.lance_dataset.count_rows() == ROWS
    assert dataset.table.count_rows() == ROWS
    assert dataset.table.to_arrow()["object_id"].to_pylist() == IDS


@pytest.mark.parametrize(
    ("attribute", "package"), [("lance_dataset", "lance"), ("db", "lancedb"), ("table", "lancedb")]
)
def test_a_missing_package_is_an_import_error_that_names_it(location, monkeypatch, attribute, package):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ImportError, match=f"`{attribute}`.*{package}"):
        getattr(rds.ResultDataset({}, location), attribute)


def test_eight_threads_read_at_once(location):
    dataset = rds.ResultDataset({}, location)

    def read(seed):
        rows = np.random.default_rng(seed).integers(0, ROWS, 64)
        assert_same_bits(dataset[rows], DATA[rows])
        for row in rows[:16]:
            assert_same_bits(dataset[row], DATA[row])
            assert dataset.get_object_id(row) == IDS[row]
        assert dataset.find([IDS[row] for row in rows]).tolist() == rows.tolist()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(64)))


def test_closing_under_reading_threads_is_an_error_not_a_crash(location):
    def read(dataset):
        for row in range(ROWS):
            try:
                assert dataset.get_object_id(row) == IDS[row]
                assert_same_bits(dataset[row], DATA[row])
            except rds.RdsError as error:
                assert error.status == 2
                return

    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            dataset = rds.ResultDataset({}, location)
            running = [pool.submit(read, dataset) for _ in range(4)]
            dataset.close()
            for one in running:
                one.result()


def test_reading_goes_on_while_a_writer_writes(result_dir, dataset):
    with rds.ResultDatasetWriter(result_dir) as writer:
        for batch in range(20):
            writer.write_batch(numbered_ids(50, 50 * batch), DATA[:50])
            assert_same_bits(dataset[batch], DATA[batch])
    assert len(rds.ResultDataset({}, result_dir)) == 1000
