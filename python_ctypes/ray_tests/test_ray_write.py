"""Datasets of Ray that become tables: kinds of datasets, the order of rows, modes, and what is refused."""

import logging
import time
from types import SimpleNamespace

import jobs
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import ray
from jobs import assert_is_table, dataset
from ray.data.checkpoint import CheckpointConfig
from ray.data.expressions import col

import rds
import rds.parts
import rds.ray

SHAPES = {"float16": (3, 2), "bool": (5,), "uint8": (8, 8, 3), "int64": (), "float64": (1,), "datetime64[ns]": (2,)}


def of_kinds(batch):
    numbers = batch["id"].reshape(-1, 1)
    made = {"id": batch["id"]}
    for name, shape in SHAPES.items():
        flat = numbers * 3 + np.arange(np.prod(shape, dtype=int))
        made[name] = (flat % 3 == 0 if name == "bool" else (flat % 200).astype(name)).reshape(-1, *shape)
    return made


@pytest.mark.parametrize("batch_format", ["numpy", "pandas", "pyarrow"])
def test_a_dataset_is_a_table_of_the_same_rows_and_dtypes(result_dir, batch_format):
    def make(batch):
        made = of_kinds({"id": np.asarray(batch["id"])})
        if batch_format == "numpy":
            return made
        frame = pd.DataFrame({name: list(array) if array.ndim > 1 else array for name, array in made.items()})
        if batch_format == "pandas":
            return frame
        return ray.data.block.BlockAccessor.for_block(frame).to_arrow()

    ray.data.range(40, override_num_blocks=4).map_batches(make, batch_format=batch_format).write_datasink(
        rds.ray.Datasink(result_dir)
    )
    with rds.ResultDataset({}, result_dir) as table:
        assert list(table.ids()) == [str(number) for number in range(40)]
        expected = of_kinds({"id": np.arange(40)})
        assert {name: (table[name].dtype.name, table[name].shape) for name in table.columns} == {
            name: (name, shape) for name, shape in SHAPES.items()
        }
        for name in SHAPES:
            assert np.array_equal(table[name].take(range(40)), expected[name])


def test_frames_and_tables_that_were_not_made_by_ray_are_written(result_dir, tmp_path):
    images = np.arange(4 * 12, dtype=np.uint8).reshape(4, 2, 2, 3)
    frame = pd.DataFrame({"name": list("abcd"), "image": list(images), "x": [1.5, np.nan, 2, 3], "y": [0.5] * 4})
    columns = {"image": "image", "position": ["x", "y"]}
    ray.data.from_pandas(frame).write_datasink(rds.ray.Datasink(result_dir, ids="name", tensors=columns))
    with rds.ResultDataset({}, result_dir) as table:
        assert list(table.ids()) == list("abcd") and table.columns == ("image", "position")
        assert np.array_equal(table["image"].take(range(4)), images)
        assert np.array_equal(table["position"][1], [np.nan, 0.5], equal_nan=True)
    lists = pa.table({"id": ["a", "b"], "v": pa.array([[1, 2], [3, 4]], pa.list_(pa.float32()))})
    ray.data.from_arrow(lists).write_datasink(rds.ray.Datasink(tmp_path / "lists"))
    with rds.ResultDataset({}, tmp_path / "lists") as table:
        assert table["v"].dtype == np.float32 and table["v"].take([1, 0]).tolist() == [[3, 4], [1, 2]]


def slow_first(batch):
    """The first task of all ends last."""
    time.sleep(1 if batch["id"][0] < 100 else 0)
    return jobs.make(batch)


def test_rows_of_one_operator_come_in_order_though_its_tasks_end_out_of_order(result_dir):
    sink = rds.ray.Datasink(result_dir)
    dataset(parts=10, function=slow_first).write_datasink(sink)
    assert_is_table(result_dir)


def test_rows_of_several_operators_come_in_order_where_ray_is_told_to_keep_it(result_dir, context, monkeypatch):
    """Without being told Ray hands on the first rows last."""
    monkeypatch.setattr(context.execution_options, "preserve_order", True)
    made = ray.data.range(jobs.ROWS, override_num_blocks=10).map_batches(slow_first, num_cpus=0.25)
    made.write_datasink(rds.ray.Datasink(result_dir), concurrency=1)
    assert_is_table(result_dir)


