"""Batches and streams: any rows and columns as Arrow, without a copy where that can be."""

import gc
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import lancedb
import nanoarrow
import numpy as np
import polars
import pyarrow as pa
import pytest
from samples import DTYPES, assert_same_bits, column_bytes, dtype_name, numbered_ids, random_array
from samples import store, to_arrow, write

import rds
from rds import _capsules, _library

ROWS = 3000
IDS = numbered_ids(ROWS)
DATA = random_array("f4", (ROWS, 6))
PICK = [7, 2999, 7, 0]


@pytest.fixture(scope="module")
def location(tmp_path_factory):
    path = tmp_path_factory.mktemp("results")
    write(path, IDS, DATA)
    return path


@pytest.fixture
def dataset(location):
    return rds.ResultDataset({}, location)


@pytest.fixture(autouse=True)
def nothing_is_kept():
    """Whatever a test exported is released when nobody has it any more."""
    yield
    gc.collect()
    assert not _capsules._made


def data_address(array):
    """Where the numbers of a struct array of pyarrow lie."""
    lists = array.column("data") if isinstance(array, pa.RecordBatch) else array.field("data")
    return lists.values.buffers()[1].address + 4 * 6 * lists.offset


def address(array):
    return array.__array_interface__["data"][0]


def check(table, ids, data):
    assert table["object_id"].to_pylist() == list(ids)
    assert column_bytes(pa.chunked_array(table["data"])) == data.tobytes()


@pytest.mark.parametrize("rows", [PICK, np.array(PICK, np.uint64), tuple(PICK)], ids=lambda r: type(r).__name__)
def test_a_batch_has_the_rows_in_the_order_asked_for(dataset, rows):
    batch = dataset.batch(rows)
    assert len(batch) == 4
    check(pa.record_batch(batch), [IDS[row] for row in PICK], DATA[PICK])
    assert_same_bits(batch, DATA[PICK])


def test_a_mask_makes_a_batch(dataset):
    mask = np.arange(ROWS) % 7 == 0
    check(pa.record_batch(dataset.batch(mask)), np.array(IDS)[mask], DATA[mask])


@pytest.mark.parametrize("dtype", DTYPES, ids=dtype_name)
@pytest.mark.parametrize("shape", [(), (8,), (2, 3)], ids=str)
def test_a_batch_of_every_dtype_is_an_array_and_arrow(make_dataset, dtype, shape):
    data = random_array(dtype, (20, *shape))
    dataset = make_dataset(numbered_ids(20), data)
    for batch in (dataset.batch([3, 19, 3]), next(iter(dataset.stream(rows=[3, 19, 3])))):
        assert_same_bits(batch, data[[3, 19, 3]])
        assert not np.asarray(batch).flags.writeable
        expected = to_arrow([f"object-{row:05d}" for row in (3, 19, 3)], data[[3, 19, 3]])
        got = pa.Table.from_batches([pa.record_batch(batch)])
        assert got["object_id"].to_pylist() == expected["object_id"].to_pylist()
        assert column_bytes(got["data"]) == column_bytes(expected["data"])
    (middle,) = dataset.stream(rows=range(5, 9))
    assert_same_bits(middle, data[5:9])


