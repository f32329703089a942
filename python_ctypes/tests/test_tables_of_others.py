"""Tables that are not quite results: a clear error or the right answer."""

import shutil

import lance
import numpy as np
import pyarrow as pa
import pytest
from samples import assert_same_bits, numbered_ids, random_array, to_arrow

import rds
from rds._errors import CorruptError

DATA = random_array("f4", (10, 4))
GOOD = to_arrow(numbered_ids(10), DATA)


def store(result_dir, table):
    lance.write_dataset(table, str(result_dir / "lance_db" / "results.lance"))


def with_metadata(**metadata):
    return GOOD.replace_schema_metadata({k: v for k, v in metadata.items() if v is not None})


def with_data(column):
    table = pa.table({"object_id": GOOD["object_id"], "data": column})
    return table.replace_schema_metadata(GOOD.schema.metadata)


REFUSED = {
    "shape that is no JSON": (with_metadata(tensor_shape="4;", tensor_dtype="float32"), "4;"),
    "shape that is no list": (with_metadata(tensor_shape="4", tensor_dtype="float32"), "JSON list"),
    "shape of another size": (with_metadata(tensor_shape="[5]", tensor_dtype="float32"), '"data"'),
    "shape with a zero": (with_metadata(tensor_shape="[0]", tensor_dtype="float32"), "dimension 0"),
    "dtype of other storage": (with_metadata(tensor_shape="[4]", tensor_dtype="int32"), '"data"'),
    "no data": (GOOD.drop(["data"]), '"data"'),
    "data of single numbers": (with_data(pa.array(np.ones(10, "f4"))), '"data"'),
    "data of variable lists": (with_data(pa.array(DATA.tolist(), pa.list_(pa.float32()))), '"data"'),
    "data of text": (with_data(pa.array(["x"] * 10)), '"data"'),
}


@pytest.mark.parametrize(("table", "text"), REFUSED.values(), ids=REFUSED)
def test_a_table_that_is_none_of_results_is_a_runtime_error_with_the_reason(result_dir, table, text):
    store(result_dir, table)
    with pytest.raises(RuntimeError) as caught:
        rds.ResultDataset({}, result_dir)
    assert isinstance(caught.value, ValueError)
    assert text in str(caught.value)
    assert "results.lance" in str(caught.value)


@pytest.mark.parametrize(
    "metadata",
    [{}, {"tensor_dtype": "float32"}, {"tensor_shape": "[4]"}, {"data": "{}"}, {"other": "x"}],
    ids=str,
)
def test_without_whole_metadata_a_list_is_a_vector(result_dir, metadata):
    store(result_dir, with_metadata(**metadata))
    dataset = rds.ResultDataset({}, result_dir)
    assert (dataset.columns, dataset.tensor_shape) == (("data",), [4])
    assert_same_bits(np.asarray(dataset), DATA)


def test_an_unknown_dtype_is_refused_by_name(result_dir):
    store(result_dir, with_metadata(tensor_shape="[4]", tensor_dtype="float8"))
    with pytest.raises(RuntimeError, match="float8"):
        rds.ResultDataset({}, result_dir)


@pytest.mark.parametrize("shape", ["[2, 2]", "[2,2]", " [ 2 , 2 ] "])
def test_a_shape_may_be_spelled_as_json_allows(result_dir, shape):
    store(result_dir, with_metadata(tensor_shape=shape, tensor_dtype="float32"))
    assert_same_bits(rds.ResultDataset({}, result_dir).__get_all__(), DATA.reshape(10, 2, 2))


def test_a_table_without_rows_is_an_empty_dataset(result_dir):
    store(result_dir, GOOD.slice(0, 0))
    dataset = rds.ResultDataset({}, result_dir)
    assert len(dataset) == 0
    assert list(dataset) == [] and dataset.ids() == []
    assert_same_bits(dataset.__get_all__(), DATA[:0])
    assert_same_bits(dataset[[]], DATA[:0])
    assert dataset.find(["a"]).tolist() == [-1]
    assert pa.table(dataset).num_rows == 0
    with pytest.raises(IndexError):
        dataset[0]
    with pytest.raises(IndexError):
        dataset.get_object_id(0)


def test_a_table_with_all_rows_deleted_is_an_empty_dataset(make_dataset, result_dir):
    make_dataset(numbered_ids(10), DATA)
    lance.dataset(str(result_dir / "lance_db" / "results.lance")).delete("true")
    dataset = rds.ResultDataset({}, result_dir)
    assert (len(dataset), dataset.ids()) == (0, [])


