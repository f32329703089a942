"""Tables as datasets of Ray: rows, dtypes and shapes, projections and ranges, sizes, versions."""

import pickle
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest
import ray
from jobs import dataset
from ray.data import DataContext
from ray.data.expressions import lit

import rds
import rds.ray

ROWS = 120
DTYPES = [np.dtype(kind).name for kind in ["?", *"bBhiqQefd", "M8[s]", "M8[ns]", "m8[ms]"]]
SHAPES = [(), (3,), (4, 2, 3)]


def column_of(dtype, shape):
    numbers = np.arange(ROWS * np.prod(shape, dtype=int)).reshape(ROWS, *shape) % 101
    return numbers % 3 == 0 if dtype == "bool" else numbers.astype(dtype)


@pytest.fixture(scope="module")
def columns():
    return {f"{dtype} {number}": column_of(dtype, shape) for dtype in DTYPES for number, shape in enumerate(SHAPES)}


@pytest.fixture(scope="module")
def table(tmp_path_factory, columns):
    """In three files: rows that a block has may lie in two of them."""
    where = tmp_path_factory.mktemp("table") / "results"
    for first in range(0, ROWS, 40):
        with rds.ResultDatasetWriter(where, mode="append" if first else "create") as writer:
            part = {name: array[first : first + 40] for name, array in columns.items()}
            writer.write_batch([f"object-{row}" for row in range(first, first + 40)], part)
    return where


@pytest.fixture(autouse=True)
def in_order(monkeypatch):
    monkeypatch.setattr(DataContext.get_current().execution_options, "preserve_order", True)


def read(source, **options):
    return ray.data.read_datasource(source, **options)


def rows_of(tasks):
    """What read tasks give, one after the other, without Ray."""
    return pa.concat_tables([block for task in tasks for block in pickle.loads(pickle.dumps(task))()])


@pytest.mark.parametrize("options", [{}, {"override_num_blocks": 7}], ids=str)
def test_a_dataset_has_the_rows_of_the_table(table, columns, options):
    batch = read(rds.ray.Datasource(table), **options).take_batch(ROWS)
    assert list(batch["id"]) == [f"object-{row}" for row in range(ROWS)]
    assert list(batch) == ["id", *columns]
    for name, array in columns.items():
        assert batch[name].dtype == array.dtype and np.array_equal(batch[name], array), name


def test_what_is_written_again_is_the_same_table(table, columns, result_dir):
    read(rds.ray.Datasource(table), override_num_blocks=5).write_datasink(rds.ray.Datasink(result_dir))
    with rds.ResultDataset({}, table) as first, rds.ResultDataset({}, result_dir) as second:
        assert list(first.ids()) == list(second.ids()) and first.columns == second.columns
        for name in columns:
            assert (first[name].dtype, first[name].shape) == (second[name].dtype, second[name].shape)
            assert np.array_equal(np.asarray(first[name]), np.asarray(second[name]))


@pytest.mark.parametrize(("rows_per_block", "parts"), [(50, [50, 50, 20]), (120, [120]), (1000, [120]), (1, [1] * 120)])
def test_tasks_have_as_many_rows_as_was_said(table, columns, rows_per_block, parts):
    source = rds.ray.Datasource(table, rows_per_block=rows_per_block, columns="int64 1")
    tasks = source.get_read_tasks(parallelism=2)
    assert [task.metadata.num_rows for task in tasks] == parts
    assert [sum(map(len, task())) for task in tasks] == parts
    assert np.array_equal(rows_of(tasks)["int64 1"].combine_chunks().to_numpy(), columns["int64 1"])


@pytest.mark.parametrize("parallelism", [1, 7, 119, 120, 500, -1])
def test_tasks_are_as_many_as_were_asked_for_and_of_about_one_size(table, parallelism):
    tasks = rds.ray.Datasource(table).get_read_tasks(parallelism)
    assert len(tasks) == min(max(parallelism, 1), ROWS)
    counts = [task.metadata.num_rows for task in tasks]
    assert sum(counts) == ROWS and max(counts) - min(counts) <= 1
    if parallelism < 120:
        assert rows_of(tasks)["id"].to_pylist() == [f"object-{row}" for row in range(ROWS)]


