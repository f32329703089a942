"""What columns of Ray's blocks become: arrays of their dtype and shape over the same memory, or errors."""

import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from ray.data.extensions import ArrowTensorArray, ArrowTensorType, ArrowVariableShapedTensorArray, TensorArray

from rds import RdsError, _ray_blocks

DTYPES = [np.dtype(kind) for kind in "?bhiqBHIQefd"]
TIMES = [np.dtype(f"{kind}8[{unit}]") for kind in "Mm" for unit in ("s", "ms", "us", "ns")]


def array_of(dtype, shape):
    numbers = np.arange(np.prod(shape, dtype=int)).reshape(shape) % 113
    return (numbers % 3 == 0) if dtype == np.bool_ else numbers.astype(dtype)


def read(block, ids="id", tensors=None):
    """Ids and arrays of all batches of a block."""
    given = list(_ray_blocks.batches(block, ids, _ray_blocks.sources(tensors), "task 3", 10))
    names = list(given[0][1])
    return [one for some, _ in given for one in some], {
        name: np.concatenate([data[name] for _, data in given]) for name in names
    }


def table(**columns):
    rows = len(next(iter(columns.values())))
    return pa.table({"id": [f"o{row}" for row in range(rows)], **columns})


def memory_of(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("dtype", [*DTYPES, *TIMES], ids=str)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)], ids=str)
def test_tensors_of_ray_keep_dtype_and_shape(dtype, shape):
    array = array_of(dtype, (5, *shape))
    column = ArrowTensorArray.from_numpy(array) if shape else pa.array(array)
    ids, got = read(table(x=column))
    assert ids == ["o0", "o1", "o2", "o3", "o4"]
    assert got["x"].dtype == dtype and np.array_equal(got["x"], array)


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype != np.bool_], ids=str)
def test_tensors_are_the_memory_of_the_block(dtype):
    array = array_of(dtype, (8, 4, 2))
    block = table(x=ArrowTensorArray.from_numpy(array), n=pa.array(array[:, 0, 0].copy())).slice(2, 5)
    ((_, data),) = _ray_blocks.batches(block, "id", None, "", 0)
    assert memory_of(data["x"]) == memory_of(array[2:])
    assert np.array_equal(data["x"], array[2:7]) and np.array_equal(data["n"], array[2:7, 0, 0])


@pytest.mark.parametrize("dtype", [np.bool_, np.float16, np.uint8], ids=str)
def test_slices_and_chunks_of_tensors_of_every_format_are_the_right_rows(dtype):
    array = array_of(dtype, (12, 2, 3))
    v2 = ArrowTensorArray.from_numpy(array)
    v1 = ArrowTensorType((2, 3), v2.type.value_type).wrap_array(v2.storage.cast(pa.list_(v2.type.value_type)))
    native = pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(v2.type.value_type, (2, 3)), v2.storage.cast(pa.list_(v2.type.value_type, 6))
    )
    for column in (v1, v2, native):
        chunks = pa.chunked_array([column.slice(3, 4), column.slice(9, 1), column.slice(0, 0), column.slice(11)])
        _, got = read(table(x=chunks, y=pa.array(range(6))))
        assert got["x"].dtype == dtype and np.array_equal(got["x"], array[[3, 4, 5, 6, 9, 11]])


def test_a_native_tensor_with_turned_axes_is_what_pyarrow_says_it_is():
    kind = pa.fixed_shape_tensor(pa.int32(), (2, 3), permutation=[1, 0])
    column = pa.ExtensionArray.from_storage(kind, pa.FixedSizeListArray.from_arrays(pa.array(range(12), pa.int32()), 6))
    assert np.array_equal(read(table(x=column))[1]["x"], column.to_numpy_ndarray())


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.float32()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 2), pa.list_view(pa.float32())],
    ids=str,
)
def test_lists_of_one_length_are_tensors(kind):
    column = pa.array([[0.5, 1], [2, 3], [4, 5], [6, 7]], kind)
    got = read(table(x=column.slice(1, 3)))[1]["x"]
    assert got.dtype == np.float32 and got.tolist() == [[2, 3], [4, 5], [6, 7]]


def test_nested_lists_are_tensors_of_more_axes():
    column = pa.array([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [0, 1, 2]]], pa.list_(pa.list_(pa.int16())))
    got = read(table(x=column))[1]["x"]
    assert got.dtype == np.int16 and got.shape == (2, 2, 3) and got[1, 0].tolist() == [7, 8, 9]


def test_ragged_tensors_of_one_shape_are_tensors():
    array = array_of(np.float32, (4, 2, 3))
    column = ArrowVariableShapedTensorArray.from_numpy(list(array))
    assert np.array_equal(read(table(x=column.slice(1, 2)))[1]["x"], array[1:3])