def test_an_array_of_a_batch_is_its_memory(dataset):
    batch = dataset.batch(PICK)
    first, second = np.asarray(batch), np.asarray(batch, copy=False)
    assert np.shares_memory(first, second)
    copy = np.array(batch)
    assert copy.flags.writeable and not np.shares_memory(first, copy)
    del batch
    gc.collect()
    assert_same_bits(first, DATA[PICK])
    assert np.asarray(dataset.batch(PICK), np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(dataset.batch(PICK), np.float64, copy=False)


@pytest.mark.parametrize("rows", [PICK, range(100, 200)], ids=["rows", "range"])
def test_a_batch_is_exported_as_often_as_one_likes(dataset, rows):
    batch = next(iter(dataset.stream(rows=rows)))
    exported = [pa.record_batch(batch) for _ in range(3)]
    assert len({data_address(one) for one in exported}) == (1 if isinstance(rows, range) else 3)
    array = np.asarray(batch)
    del batch, dataset
    gc.collect()
    for one in exported:
        check(one, [IDS[row] for row in rows], DATA[list(rows)])
    assert_same_bits(array, DATA[list(rows)])


def test_a_child_that_is_moved_out_outlives_its_batch(dataset):
    column = pa.record_batch(dataset.batch(PICK)).column("object_id")
    gc.collect()
    assert column.to_pylist() == [IDS[row] for row in PICK]


def test_other_consumers_take_a_batch(dataset):
    batch = dataset.batch(PICK)
    frame = polars.DataFrame(batch)
    assert frame["object_id"].to_list() == [IDS[row] for row in PICK]
    assert frame["data"].to_numpy().tobytes() == DATA[PICK].tobytes()
    assert nanoarrow.Array(batch).child(0).to_pylist() == [IDS[row] for row in PICK]


@pytest.mark.parametrize("columns", ["object_id", "data", ["data"], ("object_id", "data")], ids=str)
def test_columns_are_chosen_by_name(dataset, columns):
    names = [columns] if isinstance(columns, str) else list(columns)
    assert pa.record_batch(dataset.batch([1, 2], columns)).schema.names == names
    assert pa.schema(dataset.batch([1], columns)).names == names
    for rows in (None, [5, 1], []):
        stream = dataset.stream(columns, rows=rows)
        assert pa.schema(stream).names == pa.table(stream).schema.names == names


@pytest.mark.parametrize("columns", ["ids", ["data", "x"], []], ids=str)
def test_an_unknown_column_is_refused(dataset, columns):
    for call in (lambda: dataset.batch([1], columns), lambda: dataset.stream(columns)):
        with pytest.raises((KeyError, ValueError), match="column"):
            call()


def test_a_batch_without_tensors_is_no_array(dataset):
    with pytest.raises(ValueError, match="the batch has no tensors"):
        np.asarray(dataset.batch([1], "object_id"))


@pytest.mark.parametrize("rows", [[ROWS], [0, -1], [2**63]], ids=str)
def test_a_row_that_is_not_there_is_an_index_error(dataset, rows):
    for call in (dataset.batch, lambda rows: dataset.stream(rows=rows)):
        with pytest.raises(IndexError, match=f"row {rows[-1]} is out of range"):
            call(np.array(rows))


@pytest.mark.parametrize("rows", [range(ROWS - 1, ROWS + 1), range(-1, 2), range(0, 2 * ROWS, 2)], ids=str)
def test_a_range_beyond_the_rows_is_an_index_error(dataset, rows):
    with pytest.raises(IndexError, match="is out of range"):
        dataset.stream(rows=rows)


SELECTIONS = {
    "all": None,
    "slice": slice(10, 2500),
    "slice from the end": slice(-5, None),
    "stepped slice": slice(1, None, 3),
    "reversed slice": slice(None, None, -1),
    "empty slice": slice(5, 5),
    "range": range(100, 200),
    "stepped range": range(100, 200, 7),
    "list": PICK,
    "array": np.random.default_rng(0).permutation(ROWS),
    "mask": np.arange(ROWS) % 2 == 0,
    "nothing": [],
}


@pytest.mark.parametrize("rows", SELECTIONS.values(), ids=SELECTIONS)
@pytest.mark.parametrize("batch_size", [None, 1000, 7000])
def test_a_stream_has_the_rows_in_their_order(dataset, rows, batch_size):
    chosen = slice(None) if rows is None else list(rows) if isinstance(rows, range) else rows
    ids, data = np.array(IDS)[chosen], DATA[chosen]
    stream = dataset.stream(batch_size=batch_size, rows=rows)
    for _ in range(2):
        check(pa.table(stream), ids, data)
        batches = list(stream)
        assert sum(map(len, batches)) == len(ids)
        assert all(len(batch) <= (batch_size or 8192) for batch in batches)
        if batches:
            assert_same_bits(np.concatenate([np.asarray(batch) for batch in batches]), data)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_size_below_one_is_refused(dataset, batch_size):
    with pytest.raises(ValueError, match="batch_size"):
        dataset.stream(batch_size=batch_size)


def test_rows_that_follow_each_other_come_without_a_copy(dataset):
    begin = address(dataset[0])
    for rows in (None, slice(100, None), range(100, 3000)):
        first = 0 if rows is None else 100
        stream = dataset.stream(rows=rows, batch_size=1000)
        batch = next(iter(stream))
        assert address(np.asarray(batch)) == begin + first * DATA[0].nbytes
        assert data_address(pa.record_batch(batch)) == begin + first * DATA[0].nbytes
        read = pa.RecordBatchReader.from_stream(stream).read_next_batch()
        assert data_address(read) == begin + first * DATA[0].nbytes
    frame = polars.DataFrame(dataset.stream("data", batch_size=10_000))
    assert address(frame["data"].to_numpy(allow_copy=False)) == begin


def test_a_stream_shows_the_version_it_was_made_of(make_dataset, result_dir):
    dataset = make_dataset(IDS[:10], DATA[:10])
    stream = dataset.stream()
    write(result_dir, ["other"], DATA[:1])
    dataset.refresh()
    assert pa.table(stream)["object_id"].to_pylist() == IDS[:10]
    dataset.close()
    assert pa.table(stream)["object_id"].to_pylist() == IDS[:10]


def test_a_closed_dataset_has_no_streams(dataset):
    dataset.close()
    with pytest.raises(ValueError, match="rds_reader_"):
        np.asarray(dataset.batch([1]))
    with pytest.raises(ValueError, match="rds_reader_"):
        dataset.batch([1]).__arrow_c_array__()
    with pytest.raises(ValueError, match="rds_reader_"):
        list(dataset.stream())


@pytest.mark.parametrize("rows", [None, PICK], ids=["range", "rows"])
def test_a_stream_that_is_not_read_to_its_end_is_released(dataset, rows):
    stream = dataset.stream(rows=rows, batch_size=2)
    capsule = stream.__arrow_c_stream__()
    del capsule
    reader = pa.RecordBatchReader.from_stream(stream)
    reader.read_next_batch()
    reader.close()
    next(iter(stream))


CONSUMERS = {
    "table": pa.table,
    "reader": lambda stream: pa.RecordBatchReader.from_stream(stream).read_all(),
    "polars": polars.DataFrame,
    "iteration": list,
}


@pytest.mark.parametrize("rows", [None, range(3, 9), PICK], ids=["all", "range", "rows"])
@pytest.mark.parametrize("consume", CONSUMERS.values(), ids=CONSUMERS)
def test_a_failure_of_a_stream_reaches_its_consumer_with_its_text(tmp_path, consume, rows):
    write(tmp_path, IDS, DATA)
    dataset = rds.ResultDataset({}, tmp_path, access="lance")
    dataset.ids()
    for path in (tmp_path / "lance_db" / "results.lance" / "data").iterdir():
        os.truncate(path, 10)
    with pytest.raises(Exception, match=r"\.lance") as caught:
        for part in consume(dataset.stream("data", batch_size=2, rows=rows)):
            np.asarray(part)
    assert not isinstance(caught.value, SystemError)


def test_a_stream_of_rows_outlives_its_dataset(dataset):
    reader = pa.RecordBatchReader.from_stream(dataset.stream(rows=PICK, batch_size=1))
    dataset.close()
    del dataset
    gc.collect()
    check(reader.read_all(), [IDS[row] for row in PICK], DATA[PICK])


def test_streams_are_read_on_other_threads(dataset):
    def read(seed):
        rows = np.random.default_rng(seed).integers(0, ROWS, 500)
        table = pa.table(dataset.stream(rows=rows, batch_size=50))
        check(table, np.array(IDS)[rows], DATA[rows])
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(32)))