def test_blocks_are_no_larger_than_ray_wants_them(table, context, monkeypatch):
    monkeypatch.setattr(context, "target_max_block_size", 3_000)
    (task,) = rds.ray.Datasource(table, columns="float64 2").get_read_tasks(1, data_context=context)
    blocks = list(task())
    assert len(blocks) > 3 and max(block.nbytes for block in blocks) <= 3_000
    assert sum(map(len, blocks)) == ROWS


def test_sizes_are_those_of_the_blocks(table):
    source = rds.ray.Datasource(table)
    tasks = source.get_read_tasks(6)
    sizes = [sum(block.nbytes for block in task()) for task in tasks]
    assert np.allclose([task.metadata.size_bytes for task in tasks], sizes, rtol=0.02)
    assert source.estimate_inmemory_data_size() == pytest.approx(sum(sizes), rel=0.02)
    assert read(source).size_bytes() == pytest.approx(sum(sizes), rel=0.02)


def test_schema_and_count_are_known_before_anything_is_read(table, monkeypatch):
    source = rds.ray.Datasource(table, columns=["float16 2", "uint8 0"])
    (task,) = source.get_read_tasks(1)
    assert task.schema == next(iter(task())).schema
    assert task.schema.names == ["id", "float16 2", "uint8 0"]
    assert task.schema.field("float16 2").type.shape == (4, 2, 3)
    assert read(source).count() == ROWS


def test_blocks_are_the_mapped_file(table, columns):
    (task,) = rds.ray.Datasource(table, columns=["float32 2", "int16 0"]).get_read_tasks(1)
    with rds.ResultDataset({}, table) as opened:
        for block, first in zip(task(), (0, 40, 80)):
            for name in ("float32 2", "int16 0"):
                (chunk,) = block[name].chunks
                assert not chunk.to_numpy().flags.writeable
                assert np.array_equal(chunk.to_numpy(), columns[name][first : first + 40])
    blocks = list(task())
    addresses = [block["float32 2"].chunks[0].to_numpy().__array_interface__["data"][0] for block in blocks]
    maps = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines() if ".lance" in line]
    assert all(any(int(begin, 16) <= address < int(end, 16) for begin, end in maps) for address in addresses)


def test_columns_are_chosen_by_the_source_and_by_ray(table, columns):
    source = rds.ray.Datasource(table, columns=["uint8 1", "bool 2", "uint8 1"])
    assert read(source).columns() == ["id", "uint8 1", "bool 2"]
    assert rds.ray.Datasource(table, ids=None).get_read_tasks(1)[0].schema.names == list(columns)
    assert read(rds.ray.Datasource(table, ids="name")).columns()[0] == "name"
    chosen = read(rds.ray.Datasource(table)).select_columns(["bool 2"])
    assert chosen.columns() == ["bool 2"]
    assert np.array_equal(chosen.take_batch(ROWS)["bool 2"], columns["bool 2"])
    ids = read(rds.ray.Datasource(table)).select_columns(["id"]).take_batch(2)
    assert list(ids) == ["id"] and list(ids["id"]) == ["object-0", "object-1"]


def test_rows_of_which_no_column_is_selected_are_still_rows(table):
    assert read(rds.ray.Datasource(table)).select_columns([]).materialize().count() == ROWS
    counted = read(rds.ray.Datasource(table)).with_column("one", lit(1)).select_columns(["one"])
    assert counted.take_batch(ROWS)["one"].tolist() == [1] * ROWS


def test_what_ray_does_not_need_is_not_read(table):
    source = rds.ray.Datasource(table)
    pushed = source.apply_projection({"uint8 1": "uint8 1"})
    assert [task.schema.names for task in pushed.get_read_tasks(1)] == [["uint8 1"]]
    assert pushed.estimate_inmemory_data_size() < source.estimate_inmemory_data_size() / 20
    assert source.get_read_tasks(1)[0].schema.names[0] == "id"
    (task,) = source.get_read_tasks(1, per_task_row_limit=3)
    assert sum(map(len, task())) == 3
    assert read(source).limit(5).count() == 5


