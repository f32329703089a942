"""With a real torch: batch samplers and iterable datasets in a DataLoader, tensors, and memory that is pinned."""

import itertools
import types
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import rds
from rds import _iterable, _plans, _to_torch

ROWS = 250
DATA = np.random.default_rng(0).normal(size=(ROWS, 2, 3)).astype(np.float32)


def write(where, data):
    with rds.ResultDatasetWriter(where) as writer:
        writer.write_batch(np.arange(len(next(iter(data.values())) if isinstance(data, dict) else data)), data)
    return rds.ResultDataset({}, where)


@pytest.fixture
def dataset(tmp_path):
    return write(tmp_path / "results", DATA)


ARGUMENTS = ("workers", "method", "persistent")
FORKED = [(0, None, False), (2, "fork", False), (3, "fork", True)]
# They import torch anew, which takes long.
STARTED = [(2, "spawn", False), (2, "forkserver", True)]
workers = pytest.mark.parametrize(ARGUMENTS, FORKED)

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create .* worker processes")


def data_loader(dataset, workers, method, persistent, **options):
    if workers:
        options.update(multiprocessing_context=method, persistent_workers=persistent, timeout=60)
    return DataLoader(dataset, num_workers=workers, **options)


def place(one):
    return one.epoch, one.consumed


@workers
def test_the_state_of_a_sampler_is_behind_what_the_loader_gave(dataset, workers, method, persistent):
    sampler = rds.BatchSampler(dataset, 20)
    whole = list(rds.BatchSampler(dataset, 20))
    loader = data_loader(dataset, workers, method, persistent, batch_sampler=sampler)
    assert len(loader) == 13
    for number, batch in enumerate(loader, start=1):
        assert np.array_equal(batch.numpy(), DATA[whole[number - 1]])
        assert place(sampler) == (0, min(20 * number, ROWS))
        if number in (1, 6, 13):
            resumed = rds.BatchSampler(dataset, 20)
            resumed.load_state_dict(sampler.state_dict())
            resumed.set_epoch(0)
            assert list(resumed) == whole[number:]
            assert sampler.state_dict(number) == sampler.state_dict()
    # Where workers go on, it cannot be seen whether the loop asked for one more.
    assert place(sampler) == ((0, ROWS) if persistent else (1, 0))
    following = rds.BatchSampler(dataset, 20)
    following.set_epoch(1)
    for batch, rows in itertools.zip_longest(loader, following):
        assert np.array_equal(batch.numpy(), DATA[rows])


@workers
def test_a_loop_that_is_broken_off_goes_on(dataset, workers, method, persistent):
    sampler = rds.BatchSampler(dataset, 20)
    whole = list(rds.BatchSampler(dataset, 20))
    loader = data_loader(dataset, workers, method, persistent, batch_sampler=sampler)
    got = list(itertools.islice(loader, 4))
    assert place(sampler) == (0, 80)
    sampler.set_epoch(0)
    got += list(loader)
    assert len(got) == 13
    assert all(np.array_equal(batch.numpy(), DATA[rows]) for batch, rows in zip(got, whole))
    sampler.set_epoch(1)
    assert place(sampler) == (1, 0)


@pytest.mark.parametrize("prefetch", [1, 20])
def test_any_number_of_batches_may_be_asked_for_ahead(dataset, prefetch):
    sampler = rds.BatchSampler(dataset, 20)
    loader = DataLoader(dataset, batch_sampler=sampler, num_workers=2, prefetch_factor=prefetch, timeout=60)
    for number, _ in enumerate(loader, start=1):
        assert sampler.consumed == min(20 * number, ROWS)


@pytest.mark.parametrize(ARGUMENTS, FORKED + STARTED)
def test_an_iterable_dataset_gives_the_batches_of_a_loader(dataset, workers, method, persistent):
    iterable = rds.torch.IterableDataset(dataset, 20, seed=3)
    assert isinstance(iterable, torch.utils.data.IterableDataset)
    loader = data_loader(iterable, workers, method, persistent, batch_size=None)
    expected = rds.Loader(dataset, batch_size=20, seed=3)
    assert len(loader) == len(expected) == 13
    with warnings.catch_warnings():
        # Not more than it said.
        warnings.filterwarnings("error", "Length of IterableDataset")
        # Nobody has to tell the epoch.
        for epoch in range(3):
            assert iterable.epoch == epoch
            for batch, rows in itertools.zip_longest(loader, expected):
                assert torch.is_tensor(batch) and np.array_equal(batch.numpy(), rows)


