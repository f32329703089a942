"""Several named tensors: reading."""

import gc
import pickle
import subprocess
import sys
import threading

import numpy as np
import pyarrow as pa
import pytest
from samples import DTYPES, assert_same_bits, dtype_name, numbered_ids, random_array, write

import rds

ROWS = 60
IDS = numbered_ids(ROWS)
ARRAYS = {
    "embedding": random_array("f4", (ROWS, 2, 3)),
    "score": random_array("f8", (ROWS,), 1),
    "flags": random_array("?", (ROWS, 5), 2),
}


@pytest.fixture(params=["mapped", "lance", "parts"])
def dataset(request, result_dir):
    """Of one file, read through Lance, and of many files."""
    if request.param != "parts":
        write(result_dir, IDS, ARRAYS)
        access = "lance" if request.param == "lance" else "auto"
        return rds.ResultDataset({}, result_dir, access=access)
    writer = rds.ResultDatasetWriter(result_dir)
    for start in range(0, ROWS, 13):
        part = slice(start, start + 13)
        # In another order each time.
        names = sorted(ARRAYS, reverse=bool(start % 2)) if start else list(ARRAYS)
        writer.write_batch(IDS[part], {name: ARRAYS[name][part] for name in names})
        writer.flush()
    dataset = rds.ResultDataset({}, result_dir)
    writer.abort()
    return dataset


@pytest.fixture
def one_file(result_dir):
    write(result_dir, IDS, ARRAYS)
    return rds.ResultDataset({}, result_dir)


def same(tensors, index):
    assert type(tensors) is dict and list(tensors) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert_same_bits(tensors[name], array[index])
        assert not tensors[name].flags.writeable


def test_columns_are_named_in_the_order_of_the_table(dataset):
    assert dataset.columns == ("embedding", "score", "flags")
    assert len(dataset) == ROWS
    assert dataset.tensor_shape == {"embedding": [2, 3], "score": [], "flags": [5]}
    assert dataset.tensor_dtype == {name: array.dtype for name, array in ARRAYS.items()}
    assert "60 rows of embedding float32 [2, 3], score float64 [], flags bool [5]" in repr(dataset)


@pytest.mark.parametrize("row", [0, 13, ROWS - 1, np.int64(7), np.uint8(3)], ids=repr)
def test_a_row_is_a_dict_of_arrays(dataset, row):
    same(dataset[row], row)


ROWS_OF = {
    "list": [5, 1, 5],
    "tuple": (5, 1),
    "array": np.array([59, 0, 30]),
    "uint8": np.array([3, 4], np.uint8),
    "none": [],
    "one": [7],
    "mask": np.arange(ROWS) % 3 == 0,
    "slice": slice(10, 30),
    "steps": slice(50, 3, -7),
    "all": slice(None),
    "empty slice": slice(5, 5),
}


@pytest.mark.parametrize("rows", ROWS_OF.values(), ids=ROWS_OF)
def test_rows_are_a_dict_of_stacks(dataset, rows):
    index = list(rows) if isinstance(rows, tuple) else rows
    index = np.array(index, int) if isinstance(index, list) else index
    same(dataset[rows], index)
    for name, array in ARRAYS.items():
        assert_same_bits(dataset[name][rows], array[index])


@pytest.mark.parametrize("rows", [ROWS, -1, [0, ROWS], [3, -1], np.array([2**63], np.uint64)], ids=repr)
def test_a_row_that_is_not_there_is_an_index_error(dataset, rows):
    for call in (
        lambda: dataset[rows],
        lambda: dataset["score"][rows],
        lambda: dataset.take(np.atleast_1d(rows)),
    ):
        with pytest.raises(IndexError, match="out of range"):
            call()


def test_rows_come_one_by_one(dataset):
    for row, tensors in enumerate(dataset):
        same(tensors, row)
    assert row == ROWS - 1
    for row, tensor in enumerate(dataset["embedding"]):
        assert_same_bits(tensor, ARRAYS["embedding"][row])