def test_a_source_stays_at_its_version(result_dir):
    dataset(rows=20, parts=2).write_datasink(rds.ray.Datasink(result_dir))
    source = rds.ray.Datasource(result_dir)
    dataset(rows=20, parts=2).write_datasink(rds.ray.Datasink(result_dir, mode="append"))
    assert read(source).count() == 20 and len(rows_of(source.get_read_tasks(3))) == 20
    assert read(rds.ray.Datasource(result_dir)).count() == 40
    assert read(rds.ray.Datasource(result_dir, version=1)).count() == 20
    with pytest.raises(FileNotFoundError):
        rds.ray.Datasource(result_dir, version=99)


def test_a_table_without_rows_has_its_columns(result_dir):
    with rds.ResultDatasetWriter(result_dir, columns={"x": ("float16", (2, 3)), "n": ("int8", ())}):
        pass
    source = rds.ray.Datasource(result_dir)
    assert read(source).count() == 0 and read(source).columns() == ["id", "x", "n"]
    assert source.estimate_inmemory_data_size() == 0
    assert [task.metadata.num_rows for task in source.get_read_tasks(4)] == [0]


def test_ids_that_are_integers_are_strings(tmp_path):
    rows = pa.table({"object_id": [7, 8, 9], "data": pa.array([[1, 2]] * 3, pa.list_(pa.float32(), 2))})
    lance.write_dataset(rows, str(tmp_path / "lance_db" / "results.lance"))
    batch = read(rds.ray.Datasource(tmp_path)).take_batch(3)
    assert list(batch["id"]) == ["7", "8", "9"] and batch["data"].shape == (3, 2)


def test_a_table_without_ids_has_none(tmp_path):
    rows = pa.table({"data": pa.array([[1, 2]] * 3, pa.list_(pa.float32(), 2))})
    lance.write_dataset(rows, str(tmp_path / "lance_db" / "results.lance"))
    assert read(rds.ray.Datasource(tmp_path)).columns() == ["data"]


def test_what_cannot_be_read_is_refused_when_the_source_is_made(tmp_path, table):
    with rds.ResultDatasetWriter(tmp_path / "odd") as writer:
        writer.write_batch(["a"], {"id": np.zeros(1), "z": np.zeros((1, 2), np.complex64)})
    for options, kind, said in (
        ({}, TypeError, "column 'z' is complex64.*leave it out by columns="),
        ({"columns": "id"}, ValueError, "the table has tensors 'id'; call the ids otherwise by ids="),
        ({"columns": "q"}, KeyError, "no column 'q'"),
        ({"columns": [], "ids": None}, ValueError, "columns names no column"),
        ({"ids": 7}, TypeError, "ids is 7"),
        ({"rows_per_block": 0}, ValueError, "rows_per_block is 0"),
    ):
        with pytest.raises(kind, match=said) as raised:
            rds.ray.Datasource(tmp_path / "odd", **options)
        assert isinstance(raised.value, rds.RdsError)
    (task,) = rds.ray.Datasource(tmp_path / "odd", columns="id", ids="name").get_read_tasks(1)
    assert task.schema.names == ["name", "id"]
    with pytest.raises(FileNotFoundError):
        rds.ray.Datasource(tmp_path / "nothing")


def test_a_pass_through_a_model_keeps_order_and_shape(table, columns, result_dir):
    made = read(rds.ray.Datasource(table, columns="float32 2"), override_num_blocks=6).map_batches(
        lambda batch: {"id": batch["id"], "sum": batch["float32 2"].sum(axis=(1, 3))}
    )
    made.write_datasink(rds.ray.Datasink(result_dir))
    with rds.ResultDataset({}, result_dir) as results:
        assert list(results.ids()) == [f"object-{row}" for row in range(ROWS)]
        assert np.array_equal(results["sum"].take(range(ROWS)), columns["float32 2"].sum(axis=(1, 3)))
