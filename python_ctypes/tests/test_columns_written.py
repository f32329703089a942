"""Several named tensors: writing."""

import json
import pickle
import threading
import types
from collections import OrderedDict

import lance
import numpy as np
import pytest
from samples import assert_same_bits, numbered_ids, random_array

import rds

IDS = numbered_ids(6)
EMB = random_array("f4", (6, 2, 3))
SCORE = random_array("f8", (6,), 1)
GOOD = {"emb": EMB, "score": SCORE}


def table_of(result_dir):
    return lance.dataset(str(result_dir / "lance_db" / "results.lance"))


def written(result_dir):
    dataset = rds.ResultDataset({}, result_dir)
    return {name: np.asarray(dataset[name]) for name in dataset.columns}


class Tensor:
    """As a tensor of torch: no array, but it makes one."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array

    def __len__(self):
        return len(self.array)


class Items:
    """Has items, and is no mapping."""

    def items(self):
        return GOOD.items()


FORMS = {
    "dict": GOOD,
    "ordered": OrderedDict(GOOD),
    "proxy": types.MappingProxyType(GOOD),
    "items": Items(),
    "lists": {name: list(array) for name, array in GOOD.items()},
    "tuples": {name: tuple(array) for name, array in GOOD.items()},
    "tensors": {name: Tensor(array) for name, array in GOOD.items()},
    "strided": {"emb": np.asfortranarray(EMB), "score": np.repeat(SCORE, 2)[::2]},
    "big-endian": {"emb": EMB.astype(">f4"), "score": SCORE.astype(">f8")},
}


@pytest.mark.parametrize("data", FORMS.values(), ids=FORMS)
def test_columns_by_name_are_written(result_dir, data):
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch(IDS, data)
        assert writer.tensor_dtype == {"emb": np.float32, "score": np.float64}
        assert writer.tensor_shape == {"emb": [2, 3], "score": []}
    for name, array in written(result_dir).items():
        assert_same_bits(array, GOOD[name])
    assert rds.ResultDataset({}, result_dir).ids() == IDS


class Series:
    """As a column of pandas: one dimension, and items that are its rows."""

    ndim = 1

    def __init__(self, array):
        self.array = array

    def items(self):
        return enumerate(self.array)

    def __len__(self):
        return len(self.array)

    def __array__(self, dtype=None, copy=None):
        return self.array


class Frame:
    """As a table of pandas: two dimensions, and items that are its columns."""

    ndim = 2

    def __init__(self, columns):
        self.columns = columns

    def items(self):
        return ((name, Series(array)) for name, array in self.columns.items())

    def __len__(self):
        return 6

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("a frame was taken for an array")


def test_a_data_frame_is_its_columns(result_dir):
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch(IDS, Frame({"mass": SCORE, "count": np.arange(6)}))
    got = written(result_dir)
    assert list(got) == ["mass", "count"]
    assert_same_bits(got["mass"], SCORE)
    assert_same_bits(got["count"], np.arange(6))


def test_a_series_is_one_column(result_dir):
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch(IDS, Series(SCORE))
    assert_same_bits(written(result_dir)["data"], SCORE)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3)], ids=str)
@pytest.mark.parametrize("names", [["data"], ["data", "b"], ["emb"], ["a", "A", "größe der zelle", "b-c", '"']], ids=str)
def test_the_metadata_are_those_of_the_contract_byte_for_byte(result_dir, names, shape):
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch(IDS, {name: random_array("f4", (6, *shape)) for name in names})
        told = writer.schema
    metadata = table_of(result_dir).schema.metadata
    if names == ["data"]:
        assert metadata == {b"tensor_shape": json.dumps(shape).encode(), b"tensor_dtype": b"float32"}
    else:
        one = json.dumps({"tensor_shape": list(shape), "tensor_dtype": "float32"}).encode()
        assert metadata == {name.encode(): one for name in names}
    assert told.metadata == metadata
    assert told.names == table_of(result_dir).schema.names == ["object_id", *names]
    assert told.types == table_of(result_dir).schema.types


def test_an_array_and_data_by_name_are_the_same_column(result_dir):
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch(IDS[:2], {"data": EMB[:2]})
        writer.write_batch(IDS[2:4], EMB[2:4])
        writer.write_batch(IDS[4:], {"data": list(EMB[4:])})
        assert (writer.tensor_dtype, writer.tensor_shape) == (np.float32, [2, 3])
    assert_same_bits(written(result_dir)["data"], EMB)


def test_later_batches_may_be_in_another_order(result_dir):
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch(IDS[:3], {"emb": EMB[:3], "score": SCORE[:3]})
        writer.write_batch(IDS[3:], {"score": SCORE[3:], "emb": EMB[3:]})
    assert list(written(result_dir)) == ["emb", "score"]
    for name, array in written(result_dir).items():
        assert_same_bits(array, GOOD[name])


def test_nothing_is_written_of_nothing(result_dir):
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch([], {"emb": EMB[:0], "score": SCORE[:0]})
        writer.write_batch([], {})
        assert (writer.batch_count, writer.tensor_dtype, writer.tensor_shape, writer.schema) == (0, None, None, None)
    assert not (result_dir / "lance_db").exists()


FIRST = {
    "no columns": (ValueError, {}, "6 ids"),
    "no rows": (ValueError, {"emb": EMB[:0]}, "'emb' has 0 rows"),
    "fewer rows": (ValueError, {"emb": EMB, "score": SCORE[:5]}, "'score' has 5 rows"),
    "more rows": (ValueError, {"emb": EMB, "score": np.ones(7)}, "'score' has 7 rows"),
    "a number": (ValueError, {"emb": EMB, "loss": 0.3}, "'loss'"),
    "a number of NumPy": (ValueError, {"loss": np.float32(0.3)}, "'loss'"),
    "an array without dimensions": (ValueError, {"loss": np.array(0.3)}, "'loss'"),
    "None": (ValueError, {"emb": EMB, "x": None}, "'x'"),
    "a dict": (ValueError, {"x": {"y": EMB}}, "'x'"),
    "a text": (ValueError, {"x": "abcdef"}, "'x'"),
    "a number as name": (TypeError, {"emb": EMB, 1: SCORE}, "1"),
    "bytes as name": (TypeError, {b"emb": EMB}, "b'emb'"),
    "texts": (TypeError, {"emb": EMB, "x": np.array(IDS)}, "x"),
    "objects": (TypeError, {"x": np.array([None] * 6)}, "x"),
    "no elements": (ValueError, {"x": np.ones((6, 0))}, "x"),
    "masked": (TypeError, {"x": np.ma.masked_array(SCORE)}, "x"),
    "the ids": (ValueError, {"object_id": SCORE}, "object_id"),
    "no name": (ValueError, {"": SCORE}, "empty"),
    "a dot": (ValueError, {"emb": EMB, "a.b": SCORE}, "a.b"),
    "a backtick": (ValueError, {"a`b": SCORE}, "a`b"),
    "a column of Lance": (ValueError, {"_rowid": SCORE}, "_rowid"),
    "NUL": (ValueError, {"a\0b": SCORE}, "NUL"),
    "a surrogate": (ValueError, {"\ud800": SCORE}, "UTF-8"),
}


@pytest.mark.parametrize(("kind", "data", "text"), FIRST.values(), ids=FIRST)
def test_a_refused_first_batch_changes_nothing(result_dir, kind, data, text):
    with rds.ResultDatasetWriter(result_dir) as writer:
        with pytest.raises(kind, match=text) as caught:
            writer.write_batch(IDS, data)
        assert isinstance(caught.value, rds.RdsError)
        assert (writer.batch_count, writer.tensor_dtype, writer.stats().accepted_rows) == (0, None, 0)
        assert not (result_dir / "lance_db").exists()
        writer.write_batch(IDS, {"other": SCORE})
    assert_same_bits(written(result_dir)["other"], SCORE)


LATER = {
    "another dtype": ({"emb": EMB.astype("f8"), "score": SCORE}, "emb: tensor 0 is float64"),
    "another shape": ({"emb": EMB[:, :1], "score": SCORE}, "emb: tensor 0 is float32 of shape \\[1, 3\\]"),
    "another rank": ({"emb": EMB, "score": SCORE[:, None]}, "score: tensor 0"),
    "a list with an odd one": ({"emb": [*EMB[:5], EMB[0].T], "score": SCORE}, "emb: tensor 5"),
    "a column missing": ({"emb": EMB}, '"score" is missing'),
    "a column too many": ({**GOOD, "x": SCORE}, '"x"'),
    "another column": ({"emb": EMB, "x": SCORE}, '"x"|"score"'),
    "an array": (EMB, '"data"'),
    "no columns": ({}, "6 ids"),
}


@pytest.mark.parametrize(("data", "text"), LATER.values(), ids=LATER)
def test_a_later_batch_that_does_not_fit_is_refused_whole(result_dir, data, text):
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch(IDS, GOOD)
        with pytest.raises(ValueError, match=text):
            writer.write_batch(IDS, data)
        assert (writer.batch_count, writer.stats().accepted_rows) == (1, 6)
        writer.write_batch(IDS, GOOD)
    assert len(rds.ResultDataset({}, result_dir)) == 12


def test_batches_of_all_forms_and_sizes_follow_each_other(result_dir):
    kept, ids = {name: [] for name in GOOD}, []
    with rds.ResultDatasetWriter(result_dir) as writer:
        for number, (form, rows) in enumerate((form, rows) for rows in (6, 1, 4, 6) for form in FORMS):
            part = FORMS[form]
            if rows < 6 or number % 3 == 0:
                part = {name: np.roll(array, number, 0)[:rows].copy() for name, array in GOOD.items()}
            if number % 2:
                part = dict(reversed(part.items()))
            ids += [f"{number}-{row}" for row in range(rows)]
            writer.write_batch(ids[-rows:], part)
            for name, array in part.items():
                kept[name].append(np.asarray([np.asarray(row) for row in np.asarray(array)], GOOD[name].dtype))
    for name, arrays in kept.items():
        assert_same_bits(written(result_dir)[name], np.concatenate(arrays))
    assert rds.ResultDataset({}, result_dir).ids() == ids


def test_threads_that_write_batches_of_equal_columns_do_not_mix_them(result_dir):
    def write(writer, thread):
        for batch in range(200):
            value = thread * 1000 + batch
            rows = 1 + batch % 5
            writer.write_batch([f"{value}"] * rows, {"a": np.full((rows, 9), value), "b": np.full(rows, -value)})

    with rds.ResultDatasetWriter(result_dir) as writer:
        threads = [threading.Thread(target=write, args=(writer, thread)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    dataset = rds.ResultDataset({}, result_dir)
    values = np.asarray(dataset.ids(), np.int64)
    assert len(dataset) == 8 * 200 * 3
    assert (np.asarray(dataset["a"]) == values[:, None]).all() and (np.asarray(dataset["b"]) == -values).all()


def test_appending_needs_the_columns_of_the_table(result_dir):
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch(IDS, GOOD)
    with rds.ResultDatasetWriter(result_dir, mode="append") as writer:
        for data in (EMB, {"emb": EMB}, {**GOOD, "x": SCORE}, {"emb": EMB.astype("f8"), "score": SCORE}):
            with pytest.raises(ValueError, match="emb|score|data|x"):
                writer.write_batch(IDS, data)
        writer.write_batch(IDS, {"score": SCORE, "emb": EMB})
    assert_same_bits(written(result_dir)["emb"], np.concatenate([EMB, EMB]))


DECLARED = {"emb": ("float32", (2, 3)), "score": (np.float64, ()), "flag": ("?", 4), "b": ("bfloat16", [2])}


@pytest.mark.parametrize("mode", ["create", "overwrite"])
def test_declared_columns_make_a_table_without_rows(result_dir, mode):
    with rds.ResultDatasetWriter(result_dir, mode=mode, columns=DECLARED) as writer:
        assert writer.tensor_shape == {"emb": [2, 3], "score": [], "flag": [4], "b": [2]}
        assert list(writer.schema.names) == ["object_id", *DECLARED]
    dataset = rds.ResultDataset({}, result_dir)
    assert (len(dataset), dataset.columns, dataset.ids()) == (0, tuple(DECLARED), [])
    assert dataset.tensor_shape == writer.tensor_shape and dataset.tensor_dtype == writer.tensor_dtype
    assert {name: array.shape for name, array in dataset[[]].items()}["emb"] == (0, 2, 3)


def test_declared_columns_hold_for_the_first_batch(result_dir):
    with rds.ResultDatasetWriter(result_dir, columns={"score": ("f8", ()), "emb": ("f4", (2, 3))}) as writer:
        with pytest.raises(ValueError, match="emb"):
            writer.write_batch(IDS, {"score": SCORE, "emb": EMB.astype("f8")})
        writer.write_batch(IDS, GOOD)
    assert list(written(result_dir)) == ["score", "emb"]


WRONG = {
    "nothing": (ValueError, {}, "columns is empty"),
    "no pair": (ValueError, {"a": "float32"}, "'a'"),
    "no dtype": (ValueError, {"a": ("float33", ())}, "'a'"),
    "no shape": (ValueError, {"a": ("f4", "x")}, "'a'"),
    "a dimension of 0": (ValueError, {"a": ("f4", (0,))}, "a"),
    "texts": (TypeError, {"a": ("U5", ())}, "a"),
    "no name": (TypeError, {1: ("f4", ())}, "1"),
    "a dot": (ValueError, {"a.b": ("f4", ())}, "a.b"),
    "ids": (ValueError, {"object_id": ("f4", ())}, "object_id"),
}


@pytest.mark.parametrize(("kind", "columns", "text"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_declared_is_refused(result_dir, kind, columns, text):
    with pytest.raises(kind, match=text) as caught:
        rds.ResultDatasetWriter(result_dir, columns=columns)
    assert isinstance(caught.value, rds.RdsError)


CALLS = {
    "write_batch": lambda writer: writer.write_batch(IDS, GOOD),
    "write nothing": lambda writer: writer.write_batch([], []),
    "flush": lambda writer: writer.flush(),
    "commit": lambda writer: writer.commit(),
    "commit with progress": lambda writer: writer.commit(progress=print),
    "stats": lambda writer: writer.stats(),
    "stage": lambda writer: writer.stage(),
    "abort": lambda writer: writer.abort(),
    "close": lambda writer: writer.close(),
    "with": lambda writer: writer.__enter__(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_pickled_copy_refuses_every_call(result_dir, call):
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch(IDS, GOOD)
        copy = pickle.loads(pickle.dumps(writer))
        assert type(copy) is rds.ResultDatasetWriter and repr(copy).endswith("1 batches, copy>")
        assert copy.result_dir == writer.result_dir and copy.tensor_shape == writer.tensor_shape
        with pytest.raises(RuntimeError, match="pickled copy of the writer") as caught:
            call(copy)
        assert isinstance(caught.value, rds.RdsError)
        with pytest.raises(RuntimeError, match="pickled copy"):
            call(pickle.loads(pickle.dumps(copy)))
        del copy
        writer.write_batch(IDS, GOOD)
    assert len(rds.ResultDataset({}, result_dir)) == 12


def test_a_writer_is_pickled_at_any_time(result_dir):
    """Also before the first batch, while another thread writes, and when it is closed."""
    writer = rds.ResultDatasetWriter(result_dir)
    copies = [pickle.loads(pickle.dumps(writer))]
    stop = threading.Event()

    def pickling():
        while not stop.is_set():
            copies.append(pickle.loads(pickle.dumps({"reducer": [writer]}))["reducer"][0])

    thread = threading.Thread(target=pickling)
    thread.start()
    for _ in range(200):
        writer.write_batch(IDS, GOOD)
    stop.set()
    thread.join()
    writer.close()
    copies.append(pickle.loads(pickle.dumps(writer)))
    assert copies[0].tensor_shape is None and copies[-1].batch_count == 200
    del copies
    assert len(rds.ResultDataset({}, result_dir)) == 1200