def test_sql_over_results(dataset):
    results = dataset.stream()
    picked = dataset.stream(rows=PICK)
    ids = dataset.stream("object_id")
    assert duckdb.sql("select count(*), max(object_id) from results").fetchall() == [(ROWS, IDS[-1])]
    assert duckdb.sql("select object_id from picked").fetchall() == [(IDS[row],) for row in PICK]
    expected = sorted(IDS, reverse=True)[:3]
    found = duckdb.sql("select object_id from ids order by 1 desc limit 3").fetchall()
    assert found == [(one,) for one in expected]


def test_sql_over_a_dataset_itself(make_dataset):
    results = make_dataset(["a", "b", "c"], np.array([[1, 2], [3, 4], [5, 6]], "f8"))
    query = "select object_id, data[1] + data[2] as total from results where data[1] > 2 order by total desc"
    assert duckdb.sql(query).fetchall() == [("c", 11.0), ("b", 7.0)]


def test_numpy_arrow_and_stock_lance_agree(make_dataset):
    data = random_array("i4", (500, 2, 3))
    dataset = make_dataset(numbered_ids(500), data)
    table = lancedb.connect(str(dataset.lance_dir)).open_table("results")
    duck = dataset
    flat = {
        "numpy": np.asarray(dataset),
        "pyarrow": pa.table(dataset)["data"].combine_chunks().flatten().to_numpy(),
        "polars": polars.DataFrame(dataset)["data"].to_numpy(),
        "duckdb": np.array(duckdb.sql("select data from duck").fetchall()),
        "nanoarrow": np.array(nanoarrow.Array(dataset).child(1).to_pylist()),
        "lancedb": table.to_arrow()["data"].combine_chunks().flatten().to_numpy(),
        "dlpack": np.from_dlpack(dataset),
    }
    for name, values in flat.items():
        assert np.array_equal(values.reshape(500, 2, 3), data), name


