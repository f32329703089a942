"""Collections of Dask as tables: what becomes of rows, ids and dtypes."""

from collections import Counter

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from collections_of_dask import ROWS, check, files, frame, numbers, of_column, of_parts, opened
from samples import DTYPES, assert_same_bits, random_array

import rds
import rds.dask


def test_a_frame_is_a_table_in_the_order_of_its_partitions(result_dir):
    done = rds.dask.write(of_parts(frame, [40, 1, 49]), result_dir)
    assert (done.rows, done.version, done.data_files) == (ROWS, 1, 3)
    assert done.tensor_bytes == ROWS * (4 + 8 + 12)
    check(result_dir)


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_any_scheduler_will_do(result_dir, scheduler):
    options = {"scheduler": scheduler, "num_workers": 2}
    rds.dask.write(of_parts(frame, [30] * 3), result_dir, compute_kwargs=options)
    check(result_dir)


def test_tensors_are_columns_side_by_side_or_alone(result_dir):
    tensors = {"xy": ["y", "y"], "embedding": "embedding", "x": "x"}
    rds.dask.write(of_parts(frame, [45, 45]), result_dir, tensors=tensors)
    dataset = opened(result_dir)
    assert dataset.columns == ("xy", "embedding", "x") and dataset.tensor_shape["xy"] == [2]
    assert_same_bits(dataset["xy"], np.stack([numbers() * 2.0] * 2, axis=1))
    assert_same_bits(dataset["x"], numbers().astype("f4"))


def test_columns_that_are_not_asked_for_are_not_read(result_dir):
    asked = []

    def read(rows, first, columns=None):
        asked.append(columns)
        return frame(rows, first)[columns or list(frame(1).columns)]

    collection = of_parts(read, [30, 60], meta=frame(1).iloc[:0])
    rds.dask.write(collection, result_dir, tensors=["x"], compute_kwargs={"scheduler": "synchronous"})
    assert asked == [["id", "x"]] * 2
    check(result_dir, names=["x"])


class Slow(pd.DataFrame):
    """As a NestedFrame, which does much for each column that it is asked for."""

    def __getitem__(self, key):
        raise AssertionError(f"{key} is looked for")


def test_columns_of_a_frame_of_a_class_of_its_own_are_those_of_pandas(result_dir):
    def made(rows, first):
        return Slow(frame(rows, first))

    collection = of_parts(made, [30, 60], meta=frame(1).iloc[:0])
    rds.dask.write(collection, result_dir, compute_kwargs={"scheduler": "synchronous"})
    check(result_dir)


@pytest.mark.parametrize("name", ["id", None])
def test_the_index_is_the_ids_by_its_name_or_by_none(result_dir, name):
    indexed = dd.from_pandas(frame(20)[["id", "x"]].set_index("id"), npartitions=2)
    rds.dask.write(indexed, result_dir, ids=name)
    check(result_dir, numbers(20), ["x"])


@pytest.mark.parametrize(
    "ids",
    [np.arange(4, dtype="u2"), pd.array([7, 8, 9, 10], "Int64"), pd.Categorical(list("abca")), pa.array(list("wxyz"))],
    ids=["integers", "nullable", "categories", "arrow"],
)
def test_ids_are_strings_or_integers_of_any_kind(result_dir, ids):
    if isinstance(ids, pa.Array):
        ids = pd.arrays.ArrowExtensionArray(pa.chunked_array([ids]))
    rds.dask.write(of_column(numbers(4), ids), result_dir)
    assert opened(result_dir).ids() == [str(one) for one in ids]


@pytest.mark.parametrize("dtype", [one for one in DTYPES if one.kind in "?biufcmM"], ids=str)
def test_numbers_of_numpy_keep_dtype_and_bits(result_dir, dtype):
    values = random_array(dtype, 5)
    rds.dask.write(of_column(values), result_dir)
    assert_same_bits(opened(result_dir)["v"], values)


@pytest.mark.parametrize("dtype", ["Int8", "UInt32", "Float32", "boolean"])
def test_numbers_that_may_be_null_and_are_not_keep_their_dtype(result_dir, dtype):
    rds.dask.write(of_column(pd.array([1, 0, 1], dtype)), result_dir)
    dataset = opened(result_dir)
    assert dataset["v"].dtype == pd.array([1], dtype).dtype.numpy_dtype
    assert np.asarray(dataset["v"]).tolist() == [1, 0, 1]


ROW = [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.list_(pa.float32())),
        pa.large_list(pa.list_(pa.float32(), 3)),
        pa.list_(pa.list_(pa.float32(), 3), 2),
    ],
    ids=str,
)
def test_lists_of_arrow_are_tensors_of_a_shape(result_dir, kind):
    values = pa.chunked_array([pa.array([ROW] * 2, kind), pa.array([ROW] * 3, kind).slice(1)])
    rds.dask.write(of_column(pd.arrays.ArrowExtensionArray(values)), result_dir)
    assert_same_bits(opened(result_dir)["v"], np.array([ROW] * 4, "f4"))


