"""Versions and merges, as pylance sees them, and beside what pylance does to the table meanwhile."""

import time

import lance
import numpy as np
import pyarrow as pa
import pytest
from samples import mapped_rows, random_array

import rds

ROWS = 50


def table_path(result_dir):
    return str(result_dir / "lance_db" / "results.lance")


def batch(number, width=3):
    first = number * ROWS
    ids = [f"id-{row}" for row in range(first, first + ROWS)]
    return ids, np.arange(first * width, (first + ROWS) * width, dtype="f4").reshape(ROWS, width)


def expected(numbers):
    return np.concatenate([batch(number)[1] for number in numbers])


def write(writer, numbers):
    for number in numbers:
        writer.write_batch(*batch(number))


def show(writer, numbers):
    """A version of its own for every batch."""
    for number in numbers:
        write(writer, [number])
        writer.flush()


def values(result_dir):
    """As pylance reads them, which must be as librds does."""
    table = lance.dataset(table_path(result_dir)).to_table()
    read = np.stack(table["data"].to_numpy(zero_copy_only=False))
    dataset = rds.ResultDataset({}, result_dir)
    np.testing.assert_array_equal(dataset.__get_all__(), read)
    assert dataset.ids() == table["object_id"].to_pylist()
    return read


def files(result_dir):
    """Data files of the newest version."""
    dataset = lance.dataset(table_path(result_dir))
    dataset.validate()
    return sum(len(fragment.data_files()) for fragment in dataset.get_fragments())


def versions(result_dir):
    return [version["version"] for version in lance.dataset(table_path(result_dir)).versions()]


@pytest.fixture
def writer(result_dir):
    writer = rds.ResultDatasetWriter(result_dir, durability="batch")
    yield writer
    writer.close()


def test_a_commit_leaves_eight_small_files_at_most_and_a_close_one(writer, result_dir):
    show(writer, range(30))
    assert files(result_dir) > 8
    writer.commit()
    assert files(result_dir) <= 8
    np.testing.assert_array_equal(values(result_dir), expected(range(30)))
    writer.close()
    assert files(result_dir) == 1
    np.testing.assert_array_equal(values(result_dir), expected(range(30)))
    dataset = rds.ResultDataset({}, result_dir)
    assert mapped_rows(dataset) == len(dataset) == 30 * ROWS


def test_a_commit_with_nothing_new_makes_no_version(writer, result_dir):
    show(writer, range(12))
    writer.commit()
    before = versions(result_dir)
    writer.commit()
    writer.commit()
    assert versions(result_dir) == before


def test_a_writer_removes_no_version(writer, result_dir):
    show(writer, range(12))
    writer.commit()
    writer.close()
    all_versions = versions(result_dir)
    assert all_versions == list(range(1, all_versions[-1] + 1))
    for version in range(1, 13):
        shown = lance.dataset(table_path(result_dir), version=version).to_table()
        assert shown.num_rows == version * ROWS


def test_what_was_there_before_the_run_stays(result_dir):
    with rds.ResultDatasetWriter(result_dir) as first:
        write(first, range(3))
    before = lance.dataset(table_path(result_dir)).version
    (file,) = lance.dataset(table_path(result_dir)).get_fragments()[0].data_files()
    with rds.ResultDatasetWriter(result_dir, mode="append", durability="batch") as second:
        show(second, range(3, 20))
    fragments = lance.dataset(table_path(result_dir)).get_fragments()
    assert [fragment.count_rows() for fragment in fragments] == [3 * ROWS, 17 * ROWS]
    assert fragments[0].data_files()[0].path == file.path
    old = lance.dataset(table_path(result_dir), version=before)
    assert old.count_rows() == 3 * ROWS
    np.testing.assert_array_equal(values(result_dir), expected(range(20)))


def test_a_tagged_version_outlives_commit_and_vacuum(writer, result_dir):
    show(writer, range(3))
    dataset = lance.dataset(table_path(result_dir))
    dataset.tags.create("kept", dataset.version)
    show(writer, range(3, 20))
    writer.close()
    time.sleep(0.05)
    assert rds.vacuum(result_dir, older_than_ms=1).removed_versions > 0
    assert len(versions(result_dir)) == 2
    kept = lance.dataset(table_path(result_dir), version="kept")
    assert kept.to_table().num_rows == 3 * ROWS
    np.testing.assert_array_equal(values(result_dir), expected(range(20)))


def test_a_branch_outlives_commit_and_vacuum(writer, result_dir):
    show(writer, range(3))
    dataset = lance.dataset(table_path(result_dir))
    dataset.create_branch("side", dataset.version)
    show(writer, range(3, 20))
    writer.close()
    time.sleep(0.05)
    rds.vacuum(result_dir, older_than_ms=1)
    side = lance.dataset(table_path(result_dir)).checkout_version(("side", None))
    assert side.to_table().num_rows == 3 * ROWS
    np.testing.assert_array_equal(values(result_dir), expected(range(20)))


def test_rows_that_were_deleted_meanwhile_do_not_come_back(writer, result_dir):
    show(writer, range(12))
    lance.dataset(table_path(result_dir)).delete("object_id = 'id-7'")
    show(writer, range(12, 20))
    writer.commit()
    np.testing.assert_array_equal(values(result_dir), np.delete(expected(range(20)), 7, axis=0))


