"""`rds.hyrax` against a stand-in for Hyrax 0.13, whose rows are dicts of named tensors."""

import gc
import importlib
import json
import pickle
import weakref

import numpy as np
import pyarrow as pa
import pytest
import standins
from samples import assert_same_bits, numbered_ids, random_array, store, to_arrow, write

import rds

IDS = numbered_ids(20)
DATA = random_array("f4", (20, 2, 3))
SCORE = np.arange(20) / 7
NAMED = {"emb": DATA, "score": SCORE}
CONFIG = {"results": {"inference_dir": False}, "most_recent": {}}


@pytest.fixture
def hyrax(monkeypatch):
    with standins.imported("standin13", monkeypatch) as datasets:
        yield datasets


@pytest.fixture
def enabled(hyrax):
    rds.hyrax.enable()
    return hyrax


@pytest.fixture
def named(enabled, result_dir):
    write(result_dir, IDS, NAMED)
    return enabled.ResultDataset(CONFIG, result_dir)


@pytest.fixture
def lone(enabled, result_dir):
    write(result_dir, IDS, DATA)
    return enabled.ResultDataset(CONFIG, result_dir)


def module(name):
    return importlib.import_module(f"hyrax.{name}")


def same(row, number):
    assert type(row) is dict and list(row) == ["emb", "score"]
    assert_same_bits(row["emb"], DATA[number])
    assert type(row["score"]) is np.float64 and row["score"] == SCORE[number]


def test_a_row_is_a_dict_also_of_one_tensor(lone):
    for index in (7, np.int64(7)):
        row = lone[index]
        assert type(row) is dict and list(row) == ["data"]
        assert_same_bits(row["data"], DATA[7])
    assert lone.keys() == ["data"]
    assert lone.tensor_shape == {"data": [2, 3]} and lone.tensor_dtype == {"data": np.dtype("f4")}


def test_a_row_has_numbers_where_a_tensor_has_no_dimensions(named):
    same(named[7], 7)
    same(named[np.int64(7)], 7)
    assert not named[7]["emb"].flags.writeable


@pytest.mark.parametrize(
    "index",
    [[3, 1, 3], (3, 1, 3), np.array([3, 1, 3]), [], np.array(5), slice(2, 5), slice(9, 1, -3), np.arange(20) > 17],
    ids=repr,
)
def test_rows_are_a_list_of_dicts(named, index):
    rows = named[index]
    expected = np.atleast_1d(np.arange(20)[list(index) if isinstance(index, tuple) else index or []
                             if isinstance(index, list) else index]).astype(int)
    assert type(rows) is list and len(rows) == len(expected)
    for row, number in zip(rows, expected):
        same(row, number)


@pytest.mark.parametrize("index", [20, -1, [9, 20], [0, -1], np.int64(20)], ids=repr)
def test_a_row_that_is_not_there_is_an_index_error(named, index):
    with pytest.raises(IndexError, match="out of range"):
        named[index]


@pytest.mark.parametrize("index", [True, [1.7], ["1"], [[1]], None], ids=repr)
def test_what_is_no_row_is_refused(named, index):
    with pytest.raises(IndexError):
        named[index]


def test_iteration_and_a_loader_give_dicts(named):
    for number, row in enumerate(named):
        same(row, number)
    for number, row in zip((4, 2), named.__getitems__([4, 2])):
        same(row, number)
    assert number == 2


def test_keys_are_the_order_of_the_table(enabled, result_dir):
    names = list("zyxcba")
    write(result_dir, IDS, {name: SCORE for name in names})
    for _ in range(5):
        dataset = enabled.ResultDataset(CONFIG, result_dir)
        keys = dataset.keys()
        assert type(keys) is list and keys == names == list(dataset[0]) == list(dataset.tensor_shape)


def test_dtypes_and_shapes_are_told_by_column(named):
    assert named.tensor_shape == {"emb": [2, 3], "score": []}
    assert named.tensor_dtype == {"emb": np.dtype("f4"), "score": np.dtype("f8")}


def test_getters_are_of_the_columns(named):
    assert {name for name in dir(named) if name.startswith("get_")} == {"get_emb", "get_score", "get_object_id"}
    assert_same_bits(named.get_emb(7), DATA[7])
    assert_same_bits(named.get_emb(np.int64(7)), DATA[7])
    assert_same_bits(named.get_emb([7, 2]), DATA[[7, 2]])
    assert type(named.get_score(7)) is np.float64
    assert named.get_object_id(np.int64(3)) == IDS[3]
    with pytest.raises(IndexError):
        named.get_emb(20)


def test_there_is_no_get_data_without_such_a_column(named):
    assert not hasattr(named, "get_data") and "get_data" not in dir(named)
    with pytest.raises(AttributeError, match="'ResultDataset' object has no attribute 'get_data'"):
        named.get_data