@pytest.mark.parametrize(
    "value",
    [[1.5, 2.5], (1, 2), np.ones((2, 1), "f2"), np.array([True]), np.float32(3), 5, np.array(["2020"], "M8[s]"), 1j],
    ids=repr,
)
def test_objects_that_are_tensors_are_stacked(result_dir, value):
    rds.dask.write(of_column(pd.Series([value] * 4, dtype=object)), result_dir)
    assert_same_bits(opened(result_dir)["v"], np.stack([np.asarray(value)] * 4))


def test_objects_that_a_partition_is_given_stay_such_by_default(result_dir):
    named = of_parts(frame, [45, 45])[["id", "x"]]
    made = named.map_partitions(_with_embedding, meta={"id": "string", "x": "f4", "embedding": "object"})
    rds.dask.write(made, result_dir)
    check(result_dir, names=["x", "embedding"])


def _with_embedding(part):
    return part.assign(embedding=[np.full(3, x, "f4") for x in part["x"]])


def test_a_field_of_nested_rows_is_a_tensor(result_dir):
    kind = pa.list_(pa.struct([("t", pa.float64()), ("band", pa.string())]))
    rows = [[{"t": number + step, "band": "r"} for step in (0.0, 0.5)] for number in range(6)]
    values = pa.chunked_array([pa.array(rows, kind).slice(1, 2), pa.array(rows, kind).slice(3)])
    rds.dask.write(of_column(pd.arrays.ArrowExtensionArray(values)), result_dir, tensors={"t": "v.t"})
    assert np.asarray(opened(result_dir)["t"]).tolist() == [[number, number + 0.5] for number in range(1, 6)]


def test_an_array_is_rows_along_its_first_axis(result_dir):
    values = random_array("f4", (10, 4, 3))
    rds.dask.write(da.from_array(values, chunks=(4, 2, 3)), result_dir)
    dataset = opened(result_dir)
    assert_same_bits(dataset, values)
    assert dataset.ids() == [str(row) for row in range(10)]


@pytest.mark.parametrize("make", [list, np.array, lambda ids: da.from_array(np.array(ids), chunks=3)])
def test_an_array_has_ids_and_a_name(result_dir, make):
    values = random_array("i8", 10)
    rds.dask.write(da.from_array(values, chunks=4), result_dir, ids=make(list("abcdefghij")), name="label")
    assert opened(result_dir).ids() == list("abcdefghij")
    assert_same_bits(opened(result_dir)["label"], values)


def test_chunks_of_unknown_size_go_with_ids_of_such(result_dir):
    values = da.from_array(np.arange(10.0), chunks=4)
    ids = da.from_array(np.array(list("abcdefghij")), chunks=4)
    rds.dask.write(values[values > 5], result_dir, ids=ids[values > 5])
    assert opened(result_dir).ids() == list("ghij")
    assert_same_bits(opened(result_dir), np.arange(6.0, 10))


@pytest.mark.parametrize(
    "make",
    [
        lambda number: (str(number), {"v": np.full(2, number, "f4"), "k": number}),
        lambda number: {"k": number, "name": str(number), "v": np.full(2, number, "f4")},
    ],
    ids=["pairs", "mappings"],
)
def test_a_bag_has_pairs_or_mappings(result_dir, make):
    rds.dask.write(db.from_sequence(range(10), npartitions=3).map(make), result_dir, ids="name")
    dataset = opened(result_dir)
    assert dataset.ids() == [str(number) for number in range(10)]
    assert_same_bits(dataset["v"], np.repeat(np.arange(10, dtype="f4")[:, None], 2, 1))
    assert_same_bits(dataset["k"], np.arange(10))


def test_a_bag_of_pairs_with_a_tensor_is_the_column_data(result_dir):
    rds.dask.write(db.from_sequence([(number, float(number)) for number in range(5)], npartitions=2), result_dir)
    assert_same_bits(opened(result_dir), np.arange(5.0))


def test_partitions_without_rows_are_no_rows(result_dir):
    rds.dask.write(of_parts(frame, [0, 50, 0, 40]), result_dir)
    check(result_dir)


def test_a_collection_without_rows_is_a_table_if_the_columns_are_known(result_dir):
    done = rds.dask.write(of_parts(frame, [0, 0]), result_dir, columns={"embedding": ("f4", 3)})
    assert (done.rows, done.version) == (0, 1)
    assert opened(result_dir).tensor_shape == {"x": [], "y": [], "embedding": [3]}
    with pytest.raises(ValueError, match="nothing tells the columns of the table; name them by columns="):
        rds.dask.write(of_parts(frame, [0, 0]), result_dir.with_name("other"))
    rds.dask.write(of_parts(frame, [0])[["id", "x"]], result_dir.with_name("numbers"))
    assert opened(result_dir.with_name("numbers"))["x"].dtype == np.float32


