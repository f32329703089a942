"""Writing whatever speaks Arrow: tables, batches, streams, of others and of rds itself."""

import gc

import duckdb
import nanoarrow
import numpy as np
import polars
import pyarrow as pa
import pytest
from samples import DTYPES, assert_same_bits, dtype_name, numbered_ids, random_array, to_arrow, write

import rds

IDS = numbered_ids(100)
DATA = random_array("f4", (100, 4))
TABLE = to_arrow(IDS, DATA)


def rows(location):
    return len(rds.ResultDataset({}, location))


class OneBatch:
    """Has `__arrow_c_array__` only."""

    def __init__(self, batch):
        self.batch = batch

    def __arrow_c_array__(self, requested_schema=None):
        return self.batch.__arrow_c_array__(requested_schema)


def in_batches(table, rows):
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=rows))


FORMS = {
    "pyarrow table": lambda: TABLE,
    "pyarrow batch": lambda: TABLE.to_batches()[0],
    "pyarrow reader": lambda: in_batches(TABLE, 7),
    "pyarrow table of slices": lambda: pa.concat_tables([TABLE.slice(0, 33), TABLE.slice(33)]),
    "array only": lambda: OneBatch(TABLE.to_batches()[0]),
    "polars frame": lambda: polars.from_arrow(TABLE),
    "nanoarrow stream": lambda: nanoarrow.ArrayStream(TABLE),
    "duckdb relation": lambda: duckdb.from_arrow(TABLE),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_whatever_speaks_arrow_is_written(result_dir, form):
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch(form())
    dataset = rds.ResultDataset({}, result_dir)
    assert dataset.ids() == IDS
    assert_same_bits(dataset.__get_all__(), DATA)


@pytest.mark.parametrize("part", ["dataset", "stream", "rows", "batch"])
def test_results_of_rds_are_written_to_another_table(tmp_path, part):
    write(tmp_path / "one", IDS, DATA)
    source = rds.ResultDataset({}, tmp_path / "one")
    what, chosen = {
        "dataset": (source, slice(None)),
        "stream": (source.stream(batch_size=9, rows=slice(5, 50)), slice(5, 50)),
        "rows": (source.stream(batch_size=9, rows=list(range(99, 0, -3))), slice(99, 0, -3)),
        "batch": (source.batch([5, 1, 5]), [5, 1, 5]),
    }[part]
    with rds.ResultDatasetWriter(tmp_path / "two") as writer:
        writer.write_batch(what)
    copy = rds.ResultDataset({}, tmp_path / "two")
    assert copy.ids() == np.array(IDS)[chosen].tolist()
    assert_same_bits(copy.__get_all__(), DATA[chosen])


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=dtype_name)
def test_dtype_and_shape_of_the_metadata_are_kept(result_dir, dtype, shape):
    data = random_array(dtype, (9, *shape))
    writer = rds.ResultDatasetWriter(result_dir)
    writer.write_batch(to_arrow(numbered_ids(9), data))
    assert (writer.tensor_dtype, writer.tensor_shape, writer.batch_count) == (dtype, list(shape), 1)
    writer.close()
    dataset = rds.ResultDataset({}, result_dir)
    assert (dataset.tensor_dtype, dataset.tensor_shape) == (dtype, list(shape))
    assert_same_bits(dataset.__get_all__(), data)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.kind != "c"], ids=dtype_name)
def test_without_metadata_a_row_is_a_vector_of_its_arrow_type(result_dir, dtype):
    data = random_array(dtype, (9, 5))
    writer = rds.ResultDatasetWriter(result_dir)
    writer.write_batch(to_arrow(numbered_ids(9), data).replace_schema_metadata(None))
    assert (writer.tensor_dtype, writer.tensor_shape) == (dtype, [5])
    writer.close()
    dataset = rds.ResultDataset({}, result_dir)
    assert (dataset.tensor_dtype, dataset.tensor_shape) == (dtype, [5])
    assert_same_bits(dataset.__get_all__(), data)


def test_a_fixed_shape_tensor_tells_the_shape(result_dir):
    data = random_array("f8", (9, 2, 3))
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(data)
    table = pa.table({"object_id": numbered_ids(9), "data": tensors})
    writer = rds.ResultDatasetWriter(result_dir)
    writer.write_batch(table)
    assert (writer.tensor_dtype, writer.tensor_shape) == (np.float64, [2, 3])
    writer.close()
    assert_same_bits(rds.ResultDataset({}, result_dir).__get_all__(), data)