def test_other_columns_are_ignored(result_dir):
    store(result_dir, GOOD.append_column("label", pa.array(range(10))))
    dataset = rds.ResultDataset({}, result_dir)
    assert dataset.ids() == numbered_ids(10)
    assert_same_bits(dataset.__get_all__(), DATA)


def test_columns_may_be_in_the_other_order(result_dir):
    store(result_dir, GOOD.select(["data", "object_id"]))
    dataset = rds.ResultDataset({}, result_dir)
    assert dataset.ids() == numbered_ids(10)
    assert_same_bits(dataset[3], DATA[3])


def test_appending_to_a_table_with_other_columns_is_refused(result_dir):
    store(result_dir, GOOD.append_column("label", pa.array(range(10))))
    with pytest.raises(ValueError, match="label"):
        rds.ResultDatasetWriter(result_dir, mode="append")


def test_overwriting_replaces_a_table_of_any_schema(result_dir):
    store(result_dir, pa.table({"x": [1, 2]}))
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch(["a"], DATA[:1])
    assert_same_bits(rds.ResultDataset({}, result_dir).__get_all__(), DATA[:1])


def test_null_tensors_are_refused_and_the_rest_is_read(result_dir):
    values = DATA.tolist()
    values[3] = None
    store(result_dir, with_data(pa.array(values, pa.list_(pa.float32(), 4))))
    dataset = rds.ResultDataset({}, result_dir)
    assert_same_bits(dataset[2], DATA[2])
    assert_same_bits(dataset[[4, 9]], DATA[[4, 9]])
    with pytest.raises(NotImplementedError, match="null"):
        dataset[3]


def test_null_ids_are_refused_and_the_rest_is_read(result_dir):
    ids = pa.array([None if row == 3 else f"id-{row}" for row in range(10)], pa.utf8())
    store(result_dir, GOOD.set_column(0, "object_id", ids))
    dataset = rds.ResultDataset({}, result_dir)
    assert dataset.get_object_id(4) == "id-4"
    assert dataset.index_of("id-9") == 9
    assert dataset.find([""]).tolist() == [-1]
    for call in (lambda: dataset.get_object_id(3), dataset.ids):
        with pytest.raises(NotImplementedError, match="null"):
            call()


def test_large_utf8_ids_are_read(result_dir):
    store(result_dir, GOOD.set_column(0, "object_id", GOOD["object_id"].cast(pa.large_utf8())))
    dataset = rds.ResultDataset({}, result_dir)
    assert dataset.ids() == numbered_ids(10)
    assert dataset.get_object_id(3) == "object-00003"
    assert dataset.find(["object-00009"]).tolist() == [9]


def test_integer_ids_are_decimal(result_dir):
    store(result_dir, GOOD.set_column(0, "object_id", pa.array(range(10, 20))))
    dataset = rds.ResultDataset({}, result_dir)
    assert dataset.ids() == [str(number) for number in range(10, 20)]
    assert dataset.index_of(13) == dataset.index_of("13") == 3


DAMAGE = {
    "truncated": (CorruptError, lambda content: content[: len(content) // 2]),
    "emptied": (CorruptError, lambda content: b""),
    "overwritten": (CorruptError, lambda content: b"\xa5" * len(content)),
    "removed": (FileNotFoundError, None),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_data_file_is_an_error_not_a_crash(make_dataset, result_dir, damage):
    make_dataset(numbered_ids(10), DATA)
    (data_file,) = (result_dir / "lance_db" / "results.lance" / "data").iterdir()
    error, damaged = DAMAGE[damage]
    if damaged is None:
        data_file.unlink()
        # For a while the run that wrote it has another name for it.
        shutil.rmtree(result_dir / "lance_db" / "results.lance" / "_rds")
    else:
        data_file.write_bytes(damaged(data_file.read_bytes()))
    with pytest.raises(error, match=data_file.name):
        rds.ResultDataset({}, result_dir)


def test_ids_that_are_no_strings_are_not_appended_to(result_dir):
    numbers = pa.table({"object_id": pa.array(range(10)), "data": GOOD["data"]})
    store(result_dir, numbers.replace_schema_metadata(GOOD.schema.metadata))
    with pytest.raises(rds.RdsError, match='column "object_id" of the table: the ids are no strings'):
        rds.ResultDatasetWriter(result_dir, mode="append").write_batch(["x"], DATA[:1])