@pytest.mark.parametrize(("mode", "order"), [("append", [*numbers(20), *numbers()]), ("overwrite", numbers())])
def test_a_table_that_is_there_is_added_to_or_replaced(result_dir, mode, order):
    rds.dask.write(of_parts(frame, [20]), result_dir)
    rds.dask.write(of_parts(frame, [45, 45]), result_dir, mode=mode)
    assert opened(result_dir).ids() == [f"object-{number:04d}" for number in order]


def test_without_compute_nothing_is_done_until_it_is_asked_for(result_dir):
    delayed = rds.dask.write(of_parts(frame, [45, 45]), result_dir, compute=False)
    assert not result_dir.exists()
    (done,) = dask.compute(delayed)
    assert done.rows == ROWS
    check(result_dir)


def test_rows_are_made_and_written_by_one_task(result_dir):
    made = tasks_of(result_dir, [30] * 3, num_workers=2)
    assert made == {"rds-part": 3, "rds-spans": 3, "rds-pack": 3, "rds-commit": 1}


# Eight and four groups, of which the last are cut into smaller ones.
@pytest.mark.parametrize(("options", "packs"), [({"num_workers": 2}, 10), ({"scheduler": "synchronous"}, 6)], ids=str)
def test_files_are_made_by_some_tasks_for_each_that_runs_at_a_time(result_dir, options, packs):
    assert tasks_of(result_dir, [1] * 90, **options)["rds-pack"] == packs


@pytest.mark.parametrize(
    ("threads", "parts", "tasks"), [(1, 63, 63), (1, 64, 32), (1, 130, 33), (1, 200, 50), (2, 127, 127), (2, 200, 67)]
)
def test_one_task_writes_several_parts_if_there_are_many(result_dir, threads, parts, tasks):
    assert tasks_of(result_dir, [1] * parts, num_workers=threads)["rds-part"] == tasks


def test_parts_that_one_task_writes_are_in_order_beside_those_that_were_there(result_dir):
    # Of a job of which each third part and the last one are there.
    counts, there = [1] * 200, {*range(0, 200, 3), 199}
    for number in there:
        part = frame(1, number)
        columns = {"x": part["x"].to_numpy(), "y": part["y"].to_numpy(), "embedding": np.stack(part["embedding"])}
        rds.parts.write_part(result_dir, "j", number, [(list(part["id"]), columns)])
    options = {"scheduler": "synchronous"}
    rds.dask.write(of_parts(frame, counts), result_dir, job="j", resume=True, compute_kwargs=options)
    check(result_dir, numbers(200))


def test_what_one_task_has_written_before_it_failed_stays(result_dir):
    def fails(rows, first):
        if first == 102:
            raise RuntimeError("not this one")
        return frame(rows, first)

    collection = of_parts(fails, [1] * 200, frame(1).iloc[:0])
    with pytest.raises(RuntimeError, match="not this one"):
        rds.dask.write(collection, result_dir, job="j", compute_kwargs={"scheduler": "synchronous"})
    assert {100, 101} <= rds.parts.unfinished(result_dir)["j"].keys()
    rds.dask.write(of_parts(frame, [1] * 200), result_dir, job="j", resume=True)
    check(result_dir, numbers(200))


def test_a_graph_is_looked_at_once_and_not_for_each_partition(result_dir, monkeypatch):
    looked = Counter()

    def counted(graph, key, look=dask.highlevelgraph.HighLevelGraph.__getitem__):
        looked[key] += 1
        return look(graph, key)

    monkeypatch.setattr(dask.highlevelgraph.HighLevelGraph, "__getitem__", counted)
    rds.dask.write(da.zeros((300, 2), chunks=(1, 2)), result_dir, compute=False)
    assert looked and max(looked.values()) < 5


def tasks_of(result_dir, counts, **options):
    """How many tasks there are, by the beginnings of their names."""
    delayed = rds.dask.write(of_parts(frame, counts), result_dir, compute=False, compute_kwargs=options)
    (graph,) = dask.optimize(delayed)
    names = [key if isinstance(key, str) else key[0] for key in graph.dask]
    return Counter(name.rpartition("-")[0] for name in names)


def test_the_commit_names_files_that_other_tasks_have_made(result_dir, monkeypatch):
    commit, made = rds.parts.commit_parts, set()

    def spied(*given):
        made.update(file.stat().st_ino for file in result_dir.rglob("packed/*"))
        return commit(*given)

    monkeypatch.setattr(rds.parts, "commit_parts", spied)
    options = {"scheduler": "threads", "num_workers": 2}
    rds.dask.write(of_parts(frame, [30] * 3), result_dir, compute_kwargs=options)
    data = opened(result_dir).lance_dir / "results.lance" / "data"
    assert {(data / name).stat().st_ino for name in files(result_dir)} <= made
    check(result_dir)


def test_a_path_is_that_of_the_caller_wherever_a_worker_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    delayed = rds.dask.write(of_parts(frame, [90]), "results", compute=False)
    monkeypatch.chdir("/")
    delayed.compute()
    check(tmp_path / "results")
