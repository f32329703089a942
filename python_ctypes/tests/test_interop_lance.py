"""pylance and lancedb read what rds writes, and rds reads what they write."""

import json

import lance
import lancedb
import numpy as np
import pyarrow as pa
import pytest
from samples import (
    DTYPES,
    assert_same_bits,
    column_bytes,
    dtype_name,
    item_field,
    list_type,
    numbered_ids,
    random_array,
    to_arrow,
)

import rds

SHAPES = [(), (8,), (2, 3)]


def table_path(result_dir):
    return str(result_dir / "lance_db" / "results.lance")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=dtype_name)
def test_pylance_reads_what_rds_wrote(make_dataset, result_dir, dtype, shape):
    data = random_array(dtype, (20, *shape))
    make_dataset(numbered_ids(20), data)
    table = lance.dataset(table_path(result_dir)).to_table()
    expected = to_arrow(numbered_ids(20), data)
    assert table.schema.names == ["object_id", "data"]
    assert list_type(table.schema) == list_type(expected.schema)
    assert table["object_id"].to_pylist() == numbered_ids(20)
    assert column_bytes(table["data"]) == column_bytes(expected["data"])
    assert table.schema.metadata[b"tensor_dtype"].decode() == dtype.name
    assert table.schema.metadata[b"tensor_shape"].decode() == json.dumps(list(shape))


@pytest.mark.parametrize("dtype", DTYPES, ids=dtype_name)
def test_lancedb_reads_what_rds_wrote(make_dataset, result_dir, dtype):
    data = random_array(dtype, (20, 4))
    make_dataset(numbered_ids(20), data)
    table = lancedb.connect(str(result_dir / "lance_db")).open_table("results").to_arrow()
    assert table["object_id"].to_pylist() == numbered_ids(20)
    assert column_bytes(table["data"]) == column_bytes(to_arrow(numbered_ids(20), data)["data"])


def test_lancedb_searches_what_rds_wrote(make_dataset):
    vectors = np.eye(8, dtype=np.float32)
    dataset = make_dataset(numbered_ids(8), vectors)
    nearest = dataset.table.search(vectors[3]).limit(1).to_arrow()
    assert nearest["object_id"].to_pylist() == ["object-00003"]


@pytest.mark.parametrize("version", [None, "2.0", "2.1", "2.2"], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=dtype_name)
def test_rds_reads_what_pylance_wrote(result_dir, dtype, version):
    data = random_array(dtype, (50, 2, 3))
    table = to_arrow(numbered_ids(50), data)
    lance.write_dataset(table, table_path(result_dir), data_storage_version=version)
    dataset = rds.ResultDataset({}, result_dir)
    assert dataset.tensor_dtype == dtype and dataset.tensor_shape == [2, 3]
    assert dataset.ids() == numbered_ids(50)
    assert_same_bits(dataset.__get_all__(), data)
    assert_same_bits(dataset[[49, 3, 3]], data[[49, 3, 3]])
    assert_same_bits(dataset[17], data[17])
    assert dataset.index_of("object-00031") == 31


@pytest.mark.parametrize("shape", [(), (1,), (512,), (64, 64)], ids=str)
def test_rds_reads_narrow_and_wide_rows_of_pylance(result_dir, shape):
    data = random_array("f4", (300, *shape))
    lance.write_dataset(to_arrow(numbered_ids(300), data), table_path(result_dir))
    dataset = rds.ResultDataset({}, result_dir)
    assert_same_bits(dataset.__get_all__(), data)
    assert_same_bits(dataset[299], data[299])


def test_rds_reads_compressible_rows_of_pylance(result_dir):
    data = np.zeros((20_000, 3), np.int64)
    data[::1000] = 7
    lance.write_dataset(to_arrow(numbered_ids(20_000), data), table_path(result_dir))
    assert_same_bits(rds.ResultDataset({}, result_dir).__get_all__(), data)


