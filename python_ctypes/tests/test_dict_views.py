"""Keys and values of a dict are sequences, in its order."""

import numpy as np
import pytest
from samples import assert_same_bits

import rds

TENSORS = np.arange(6, dtype=np.float32).reshape(3, 2)
NAMES = ["a", "b", "c"]
RESULTS = dict(zip(NAMES, TENSORS))
NUMBERED = dict(enumerate(NAMES))

BATCHES = {
    "keys and values": (RESULTS.keys(), RESULTS.values()),
    "keys": (RESULTS.keys(), TENSORS),
    "values as tensors": (NAMES, RESULTS.values()),
    "values as ids": (NUMBERED.values(), TENSORS),
}


@pytest.mark.parametrize(("ids", "tensors"), BATCHES.values(), ids=BATCHES)
def test_views_of_a_dict_are_written_in_order(make_dataset, ids, tensors):
    dataset = make_dataset(ids, tensors)
    assert dataset.ids() == NAMES
    assert_same_bits(dataset[:], TENSORS)


def test_views_of_a_dict_are_searched_for(make_dataset):
    dataset = make_dataset(NAMES, TENSORS)
    assert dataset.find({"c": 0, "x": 1}.keys()).tolist() == [2, -1]
    assert dataset.index_of({0: "b", 1: "a"}.values()).tolist() == [1, 0]
    with pytest.raises(KeyError, match="'x'"):
        dataset.index_of({"c": 0, "x": 1}.keys())


def test_an_empty_dict_writes_nothing(result_dir):
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch({}.keys(), {}.values())
        assert writer.batch_count == 0


@pytest.mark.parametrize("ids", [RESULTS, RESULTS.items(), set(NAMES)], ids=["dict", "items", "set"])
def test_what_is_no_sequence_of_ids_is_refused(result_dir, ids):
    with rds.ResultDatasetWriter(result_dir) as writer, pytest.raises(TypeError):
        writer.write_batch(ids, TENSORS)