def test_a_loader_gets_dicts(dataset):
    samples = dataset.__getitems__([5, 1])
    assert [list(sample) for sample in samples] == [list(ARRAYS)] * 2
    for row, sample in zip((5, 1), samples):
        for name, array in ARRAYS.items():
            assert_same_bits(sample[name], array[row])
    tensors = dataset["embedding"].__getitems__([5, 1])
    assert_same_bits(np.stack(tensors), ARRAYS["embedding"][[5, 1]])


def test_an_unknown_column_is_a_key_error_that_names_the_columns(dataset):
    for call in (
        lambda: dataset["x"],
        lambda: dataset.take([0], "x"),
        lambda: dataset.take([0], ["score", "x"]),
        lambda: dataset.stream("x"),
        lambda: dataset.batch([0], ["x"]),
        lambda: rds.Column(dataset, "x"),
    ):
        with pytest.raises(KeyError, match="no column 'x'; the table has 'embedding', 'score', 'flags'"):
            call()


@pytest.mark.parametrize("name", ARRAYS)
def test_a_column_is_an_array(dataset, name):
    column, array = dataset[name], ARRAYS[name]
    assert (column.name, column.dtype, column.shape, len(column)) == (name, array.dtype, array.shape[1:], ROWS)
    assert repr(column) == f"<Column {name!r}, 60 rows of {array.dtype.name} {list(array.shape[1:])}>"
    assert_same_bits(np.asarray(column), array)
    assert_same_bits(np.array(column), array)
    assert_same_bits(np.from_dlpack(column), array)
    assert column.__dlpack_device__() == (1, 0)
    assert_same_bits(column[7], array[7])
    assert_same_bits(column.take([3, 1]), array[[3, 1]])
    out = np.empty((2, *array.shape[1:]), array.dtype)
    assert column.take([3, 1], out=out) is out
    assert_same_bits(out, array[[3, 1]])
    with pytest.raises(ValueError, match="is expected"):
        column.take([3], out=out)
    assert not hasattr(column, "x")
    with pytest.raises(AttributeError):
        column.name = "y"


def test_a_column_of_one_file_is_not_copied(one_file):
    for name in ("embedding", "score"):
        span = np.asarray(one_file[name])
        again = np.asarray(one_file[name], copy=False)
        assert span.ctypes.data == again.ctypes.data and not span.flags.writeable
        assert np.shares_memory(np.from_dlpack(one_file[name]), span)
        assert np.shares_memory(one_file[name][5], span)
        assert not np.shares_memory(np.array(one_file[name], copy=True), span)
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(one_file["flags"], copy=False)


def test_an_array_of_a_column_outlives_all_else(one_file):
    array = np.asarray(one_file["embedding"])
    one_file.close()
    del one_file
    gc.collect()
    assert_same_bits(array, ARRAYS["embedding"])


def test_take_gives_memory_that_may_be_written(dataset):
    rows = [9, 3, 9]
    taken = dataset.take(rows)
    assert list(taken) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert_same_bits(taken[name], array[rows])
        assert taken[name].flags.writeable


def test_take_of_a_name_is_an_array_and_of_names_a_dict(dataset):
    assert_same_bits(dataset.take([4], "score"), ARRAYS["score"][[4]])
    for names in (["score"], ("flags", "embedding"), iter(["score", "flags"])):
        names = list(names)
        taken = dataset.take([4, 2], names)
        assert list(taken) == names
        for name in names:
            assert_same_bits(taken[name], ARRAYS[name][[4, 2]])


def test_take_fills_arrays_of_the_caller(dataset):
    rows = np.arange(20)[::-1]
    out = {name: np.empty((20, *array.shape[1:]), array.dtype) for name, array in reversed(ARRAYS.items())}
    assert dataset.take(rows, out=out) is out
    for name, array in ARRAYS.items():
        assert_same_bits(out[name], array[rows])
    part = {"score": np.empty(20)}
    dataset.take(rows, ["score"], out=part)
    assert_same_bits(part["score"], ARRAYS["score"][rows])


