"""Tables as collections of Dask."""

import pickle
import shutil

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from collections_of_dask import opened
from samples import DTYPES, assert_same_bits, numbered_ids, random_array, store, write, to_arrow

import rds
import rds.dask

ROWS = 100
IDS = numbered_ids(ROWS)
COLUMNS = {
    "vector": random_array("f4", (ROWS, 3)),
    "image": random_array("u1", (ROWS, 2, 4)),
    "label": random_array("i8", (ROWS,)),
}


@pytest.fixture
def path(result_dir):
    write(result_dir, IDS, COLUMNS)
    return result_dir


def address(array):
    return array.__array_interface__["data"][0]


def test_a_frame_has_ids_numbers_and_lists(path):
    frame = rds.dask.read(path, rows_per_partition=30)
    assert (frame.npartitions, frame.divisions) == (4, (0, 30, 60, 90, 99))
    made = frame.compute()
    assert made.dtypes.astype(str).to_dict() == {
        "id": "string",
        "vector": "fixed_size_list<item: float>[3][pyarrow]",
        "image": "fixed_size_list<item: fixed_size_list<item: uint8>[4]>[2][pyarrow]",
        "label": "int64",
    }
    assert frame.dtypes.to_dict() == made.dtypes.to_dict()
    assert list(made["id"]) == IDS and list(made.index) == list(range(ROWS))
    assert_same_bits(made["label"], COLUMNS["label"])
    for name in COLUMNS:
        assert_same_bits(rds.dask.tensors(made[name]), COLUMNS[name])


def test_what_is_written_of_it_is_the_same_table(path, tmp_path):
    rds.dask.write(rds.dask.read(path, rows_per_partition=30), tmp_path / "other")
    other = opened(tmp_path / "other")
    assert other.ids() == IDS and other.columns == tuple(COLUMNS)
    for name, values in COLUMNS.items():
        assert_same_bits(other[name], values)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (2,), (2, 1, 3)], ids=str)
def test_every_dtype_and_shape_comes_back(tmp_path, dtype, shape):
    values = random_array(dtype, (7, *shape))
    write(tmp_path / "one", numbered_ids(7), values)
    frame = rds.dask.read(tmp_path / "one", rows_per_partition=3)
    rds.dask.write(frame, tmp_path / "two")
    assert_same_bits(opened(tmp_path / "two"), values)
    assert_same_bits(rds.dask.read(tmp_path / "one", kind="array", rows_per_partition=3).compute(), values)


@pytest.mark.parametrize("shape", [(6,), (3, 2)])
def test_what_is_no_time_is_no_null(tmp_path, shape):
    values = np.array(["2020", "NaT"] * 3, "M8[us]").reshape(shape)
    write(tmp_path / "one", numbered_ids(len(values)), values)
    rds.dask.write(rds.dask.read(tmp_path / "one"), tmp_path / "two")
    assert_same_bits(opened(tmp_path / "two"), values)


def test_a_partition_is_the_mapped_file(path):
    frame = rds.dask.read(path).compute(scheduler="synchronous")
    with rds.ResultDataset({}, path) as dataset:
        for name in ("vector", "label"):
            array = rds.dask.tensors(frame[name])
            assert not array.flags.writeable and not array.flags.owndata
            assert np.asarray(dataset[name]).tobytes() == array.tobytes()
    # What `compute` gives of an array is a copy always.
    block = rds.dask.read(path, "vector", kind="array").to_delayed().item().compute(scheduler="synchronous")
    maps = [line.split() for line in open("/proc/self/maps") if str(path) in line]
    begins = [[int(end, 16) for end in line[0].split("-")] for line in maps]
    for array in (block, rds.dask.tensors(frame["vector"]), frame["label"].to_numpy()):
        assert any(first <= address(array) < last for first, last in begins)


def test_no_values_are_in_the_graph(path):
    for collection in (rds.dask.read(path), rds.dask.read(path, "image", kind="array")):
        assert len(pickle.dumps(collection)) < 4096


def test_an_array_is_a_column(path):
    array = rds.dask.read(path, "image", kind="array", rows_per_partition=40)
    assert (array.chunks, array.dtype) == (((40, 40, 20), (2,), (4,)), np.uint8)
    assert_same_bits(array.compute(), COLUMNS["image"])
    assert_same_bits(array[35:45, 1].compute(), COLUMNS["image"][35:45, 1])
    with pytest.raises(ValueError, match="kind is 'array'; name the one"):
        rds.dask.read(path, kind="array")


def test_the_only_column_or_data_is_the_default_of_an_array(tmp_path):
    write(tmp_path / "one", IDS, {"v": COLUMNS["label"]})
    write(tmp_path / "two", IDS, {"v": COLUMNS["label"], "data": COLUMNS["vector"]})
    assert_same_bits(rds.dask.read(tmp_path / "one", kind="array").compute(), COLUMNS["label"])
    assert_same_bits(rds.dask.read(tmp_path / "two", kind="array").compute(), COLUMNS["vector"])