@workers
def test_the_epoch_of_an_iterable_dataset_may_be_told(dataset, workers, method, persistent):
    iterable = rds.torch.IterableDataset(dataset, 20)
    loader = data_loader(iterable, workers, method, persistent, batch_size=None)
    expected = rds.Loader(dataset, batch_size=20)
    for epoch in (0, 0, 5, 6, 1):
        iterable.set_epoch(epoch)
        expected.seek(epoch)
        for batch, rows in itertools.zip_longest(loader, expected):
            assert np.array_equal(batch.numpy(), rows)
    iterable.seek(2, 200)
    expected.seek(2, 200)
    assert len(list(loader)) == len(list(expected)) == 3
    # What is asked for is given, be it nothing, and so is what is left behind a state.
    iterable.seek(3, ROWS)
    assert list(loader) == []
    behind = rds.Loader(dataset, batch_size=20)
    behind.seek(3, ROWS)
    iterable.load_state_dict(behind.state_dict())
    assert list(loader) == [] and len(list(loader)) == 13 and iterable.epoch == 5
    other = rds.Loader(dataset, batch_size=50, seed=9)
    list(itertools.islice(other, 4))
    iterable.load_state_dict(other.state_dict())
    assert iterable.state_dict() == other.state_dict()
    expected.load_state_dict(other.state_dict())
    for batch, rows in itertools.zip_longest(loader, expected):
        assert np.array_equal(batch.numpy(), rows)
    assert iterable.epoch == 1


@workers
def test_an_iteration_over_workers_that_is_broken_off_begins_again(dataset, workers, method, persistent):
    iterable = rds.torch.IterableDataset(dataset, 20)
    ahead = {"prefetch_factor": 1} if workers else {}
    loader = data_loader(iterable, workers, method, persistent, batch_size=None, **ahead)
    whole = list(rds.Loader(dataset, batch_size=20))
    iteration = iter(loader)
    for _ in range(2):
        next(iteration)
    del iteration
    got = list(loader)
    expected = whole if workers else whole[2:]
    assert len(got) == len(expected)
    assert all(np.array_equal(batch.numpy(), rows) for batch, rows in zip(got, expected))


def test_workers_that_are_not_asked_for_more_have_given_the_epoch_all_the_same(dataset, monkeypatch):
    first = rds.torch.IterableDataset(dataset, 100)
    second = rds.torch.IterableDataset(dataset, 100)
    second._shared = first._shared
    whole = rds.Loader(dataset, batch_size=100)
    for _ in range(3):
        iterations = []
        for number, iterable in enumerate((first, second)):
            monkeypatch.setattr(_iterable, "_worker", lambda: _plans.Worker(number, 2))
            iterations.append(iter(iterable))
        for batch, iteration in zip(whole, itertools.cycle(iterations)):
            assert np.array_equal(next(iteration).numpy(), batch)


def test_workers_without_a_step_are_no_harm(dataset):
    iterable = rds.torch.IterableDataset(dataset, 100)
    loader = DataLoader(iterable, batch_size=None, num_workers=5, timeout=60)
    for _ in range(2):
        assert sorted(len(batch) for batch in loader) == [50, 100, 100]
    assert iterable.epoch == 2


def test_ranks_and_padding_of_an_iterable_dataset(dataset):
    got = []
    for rank in range(2):
        iterable = rds.torch.IterableDataset(dataset, 30, rank=rank, world_size=2, tail="pad", order="in_order")
        got.append(torch.cat(list(DataLoader(iterable, batch_size=None, num_workers=2, timeout=60))))
    assert [len(batches) for batches in got] == [150, 150]
    assert np.array_equal(got[1][-30:].numpy(), DATA[20:50])


@pytest.fixture
def columns(tmp_path):
    names = ("bool", "int8", "int16", "int32", "int64", "uint8", "float16", "float32", "float64", "complex64")
    rng = np.random.default_rng(0)
    return write(tmp_path / "columns", {name: (rng.normal(size=(ROWS, 3)) * 9).astype(name) for name in names})


def test_tensors_lie_in_the_memory_of_the_loader_and_keep_it(columns):
    loader = rds.Loader(columns, batch_size=50, format="torch")
    kept = []
    for batch in loader:
        for name, expected in columns.take(loader.rows).items():
            tensor = batch[name]
            assert tensor.dtype == getattr(torch, name) and tensor.is_contiguous()
            assert np.array_equal(tensor.numpy(), expected)
        kept.append((batch["float32"][10:], loader.rows[10:]))
        del batch, tensor
        assert loader.stats().lent == len(kept)
    for tensor, rows in kept:
        assert np.array_equal(tensor.numpy(), columns.take(rows, "float32"))
    del kept, tensor
    assert loader.stats().lent == 0


def test_a_loader_of_tensors_can_be_a_list(dataset):
    loader = rds.Loader(dataset, batch_size=10, format="torch", max_bytes=1000)
    expected = np.concatenate(list(rds.Loader(dataset, batch_size=10)))
    assert np.array_equal(torch.cat(list(loader)).numpy(), expected)