OUT = {
    "an array": (TypeError, lambda out: out["score"], "a dict"),
    "a column too few": (ValueError, lambda out: {"score": out["score"]}, "columns"),
    "a column too many": (ValueError, lambda out: {**out, "x": out["score"]}, "'x'"),
    "another dtype": (ValueError, lambda out: {**out, "score": out["score"].astype("f4")}, "column 'score'"),
    "another shape": (ValueError, lambda out: {**out, "flags": out["flags"][1:]}, "column 'flags'"),
    "none": (TypeError, lambda out: {**out, "flags": None}, "column 'flags'"),
}


@pytest.mark.parametrize(("kind", "change", "text"), OUT.values(), ids=OUT)
def test_what_does_not_fit_into_out_is_refused(dataset, kind, change, text):
    out = {name: np.empty((2, *array.shape[1:]), array.dtype) for name, array in ARRAYS.items()}
    with pytest.raises(kind, match=text) as caught:
        dataset.take([0, 1], out=change(out))
    assert isinstance(caught.value, rds.RdsError)


def test_several_columns_are_one_call(one_file, monkeypatch):
    from rds import _gather

    calls = []
    original = _gather._gathering()
    monkeypatch.setattr(_gather, "_gathering", lambda: lambda *a: calls.append(a) or original(*a))
    one_file[[5, 1]]
    one_file.take([5, 1], ["score", "flags"])
    assert len(calls) == 2


@pytest.mark.parametrize("dtype", DTYPES, ids=dtype_name)
def test_every_dtype_beside_another(result_dir, dtype):
    arrays = {"a": random_array(dtype, (9, 3)), "b": random_array("u1", (9,)), "c": random_array(dtype, (9,), 1)}
    write(result_dir, numbered_ids(9), arrays)
    dataset = rds.ResultDataset({}, result_dir)
    rows = np.array([8, 0, 3])
    for name, array in arrays.items():
        assert_same_bits(dataset[name][:], array)
        assert_same_bits(dataset[name][5], array[5])
        assert_same_bits(dataset[rows][name], array[rows])
        assert_same_bits(dataset.take(rows)[name], array[rows])
        assert_same_bits(dataset.batch(rows)[name], array[rows])


def test_batches_have_the_columns_asked_for(dataset):
    for columns, names in (
        (None, ["object_id", *ARRAYS]),
        ("score", ["score"]),
        (["flags", "object_id", "embedding", "flags"], ["object_id", "flags", "embedding"]),
        ("object_id", ["object_id"]),
    ):
        stream = dataset.stream(columns, batch_size=17)
        table = pa.table(stream)
        assert table.schema.names == names == pa.schema(stream).names
        assert pa.record_batch(dataset.batch([3, 1], columns)).schema.names == names
        for name in set(names) & set(ARRAYS):
            got = np.concatenate([batch[name] for batch in stream])
            assert_same_bits(got, ARRAYS[name])
            assert_same_bits(dataset.batch([3, 1], columns)[name], ARRAYS[name][[3, 1]])
    assert_same_bits(np.asarray(dataset.batch([3, 1], "score")), ARRAYS["score"][[3, 1]])


def test_a_batch_of_several_columns_is_no_array(dataset):
    batch = dataset.batch([1, 2])
    with pytest.raises(ValueError, match="'embedding', 'score', 'flags'"):
        np.asarray(batch)
    with pytest.raises(KeyError, match="embedding"):
        batch["x"]


def test_a_dataset_of_several_columns_is_no_array(dataset):
    for call in (lambda: np.asarray(dataset), dataset.__get_all__):
        with pytest.raises(ValueError, match="'embedding', 'score', 'flags'"):
            call()
    with pytest.raises(BufferError, match=r"dataset\['embedding'\]"):
        np.from_dlpack(dataset)