def test_rows_of_several_files_are_one_partition(result_dir):
    for first in range(0, ROWS, 25):
        part = {name: values[first : first + 25] for name, values in COLUMNS.items()}
        write(result_dir, IDS[first : first + 25], part, mode="append" if first else "create")
    frame = rds.dask.read(result_dir, rows_per_partition=60).compute()
    assert list(frame["id"]) == IDS
    for name, values in COLUMNS.items():
        assert_same_bits(rds.dask.tensors(frame[name]), values)
    assert_same_bits(rds.dask.read(result_dir, "image", kind="array").compute(), COLUMNS["image"])


def test_only_columns_that_are_needed_are_read(path, monkeypatch):
    asked = []
    stream = rds.ResultDataset.stream

    def spied(self, columns, **options):
        asked.append(columns)
        return stream(self, columns, **options)

    monkeypatch.setattr(rds.ResultDataset, "stream", spied)
    frame = rds.dask.read(path)
    asked.clear()
    assert frame["label"].sum().compute(scheduler="synchronous") == COLUMNS["label"].sum()
    assert asked == [["label"]]


def test_columns_ids_and_their_name_are_chosen(path):
    assert list(rds.dask.read(path, ["label", "vector"], ids="name").columns) == ["name", "label", "vector"]
    frame = rds.dask.read(path, "label", ids=None)
    assert list(frame.columns) == ["label"] and list(frame.compute()["label"]) == COLUMNS["label"].tolist()


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"columns": "none"}, KeyError, "no column 'none'"),
        ({"columns": ["label", "label"]}, ValueError, "each can be named once"),
        ({"ids": "label"}, ValueError, "ids is 'label', and a column is called so"),
        ({"kind": "bag"}, ValueError, "kind is 'bag'"),
        ({"rows_per_partition": 0}, ValueError, "rows_per_partition is 0"),
        ({"version": 7}, FileNotFoundError, "7"),
    ],
    ids=str,
)
def test_what_is_not_there_is_an_error_at_once(path, options, error, said):
    with pytest.raises(error, match=said) as caught:
        rds.dask.read(path, **options)
    assert isinstance(caught.value, rds.RdsError)


def test_all_tasks_read_the_version_of_the_call(path):
    frame = rds.dask.read(path, rows_per_partition=30)
    write(path, ["new"], {name: values[:1] for name, values in COLUMNS.items()}, mode="append")
    assert len(frame) == ROWS and len(rds.dask.read(path)) == ROWS + 1
    assert len(rds.dask.read(path, version=1)) == ROWS
    write(path, IDS, COLUMNS, mode="overwrite")
    assert list(frame.compute()["id"]) == IDS


def test_a_table_that_was_replaced_by_another_one_is_not_read(path, result_dir):
    frame = rds.dask.read(path)
    shutil.rmtree(path)
    write(path, IDS, COLUMNS)
    with pytest.raises(FileNotFoundError, match="was replaced by another"):
        frame.compute()


def test_the_same_rows_have_the_same_names(path):
    assert rds.dask.read(path).divisions == rds.dask.read(path).divisions
    assert dask.base.tokenize(rds.dask.read(path)) == dask.base.tokenize(rds.dask.read(path))
    assert rds.dask.read(path, "label", kind="array").name == rds.dask.read(path, "label", kind="array").name
    before = rds.dask.read(path, "label", kind="array").name
    write(path, ["new"], {name: values[:1] for name, values in COLUMNS.items()}, mode="append")
    assert rds.dask.read(path, "label", kind="array").name != before


def test_a_table_without_rows_is_a_collection_without_rows(result_dir):
    with rds.ResultDatasetWriter(result_dir, columns={"v": ("f4", (2,)), "n": ("i4", ())}) as writer:
        writer.commit()
    frame = rds.dask.read(result_dir)
    assert len(frame) == 0 and frame.compute().dtypes.to_dict() == frame.dtypes.to_dict()
    assert rds.dask.read(result_dir, "v", kind="array").compute().shape == (0, 2)


def test_integers_and_strings_of_tables_of_others_are_ids(result_dir):
    table = to_arrow(IDS, COLUMNS["vector"]).append_column("number", [list(range(ROWS))])
    store(result_dir, table)
    frame = rds.dask.read(result_dir, "data", id_column="number").compute()
    assert frame["id"].dtype == np.int64 and list(frame["id"]) == list(range(ROWS))


def test_dask_computes_with_it(path, tmp_path):
    frame = rds.dask.read(path, rows_per_partition=30)
    chosen = frame[frame["label"] > 0]
    rds.dask.write(chosen, tmp_path / "chosen", tensors=["image"])
    assert_same_bits(opened(tmp_path / "chosen"), COLUMNS["image"][COLUMNS["label"] > 0])
    assert isinstance(frame, dd.DataFrame) and isinstance(rds.dask.read(path, "image", kind="array"), da.Array)
    sums = frame["vector"].map_partitions(lambda part: pd.Series(rds.dask.tensors(part).sum(axis=1)), meta=("s", "f4"))
    np.testing.assert_array_equal(sums.compute(), COLUMNS["vector"].sum(axis=1))
