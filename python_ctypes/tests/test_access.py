"""The ways to read give the same bytes, whoever wrote the table and in whatever format."""

import lance
import numpy as np
import pyarrow as pa
import pytest
from samples import DTYPES, assert_same_bits, dtype_name, mapped_rows, numbered_ids, random_array
from samples import store, to_arrow, write

import rds

ACCESSES = ["auto", "mapped", "lance"]


def check(dataset, ids, data):
    rows = np.random.default_rng(0).integers(0, len(data), 40)
    assert len(dataset) == len(data)
    assert_same_bits(dataset.__get_all__(), data)
    assert_same_bits(dataset[rows], data[rows])
    assert_same_bits(dataset[3:17], data[3:17])
    assert_same_bits(dataset[17:3:-2], data[17:3:-2])
    for row in (0, 7, len(data) - 1):
        assert_same_bits(dataset[row], data[row])
        assert dataset[row].shape == data[row].shape
        assert not dataset[row].flags.writeable
        assert dataset.get_object_id(row) == ids[row]
    assert dataset.ids() == list(ids)
    assert dataset.find(ids).tolist() == list(range(len(ids)))


@pytest.mark.parametrize("access", ACCESSES)
@pytest.mark.parametrize("shape", [(), (8,), (2, 4)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=dtype_name)
def test_every_access_gives_the_same_bytes(result_dir, dtype, shape, access):
    data = random_array(dtype, (30, *shape))
    write(result_dir, numbered_ids(30), data)
    if dtype == np.bool_ and not shape and access == "mapped":
        # A row of one bit does not begin with a byte.
        with pytest.raises(NotImplementedError, match="0 of 30 rows can be mapped"):
            rds.ResultDataset({}, result_dir, access=access)
        return
    dataset = rds.ResultDataset({}, result_dir, access=access)
    assert (mapped_rows(dataset) == 0) == (access == "lance" or dtype == np.bool_ and not shape)
    check(dataset, numbered_ids(30), data)


@pytest.mark.parametrize("access", ["auto", "lance"])
@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2"])
@pytest.mark.parametrize("width", [2, 64])
def test_tables_of_every_lance_file_version(result_dir, version, width, access):
    data = random_array("f4", (200, width))
    store(result_dir, to_arrow(numbered_ids(200), data), data_storage_version=version)
    check(rds.ResultDataset({}, result_dir, access=access), numbered_ids(200), data)


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2"])
@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != np.bool_], ids=dtype_name)
def test_wide_rows_of_pylance_are_mapped_in_every_dtype(result_dir, dtype, version):
    data = random_array(dtype, (40, 256))
    store(result_dir, to_arrow(numbered_ids(40), data), data_storage_version=version)
    dataset = rds.ResultDataset({}, result_dir, access="mapped")
    assert np.shares_memory(dataset[3], dataset[3])
    check(dataset, numbered_ids(40), data)


DATA = random_array("f4", (100, 64))
IDS = numbered_ids(100)


@pytest.fixture(params=ACCESSES)
def access(request):
    return request.param


def test_columns_added_later(result_dir, access):
    table = store(result_dir, to_arrow(IDS, DATA), max_rows_per_file=30)
    table.add_columns({"length": "length(object_id)"})
    check(rds.ResultDataset({}, result_dir, access=access), IDS, DATA)


def test_data_that_was_added_later(result_dir, access):
    whole = to_arrow(IDS, DATA)
    table = store(result_dir, whole.select(["object_id"]), max_rows_per_file=30)
    table.add_columns(pa.RecordBatchReader.from_batches(
        whole.select(["data"]).schema, whole.select(["data"]).to_batches()
    ))
    check(rds.ResultDataset({}, result_dir, access=access), IDS, DATA)


def test_columns_with_new_names(result_dir, access):
    whole = to_arrow(IDS, DATA)
    metadata = whole.schema.metadata
    whole = whole.rename_columns(["name", "vector"]).replace_schema_metadata(metadata)
    table = store(result_dir, whole, max_rows_per_file=30)
    table.alter_columns({"path": "name", "name": "object_id"}, {"path": "vector", "name": "data"})
    check(rds.ResultDataset({}, result_dir, access=access), IDS, DATA)


def test_a_column_whose_name_was_taken_over(result_dir, access):
    """`data` is not the column that had this name when the file was written."""
    whole = to_arrow(IDS, DATA)
    other = random_array("f4", DATA.shape, seed=1)
    vector = to_arrow(IDS, other)["data"]
    table = store(result_dir, whole.append_column(pa.field("vector", vector.type), vector))
    table.drop_columns(["data"])
    table.alter_columns({"path": "vector", "name": "data"})
    check(rds.ResultDataset({}, result_dir, access=access), IDS, other)


