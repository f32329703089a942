"""What `rds.dask` refuses, when, and what it says."""

import subprocess
import sys

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from collections_of_dask import frame, numbers, of_column, of_parts, opened

from killed import environment

import rds
import rds.dask


def never(*_):
    raise AssertionError("a partition was computed")


UNREAD = dd.from_map(never, [0, 1], meta=frame(1)[["id", "x"]].iloc[:0])


def arrow(values, kind=None):
    return pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.array(values, kind)]))


def objects(values):
    made = np.empty(len(values), object)
    for row, value in enumerate(values):
        made[row] = value
    return made


PLACE = "partition 1: column 'v', row 2"


@pytest.mark.parametrize(
    ("values", "error", "said"),
    [
        (arrow([[1], [1], [1], [1, 2]]), ValueError, rf"{PLACE} is of shape \(2,\), and the rows before are of shape \(1,\)"),
        (arrow([[[1]], [[1]], [[1]], [[1, 2]]]), ValueError, rf"{PLACE} is of shape \(2,\)"),
        (arrow([[1]] * 3 + [None]), ValueError, f"{PLACE} is null"),
        (arrow([[1]] * 3 + [[None]]), ValueError, f"{PLACE} is null"),
        (arrow([[[1, 2]]] * 3 + [[[1, None]]]), ValueError, f"{PLACE} is null"),
        (arrow([1, 1, 1, None]), ValueError, f"{PLACE} is null"),
        (pd.array([1, 1, 1, None], "Int32"), ValueError, f"{PLACE} is null"),
        (objects([[1]] * 3 + [[1, 2]]), ValueError, rf"{PLACE} is of shape \(2,\), and the rows before are of shape \(1,\)"),
        (objects([[1]] * 3 + [[1.0]]), ValueError, f"{PLACE} is float64, and the rows before are int64"),
        (objects([[1]] * 3 + [None]), ValueError, f"{PLACE} is null"),
        (objects([[1]] * 3 + ["text"]), TypeError, f"{PLACE} is a str, which is no tensor"),
        (objects([[1]] * 3 + [[[1], [2, 3]]]), ValueError, f"{PLACE} is no tensor"),
    ],
)
def test_a_row_that_is_no_tensor_as_the_others_are_is_named(result_dir, values, error, said):
    with pytest.raises(error, match=said):
        rds.dask.write(of_column(values), result_dir)
    with pytest.raises(FileNotFoundError):
        opened(result_dir)


@pytest.mark.parametrize("values", [[[1, 2]] * 2 + [[1]] * 2, [[1.0]] * 2 + [[1]] * 2], ids=["shape", "dtype"])
def test_partitions_that_differ_are_no_table(result_dir, values):
    halves = [of_column(objects(part)) for part in (values[:2], values[2:])]
    with pytest.raises(ValueError):
        rds.dask.write(dd.concat(halves), result_dir)
    with pytest.raises(FileNotFoundError):
        opened(result_dir)


def test_metadata_that_are_not_true_are_told(result_dir):
    meta = frame(1)[["id", "x"]].iloc[:0].astype({"x": "f8"})
    part = r"partition \d: column 'x' is float32 of shape \[\], and float64 of shape \[\] by columns= or the metadata"
    with pytest.raises(ValueError, match=part):
        rds.dask.write(of_parts(lambda rows, first: frame(rows, first)[["id", "x"]], [2, 2], meta), result_dir)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (arrow(["a"]), "is string"),
        (arrow([["a"]]), "list<"),
        (pd.Categorical(["a"]), "is category"),
        (pd.Series(["a"], dtype="str"), "dataframe.convert-string"),
        (pd.date_range("2020", periods=1, tz="UTC"), "UTC"),
        (arrow([1], pa.timestamp("us", "UTC")), "UTC"),
        (arrow([{"a": 1}]), "struct"),
        (arrow([1], pa.date32()), "date32"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_tensor_by_its_dtype_is_refused_before_anything_is_computed(result_dir, values, said):
    meta = pd.DataFrame({"id": ["a"], "v": values}).iloc[:0]
    with dask.config.set({"dataframe.convert-string": False}):
        collection = dd.from_map(never, [0], meta=meta)
    with pytest.raises(TypeError, match=f"column 'v' .*{said}.*") as caught:
        rds.dask.write(collection, result_dir)
    assert isinstance(caught.value, rds.RdsError) and "tensors=" in str(caught.value)
    assert not result_dir.exists()


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"ids": "name"}, KeyError, "ids is 'name', and there is no such column; name one of 'id', 'x'"),
        ({"ids": "x"}, TypeError, "column 'x', which is float32; ids are strings or integers"),
        ({"ids": 3}, TypeError, "ids is 3"),
        ({"tensors": ["y"]}, KeyError, "no column 'y'; there are 'id', 'x'"),
        ({"tensors": {"v": ["x", "x.y"]}}, KeyError, "no column 'x.y'"),
        ({"tensors": {"v": 3}}, TypeError, "tensors: 'v' is 3"),
        ({"tensors": []}, ValueError, "tensors is empty"),
        ({"name": "v"}, ValueError, "name is 'v', and the collection is a DataFrame"),
        ({"order": "pixel"}, ValueError, "order is 'pixel', and the collection is no catalogue"),
        ({"order": "random"}, ValueError, "order is 'random'"),
        ({"mode": "staged"}, ValueError, "mode is 'staged'"),
        ({"mode": "append"}, FileNotFoundError, "no table to append to"),
        ({"job": 5}, TypeError, "job is 5"),
        ({"columns": {"x": 4}}, ValueError, "columns: 'x' is 4"),
    ],
    ids=str,
)
def test_options_are_looked_at_before_anything_is_computed(result_dir, options, error, said):
    with pytest.raises(error, match=said) as caught:
        rds.dask.write(UNREAD, result_dir, **options)
    assert isinstance(caught.value, rds.RdsError)
    assert not result_dir.exists()


