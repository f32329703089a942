"""With a real torch: the loader under every start method, tensors without a copy, and memory of torch.

Run by `make test-torch`, where torch is installed: it is large, and no other test needs it.
"""

import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import rds

ROWS = 256
DATA = np.random.default_rng(0).normal(size=(ROWS, 2, 3)).astype(np.float32)
IDS = [f"object-{row}" for row in range(ROWS)]


@pytest.fixture
def dataset(tmp_path):
    with rds.ResultDatasetWriter(tmp_path) as writer:
        for start in range(0, ROWS, 64):
            part = slice(start, start + 64)
            writer.write_batch(IDS[part], torch.from_numpy(DATA[part]))
    return rds.ResultDataset({}, tmp_path)


class WithIds(torch.utils.data.Dataset):
    """A dataset that holds one of rds, as users write them."""

    def __init__(self, results):
        self.results = results

    def __len__(self):
        return len(self.results)

    def __getitem__(self, row):
        return self.results[row].copy(), self.results.get_object_id(row)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("used", [False, True], ids=["never read", "read before"])
def test_a_loader_gives_every_row_in_order(dataset, method, workers, used):
    if used:
        dataset[0], dataset.ids()
    options = {"num_workers": workers, "multiprocessing_context": method, "timeout": 60} if workers else {}
    loader = DataLoader(dataset, batch_size=50, **options)
    for _ in range(2):
        batches = list(loader)
        assert [len(batch) for batch in batches] == [50] * 5 + [6]
        assert torch.equal(torch.cat(batches), torch.from_numpy(DATA))


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_read_tensors_and_ids(dataset, method):
    options = {"num_workers": 2, "multiprocessing_context": method, "timeout": 60}
    loader = DataLoader(WithIds(dataset), batch_size=32, shuffle=True, **options)
    seen = []
    for tensors, ids in loader:
        rows = dataset.find(list(ids))
        assert np.array_equal(tensors.numpy(), DATA[rows])
        seen.extend(ids)
    assert sorted(seen) == sorted(IDS)


def test_persistent_workers_read_several_epochs(dataset):
    options = {"num_workers": 2, "persistent_workers": True, "timeout": 60}
    loader = DataLoader(dataset, batch_size=32, shuffle=True, **options)
    for _ in range(3):
        rows = torch.cat(list(loader)).numpy().reshape(ROWS, 6)
        assert np.array_equal(np.sort(rows, axis=0), np.sort(DATA.reshape(ROWS, 6), axis=0))


def test_what_a_loader_collates_is_collated_without_a_warning(dataset):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        items = dataset.__getitems__([1, 2, 3])
        batch = torch.utils.data.default_collate(items)
    assert torch.equal(batch, torch.from_numpy(DATA[1:4]))


def test_a_tensor_of_all_rows(dataset):
    tensor = torch.from_dlpack(dataset)
    assert tensor.dtype == torch.float32 and tuple(tensor.shape) == (ROWS, 2, 3)
    assert torch.equal(tensor, torch.from_numpy(DATA))


def test_rows_are_put_into_memory_of_torch(dataset):
    out = torch.zeros(4, 2, 3)
    assert dataset.take([5, 1, 5, 255], out=out) is out
    assert np.array_equal(out.numpy(), DATA[[5, 1, 5, 255]])


@pytest.mark.parametrize(
    "data",
    [torch.from_numpy(DATA), list(torch.from_numpy(DATA)), torch.from_numpy(DATA).transpose(1, 2)],
    ids=["stacked", "listed", "transposed"],
)
def test_tensors_are_written(tmp_path, data):
    with rds.ResultDatasetWriter(tmp_path) as writer:
        writer.write_batch(IDS, data)
    expected = torch.stack(data).numpy() if isinstance(data, list) else data.numpy()
    assert np.array_equal(np.asarray(rds.ResultDataset({}, tmp_path)), expected)


@pytest.fixture
def columns(tmp_path):
    with rds.ResultDatasetWriter(tmp_path) as writer:
        writer.write_batch(IDS, {"embedding": torch.from_numpy(DATA), "score": torch.arange(ROWS) / 7})
    return rds.ResultDataset({}, tmp_path)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_loader_gives_columns_by_name(columns, method, workers):
    options = {"num_workers": workers, "multiprocessing_context": method, "timeout": 60} if workers else {}
    batches = list(DataLoader(columns, batch_size=50, **options))
    assert [set(batch) for batch in batches] == [{"embedding", "score"}] * 6
    assert torch.equal(torch.cat([batch["embedding"] for batch in batches]), torch.from_numpy(DATA))
    assert torch.equal(torch.cat([batch["score"] for batch in batches]), torch.arange(ROWS) / 7)
    batches = list(DataLoader(columns["embedding"], batch_size=50, **options))
    assert torch.equal(torch.cat(batches), torch.from_numpy(DATA))


def test_columns_are_put_into_memory_of_torch(columns):
    out = {"embedding": torch.zeros(4, 2, 3), "score": torch.zeros(4)}
    assert columns.take([5, 1, 5, 255], out=out) is out
    assert np.array_equal(out["embedding"].numpy(), DATA[[5, 1, 5, 255]])
    assert torch.equal(out["score"], torch.tensor([5, 1, 5, 255]) / 7)
    assert torch.equal(torch.from_dlpack(columns["embedding"]), torch.from_numpy(DATA))