def test_row_numbers_are_tensors_too(columns):
    loader = rds.Loader(columns, batch_size=50, columns=[], format="torch")
    for batch in loader:
        assert batch.dtype == torch.int64 and batch.tolist() == loader.rows.tolist()


def test_bfloat16_is_that_of_torch():
    values = torch.arange(ROWS, dtype=torch.float32) / 7
    bits = values.to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    column = types.SimpleNamespace(name="data", dtype_name="bfloat16", dtype=bits.dtype)
    (convert,) = _to_torch.converters([column], "torch", False)
    assert torch.equal(convert(bits), values.to(torch.bfloat16))
    assert convert(bits).data_ptr() == bits.ctypes.data


def test_a_dtype_that_torch_does_not_have_is_refused_by_name(tmp_path):
    stamps = np.arange(ROWS).astype("datetime64[ns]")
    dataset = write(tmp_path / "stamps", {"taken": stamps, "score": np.arange(ROWS, dtype="f4")})
    with pytest.raises(NotImplementedError, match=r"'taken'.*datetime64\[ns\]"):
        rds.Loader(dataset, batch_size=10, format="torch")
    assert len(list(rds.Loader(dataset, batch_size=10, format="torch", columns="score"))) == 25


class Event:
    """That of a device which is slow: what it was asked for is done when somebody waits for that."""

    made = []

    def __init__(self):
        self.done = False

    def record(self):
        self.made.append(self)

    def query(self):
        return self.done

    def synchronize(self):
        self.done = True


@pytest.fixture
def device(monkeypatch):
    """A device that is not there: memory is pinned for it by name only."""
    made, empty = [], torch.empty

    def pinned(*size, pin_memory=False, **options):
        tensor = empty(*size, **options)
        if pin_memory:
            made.append(tensor)
        return tensor

    monkeypatch.setattr(torch, "empty", pinned)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.clone())
    monkeypatch.setattr(Event, "made", [])
    return made


def lies_in(tensor, blocks):
    return any(0 <= tensor.data_ptr() - block.data_ptr() < block.numel() for block in blocks)


def test_batches_lie_in_pinned_memory_and_a_device_may_be_late(dataset, device):
    loader = rds.Loader(dataset, batch_size=10, format="torch", pin_memory=True, ahead=2)
    # As many as are ready, and some more.
    assert len(device) == 6 and {block.numel() for block in device} == {10 * 24}
    for batch in loader:
        assert lies_in(batch, device)
        assert np.array_equal(batch.numpy(), DATA[loader.rows])
    # Each batch waits for what the device was asked for before, but not for more than it must.
    assert len(Event.made) >= 24
    assert [event.done for event in Event.made] == sorted((event.done for event in Event.made), reverse=True)
    assert 0 < sum(not event.done for event in Event.made) <= 6


def test_pinned_batches_that_are_kept_are_copied(dataset, device):
    loader = rds.Loader(dataset, batch_size=10, format="torch", pin_memory=True, max_bytes=4 * (10 * 24 + 200))
    assert len(device) == 4
    batches = list(loader)
    assert 0 < sum(lies_in(batch, device) for batch in batches) < 4
    assert np.array_equal(torch.cat(batches).numpy(), np.concatenate(list(rds.Loader(dataset, batch_size=10))))


def test_memory_is_not_pinned_where_there_is_no_device(dataset):
    assert not torch.cuda.is_available()
    loader = rds.Loader(dataset, batch_size=10, format="torch", pin_memory=True)
    assert np.array_equal(torch.cat(list(loader)).numpy(), np.concatenate(list(rds.Loader(dataset, batch_size=10))))


def train(rank, where, meeting, results):
    """A rank of two: what it is given by a sampler, an iterable dataset and a loader."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    dataset = rds.ResultDataset({}, where)
    options = {"num_workers": 2, "multiprocessing_context": "spawn", "timeout": 60}
    sampled = DataLoader(dataset, batch_sampler=rds.BatchSampler(dataset, 20), **options)
    iterable = DataLoader(rds.torch.IterableDataset(dataset, 20), batch_size=None, **options)
    loaded = rds.Loader(dataset, batch_size=20, format="torch")
    torch.save([list(sampled), list(iterable), [batch.clone() for batch in loaded]], results.format(rank))
    torch.distributed.destroy_process_group()


def test_ranks_of_torch_share_each_step(dataset, tmp_path):
    results = str(tmp_path / "rank {}")
    arguments = (dataset.data_location, tmp_path / "meeting", results)
    torch.multiprocessing.spawn(train, arguments, nprocs=2)
    whole = list(rds.Loader(dataset, batch_size=40))
    ranks = [torch.load(results.format(rank)) for rank in range(2)]
    for first, second in zip(*ranks):
        assert len(first) == len(second) == len(whole)
        for step, one, other in zip(whole, first, second):
            assert np.array_equal(torch.cat([one, other]).numpy(), step)