def test_a_table_that_is_there_is_refused_before_anything_is_computed(result_dir):
    rds.dask.write(of_parts(frame, [5]), result_dir)
    with pytest.raises(FileExistsError, match="append to it or overwrite it"):
        rds.dask.write(UNREAD, result_dir)
    assert len(opened(result_dir)) == 5


@pytest.mark.parametrize("value", [pd.DataFrame({"id": [1], "v": [1]}), np.ones(3), of_column(numbers(2)).v, [1], None])
def test_what_is_no_collection_is_refused(result_dir, value):
    with pytest.raises(TypeError, match="a DataFrame, an Array or a Bag of Dask, or a catalogue of LSDB, is expected"):
        rds.dask.write(value, result_dir)


ARRAY = da.from_array(np.arange(6.0), chunks=2)


@pytest.mark.parametrize(
    ("array", "options", "said"),
    [
        (ARRAY[ARRAY > 2], {}, r"compute_chunk_sizes\(\)"),
        (ARRAY[ARRAY > 2], {"ids": list("abc")}, r"compute_chunk_sizes\(\)"),
        (ARRAY[ARRAY > 2], {"ids": da.from_array(np.arange(6), chunks=3)}, r"compute_chunk_sizes\(\)"),
        (ARRAY, {"ids": list("abc")}, "there are 3 ids, and the array has 6 rows"),
        (ARRAY, {"ids": "object"}, "ids is 'object', and the collection is an Array; as many ids as rows"),
        (ARRAY, {"ids": ARRAY[:3]}, "one id for each of the 6 rows"),
        (ARRAY.sum(), {}, "no axes"),
        (ARRAY.astype("U3"), {}, "cannot be stored"),
        (ARRAY, {"tensors": {"v": "v"}}, "tensors is .*, and the collection is no DataFrame"),
    ],
)
def test_arrays_without_rows_to_number_are_refused(result_dir, array, options, said):
    with pytest.raises((ValueError, TypeError), match=said) as caught:
        rds.dask.write(array, result_dir, **options)
    assert isinstance(caught.value, rds.RdsError)


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ([5], "element 0 is a int"),
        ([("a", 1), ("b", [1])], r"element 1, 'data': int64 of shape \[1\], and those before are int64 of shape \[\]"),
        ([("a", {"x": 1}), ("b", {"y": 1})], r"element 1 has \['y'\], and those before \['x'\]"),
        ([("a", {"x": 1}), ("b", 1)], "element 1 has int"),
        ([{"x": 1}], "element 0 has no 'id'"),
    ],
)
def test_elements_of_a_bag_that_are_no_rows_are_named(result_dir, elements, said):
    with pytest.raises((ValueError, TypeError), match=f"partition 0: {said}"):
        rds.dask.write(db.from_sequence(elements, npartitions=1), result_dir)


def test_null_ids_are_named(result_dir):
    with pytest.raises(TypeError, match="partition 1: column 'id', row 1 is null"):
        rds.dask.write(of_column(numbers(3), ["a", "b", None]), result_dir)


def test_without_dask_it_says_what_is_needed():
    code = "import sys; sys.modules['dask'] = None\nimport rds\ntry: import rds.dask\nexcept ImportError as e: print(e)"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "rds.dask needs Dask; install 'rds[dask]'\n"


def test_columns_of_one_name_are_refused(result_dir):
    twice = dd.from_pandas(pd.DataFrame([[1, 2.0, 3.0]], columns=["id", "x", "x"]), npartitions=1)
    with pytest.raises(ValueError, match="each is expected to have a name of its own"):
        rds.dask.write(twice, result_dir)


@pytest.mark.parametrize("kind", ["dataframe", "array"])
def test_no_columns_are_refused(result_dir, kind):
    rds.dask.write(of_parts(frame, [2]), result_dir)
    with pytest.raises(ValueError, match=r"columns is \[\]; at least one is expected"):
        rds.dask.read(result_dir, columns=[], kind=kind)


def test_other_columns_than_those_of_the_table_are_refused_before_anything_is_computed(result_dir):
    rds.dask.write(of_parts(frame, [2])[["id", "y"]], result_dir)
    with pytest.raises(ValueError, match=r"columns are \['x'\], and the table at .* has \['y'\]"):
        rds.dask.write(UNREAD, result_dir, mode="append")
    assert len(opened(result_dir)) == 2


MASKED = np.ma.masked_array([1.0, 2.0], [True, False])


@pytest.mark.parametrize(
    ("collection", "said"),
    [
        (db.from_sequence([("a", MASKED)], npartitions=1), "partition 0: data: item 0 is a masked array"),
        (da.ma.masked_array(np.zeros((2, 2)), mask=[[0, 1]] * 2), "partition 0: data is a masked array"),
        (of_column(objects([MASKED[1:].data, MASKED])), "partition 1: column 'v', row 0 is a masked array"),
    ],
    ids=["bag", "array", "frame"],
)
def test_masks_are_refused(result_dir, collection, said):
    with pytest.raises(TypeError, match=f"{said}; its mask cannot be stored, fill it first"):
        rds.dask.write(collection, result_dir)
