"""The Arrow PyCapsules: real consumers, and who releases what."""

import ctypes
import gc
import os
import signal
import weakref

import duckdb
import nanoarrow
import numpy as np
import polars
import pyarrow as pa
import pytest
from samples import DTYPES, column_bytes, dtype_name, list_type, numbered_ids, random_array, to_arrow

import rds
from rds import _arrow, _capsules, _strings
from rds import _structs as c

IDS = numbered_ids(3000)
DATA = random_array("f4", (3000, 6))


@pytest.fixture
def dataset(make_dataset):
    return make_dataset(IDS, DATA)


@pytest.mark.parametrize("dtype", DTYPES, ids=dtype_name)
def test_pyarrow_reads_every_dtype(make_dataset, dtype):
    data = random_array(dtype, (40, 2, 3))
    table = pa.table(make_dataset(numbered_ids(40), data))
    expected = to_arrow(numbered_ids(40), data)
    assert table["object_id"].to_pylist() == numbered_ids(40)
    assert list_type(table.schema) == list_type(expected.schema)
    assert column_bytes(table["data"]) == column_bytes(expected["data"])
    table.validate(full=True)


def test_pyarrow_reads_batch_by_batch(dataset):
    reader = pa.RecordBatchReader.from_stream(dataset)
    assert sum(batch.num_rows for batch in reader) == 3000


def test_pyarrow_reads_the_schema(dataset):
    schema = pa.schema(dataset)
    assert schema.names == ["object_id", "data"]
    assert schema.field("data").type == pa.list_(pa.field("item", pa.float32()), 6)
    assert schema.metadata[b"tensor_shape"] == b"[6]"
    assert schema.metadata[b"tensor_dtype"] == b"float32"


def test_nanoarrow_reads_it(dataset):
    array = nanoarrow.Array(dataset)
    assert len(array) == 3000
    assert array.child(0).to_pylist() == IDS


def test_polars_reads_it(dataset):
    frame = polars.DataFrame(dataset)
    assert frame["object_id"].to_list() == IDS
    assert frame["data"].to_numpy().tobytes() == DATA.tobytes()


def test_duckdb_reads_it(dataset):
    results = pa.table(dataset)
    counted = duckdb.sql("select count(*), min(object_id) from results").fetchall()
    assert counted == [(results.num_rows, IDS[0])]


def test_duckdb_reads_the_stream_itself(dataset):
    results = pa.RecordBatchReader.from_stream(dataset)
    assert duckdb.sql("select sum(length(object_id)) from results").fetchall() == [(sum(map(len, IDS)),)]


def test_a_stream_may_be_taken_again(dataset):
    for _ in range(2):
        assert column_bytes(pa.table(dataset)["data"]) == DATA.tobytes()


def test_what_was_exported_outlives_the_dataset(dataset):
    table = pa.table(dataset)
    reader = pa.RecordBatchReader.from_stream(dataset)
    dataset.close()
    del dataset
    gc.collect()
    assert column_bytes(table["data"]) == DATA.tobytes()
    assert column_bytes(reader.read_all()["data"]) == DATA.tobytes()


def test_a_requested_schema_is_no_obstacle(dataset):
    capsule = dataset.__arrow_c_stream__(pa.schema([("x", pa.int8())]).__arrow_c_schema__())
    assert "arrow_array_stream" in repr(capsule)


def counting(kind):
    """A struct whose release is counted, as the specification has it."""
    released = []

    @c.Release
    def release(address):
        released.append(address)
        kind.from_address(address).release = c.Release()

    struct = kind(release=release)
    struct.callback = release
    return struct, released


@pytest.mark.parametrize("kind", [c.ArrowSchema, c.ArrowArray, c.ArrowArrayStream])
def test_a_capsule_that_nobody_consumes_is_released_once(kind):
    struct, released = counting(kind)
    capsule = _arrow.capsule(struct)
    gc.collect()
    assert not released
    del capsule
    gc.collect()
    gc.collect()
    assert len(released) == 1


def test_the_next_capsule_releases_one_that_nobody_has():
    gc.disable()
    try:
        struct, released = counting(c.ArrowSchema)
        capsule = _arrow.capsule(struct)
        kept = _arrow.capsule(c.ArrowSchema())
        assert not released
        del capsule
        _arrow.capsule(c.ArrowSchema())
        assert len(released) == 1
        del kept
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", [c.ArrowSchema, c.ArrowArray, c.ArrowArrayStream])
def test_a_capsule_that_was_consumed_is_released_by_its_consumer_alone(kind):
    struct, released = counting(kind)
    capsule = _arrow.capsule(struct)
    taken = kind()
    _arrow.take_over(capsule, taken)
    del capsule
    gc.collect()
    assert not released
    _arrow.release(taken)
    assert len(released) == 1


