"""Results in Hyrax's earlier format, written as Hyrax wrote them."""

import numpy as np


def write_batches(directory, ids, tensors, rows=4, width=None):
    """Batches of `rows` rows and the two indexes; `width` of the id field as it is, or given."""
    directory.mkdir(parents=True, exist_ok=True)
    ids, tensors = np.asarray(ids, width), np.asarray(tensors)
    numbers = np.arange(len(ids)) // rows
    for number in np.unique(numbers):
        write_batch(directory, number, ids[numbers == number], tensors[numbers == number])
    write_index(directory, ids, numbers)
    return directory


def write_batch(directory, number, ids, tensors):
    batch = np.zeros(len(ids), [("id", ids.dtype), ("tensor", tensors.dtype, tensors.shape[1:])])
    batch["id"], batch["tensor"] = ids, tensors
    np.save(directory / f"batch_{number}.npy", batch, allow_pickle=False)


def write_index(directory, ids, numbers):
    index = np.zeros(len(ids), [("id", ids.dtype), ("batch_num", np.int64)])
    index["id"], index["batch_num"] = ids, numbers
    np.save(directory / "batch_index_insertion_order.npy", index)
    np.save(directory / "batch_index.npy", np.sort(index, order="id"))


def contents(directory):
    """The bytes of every file below a directory."""
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