def test_stable_row_ids(result_dir, access):
    store(result_dir, to_arrow(IDS, DATA), enable_stable_row_ids=True, max_rows_per_file=30)
    check(rds.ResultDataset({}, result_dir, access=access), IDS, DATA)


@pytest.mark.parametrize("stable", [False, True], ids=["row addresses", "stable row ids"])
def test_deleted_rows(result_dir, access, stable):
    table = store(result_dir, to_arrow(IDS, DATA), max_rows_per_file=30, enable_stable_row_ids=stable)
    table.delete("object_id in ('object-00000', 'object-00031', 'object-00099')")
    if access == "mapped":
        with pytest.raises(NotImplementedError, match="only 30 of 97 rows can be mapped"):
            rds.ResultDataset({}, result_dir, access=access)
        return
    kept = [row for row in range(100) if row not in (0, 31, 99)]
    check(rds.ResultDataset({}, result_dir, access=access), [IDS[row] for row in kept], DATA[kept])


def test_updated_rows(result_dir, access):
    table = store(result_dir, to_arrow(IDS, DATA), max_rows_per_file=30)
    table.update({"object_id": "'renamed'"}, where="object_id = 'object-00031'")
    if access == "mapped":
        with pytest.raises(NotImplementedError, match="rows can be mapped"):
            rds.ResultDataset({}, result_dir, access=access)
        return
    # A row that is updated goes to the end.
    order = [row for row in range(100) if row != 31] + [31]
    ids = [IDS[row] for row in order[:-1]] + ["renamed"]
    check(rds.ResultDataset({}, result_dir, access=access), ids, DATA[order])


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2"])
@pytest.mark.parametrize("what", ["a row", "a number"])
def test_nulls_are_refused_and_the_rest_is_read(result_dir, version, what):
    data = np.arange(640, dtype=np.float32).reshape(10, 64)
    values = data.tolist()
    if what == "a row":
        values[3] = None
    else:
        values[3][5] = None
    table = pa.table({"object_id": IDS[:10], "data": pa.array(values, pa.list_(pa.float32(), 64))})
    table = table.replace_schema_metadata(to_arrow(IDS, DATA).schema.metadata)
    store(result_dir, table, data_storage_version=version)
    dataset = rds.ResultDataset({}, result_dir)
    for row in (2, 4, 9):
        assert_same_bits(dataset[row], data[row])
    assert_same_bits(dataset[[9, 4]], data[[9, 4]])
    for read in (lambda: dataset[3], lambda: dataset[[2, 3]], lambda: dataset[:5], dataset.__get_all__):
        with pytest.raises(NotImplementedError, match="row 3 is null"):
            read()


def test_mapped_access_refuses_a_table_with_other_rows(result_dir):
    # Narrow rows of pylance are compressed.
    store(result_dir, to_arrow(IDS, DATA[:, :2]))
    with pytest.raises(NotImplementedError, match="only 0 of 100 rows can be mapped"):
        rds.ResultDataset({}, result_dir, access="mapped")


@pytest.mark.parametrize("access", ["", "AUTO", "mmap", None])
def test_an_unknown_access_is_refused_by_name(result_dir, access):
    write(result_dir, IDS, DATA)
    with pytest.raises(ValueError, match=f"access is {access!r}; 'auto', 'mapped', 'lance' are possible"):
        rds.ResultDataset({}, result_dir, access=access)


@pytest.mark.parametrize("access", ["auto", "lance"])
def test_without_prefetch_the_bytes_are_the_same(result_dir, access):
    write(result_dir, IDS, DATA)
    check(rds.ResultDataset({}, result_dir, access=access, prefetch=False), IDS, DATA)


def test_an_older_version_is_read_by_rds_and_by_pylance(result_dir):
    write(result_dir, IDS[:40], DATA[:40])
    version = lance.dataset(str(result_dir / "lance_db" / "results.lance")).version
    write(result_dir, IDS[40:], DATA[40:], mode="append")
    dataset = rds.ResultDataset({}, result_dir, version=version)
    check(dataset, IDS[:40], DATA[:40])
    assert dataset.lance_dataset.count_rows() == dataset.table.count_rows() == 40
    check(rds.ResultDataset({}, result_dir), IDS, DATA)


@pytest.mark.parametrize(("version", "error"), [(99, FileNotFoundError), (0, ValueError), (-1, ValueError)])
def test_a_version_that_is_not_there_is_refused_by_number(result_dir, version, error):
    write(result_dir, IDS, DATA)
    with pytest.raises(error, match=f"version.* {version}"):
        rds.ResultDataset({}, result_dir, version=version)


def test_options_are_given_by_name_only(result_dir):
    write(result_dir, IDS, DATA)
    with pytest.raises(TypeError):
        rds.ResultDataset({}, result_dir, 1)