def test_a_capsule_of_another_kind_is_refused():
    capsule = _arrow.capsule(c.ArrowSchema())
    with pytest.raises(TypeError, match="arrow_array_stream"):
        _arrow.take_over(capsule, c.ArrowArrayStream())


def test_a_capsule_cannot_be_consumed_twice(dataset):
    capsule = dataset.__arrow_c_stream__()
    pa.RecordBatchReader._import_from_c_capsule(capsule)
    with pytest.raises(pa.ArrowInvalid, match="released"):
        pa.RecordBatchReader._import_from_c_capsule(capsule)
    with pytest.raises(TypeError, match="taken by somebody else"):
        _arrow.take_over(capsule, c.ArrowArrayStream())


def test_many_capsules_leak_nothing(dataset):
    gc.collect()
    before = len(_capsules._made)
    for _ in range(2000):
        dataset.__arrow_c_stream__()
        dataset.__arrow_c_schema__()
    assert len(_capsules._made) <= before + 1


def test_ids_come_in_order_over_many_batches(make_dataset):
    ids = [f"β{number}" if number % 7 else "" for number in range(20_000)]
    assert make_dataset(ids, np.zeros(20_000, "i1")).ids() == ids


def test_a_stream_read_partly_is_released(dataset):
    reader = pa.RecordBatchReader.from_stream(dataset)
    reader.read_next_batch()
    reader.close()
    assert len(dataset.ids()) == 3000


def strings_of(column):
    """The strings of an array of pyarrow's, which librds would have given."""
    array = _arrow.OwnedArray()
    column._export_to_c(ctypes.addressof(array))
    return _strings.Strings(array)


@pytest.mark.parametrize("texts", [["a", "", "bcd"], ["β", "", "星x"], ["a\0b", "c\0"], ["", ""], []], ids=str)
def test_strings_of_any_array_are_read(texts):
    strings = strings_of(pa.array(texts, pa.large_utf8()))
    assert strings.tolist() == texts
    assert [strings[row] for row in range(len(texts))] == texts


@pytest.mark.parametrize("start", range(8))
def test_strings_of_a_part_of_an_array_are_read(start):
    texts = ["aa", "β", "", "cc", "星", "dd", ""]
    strings = strings_of(pa.array(texts, pa.large_utf8()).slice(start, 4))
    expected = texts[start : start + 4]
    assert strings.tolist() == expected
    assert [strings[row] for row in range(len(expected))] == expected


@pytest.mark.parametrize("start", [0, 1, 9])
def test_a_null_among_strings_is_refused_by_row_and_the_rest_is_read(start):
    texts = [None if row in (3, 12) else f"id-{row}" for row in range(20)]
    strings = strings_of(pa.array(texts, pa.large_utf8()).slice(start))
    null = 12 - start
    assert strings[null - 1] == "id-11" and strings[null + 1] == "id-13"
    with pytest.raises(NotImplementedError, match=f"row {null} is null"):
        strings[null]
    with pytest.raises(NotImplementedError, match="is null"):
        strings.tolist()


def test_strings_are_released_with_their_last_reference():
    memory = np.frombuffer(b"onetwo", np.uint8).copy()
    alive = weakref.ref(memory)
    buffers = [None, pa.py_buffer(np.array([0, 3, 6])), pa.py_buffer(memory)]
    strings = strings_of(pa.Array.from_buffers(pa.large_utf8(), 2, buffers))
    del memory, buffers
    gc.collect()
    assert alive() is not None
    assert strings.tolist() == ["one", "two"]
    del strings
    gc.collect()
    assert alive() is None


def test_a_stream_goes_on_in_a_forked_child_where_the_parent_stopped(make_dataset):
    for _ in range(5):
        reader = pa.RecordBatchReader.from_stream(make_dataset(IDS * 10, np.tile(DATA, (10, 1))))
        first = reader.read_next_batch()
        child = os.fork()
        if child == 0:
            # A hang ends by the alarm.
            signal.alarm(20)
            try:
                rest = reader.read_all()["object_id"].to_pylist()
                os._exit(0 if rest == (IDS * 10)[first.num_rows :] else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert sum(batch.num_rows for batch in reader) == 30_000 - first.num_rows