def test_frames_of_pandas_are_read_as_they_are():
    array = array_of(np.float32, (3, 2, 2))
    lists = pd.array([[1, 2], [3, 4], [5, 6]], dtype=pd.ArrowDtype(pa.list_(pa.int64(), 2)))
    frame = pd.DataFrame({
        "id": [7, 8, 9], "ray": TensorArray(array), "objects": list(array), "lists": [[1.5, 2]] * 3, "arrow": lists,
        "nan": np.array([0.5, np.nan, 1], np.float32), "masked": pd.array([1, 2, 3], dtype="Int16"),
        "time": pd.to_datetime(["2020-01-01"] * 3), "flag": [True, False, True],
    })  # fmt: skip
    ids, got = read(frame)
    assert ids == [7, 8, 9]
    assert np.array_equal(got["ray"], array) and np.array_equal(got["objects"], array)
    assert got["lists"].tolist() == [[1.5, 2]] * 3 and got["arrow"].tolist() == [[1, 2], [3, 4], [5, 6]]
    assert np.array_equal(got["nan"], [0.5, np.nan, 1], equal_nan=True)
    kinds = {"objects": "float32", "nan": "float32", "masked": "int16", "flag": "bool", "arrow": "int64"}
    assert {name: got[name].dtype.name for name in kinds} == kinds
    assert got["time"].dtype.kind == "M"


@pytest.mark.parametrize(
    "ids",
    [
        pa.array(["a", "b"]), pa.array(["a", "b"], pa.large_string()), pa.array(["a", "b"], pa.string_view()),
        pa.array(["a", "b"]).dictionary_encode(),
    ],
    ids=lambda array: str(array.type),
)  # fmt: skip
def test_ids_are_strings_of_every_kind(ids):
    assert read(pa.table({"name": ids, "x": [1, 2]}), ids="name")[0] == ["a", "b"]


@pytest.mark.parametrize("kind", ["int8", "uint64", "int64"])
def test_ids_are_integers_of_every_kind(kind):
    assert read(pa.table({"id": pa.array([5, 6], kind), "x": [1, 2]}))[0] == [5, 6]


def test_columns_are_chosen_renamed_and_stacked():
    block = table(ra=[1.5, 2], dec=[3.5, 4], name=["x", "y"], flux=pa.array([[1, 2], [3, 4]], pa.list_(pa.int8(), 2)))
    _, got = read(block, tensors={"position": ["ra", "dec"], "light": "flux"})
    assert list(got) == ["position", "light"]
    assert got["position"].tolist() == [[1.5, 3.5], [2, 4]] and got["light"].dtype == np.int8


def test_a_block_without_rows_has_no_batches_and_says_its_columns_where_it_can():
    array = ArrowTensorArray.from_numpy(np.zeros((2, 3, 4), np.float16))
    block = table(x=array, n=pa.array([1, 2], pa.uint8()), f=pa.array([[1], [2]], pa.list_(pa.int8(), 1)))
    for empty in (block.slice(0, 0), block.schema.empty_table()):
        assert list(_ray_blocks.batches(empty, "id", None, "", 0)) == []
        said = {"x": (np.float16, (3, 4)), "n": (np.uint8, ()), "f": (np.int8, (1,))}
        assert _ray_blocks.specs(empty, "id", None) == said
        assert _ray_blocks.specs(empty, "id", {"pair": ["n", "n"]}) == {"pair": (np.uint8, (2,))}
        assert _ray_blocks.specs(empty, "id", {"x": "other"}) is None
        assert _ray_blocks.specs(empty, "name", None) is None
    lists = table(x=pa.array([[1], [2]])).slice(0, 0)
    assert _ray_blocks.specs(lists, "id", None) is None
    assert _ray_blocks.specs(pa.table({}), "id", None) is None
    assert _ray_blocks.specs(pd.DataFrame({"id": [], "x": []}, dtype="f4"), "id", None) == {"x": (np.float32, ())}