def test_a_lone_column_of_another_name_is_a_dict_and_an_array(result_dir):
    write(result_dir, IDS, {"embedding": ARRAYS["embedding"]})
    dataset = rds.ResultDataset({}, result_dir)
    assert list(dataset[3]) == ["embedding"]
    assert_same_bits(np.asarray(dataset), ARRAYS["embedding"])
    assert_same_bits(np.from_dlpack(dataset), ARRAYS["embedding"])


def test_a_lone_data_is_an_array_and_a_column(result_dir):
    write(result_dir, IDS, {"data": ARRAYS["embedding"]})
    dataset = rds.ResultDataset({}, result_dir)
    assert dataset.columns == ("data",) and dataset.tensor_shape == [2, 3]
    assert_same_bits(dataset[3], ARRAYS["embedding"][3])
    assert_same_bits(dataset["data"][3], ARRAYS["embedding"][3])
    assert_same_bits(dataset.take([3], "data"), ARRAYS["embedding"][[3]])
    assert_same_bits(dataset.take([3], ["data"])["data"], ARRAYS["embedding"][[3]])


def test_get_data_is_there_where_the_column_is(one_file, tmp_path):
    assert not hasattr(one_file, "get_data") and "get_data" not in dir(one_file)
    assert "get_object_id" in dir(one_file)
    write(tmp_path / "two", IDS, {"score": ARRAYS["score"], "data": ARRAYS["embedding"]})
    dataset = rds.ResultDataset({}, tmp_path / "two")
    assert "get_data" in dir(dataset)
    assert_same_bits(dataset.get_data(3), ARRAYS["embedding"][3])
    assert_same_bits(dataset.__get_all__(), ARRAYS["embedding"])


def test_columns_and_datasets_are_pickled(one_file):
    again = pickle.loads(pickle.dumps(one_file))
    same(again[5], 5)
    column = pickle.loads(pickle.dumps(one_file["score"]))
    assert (column.name, len(column)) == ("score", ROWS)
    assert_same_bits(np.asarray(column), ARRAYS["score"])


def test_a_column_follows_its_dataset(one_file, result_dir):
    column, view = one_file["score"], one_file["score"][5]
    with rds.ResultDatasetWriter(result_dir, mode="append") as writer:
        writer.write_batch(["new"], {name: array[:1] for name, array in ARRAYS.items()})
    assert len(column) == ROWS
    assert one_file.refresh() is True
    assert len(column) == ROWS + 1
    assert_same_bits(column[ROWS], ARRAYS["score"][0])
    assert_same_bits(view, ARRAYS["score"][5])
    one_file.close()
    assert len(column) == ROWS + 1
    with pytest.raises(ValueError):
        column[[0]]


def test_a_forked_child_reads_columns(one_file):
    code = f"""
import os, sys
import numpy as np, rds
ds = rds.ResultDataset({{}}, {str(one_file.data_location)!r})
before = ds[3]
pid = os.fork()
if pid == 0:
    rows = np.array([5, 1])
    good = np.array_equal(ds[rows]["embedding"], ds["embedding"][rows])
    good &= ds.index_of("object-00007") == 7 and ds[3]["score"].tobytes() == before["score"].tobytes()
    os._exit(0 if good else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_threads_read_columns_while_the_dataset_moves_on(one_file, result_dir):
    stop, errors = threading.Event(), []

    def read():
        rows = np.array([5, 1, 30])
        while not stop.is_set():
            try:
                same(one_file[rows], rows)
                assert_same_bits(one_file["score"][7], ARRAYS["score"][7])
                assert one_file.get_object_id(3) == IDS[3]
            except Exception as error:
                errors.append(error)
                return

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(5):
        with rds.ResultDatasetWriter(result_dir, mode="append") as writer:
            writer.write_batch([f"new-{number}"], {name: array[:1] for name, array in ARRAYS.items()})
        assert one_file.refresh()
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors and len(one_file) == ROWS + 5


def test_all_rows_are_mapped_but_those_that_end_within_a_byte(one_file):
    mapped = {name: column.mapped_rows for name, column in one_file._snapshot.stored.items()}
    assert mapped == {"embedding": ROWS, "score": ROWS, "flags": 0}
