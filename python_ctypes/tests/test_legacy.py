"""`InferenceDataset` and the factories: results of the earlier format are read as they were, and no more."""

import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from samples import DTYPES, assert_same_bits, dtype_name, random_array, write

import rds
from rds import legacy

pytestmark = pytest.mark.filterwarnings("ignore:.*earlier format:DeprecationWarning")


def write_legacy(directory, ids, data, sizes):
    """The files that Hyrax's earlier writer leaves."""
    directory.mkdir(parents=True, exist_ok=True)
    ids = np.asarray(ids)
    row_type = np.dtype([("id", ids.dtype), ("tensor", data.dtype, data.shape[1:])])
    index = np.zeros(len(ids), [("id", ids.dtype), ("batch_num", np.int64)])
    index["id"] = ids
    start = 0
    for number, size in enumerate(sizes):
        part = slice(start, start + size)
        batch = np.zeros(size, row_type)
        batch["id"], batch["tensor"] = ids[part], data[part]
        index["batch_num"][part] = number
        np.save(directory / f"batch_{number}.npy", batch)
        start += size
    np.save(directory / "batch_index_insertion_order.npy", index)
    index.sort(order="id")
    np.save(directory / "batch_index.npy", index)


SIZES = [7, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 3]
ROWS = sum(SIZES)
IDS = np.array([f"id-{number}" for number in np.random.default_rng(0).permutation(ROWS)])
DATA = random_array("f4", (ROWS, 2, 3))
ORDER = np.argsort(IDS)


@pytest.fixture
def directory(tmp_path):
    write_legacy(tmp_path, IDS, DATA, SIZES)
    return tmp_path


@pytest.fixture
def dataset(directory):
    return rds.InferenceDataset({}, directory)


def test_it_warns_and_names_what_to_do(directory):
    with pytest.warns(DeprecationWarning, match=f"`rds convert {directory} OUTPUT`") as caught:
        rds.InferenceDataset({}, directory)
    assert [warning.filename for warning in caught] == [__file__]


def test_rows_are_in_the_order_of_the_index(dataset, directory):
    assert len(dataset) == ROWS
    assert (dataset.tensor_shape, dataset.tensor_dtype) == ([2, 3], np.float32)
    assert (dataset.config, dataset.data_location) == ({}, directory)
    assert dataset.ids() == IDS[ORDER].tolist()
    assert_same_bits(dataset.__get_all__(), DATA[ORDER])
    assert_same_bits(np.stack(list(dataset)), DATA[ORDER])
    assert_same_bits(np.asarray(dataset), DATA[ORDER])
    for row in (0, 7, ROWS - 1):
        assert_same_bits(dataset[row], DATA[ORDER][row])
        assert_same_bits(dataset.get_data(np.int64(row)), DATA[ORDER][row])
        assert dataset.get_object_id(np.int64(row)) == IDS[ORDER][row]


SELECTIONS = {
    "list": [3, 59, 3],
    "array": np.array([5, 2], np.uint8),
    "mask": np.arange(ROWS) % 3 == 0,
    "stepped slice": slice(5, 50, 7),
    "reversed slice": slice(None, None, -1),
    "nothing": np.array([], int),
}


@pytest.mark.parametrize("rows", SELECTIONS.values(), ids=SELECTIONS)
def test_many_rows_are_what_numpy_gives(dataset, rows):
    expected = DATA[ORDER][rows]
    assert_same_bits(dataset[rows], expected)
    assert not dataset[rows].flags.writeable
    if not isinstance(rows, slice):
        assert_same_bits(dataset[tuple(rows)], expected)
        assert_same_bits(dataset[list(rows)], expected)


@pytest.mark.parametrize("index", [-1, ROWS, [0, -1], [ROWS], np.int64(-1)], ids=str)
def test_a_row_out_of_range_is_an_index_error(dataset, index):
    with pytest.raises(IndexError, match="out of range") as caught:
        dataset[index]
    assert isinstance(caught.value, rds.RdsError)
    if np.ndim(index) == 0:
        with pytest.raises(IndexError, match="out of range"):
            dataset.get_object_id(index)


@pytest.mark.parametrize("index", [1.5, "a", [[1]], None], ids=str)
def test_what_is_no_row_is_an_index_error(dataset, index):
    with pytest.raises(IndexError):
        dataset[index]


@pytest.mark.parametrize("shape", [(), (4,), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.kind != "V"], ids=dtype_name)
def test_every_dtype_and_shape_is_read(tmp_path, dtype, shape):
    data = random_array(dtype, (11, *shape))
    write_legacy(tmp_path, np.arange(11), data, [4, 7])
    dataset = rds.InferenceDataset({}, tmp_path)
    # A file of NumPy has no bfloat16, only its bytes.
    expected = data.view(dataset.tensor_dtype) if dataset.tensor_dtype.kind == "V" else data
    assert_same_bits(dataset[:], expected)
    assert_same_bits(dataset[3], expected[3])
    assert dataset.tensor_shape == list(shape)


@pytest.mark.parametrize(
    ("ids", "texts"),
    [([10, 9, 100], ["9", "10", "100"]), (["b", "β", "a"], ["a", "b", "β"]),
     ([b"b", "β".encode(), b"a"], ["a", "b", "β"])],
    ids=["integers", "strings", "bytes"],
)
def test_ids_of_every_kind_are_text(tmp_path, ids, texts):
    write_legacy(tmp_path, ids, np.arange(3.0), [2, 1])
    dataset = rds.InferenceDataset({}, tmp_path)
    assert dataset.ids() == texts
    assert [dataset.get_object_id(row) for row in range(3)] == texts