RAGGED = [np.zeros(2), np.zeros(2), np.zeros(3)]
BAD = {
    "ragged tensors": (
        ArrowVariableShapedTensorArray.from_numpy(RAGGED), ValueError, r"row 12 .id 'o2'. is of shape \(3,\).*\(2,\)"
    ),
    "ragged lists": (pa.array([[1], [2], [3, 4]]), ValueError, r"row 12 .id 'o2'. is of shape \(2,\)"),
    "ragged inside": (pa.array([[[1], [2]], [[1], [2]], [[1], [2, 3]]]), ValueError, "row 12 .id 'o2'. is of shape"),
    "null": (pa.array([1.5, None, 3]), ValueError, "row 11 .id 'o1'. is null"),
    "null list": (pa.array([[1], None, [3]]), ValueError, "row 11 .id 'o1'. is null"),
    "null in a list": (
        pa.array([[1, 2], [3, 4], [5, None]], pa.list_(pa.int64(), 2)), ValueError, "row 12 .id 'o2'. is null"
    ),
    "null tensor": (
        pa.array([[1], None, [3]], pa.list_(pa.int8(), 1)).cast(pa.fixed_shape_tensor(pa.int8(), (1,))),
        ValueError, "row 11 .id 'o1'. is null",
    ),
    "only nulls": (pa.nulls(3), ValueError, "row 10 .id 'o0'. is null"),
    "strings": (pa.array(["a", "b", "c"]), TypeError, "is of type string, which is no tensor; say by tensors="),
    "lists of strings": (pa.array([["a"], ["b"], ["c"]]), TypeError, "is of type string, which is no tensor"),
    "structs": (pa.array([{"a": 1}] * 3), TypeError, "is of type struct<a: int64>, which is no tensor"),
    "times of zones": (pa.array([0] * 3, pa.timestamp("s", "UTC")), TypeError, "tz=UTC., which is no tensor"),
    "dates": (pa.array([datetime.date(2020, 1, 1)] * 3), TypeError, r"is of type date32\[day\], which is no tensor"),
    "uuids": (pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16] * 3, pa.binary(16))), TypeError, "uuid"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_tensor_is_refused_with_its_column_and_row(case):
    column, kind, said = BAD[case]
    with pytest.raises(kind, match=f"task 3: column 'x', {said}" if said.startswith("row") else said) as raised:
        read(table(x=column))
    assert isinstance(raised.value, RdsError)


BAD_FRAMES = {
    "shape": ([np.zeros(2), np.zeros(3)], ValueError, r"row 11 .id 'b'. is of shape \(3,\)"),
    "dtype": ([np.zeros(2), np.zeros(2, "f4")], ValueError, "row 11 .id 'b'. is float32, and the rows .* are float64"),
    "none": ([np.zeros(2), None], ValueError, "row 11 .id 'b'. is null"),
    "string": ([np.zeros(2), "x"], TypeError, "row 11 .id 'b'. is a str, which is no tensor"),
    "ragged": ([[[1], [2, 3]], [[1], [2]]], ValueError, "row 10 .id 'a'. is no tensor"),
    "masked": (pd.array([1, None], dtype="Int16"), ValueError, "row 11 .id 'b'. is null"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_what_is_no_tensor_of_pandas_is_refused_with_its_column_and_row(case):
    column, kind, said = BAD_FRAMES[case]
    with pytest.raises(kind, match=f"task 3: column 'x', {said}"):
        read(pd.DataFrame({"id": ["a", "b"], "x": column}))


def test_the_row_of_an_error_is_that_of_the_task_behind_other_chunks():
    block = pa.concat_tables([table(x=[1.5, 2]), table(x=pa.array([3, None], pa.float64()))])
    with pytest.raises(ValueError, match="row 13 .id 'o1'. is null"):
        read(block)


@pytest.mark.parametrize(
    ("ids", "kind", "said"),
    [
        (pa.array(["a", None]), ValueError, "column 'id' of the ids, row 11 is null; an id"),
        (pa.array([1.5, 2]), TypeError, "column 'id' of the ids, row 10 is of type double"),
    ],
)
def test_ids_that_are_none_are_refused(ids, kind, said):
    with pytest.raises(kind, match=said):
        read(pa.table({"id": ids, "x": [1, 2]}))


def test_columns_that_are_not_there_or_do_not_fit_are_refused():
    block = table(a=[1.5], b=[2], c=pa.array([[1.5]], pa.list_(pa.float64(), 1)))
    for tensors, kind, said in (
        ({"x": "d"}, KeyError, "tensors: 'x' is made of 'd', and the dataset has the columns 'id', 'a', 'b', 'c'"),
        ({"x": ["a", "d"]}, KeyError, "'x' is made of 'd'"),
        ({"x": ["a", "b"]}, ValueError, "is int64 in 'b' and float64 in 'a'; cast"),
        ({"x": ["a", "c"]}, ValueError, r"is of shape \(1,\) in 'c'"),
    ):
        with pytest.raises(kind, match=said):
            read(block, tensors=tensors)
    with pytest.raises(KeyError, match="task 3: ids is 'name', and the dataset has the columns 'id', 'a', 'b', 'c'"):
        read(block, ids="name")


@pytest.mark.parametrize("tensors", [{}, "x", {"x": []}, {"x": 1}, {1: "x"}, {"x": ["a", 1]}], ids=str)
def test_tensors_that_say_nothing_are_refused(tensors):
    with pytest.raises((ValueError, TypeError), match="tensors"):
        _ray_blocks.sources(tensors)