def test_arrays_and_arrow_may_take_turns(result_dir):
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch(TABLE.slice(0, 40))
        writer.write_batch(IDS[40:70], DATA[40:70])
        writer.write_batch(TABLE.slice(70))
        assert writer.batch_count == 3
        for misfit in (DATA.astype("f8"), DATA[:, :2]):
            with pytest.raises(ValueError, match="tensor 0 is .* expected float32 of shape \\[4\\]"):
                writer.write_batch(IDS, misfit)
            with pytest.raises(ValueError, match="rds_write_batch"):
                writer.write_batch(to_arrow(IDS, misfit))
    assert_same_bits(rds.ResultDataset({}, result_dir).__get_all__(), DATA)


def test_batches_without_rows_do_nothing(result_dir):
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch(TABLE.slice(0, 0))
        writer.write_batch(pa.RecordBatchReader.from_batches(TABLE.schema, []))
        assert (writer.batch_count, writer.tensor_dtype, writer.tensor_shape) == (0, None, None)
    assert not (result_dir / "lance_db").exists()


REFUSED = {
    "no ids": (TABLE.drop(["object_id"]), "object_id"),
    "no tensors": (TABLE.drop(["data"]), "no tensors"),
    "a column of text": (TABLE.append_column("x", pa.array(["a"] * 100)), '"x"'),
    "lists of any length": (pa.table({"object_id": ["a"], "data": [[1.0]]}), "data"),
    "a null id": (pa.table({"object_id": ["a", None], "data": TABLE["data"][:2]}), "null"),
}


@pytest.mark.parametrize(("table", "text"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_and_leaves_the_writer_usable(result_dir, table, text):
    with rds.ResultDatasetWriter(result_dir) as writer:
        with pytest.raises(ValueError) as caught:
            writer.write_batch(table)
        assert isinstance(caught.value, rds.RdsError) and text in str(caught.value)
        assert writer.batch_count == 0
        writer.write_batch(TABLE)
    assert rows(result_dir) == 100


@pytest.mark.parametrize("what", [["a"], np.ones((2, 2)), None, "a"], ids=["list", "array", "None", "text"])
def test_what_does_not_speak_arrow_needs_data(result_dir, what):
    with rds.ResultDatasetWriter(result_dir) as writer:
        with pytest.raises(TypeError, match="without data"):
            writer.write_batch(what)


def failing(count):
    """A stream that ends in an exception after `count` batches."""

    def batches():
        yield from TABLE.to_batches(max_chunksize=10)[:count]
        raise RuntimeError("the model fell over")

    return pa.RecordBatchReader.from_batches(TABLE.schema, batches())


@pytest.mark.parametrize("count", [0, 3])
def test_of_a_stream_that_fails_the_batches_before_stay(result_dir, count):
    with rds.ResultDatasetWriter(result_dir) as writer:
        with pytest.raises(OSError, match="the model fell over") as caught:
            writer.write_batch(failing(count))
        assert isinstance(caught.value, rds.RdsError)
        assert writer.batch_count == count
        writer.write_batch(IDS, DATA)
    assert rows(result_dir) == 10 * count + 100


def test_a_stream_is_drained_batch_by_batch(result_dir):
    """Rows that are far more than the queue holds are never in memory at once."""
    made = []

    def batches():
        for number in range(200):
            made.append(pa.total_allocated_bytes())
            yield to_arrow(numbered_ids(500), np.full((500, 256), number, "f4")).to_batches()[0]

    schema = to_arrow(["a"], np.zeros((1, 256), "f4")).schema
    before = pa.total_allocated_bytes()
    with rds.ResultDatasetWriter(result_dir, max_queued_bytes=1 << 20) as writer:
        writer.write_batch(pa.RecordBatchReader.from_batches(schema, batches()))
    assert rows(result_dir) == 100_000
    assert max(made) - before < 40 << 20


def test_what_was_written_is_released(result_dir):
    gc.collect()
    before = pa.total_allocated_bytes()
    table = to_arrow(numbered_ids(5000), random_array("f4", (5000, 64)))
    writer = rds.ResultDatasetWriter(result_dir)
    writer.write_batch(table)
    writer.write_batch(in_batches(table, 100))
    with pytest.raises(ValueError):
        writer.write_batch(TABLE)
    writer.close()
    del table
    gc.collect()
    assert pa.total_allocated_bytes() <= before