def test_get_data_is_there_with_the_column(lone):
    assert "get_data" in dir(lone)
    assert_same_bits(lone.get_data(np.int64(3)), DATA[3])


@pytest.mark.parametrize("name", ["get_emb", "get_object_id"])
def test_a_getter_can_be_set_over(named, name):
    before = getattr(named, name)
    setattr(named, name, lambda row: (row, before(row)))
    assert getattr(named, name)(3)[0] == 3
    delattr(named, name)
    assert not isinstance(getattr(named, name)(3), tuple)


def test_get_data_can_be_set_over(lone):
    lone.get_data = lambda row: row
    assert lone.get_data(3) == 3


def test_a_name_that_is_taken_stays(enabled, result_dir):
    write(result_dir, IDS, {"object_ids": SCORE, "object": DATA, "all": SCORE, "keys": SCORE})
    dataset = enabled.ResultDataset(CONFIG, result_dir)
    assert dataset.get_object_id(3) == IDS[3]
    assert dataset.keys() == ["object_ids", "object", "all", "keys"]
    assert_same_bits(dataset.get_object(3), DATA[3])


def test_a_name_that_is_no_identifier_has_a_getter(enabled, result_dir):
    write(result_dir, IDS, {"größe der zelle": SCORE})
    dataset = enabled.ResultDataset(CONFIG, result_dir)
    assert getattr(dataset, "get_größe der zelle")(3) == SCORE[3]


def test_a_dataset_is_freed_without_the_collector(named):
    named.get_emb(0), named[[1]], named["emb"]
    gone = weakref.ref(enabled_dataset := rds.hyrax.ResultDataset(CONFIG, named.data_location))
    enabled_dataset.get_emb(0), enabled_dataset[[1]]
    gc.disable()
    try:
        del enabled_dataset
        assert gone() is None
    finally:
        gc.enable()


def test_all_tensors_are_those_of_data(lone, named, enabled, tmp_path):
    write(tmp_path / "two", IDS, {"score": SCORE, "data": DATA})
    assert_same_bits(enabled.ResultDataset(CONFIG, tmp_path / "two").__get_all__(), DATA)
    write(tmp_path / "one", IDS, DATA)
    one = enabled.ResultDataset(CONFIG, tmp_path / "one")
    assert_same_bits(one.__get_all__(), DATA)
    assert_same_bits(np.asarray(one), DATA)


def test_all_tensors_without_data_are_an_error_that_names_the_columns(named):
    for call in (named.__get_all__, lambda: np.asarray(named)):
        with pytest.raises(ValueError, match="'emb', 'score'"):
            call()


def test_a_dataset_as_a_dict_has_its_columns(named):
    columns = dict(named)
    assert list(columns) == ["emb", "score"]
    assert_same_bits(np.asarray(columns["emb"]), DATA)


def test_a_table_without_the_metadata_is_no_result(enabled, result_dir):
    store(result_dir, to_arrow(IDS, DATA).replace_schema_metadata(None))
    with pytest.raises(RuntimeError, match="missing the metadata"):
        enabled.ResultDataset(CONFIG, result_dir)


@pytest.mark.parametrize("extra", [{}, {"foreign": "1"}, {"gone": '{"tensor_shape": [2], "tensor_dtype": "float32"}'}])
@pytest.mark.parametrize("names", [["data"], ["data", "emb"], ["emb", "head"]], ids=str)
def test_what_hyrax_writes_is_read(enabled, result_dir, names, extra):
    """As 0.13 writes it: one entry per column, which Python's json made, in any order."""
    arrays = {name: random_array("f4", (20, 2, 3), seed) for seed, name in enumerate(names)}
    columns = {name: to_arrow(IDS, array)["data"] for name, array in arrays.items()}
    metadata = {name: json.dumps({"tensor_shape": [2, 3], "tensor_dtype": "float32"}) for name in reversed(names)}
    table = pa.table({"object_id": IDS, **columns}).replace_schema_metadata({**metadata, **extra})
    store(result_dir, table)
    dataset = enabled.ResultDataset(CONFIG, result_dir)
    assert dataset.keys() == names
    for name, array in arrays.items():
        assert_same_bits(dataset[7][name], array[7])
        assert_same_bits(np.asarray(dataset[name]), array)
    assert dataset.ids() == IDS


def test_both_sets_of_metadata_are_the_lone_tensor(enabled, result_dir):
    told = json.dumps({"tensor_shape": [2, 3], "tensor_dtype": "float32"})
    table = to_arrow(IDS, DATA)
    store(result_dir, table.replace_schema_metadata({**table.schema.metadata, "data": told}))
    dataset = enabled.ResultDataset(CONFIG, result_dir)
    assert dataset.keys() == ["data"]
    assert_same_bits(dataset.__get_all__(), DATA)


