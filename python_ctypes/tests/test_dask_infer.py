"""What models make of collections of Dask."""

import dask
import dask.array as da
import dask.bag as db
import numpy as np
import pandas as pd
import pytest
from collections_of_dask import ROWS, frame, numbers, of_parts, opened
from samples import assert_same_bits

import rds
import rds.dask

SYNCHRONOUS = {"scheduler": "synchronous"}


def doubled(rows):
    return rows * 2


def test_a_model_is_given_the_frame_of_a_partition(result_dir):
    seen = []

    def model(part):
        seen.append((type(part), len(part)))
        return {"sum": part["x"].to_numpy() + part["y"].to_numpy(), "both": part[["x", "x"]].to_numpy()}

    done = rds.dask.infer(of_parts(frame, [50, 40]), model, result_dir, compute_kwargs=SYNCHRONOUS)
    assert sorted(seen, key=str) == [(pd.DataFrame, 40), (pd.DataFrame, 50)]
    assert (done.rows, done.version, done.data_files) == (ROWS, 1, 2)
    dataset = opened(result_dir)
    assert_same_bits(dataset["sum"], numbers() * 3.0)
    assert_same_bits(dataset["both"], np.repeat(numbers()[:, None], 2, 1).astype("f4"))
    assert dataset.ids()[-1] == f"object-{ROWS - 1:04d}"


@pytest.mark.parametrize("size", [1, 7, 50, 1000])
def test_it_is_given_as_many_rows_as_are_asked_for(result_dir, size):
    seen = []

    def model(rows):
        seen.append(len(rows))
        return rows

    rds.dask.infer(
        of_parts(frame, [50, 0, 40]), model, result_dir, inputs="embedding", batch_size=size, compute_kwargs=SYNCHRONOUS
    )
    assert sorted(seen) == sorted(min(size, rows - first) for rows in (50, 40) for first in range(0, rows, size))
    assert_same_bits(opened(result_dir), np.repeat(numbers()[:, None], 3, 1).astype("f4"))


@pytest.mark.parametrize(
    ("inputs", "shape"),
    [("x", (ROWS,)), (["x"], (ROWS, 1)), (["y", "y"], (ROWS, 2)), ("embedding", (ROWS, 3))],
    ids=str,
)
def test_inputs_are_one_array(result_dir, inputs, shape):
    def model(rows):
        assert rows.shape == shape
        return doubled(rows)

    rds.dask.infer(of_parts(frame, [ROWS]), model, result_dir, inputs=inputs)
    assert np.asarray(opened(result_dir)).shape == shape


def test_inputs_are_a_dict_of_arrays(result_dir):
    def model(rows):
        return rows["a"] + rows["b"].sum(axis=1)

    rds.dask.infer(of_parts(frame, [45, 45]), model, result_dir, inputs={"a": "y", "b": ["x", "x"]})
    assert_same_bits(opened(result_dir), numbers() * 4.0)


def test_a_model_is_given_blocks_of_an_array(result_dir):
    values = da.from_array(np.arange(40.0).reshape(10, 4), chunks=(4, 2))
    rds.dask.infer(values, doubled, result_dir, batch_size=3)
    assert_same_bits(opened(result_dir), np.arange(40.0).reshape(10, 4) * 2)
    assert opened(result_dir).ids() == [str(row) for row in range(10)]


def test_a_model_is_given_what_the_elements_of_a_bag_have(result_dir):
    bag = db.from_sequence([(number, {"a": number, "b": 1.0}) for number in range(10)], npartitions=3)
    rds.dask.infer(bag, lambda rows: rows["a"] + rows["b"], result_dir)
    assert_same_bits(opened(result_dir), np.arange(1.0, 11))


def test_a_model_may_be_made_by_a_task(result_dir):
    made = []

    @dask.delayed
    def model():
        made.append(1)
        return doubled

    rds.dask.infer(of_parts(frame, [30] * 3), model(), result_dir, inputs="y", compute_kwargs=SYNCHRONOUS)
    assert made == [1]
    assert_same_bits(opened(result_dir), numbers() * 4.0)


def test_lists_that_a_model_gives_are_stacked(result_dir):
    rds.dask.infer(of_parts(frame, [4]), lambda part: [[x, x] for x in part["y"]], result_dir)
    assert_same_bits(opened(result_dir), np.repeat(numbers(4)[:, None] * 2.0, 2, 1))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda rows: rows[:-1], "partition .: the model was given 5 rows, and of 'data' it gave 4"),
        (lambda rows: {}, "partition .: the model gave no columns"),
        (lambda rows: 5.0, "partition .: data is one scalar"),
        (lambda rows: rows.astype(f"f{4 + 4 * int(rows[0] > 0)}"), "float"),
    ],
    ids=["rows", "columns", "scalar", "dtype"],
)
def test_what_a_model_gives_is_as_many_rows_of_one_kind(result_dir, model, said):
    with pytest.raises(ValueError, match=said):
        rds.dask.infer(of_parts(frame, [5, 5]), model, result_dir, inputs="x", compute_kwargs=SYNCHRONOUS)
    with pytest.raises(FileNotFoundError):
        opened(result_dir)


def test_what_a_model_raises_comes_as_it_is(result_dir):
    with pytest.raises(ZeroDivisionError):
        rds.dask.infer(of_parts(frame, [5, 5]), lambda rows: 1 / 0, result_dir)


def test_a_collection_without_rows_needs_columns(result_dir):
    with pytest.raises(ValueError, match="name them by columns="):
        rds.dask.infer(of_parts(frame, [0]), doubled, result_dir, inputs="x")
    rds.dask.infer(of_parts(frame, [0]), doubled, result_dir, inputs="x", columns={"data": ("f4", ())})
    assert opened(result_dir).tensor_dtype == np.float32


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_has_a_row_at_least(result_dir, size):
    with pytest.raises(ValueError, match=f"batch_size is {size}"):
        rds.dask.infer(of_parts(frame, [5]), doubled, result_dir, batch_size=size)


def test_inputs_are_of_frames_only(result_dir):
    with pytest.raises(ValueError, match="inputs is 'x', and the collection is no DataFrame"):
        rds.dask.infer(da.ones(3), doubled, result_dir, inputs="x")
