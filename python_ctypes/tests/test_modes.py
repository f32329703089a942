"""Create, append, overwrite."""

import numpy as np
import pytest

import rds


def write(result_dir, ids, data, **options):
    with rds.ResultDatasetWriter(result_dir, **options) as writer:
        writer.write_batch(ids, data)


def values(result_dir):
    dataset = rds.ResultDataset({}, result_dir)
    return dict(zip(dataset.ids(), dataset.__get_all__().ravel().tolist()))


def test_by_default_the_first_write_replaces_the_table(result_dir):
    write(result_dir, ["a", "b"], np.array([[1.0], [2.0]]))
    writer = rds.ResultDatasetWriter(result_dir)
    assert values(result_dir) == {"a": 1, "b": 2}
    writer.write_batch(["c"], np.array([[3.0]]))
    writer.commit()
    assert values(result_dir) == {"c": 3}
    writer.write_batch(["d"], np.array([[4.0]]))
    writer.commit()
    assert values(result_dir) == {"c": 3, "d": 4}
    writer.close()


def test_overwrite_may_change_dtype_and_shape(result_dir):
    write(result_dir, ["a"], np.ones((1, 2, 3), "f4"))
    write(result_dir, ["b"], np.array([[7]], "i2"), mode="overwrite")
    dataset = rds.ResultDataset({}, result_dir)
    assert dataset.tensor_dtype == np.int16 and dataset.tensor_shape == [1]
    assert dataset[0].tolist() == [7]


def test_readers_of_a_replaced_table_keep_their_snapshot(result_dir):
    write(result_dir, ["a"], np.array([[1.0]]))
    before = rds.ResultDataset({}, result_dir)
    write(result_dir, ["b", "c"], np.array([[2.0], [3.0]]))
    assert len(before) == 1
    assert before.ids() == ["a"]
    assert before[0].tolist() == [1]


def test_readers_do_not_see_rows_appended_later(result_dir):
    write(result_dir, ["a"], np.array([[1.0]]))
    before = rds.ResultDataset({}, result_dir)
    write(result_dir, ["b"], np.array([[2.0]]), mode="append")
    assert before.ids() == ["a"]
    with pytest.raises(IndexError):
        before[1]


def test_append_adds_rows_after_the_last_one(result_dir):
    write(result_dir, ["a", "b"], np.array([[1.0], [2.0]]))
    for number in range(3):
        write(result_dir, [f"c{number}"], np.array([[float(number)]]), mode="append")
    assert values(result_dir) == {"a": 1, "b": 2, "c0": 0, "c1": 1, "c2": 2}


@pytest.mark.parametrize(
    "data",
    [np.ones((1, 3)), np.ones((1, 2), "f4"), np.ones((1, 2, 1))],
    ids=["length", "dtype", "rank"],
)
def test_append_refuses_other_dtypes_and_shapes(result_dir, data):
    write(result_dir, ["a"], np.ones((1, 2)))
    with rds.ResultDatasetWriter(result_dir, mode="append") as writer:
        with pytest.raises(ValueError, match="rds_write_tensors"):
            writer.write_batch(["b"], data)
        writer.write_batch(["c"], np.ones((1, 2)))
    assert rds.ResultDataset({}, result_dir).ids() == ["a", "c"]


def test_append_to_no_table_is_a_file_not_found_error(result_dir):
    with pytest.raises(FileNotFoundError, match="results.lance"):
        rds.ResultDatasetWriter(result_dir, mode="append")
    assert not result_dir.exists()


def test_create_makes_a_table(result_dir):
    write(result_dir, ["a"], np.array([[1.0]]), mode="create")
    assert values(result_dir) == {"a": 1}


def test_create_refuses_an_existing_table(result_dir):
    write(result_dir, ["a"], np.array([[1.0]]))
    with pytest.raises(FileExistsError, match="results.lance"):
        rds.ResultDatasetWriter(result_dir, mode="create")
    assert values(result_dir) == {"a": 1}


def test_two_appending_writers_lose_no_row(result_dir):
    write(result_dir, ["a"], np.array([[1.0]]))
    first = rds.ResultDatasetWriter(result_dir, mode="append")
    second = rds.ResultDatasetWriter(result_dir, mode="append")
    for number in range(3):
        first.write_batch([f"f{number}"], np.array([[1.0]]))
        second.write_batch([f"s{number}"], np.array([[2.0]]))
        first.flush()
        second.flush()
    first.close()
    second.close()
    ids = rds.ResultDataset({}, result_dir).ids()
    assert sorted(ids) == ["a", "f0", "f1", "f2", "s0", "s1", "s2"]


@pytest.mark.parametrize("spelling", ["result directory", "table", "file URI", "file URI of the table"])
def test_a_table_may_be_named_in_every_way(tmp_path, spelling):
    result_dir = tmp_path / "run β %20 1"
    table = result_dir / "lance_db" / "results.lance"
    location = {
        "result directory": result_dir,
        "table": str(table),
        "file URI": result_dir.as_uri(),
        "file URI of the table": table.as_uri(),
    }[spelling]
    write(location, ["a"], np.array([[1.0]]))
    assert values(location) == values(result_dir) == {"a": 1}
    dataset = rds.ResultDataset({}, location)
    assert dataset.data_location == location
    assert dataset.lance_dir == result_dir / "lance_db"
    assert dataset.table.to_arrow()["object_id"].to_pylist() == ["a"]
    assert dataset.lance_dataset.count_rows() == 1


def test_a_table_may_have_another_name(tmp_path):
    write(tmp_path / "other.lance", ["a"], np.array([[1.0]]))
    dataset = rds.ResultDataset({}, tmp_path / "other.lance")
    assert dataset.ids() == ["a"]
    assert dataset.table.name == "other"
    assert dataset.lance_dir == tmp_path