@pytest.fixture(params=["rds", "pylance"])
def fragments(request, result_dir):
    """A table of five fragments, its ids and its values."""
    ids, data = numbered_ids(100), random_array("f4", (100, 16))
    if request.param == "pylance":
        lance.write_dataset(to_arrow(ids, data), table_path(result_dir), max_rows_per_file=20)
    else:
        for start in range(0, 100, 20):
            with rds.ResultDatasetWriter(result_dir, mode="append" if start else "create") as writer:
                writer.write_batch(ids[start : start + 20], data[start : start + 20])
    return lance.dataset(table_path(result_dir)), np.array(ids), data


def check(result_dir, ids, data):
    dataset = rds.ResultDataset({}, result_dir)
    assert dataset.ids() == ids.tolist()
    assert_same_bits(dataset.__get_all__(), data)
    rows = np.random.default_rng(0).permutation(len(ids))
    assert_same_bits(dataset[rows], data[rows])
    for row in (0, len(ids) // 2, len(ids) - 1):
        assert_same_bits(dataset[row], data[row])
        assert dataset.get_object_id(row) == ids[row]
    assert dataset.find(ids[rows]).tolist() == rows.tolist()
    assert pa.table(dataset)["object_id"].to_pylist() == ids.tolist()


def test_several_fragments_are_read_in_order(fragments, result_dir):
    check(result_dir, *fragments[1:])


def test_deleted_rows_are_gone(fragments, result_dir):
    table, ids, data = fragments
    table.delete("object_id in ('object-00000', 'object-00033', 'object-00034', 'object-00099')")
    kept = ~np.isin(ids, ["object-00000", "object-00033", "object-00034", "object-00099"])
    check(result_dir, ids[kept], data[kept])


def test_a_fragment_deleted_whole_is_gone(fragments, result_dir):
    table, ids, data = fragments
    table.delete("object_id >= 'object-00020' and object_id < 'object-00040'")
    kept = (ids < "object-00020") | (ids >= "object-00040")
    check(result_dir, ids[kept], data[kept])


def test_a_compacted_table_is_read(fragments, result_dir):
    table, ids, data = fragments
    table.optimize.compact_files()
    assert len(table.get_fragments()) == 1
    check(result_dir, ids, data)


def test_a_table_compacted_after_a_deletion_is_read(fragments, result_dir):
    table, ids, data = fragments
    table.delete("object_id = 'object-00050'")
    table.optimize.compact_files()
    kept = ids != "object-00050"
    check(result_dir, ids[kept], data[kept])


def test_rows_that_pylance_appended_are_read(fragments, result_dir):
    _, ids, data = fragments
    more = random_array("f4", (10, 16), seed=1)
    more_ids = numbered_ids(10, 1000)
    lance.write_dataset(to_arrow(more_ids, more), table_path(result_dir), mode="append")
    check(result_dir, np.concatenate([ids, more_ids]), np.concatenate([data, more]))


def test_rds_appends_to_a_table_of_pylance(fragments, result_dir):
    _, ids, data = fragments
    more = random_array("f4", (10, 16), seed=1)
    more_ids = numbered_ids(10, 1000)
    with rds.ResultDatasetWriter(result_dir, mode="append") as writer:
        writer.write_batch(more_ids, more)
    check(result_dir, np.concatenate([ids, more_ids]), np.concatenate([data, more]))


def test_a_table_made_by_lancedb_is_read(result_dir):
    data = random_array("f4", (30, 2, 3))
    lancedb.connect(str(result_dir / "lance_db")).create_table("results", to_arrow(numbered_ids(30), data))
    check(result_dir, np.array(numbered_ids(30)), data)


def test_a_scalar_column_index_of_lance_does_no_harm(fragments, result_dir):
    table, ids, data = fragments
    table.create_scalar_index("object_id", "BTREE")
    check(result_dir, ids, data)


def test_item_types_are_those_of_the_storage_rules():
    assert item_field(np.dtype("c8")).type == pa.float32()
    assert item_field(np.dtype("M8[ns]")).type == pa.timestamp("ns")
    assert item_field(np.dtype("m8[s]")).type == pa.duration("s")