def test_the_writer_tells_by_column(enabled, result_dir):
    writer = enabled.create_results_writer(result_dir)
    assert type(writer) is enabled.ResultDatasetWriter and isinstance(writer, rds.ResultDatasetWriter)
    assert (writer.schema, writer.tensor_dtype, writer.tensor_shape, writer.batch_count) == (None, None, None, 0)
    writer.write_batch(np.array(IDS), DATA)
    assert writer.tensor_dtype == {"data": np.dtype("f4")} and writer.tensor_shape == {"data": [2, 3]}
    assert writer.batch_count == 1
    copy = pickle.loads(pickle.dumps(writer))
    assert type(copy) is type(writer) and copy.tensor_shape == {"data": [2, 3]}
    writer.close()


def test_an_array_and_a_dict_of_data_are_the_same_column(enabled, result_dir):
    writer = enabled.create_results_writer(result_dir)
    writer.write_batch(IDS[:5], {"data": DATA[:5]})
    writer.write_batch(IDS[5:10], DATA[5:10])
    writer.write_batch(IDS[10:], {"data": list(DATA[10:])})
    writer.commit()
    metadata = writer.schema.metadata
    assert metadata == {b"tensor_shape": b"[2, 3]", b"tensor_dtype": b"float32"}
    assert_same_bits(enabled.load_results_dataset(CONFIG, result_dir).__get_all__(), DATA)
    writer.close()


def test_a_provider_has_a_field_for_each_column(named):
    request = {"results": {"dataset_class": "ResultDataset", "data_location": str(named.data_location)}}
    provider = module("datasets.data_provider").DataProvider(CONFIG, request)
    assert provider.fields["results"] == ["emb", "object_id", "score"]
    assert provider.scalar_fields("results") == ["object_id", "score"]
    assert provider.keys() == ["emb", "score"]
    columns = provider.collate("results", [4, 2])
    assert_same_bits(columns["emb"], DATA[[4, 2]])
    assert_same_bits(columns["score"], SCORE[[4, 2]])
    assert columns["object_id"].tolist() == [IDS[4], IDS[2]]


def test_verbs_write_and_read_named_tensors(enabled, tmp_path):
    def batches():
        for start in range(0, 20, 5):
            part = slice(start, start + 5)
            yield np.array(IDS[part]), {name: array[part] for name, array in NAMED.items()}

    dataset = module("verbs.infer").infer(CONFIG, tmp_path / "infer", batches())
    same(dataset[13], 13)
    request = {"results": {"dataset_class": "ResultDataset", "data_location": str(tmp_path / "infer")}}
    verbs = module("verbs.reduce_dimensions")
    reduced = verbs.reduce_dimensions(CONFIG, tmp_path / "umap", request, field="emb")
    assert_same_bits(reduced.__get_all__(), DATA.reshape(20, 6)[:, :2])
    assert reduced.ids() == IDS
    with pytest.raises(AttributeError, match="no attribute 'get_data'"):
        verbs.reduce_dimensions(CONFIG, tmp_path / "no", request)
    (found,) = verbs.lookup(dataset, 3)
    same(found, 3)
    with pytest.raises(NotImplementedError, match="get_data"):
        verbs.save_to_database(dataset)
    assert [name for name, _ in verbs.save_to_database(reduced)] == IDS


def test_a_column_that_a_refresh_added_has_a_getter(named):
    added = pa.array(np.arange(20) * 2.0)
    named.lance_dataset.add_columns(pa.RecordBatchReader.from_batches(
        pa.schema([("more", pa.float64())]), [pa.record_batch({"more": added})]
    ))
    assert not hasattr(named, "get_more")
    named.refresh()
    assert named.keys()[:2] == ["emb", "score"]
    same(named[3] if named.keys() == ["emb", "score"] else {n: named[3][n] for n in ("emb", "score")}, 3)


def test_a_dataset_is_pickled_as_one_of_hyrax(named):
    again = pickle.loads(pickle.dumps(named))
    assert type(again) is rds.hyrax.ResultDataset
    same(again[5], 5)
    column = pickle.loads(pickle.dumps(named["emb"]))
    assert_same_bits(np.asarray(column), DATA)


def test_a_process_that_loads_hyrax_has_its_datasets(hyrax, result_dir):
    write(result_dir, IDS, NAMED)
    dataset = rds.ResultDataset({}, result_dir)
    assert type(dataset) is rds.hyrax.ResultDataset and isinstance(dataset, hyrax.HyraxDataset)
    same(dataset[3], 3)


def test_disable_gives_everything_back(hyrax):
    theirs = hyrax.ResultDataset, hyrax.ResultDatasetWriter, hyrax.create_results_writer
    rds.hyrax.enable()
    assert hyrax.ResultDatasetWriter is rds.hyrax.ResultDatasetWriter is rds.hyrax.writer_class()
    rds.hyrax.disable()
    assert (hyrax.ResultDataset, hyrax.ResultDatasetWriter, hyrax.create_results_writer) == theirs
