"""Batches in every memory layout, and batches that do not fit."""

import numpy as np
import pytest
from samples import assert_same_bits, numbered_ids, random_array

import rds


def with_negative_stride(array):
    return np.ascontiguousarray(array[:, ::-1])[:, ::-1]


LAYOUTS = {
    "C order": lambda a: a,
    "Fortran order": np.asfortranarray,
    "transposed": lambda a: np.ascontiguousarray(a.transpose(2, 0, 1)).transpose(1, 2, 0),
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "every second column": lambda a: np.repeat(a, 2, axis=2)[:, :, 1::2],
    "negative stride": with_negative_stride,
    "rows reversed": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    "list of arrays": list,
    "tuple of arrays": tuple,
    "list of nested lists": lambda a: [[list(row) for row in tensor] for tensor in a],
    "list of Fortran arrays": lambda a: [np.asfortranarray(tensor) for tensor in a],
    "strided and byte-swapped": lambda a: np.asfortranarray(a.astype(a.dtype.newbyteorder())),
    "list of byte-swapped": lambda a: list(a.astype(a.dtype.newbyteorder())),
    "generator": iter,
}


@pytest.mark.parametrize("dtype", ["f8", "i2", "c8", "?"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_means_the_same(make_dataset, layout, dtype):
    data = np.arange(6 * 4 * 3).reshape(6, 4, 3).astype(dtype)
    assert_same_bits(make_dataset(numbered_ids(6), layout(data)).__get_all__(), data)


def test_broadcast_tensors_are_stored_in_full(make_dataset):
    data = np.broadcast_to(np.arange(3.0), (5, 2, 3))
    assert_same_bits(make_dataset(numbered_ids(5), data).__get_all__(), data.copy())


@pytest.mark.parametrize("data", [[np.float32(1), np.float32(2)], [np.array(1, "f4"), np.array(2, "f4")]])
def test_scalars_are_tensors_without_dimensions(make_dataset, data):
    dataset = make_dataset(["a", "b"], data)
    assert dataset.tensor_shape == []
    assert_same_bits(dataset.__get_all__(), np.array([1, 2], "f4"))
    assert dataset[1].shape == () and dataset[1] == 2


@pytest.mark.parametrize("access", ["auto", "lance"])
@pytest.mark.parametrize("dtype", ["?", "i8", "f4", "c8", "M8[ns]"])
def test_the_getter_of_hyrax_gives_a_number_for_a_scalar(make_dataset, result_dir, dtype, access):
    data = random_array(dtype, (5,))
    make_dataset(numbered_ids(5), data)
    dataset = rds.ResultDataset({}, result_dir, access=access)
    for row in (1, np.int64(1)):
        value = dataset.get_data(row)
        assert isinstance(value, np.generic)
        assert_same_bits(value, data[1])
    assert_same_bits(dataset.get_data([3, 1]), data[[3, 1]])
    assert isinstance(dataset[1], np.ndarray)


def test_the_getter_of_hyrax_gives_an_array_for_any_other_tensor(make_dataset):
    data = random_array("f4", (5, 1))
    assert isinstance(make_dataset(numbered_ids(5), data).get_data(1), np.ndarray)


def test_an_array_like_is_taken_by_its_array(make_dataset):
    class Tensor:
        def __init__(self, array):
            self.array = array

        def __len__(self):
            return len(self.array)

        def __array__(self, dtype=None, copy=None):
            return self.array

    data = random_array("f4", (3, 2))
    assert_same_bits(make_dataset(numbered_ids(3), Tensor(data)).__get_all__(), data)


def test_the_batch_may_be_changed_once_it_is_written(result_dir):
    data = np.zeros((1000, 64), np.float32)
    with rds.ResultDatasetWriter(result_dir) as writer:
        for value in range(20):
            data[:] = value
            writer.write_batch(numbered_ids(1000), data)
    written = rds.ResultDataset({}, result_dir).__get_all__().reshape(20, 1000, 64)
    assert (written == np.arange(20)[:, None, None]).all()


MISFITS = {
    "other dtype": (np.ones((2, 3), "f8"), "tensor 0 is float64 of shape [3], expected float32 of shape [3]"),
    "other shape": (np.ones((2, 4), "f4"), "tensor 0 is float32 of shape [4], expected float32 of shape [3]"),
    "same size": (np.ones((2, 3, 1), "f4"), "tensor 0 is float32 of shape [3, 1]"),
    "odd one by dtype": ([np.ones(3, "f4"), np.ones(3, "f8")], "tensor 1 is float64 of shape [3]"),
    "odd one by shape": ([np.ones(3, "f4"), np.ones(2, "f4")], "tensor 1 is float32 of shape [2]"),
    "all by shape, listed": ([np.ones(2, "f4"), np.ones(2, "f4")], "tensor 0 is float32 of shape [2]"),
}


@pytest.mark.parametrize(("data", "text"), MISFITS.values(), ids=MISFITS)
def test_a_later_batch_that_differs_names_tensor_and_expectation(result_dir, data, text):
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch(["a"], np.zeros((1, 3), "f4"))
        with pytest.raises(ValueError) as caught:
            writer.write_batch(["b", "c"], data)
        assert text in str(caught.value)
        writer.write_batch(["d"], np.zeros((1, 3), "f4"))
    assert rds.ResultDataset({}, result_dir).ids() == ["a", "d"]


def test_a_first_batch_of_unequal_tensors_names_the_odd_one(result_dir):
    writer = rds.ResultDatasetWriter(result_dir)
    with pytest.raises(ValueError, match=r"tensor 2 is float32 of shape \[4\], expected .* \[3\]"):
        writer.write_batch(["a", "b", "c"], [np.ones(3, "f4"), np.ones(3, "f4"), np.ones(4, "f4")])
    writer.close()


def test_a_later_batch_may_have_the_other_byte_order(result_dir):
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch(["a"], np.array([[1, 2]], "<i4"))
        writer.write_batch(["b"], np.array([[3, 4]], ">i4"))
        writer.write_batch(["c", "d"], [np.array([5, 6], ">i4"), np.array([7, 8], "<i4")])
    assert rds.ResultDataset({}, result_dir).__get_all__().ravel().tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_one_scalar_is_no_batch(result_dir):
    writer = rds.ResultDatasetWriter(result_dir)
    with pytest.raises((TypeError, ValueError)):
        writer.write_batch(["a"], np.array(1.0))
    writer.close()