@pytest.mark.parametrize("order", [["data", "object_id"], ["object_id", "data"]], ids=str)
def test_tables_of_others_are_streamed_in_the_order_of_rds(result_dir, order):
    store(result_dir, to_arrow(IDS[:50], DATA[:50]).select(order), max_rows_per_file=20)
    dataset = rds.ResultDataset({}, result_dir)
    for rows in (None, range(3, 50), [49, 0]):
        chosen = slice(None) if rows is None else list(rows)
        for batch_columns in (None, "data"):
            parts = dataset.stream(batch_columns, rows=rows)
            assert_same_bits(np.concatenate([np.asarray(part) for part in parts]), DATA[:50][chosen])
        check(pa.table(dataset.stream(rows=rows)), np.array(IDS[:50])[chosen], DATA[:50][chosen])
    assert_same_bits(dataset.batch([49, 0]), DATA[[49, 0]])


class Raising:
    """Its last reference goes while an exception is on its way: C code lets go of what it iterates."""

    def __init__(self, held):
        self.held = held

    def __iter__(self):
        return self

    def __next__(self):
        raise ZeroDivisionError


EXPORTS = {
    "stream": lambda ds: ds.stream().__arrow_c_stream__(),
    "stream of rows": lambda ds: ds.stream(rows=PICK).__arrow_c_stream__(),
    "schema": lambda ds: ds.__arrow_c_schema__(),
    "array": lambda ds: ds.batch(PICK).__arrow_c_array__(),
    "tensor": lambda ds: ds.__dlpack__(max_version=(1, 0)),
    "reader": lambda ds: pa.RecordBatchReader.from_stream(ds.stream()),
    "reader of rows": lambda ds: pa.RecordBatchReader.from_stream(ds.stream(rows=PICK)),
    "batch": lambda ds: pa.record_batch(ds.batch(PICK)),
    "array of NumPy": np.from_dlpack,
    "iteration": lambda ds: iter(ds.stream(batch_size=1)),
}


@pytest.mark.parametrize("export", EXPORTS.values(), ids=EXPORTS)
def test_what_is_dropped_as_an_exception_is_on_its_way_does_not_lose_it(dataset, export):
    with pytest.raises(ZeroDivisionError):
        list(Raising(export(dataset)))


AT_EXIT = """
import sys
import numpy as np
import pyarrow as pa
import rds
ds = rds.ResultDataset({}, sys.argv[1])
held = [ds.stream().__arrow_c_stream__(), ds.stream(rows=[1, 0]).__arrow_c_stream__(),
        ds.__arrow_c_schema__(), *ds.batch([1]).__arrow_c_array__(), ds.__dlpack__(max_version=(1, 0)),
        ds.batch([2]), iter(ds.stream(batch_size=1)), iter(ds.stream(rows=[1, 0], batch_size=1)),
        pa.RecordBatchReader.from_stream(ds.stream(rows=[1, 0], batch_size=1)),
        pa.record_batch(ds.batch([1, 2])), np.asarray(ds.batch([3])), np.from_dlpack(ds), ds[0]]
next(held[7]), next(held[8]), held[9].read_next_batch()
cycle = [held]
cycle.append(cycle)
sys.held = held
"""


@pytest.mark.parametrize("held_by", ["", "del held, cycle, sys.held", "del sys.held", "del held, cycle"])
def test_what_is_held_at_exit_is_no_crash(location, held_by):
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(rds.__file__).parents[1]),
        "RDS_LIBRARY": os.path.abspath(_library.library()._name),
    }
    code = AT_EXIT + held_by
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code, str(location)],
        env=environment, capture_output=True, text=True, check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