def test_what_comes_from_actors_is_in_order_too(result_dir, context, monkeypatch):
    class Model:
        def __call__(self, batch):
            return slow_first(batch)

    monkeypatch.setattr(context.execution_options, "preserve_order", True)
    actors = ray.data.ActorPoolStrategy(size=3)
    made = ray.data.range(jobs.ROWS, override_num_blocks=10).map_batches(Model, compute=actors, num_cpus=0.25)
    made.write_datasink(rds.ray.Datasink(result_dir))
    assert_is_table(result_dir)


def test_modes_are_those_of_a_writer(result_dir):
    dataset(rows=30, parts=3).write_datasink(rds.ray.Datasink(result_dir))
    appended = ray.data.range(50, override_num_blocks=5).map_batches(lambda batch: jobs.make({"id": batch["id"] + 30}))
    appended.write_datasink(rds.ray.Datasink(result_dir, mode="append"))
    assert_is_table(result_dir, rows=80, versions=2)
    sink = rds.ray.Datasink(result_dir, mode="overwrite")
    dataset(rows=20, parts=2).write_datasink(sink)
    assert sink.commit.rows == 20
    with rds.ResultDataset({}, result_dir) as table:
        assert len(table) == 20


def test_one_sink_writes_as_often_as_it_is_told(result_dir):
    sink = rds.ray.Datasink(result_dir, mode="overwrite")
    names = set()
    for rows in (20, 30):
        dataset(rows=rows, parts=2).write_datasink(sink)
        assert sink.commit.rows == rows
        names.add(sink.job)
    assert len(names) == 2


def test_parts_are_made_durable_where_that_is_asked_for(result_dir, monkeypatch):
    seen = {}
    monkeypatch.setattr(rds.parts, "write_part", lambda *_, **options: seen.update(options) or b"token")
    for durable in (False, True):
        sink = rds.ray.Datasink(result_dir, durable=durable)
        assert sink.write([], SimpleNamespace(task_idx=0)) == b"token"
        assert seen["durable"] is durable


def computed(batch, notes):
    (notes / "computed").touch()
    return jobs.make(batch)


def test_a_table_that_is_there_is_refused_before_a_row_is_computed(result_dir, tmp_path):
    dataset(rows=20, parts=2).write_datasink(rds.ray.Datasink(result_dir))
    with pytest.raises(FileExistsError, match="there is a table at .*append to it, overwrite it"):
        dataset(function=lambda batch: computed(batch, tmp_path)).write_datasink(rds.ray.Datasink(result_dir))
    with pytest.raises(FileNotFoundError, match="mode is 'append', and there is no table"):
        made = dataset(function=lambda batch: computed(batch, tmp_path))
        made.write_datasink(rds.ray.Datasink(tmp_path / "other", mode="append"))
    assert not (tmp_path / "computed").exists()
    assert rds.parts.unfinished(result_dir) == rds.parts.unfinished(tmp_path / "other") == {}


def test_what_cannot_be_appended_is_refused_by_the_first_task(result_dir):
    dataset(rows=20, parts=2).write_datasink(rds.ray.Datasink(result_dir))
    wrong = dataset(rows=20, parts=2).map_batches(lambda batch: {**batch, "score": batch["score"].astype(np.float32)})
    with pytest.raises(ValueError, match="score"):
        wrong.write_datasink(rds.ray.Datasink(result_dir, mode="append"))
    assert rds.parts.unfinished(result_dir) == {}
    assert_is_table(result_dir, rows=20)


def test_an_error_of_a_row_says_the_task_and_is_of_its_class(result_dir):
    def ragged(batch):
        made = jobs.make(batch)
        lists = [list(range(3 if number == 17 else 2)) for number in batch["id"]]
        return pa.table({"id": made["id"], "x": lists})

    with pytest.raises(ValueError, match=r"Datasink: task 1: column 'x', row 7 \(id 'object-17'\) is of shape \(3,\)"):
        dataset(rows=40, parts=4, function=ragged).write_datasink(rds.ray.Datasink(result_dir))
    with pytest.raises(TypeError, match="column 'x', row 0 .id 'object-.'. is of type string, which is no tensor"):
        strings = lambda batch: {"id": jobs.make(batch)["id"], "x": np.array(["a", "b"])}  # noqa: E731
        dataset(rows=2, parts=1, function=strings).write_datasink(rds.ray.Datasink(result_dir))


