"""What a mask says is missing is refused, not stored as if it were there."""

import numpy as np
import pytest

import rds

HOLE = np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0], dtype=np.float32)
WHOLE = np.ma.array([1.0, 2.0, 3.0], mask=[0, 0, 0], dtype=np.float32)
PLAIN = np.zeros(3, np.float32)

TENSORS = {
    "a stack": np.ma.stack([HOLE, HOLE]),
    "a list": [HOLE, HOLE],
    "a tuple": (HOLE, HOLE),
    "a plain and a masked one": [PLAIN, HOLE],
    "numbers": [np.ma.masked_array(1.0, mask=True), np.ma.masked_array(2.0, mask=False)],
    "lists with a masked one": [[1.0, 2.0], [np.ma.masked, 2.0]],
    "lists of lists": [[[1.0], [2.0]], [[3.0], (np.ma.masked,)]],
    "views of a dict": {"a": PLAIN, "b": HOLE}.values(),
    "none is masked": [PLAIN, WHOLE],
}


class WithMask(np.ndarray):
    """As astropy has them: a class of its own."""

    mask = True


@pytest.mark.parametrize("tensors", [*TENSORS.values(), np.zeros((2, 3)).view(WithMask)], ids=[*TENSORS, "astropy"])
def test_masked_tensors_are_refused_and_the_writer_goes_on(result_dir, tensors):
    with rds.ResultDatasetWriter(result_dir) as writer:
        with pytest.raises(TypeError, match="masked"):
            writer.write_batch(["a", "b"], tensors)
        writer.write_batch(["c"], [PLAIN])
    assert rds.ResultDataset({}, result_dir).ids() == ["c"]


def test_the_message_names_the_masked_tensor(result_dir):
    with rds.ResultDatasetWriter(result_dir) as writer, pytest.raises(TypeError, match="item 1"):
        writer.write_batch(["a", "b"], [PLAIN, HOLE])


IDS = {
    "strings": np.ma.array(["a", "b", "c"], mask=[0, 1, 0]),
    "bytes": np.ma.array([b"a", b"b", b"c"], mask=[0, 1, 0]),
    "integers": np.ma.array([7, 8, 9], mask=[0, 1, 1]),
    "objects": np.ma.array(np.array(["a", "b", "c"], object), mask=[0, 1, 0]),
    "a list": ["a", np.ma.masked, "c"],
    "a list of numbers": [7, np.ma.masked, 9],
    "a list of arrays": [np.ma.array(7), np.ma.array(8, mask=True), np.ma.array(9)],
    "values of a dict": dict(enumerate(["a", np.ma.masked, "c"])).values(),
}


@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
def test_masked_ids_are_refused_by_writer_and_reader(make_dataset, result_dir, ids):
    dataset = make_dataset(["a", "7"], np.zeros((2, 2)))
    with rds.ResultDatasetWriter(result_dir / "new") as writer, pytest.raises(TypeError, match="index 1 is masked"):
        writer.write_batch(ids, np.zeros((3, 2)))
    for search in (dataset.find, dataset.index_of):
        with pytest.raises(TypeError, match="index 1 is masked"):
            search(ids)


@pytest.mark.parametrize(
    "ids", [np.ma.array([5, 6]), np.ma.array(["5", "6"], mask=[0, 0]), [np.ma.array(5), 6]], ids=repr
)
def test_ids_without_a_masked_one_are_as_good_as_any(make_dataset, ids):
    dataset = make_dataset(ids, np.zeros((2, 2)))
    assert dataset.ids() == ["5", "6"]
    assert dataset.find(ids).tolist() == [0, 1]