def test_rows_of_other_writers_stay_where_they_are(writer, result_dir):
    show(writer, range(5))
    schema = lance.dataset(table_path(result_dir)).schema
    ids, data = batch(5)
    column = pa.FixedSizeListArray.from_arrays(pa.array(data.ravel()), 3)
    lance.write_dataset(
        pa.table([pa.array(ids), column], schema=schema), table_path(result_dir), mode="append"
    )
    show(writer, range(6, 20))
    writer.close()
    np.testing.assert_array_equal(values(result_dir), expected(range(20)))
    assert files(result_dir) >= 2


def test_a_compaction_by_others_is_no_conflict(writer, result_dir):
    show(writer, range(5))
    lance.dataset(table_path(result_dir)).optimize.compact_files()
    show(writer, range(5, 20))
    writer.commit()
    np.testing.assert_array_equal(values(result_dir), expected(range(20)))


def test_an_index_made_meanwhile_still_finds_every_row(writer, result_dir):
    show(writer, range(5))
    lance.dataset(table_path(result_dir)).create_scalar_index("object_id", "BTREE")
    show(writer, range(5, 20))
    writer.commit()
    dataset = lance.dataset(table_path(result_dir))
    for row in (0, 249, 250, 999):
        found = dataset.to_table(filter=f"object_id = 'id-{row}'")
        assert found["data"].to_pylist() == [[row * 3, row * 3 + 1, row * 3 + 2]]


def test_a_table_replaced_by_others_is_a_conflict(result_dir):
    writer = rds.ResultDatasetWriter(result_dir, durability="batch")
    show(writer, range(5))
    other = pa.table({"object_id": ["x"], "data": pa.array([[1.0, 2.0, 3.0]], pa.list_(pa.float32(), 3))})
    lance.write_dataset(other, table_path(result_dir), mode="overwrite")
    with pytest.raises(rds.RdsError) as raised:
        show(writer, [5])
    assert raised.value.status == 9
    stats = writer.stats()
    assert stats.state == "failed" and "replaced" in stats.failure
    with pytest.raises(rds.RdsError):
        writer.close()
    assert lance.dataset(table_path(result_dir)).to_table()["object_id"].to_pylist() == ["x"]


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2"])
def test_tables_of_every_file_version_are_merged_in_it(result_dir, version):
    ids, data = batch(0)
    column = pa.FixedSizeListArray.from_arrays(pa.array(data.ravel()), 3)
    metadata = {"tensor_shape": "[3]", "tensor_dtype": "float32"}
    schema = pa.schema([("object_id", pa.utf8()), ("data", column.type)], metadata=metadata)
    table = pa.table([pa.array(ids), column], schema=schema)
    result_dir.mkdir()
    lance.write_dataset(table, table_path(result_dir), data_storage_version=version)
    with rds.ResultDatasetWriter(result_dir, mode="append", durability="batch") as writer:
        show(writer, range(1, 20))
    np.testing.assert_array_equal(values(result_dir), expected(range(20)))
    assert files(result_dir) == 2
    assert lance.dataset(table_path(result_dir)).data_storage_version == version


@pytest.mark.parametrize(
    "dtype", ["bool", "i1", "u8", "f2", "f8", "c8", "c16", "M8[ns]", "m8[s]"]
)
@pytest.mark.parametrize("shape", [(), (5,), (2, 8)])
def test_every_kind_of_tensor_survives_merging(result_dir, dtype, shape):
    data = random_array(np.dtype(dtype), (20, 7, *shape))
    with rds.ResultDatasetWriter(result_dir, durability="batch") as writer:
        for number, tensors in enumerate(data):
            writer.write_batch(np.arange(7) + number * 7, tensors)
            writer.flush()
    assert files(result_dir) == 1
    dataset = rds.ResultDataset({}, result_dir)
    got = dataset.__get_all__()
    assert got.tobytes() == data.reshape(140, *shape).tobytes()
    assert dataset.ids() == [str(row) for row in range(140)]


def test_large_files_are_merged_page_by_page(result_dir):
    data = random_array(np.dtype("f4"), (8, 4096, 1024))
    with rds.ResultDatasetWriter(result_dir) as writer:
        for number, tensors in enumerate(data):
            writer.write_batch(np.arange(4096) + number * 4096, tensors)
            if number % 2:
                writer.flush()
    assert files(result_dir) == 1
    dataset = rds.ResultDataset({}, result_dir)
    assert mapped_rows(dataset) == len(dataset)
    np.testing.assert_array_equal(dataset.__get_all__(), data.reshape(-1, 1024))
    assert dataset.get_object_id(4096) == "4096"


def test_whoever_opened_a_version_of_a_run_reads_on_while_the_run_goes_on(writer, result_dir):
    show(writer, range(3))
    early = lance.dataset(table_path(result_dir))
    show(writer, range(3, 20))
    writer.close()
    assert early.to_table().num_rows == 3 * ROWS


def test_slices_of_a_large_arrow_table_make_no_small_pages(result_dir):
    schema = pa.schema([("object_id", pa.utf8()), ("data", pa.list_(pa.float32(), 16))])
    data = random_array(np.dtype("f4"), (100_000, 16))
    column = pa.FixedSizeListArray.from_arrays(pa.array(data.ravel()), 16)
    ids = pa.array([str(row) for row in range(len(data))])
    whole = pa.table([ids, column], schema=schema)
    with rds.ResultDatasetWriter(result_dir) as writer:
        for first in range(0, len(data), 100):
            writer.write_batch(whole.slice(first, 100))
    path = next((result_dir / "lance_db" / "results.lance" / "data").iterdir())
    pages = lance.file.LanceFileReader(str(path)).metadata().columns
    assert all(len(column.pages) <= 4 for column in pages)
    np.testing.assert_array_equal(rds.ResultDataset({}, result_dir).__get_all__(), data)