def test_an_id_in_several_batches_has_the_tensor_of_each(tmp_path):
    ids = np.array(["a", "b", "a", "c", "a", "b"])
    data = np.arange(6.0)
    write_legacy(tmp_path, ids, data, [3, 3])
    dataset = rds.InferenceDataset({}, tmp_path)
    found = {name: sorted(data[ids == name]) for name in "abc"}
    read = dict.fromkeys("abc", ())
    for row, name in enumerate(dataset.ids()):
        read[name] = sorted([*read[name], float(dataset[row])])
    assert read == found


def test_it_is_pickled_as_its_directory(dataset, monkeypatch, tmp_path_factory):
    pickled = pickle.dumps(dataset)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = pickle.loads(pickled)
    assert again.data_location == dataset.data_location
    assert_same_bits(again[:], DATA[ORDER])


def test_a_relative_directory_is_that_of_the_time_of_opening(directory, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(directory.parent)
    dataset = rds.InferenceDataset({}, directory.name)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert_same_bits(dataset[:], DATA[ORDER])


def test_eight_threads_read_at_once(dataset):
    start = threading.Barrier(8)

    def read(seed):
        start.wait()
        rows = np.random.default_rng(seed).integers(0, ROWS, 200)
        assert_same_bits(dataset[rows], DATA[ORDER][rows])
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(8)))


def test_more_batches_than_are_kept_open(tmp_path, monkeypatch):
    monkeypatch.setattr(legacy, "_OPEN_BATCHES", 3)
    write_legacy(tmp_path, np.arange(40), np.arange(40.0), [2] * 20)
    dataset = rds.InferenceDataset({}, tmp_path)
    assert dataset[::-1].tolist() == list(range(39, -1, -1))


def test_batches_come_in_numeric_order(tmp_path):
    write_legacy(tmp_path, np.arange(24), np.arange(24.0), [2] * 12)
    (tmp_path / "batch_x.npy").touch()
    (tmp_path / "batch_3.npy.tmp").touch()
    numbers = [number for number, _ in legacy.batches(str(tmp_path))]
    assert numbers == list(range(12))
    assert [path.name for _, path in legacy.batches(tmp_path)] == [f"batch_{n}.npy" for n in range(12)]


def test_an_array_may_be_copied_but_not_had_without(dataset):
    copy = np.array(dataset)
    copy[...] = 0
    assert_same_bits(dataset[0], DATA[ORDER][0])
    assert np.asarray(dataset, np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="always a copy"):
        np.asarray(dataset, copy=False)


def damage(directory, what):
    if what == "no index":
        (directory / "batch_index.npy").unlink()
    elif what == "no batch":
        (directory / "batch_3.npy").unlink()
    elif what == "short file":
        (directory / "batch_3.npy").write_bytes((directory / "batch_3.npy").read_bytes()[:-7])
    elif what == "fewer rows":
        np.save(directory / "batch_3.npy", np.load(directory / "batch_3.npy")[:2])
    elif what == "other fields":
        np.save(directory / "batch_3.npy", np.zeros(5, [("x", "i4"), ("tensor", "f4", (2, 3))]))
    elif what == "no rows":
        np.save(directory / "batch_index.npy", np.load(directory / "batch_index.npy")[:0])
    elif what == "index that is none":
        np.save(directory / "batch_index.npy", np.zeros(5))


@pytest.mark.parametrize(
    ("what", "error", "text"),
    [
        ("no index", RuntimeError, "batch_index.npy does not exist"),
        ("no batch", RuntimeError, "batch_3.npy does not exist"),
        ("short file", OSError, "batch_3.npy"),
        ("fewer rows", OSError, "batch_3.npy has fewer rows"),
        ("other fields", RuntimeError, "batch_3.npy.*id and tensor"),
        ("no rows", RuntimeError, "batch_index.npy has no rows"),
        ("index that is none", RuntimeError, "batch_index.npy.*id and batch_num"),
    ],
)
def test_what_is_damaged_is_named(directory, what, error, text):
    damage(directory, what)
    with pytest.raises(error, match=text) as caught:
        rds.InferenceDataset({}, directory)[:]
    assert isinstance(caught.value, rds.RdsError)


@pytest.mark.parametrize("as_text", [False, True])
def test_load_results_dataset_tells_the_format(directory, tmp_path_factory, as_text):
    lance_dir = tmp_path_factory.mktemp("lance")
    write(lance_dir, IDS, DATA)
    config = {"a": 1}
    for location, kind in ((lance_dir, rds.ResultDataset), (directory, rds.InferenceDataset)):
        dataset = rds.load_results_dataset(config, str(location) if as_text else location)
        assert type(dataset) is kind
        assert dataset.config is config
    assert type(rds.load_results_dataset({}, lance_dir / "lance_db" / "results.lance")) is rds.ResultDataset
    assert type(rds.load_results_dataset({}, lance_dir.as_uri())) is rds.ResultDataset
    assert type(rds.load_results_dataset({}, directory.as_uri())) is rds.InferenceDataset
    write(directory, IDS[:3], DATA[:3])
    assert type(rds.load_results_dataset({}, directory, "infer")) is rds.ResultDataset


def test_load_results_dataset_names_what_is_missing(tmp_path):
    with pytest.raises(RuntimeError, match="nowhere does not exist") as caught:
        rds.load_results_dataset({}, tmp_path / "nowhere")
    assert isinstance(caught.value, FileNotFoundError)
    with pytest.raises(RuntimeError, match="batch_index.npy does not exist"):
        rds.load_results_dataset({}, tmp_path)


def test_without_hyrax_a_missing_directory_is_a_value_error(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "hyrax", None)
    with pytest.raises(ValueError, match="results_dir is missing") as caught:
        rds.load_results_dataset({"results": {"inference_dir": "x"}})
    assert isinstance(caught.value, rds.RdsError)