def test_parts_of_different_shapes_are_refused_and_nothing_is_published(result_dir):
    grows = dataset(rows=2, parts=2, function=lambda batch: {"id": batch["id"], "x": np.ones((1, 2 + batch["id"][0]))})
    with pytest.raises(ValueError, match="x"):
        grows.write_datasink(rds.ray.Datasink(result_dir))
    with pytest.raises(FileNotFoundError):
        rds.ResultDataset({}, result_dir)


def test_tasks_without_rows_add_none(result_dir):
    kept = ray.data.range(100, override_num_blocks=10).filter(expr=(col("id") >= 35) & (col("id") < 65))
    kept.map_batches(lambda batch: jobs.make({"id": batch["id"] - 35})).write_datasink(rds.ray.Datasink(result_dir))
    assert_is_table(result_dir, rows=30)


@pytest.mark.parametrize("blocks", ["none", "without rows"])
def test_a_dataset_without_rows_and_columns_makes_no_table_and_says_so(result_dir, blocks, caplog):
    sink = rds.ray.Datasink(result_dir)
    made = ray.data.from_items([]) if blocks == "none" else ray.data.range(10).filter(expr=col("id") < 0)
    with caplog.at_level(logging.WARNING, "rds.ray"):
        made.write_datasink(sink)
    assert sink.commit.rows == 0
    (said,) = [record.getMessage() for record in caplog.records if record.name == "rds.ray"]
    assert "nothing is published" in said
    with pytest.raises(FileNotFoundError):
        rds.ResultDataset({}, result_dir)
    assert rds.parts.unfinished(result_dir) == {}


def test_a_dataset_without_rows_whose_columns_are_known_makes_a_table(result_dir):
    schema = pa.schema({"id": pa.string(), "x": pa.list_(pa.float32(), 3)})
    ray.data.from_arrow(schema.empty_table()).write_datasink(rds.ray.Datasink(result_dir))
    with rds.ResultDataset({}, result_dir) as table:
        assert (len(table), table["x"].dtype, table["x"].shape) == (0, np.float32, (3,))


def test_a_dataset_of_no_blocks_is_no_reason_to_overlook_a_table(result_dir):
    dataset(rows=20, parts=2).write_datasink(rds.ray.Datasink(result_dir))
    with pytest.raises(FileExistsError, match="there is a table"):
        ray.data.from_items([]).write_datasink(rds.ray.Datasink(result_dir))
    sink = rds.ray.Datasink(result_dir, mode="append")
    ray.data.from_items([]).write_datasink(sink)
    assert sink.commit.rows == 0
    assert_is_table(result_dir, rows=20)


def test_checkpoints_of_ray_are_refused(result_dir, tmp_path, context, monkeypatch):
    kept = CheckpointConfig(id_column="id", checkpoint_path=str(tmp_path / "kept"))
    monkeypatch.setattr(context, "checkpoint_config", kept)
    with pytest.raises(NotImplementedError, match="checkpoint_config is set"):
        dataset(rows=20, parts=2).write_datasink(rds.ray.Datasink(result_dir))
    assert rds.parts.unfinished(result_dir) == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "staged"}, "mode is 'staged'"),
        ({"resume": True}, "resume is True and job is None"),
        ({"ids": None}, "ids is None"),
        ({"job": 7}, "job is 7"),
        ({"tensors": ["x"]}, "tensors is"),
    ],
    ids=str,
)
def test_options_that_are_none_are_refused_when_the_sink_is_made(result_dir, options, said):
    with pytest.raises((ValueError, TypeError), match=said) as raised:
        rds.ray.Datasink(result_dir, **options)
    assert isinstance(raised.value, rds.RdsError)


def test_a_relative_path_is_that_of_the_driver(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset(rows=20, parts=2).write_datasink(rds.ray.Datasink("results"))
    assert_is_table(tmp_path / "results", rows=20)
    assert ray.data.read_datasource(rds.ray.Datasource("results")).count() == 20
