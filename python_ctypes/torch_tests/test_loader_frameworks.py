"""With what trains on top of torch, or beside it, where that is installed: each row once, also after a resumption."""

import itertools

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import rds

ROWS = 250
DATA = np.arange(ROWS, dtype=np.float32)[:, None].repeat(3, axis=1)

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def dataset(tmp_path):
    with rds.ResultDatasetWriter(tmp_path) as writer:
        writer.write_batch(np.arange(ROWS), DATA)
    return rds.ResultDataset({}, tmp_path)


def rows_of(batches):
    """Which rows came, batch by batch."""
    return [torch.as_tensor(batch)[:, 0].int().tolist() for batch in batches]


def epochs(dataset, count, **options):
    """The rows of the first epochs, batch by batch."""
    loader = rds.Loader(dataset, batch_size=20, columns=[], **options)
    return [[loader.rows.tolist() for _ in loader] for _ in range(count)]


@pytest.mark.parametrize("kind", ["sampler", "iterable"])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("given", [0, 1, 5, 12, 13])
def test_a_stateful_data_loader_goes_on(dataset, kind, workers, persistent, given):
    torchdata = pytest.importorskip("torchdata.stateful_dataloader")

    def make():
        options = {"num_workers": workers, "persistent_workers": persistent and workers > 0}
        if kind == "sampler":
            sampler = rds.BatchSampler(dataset, 20)
            return sampler, torchdata.StatefulDataLoader(dataset, batch_sampler=sampler, **options)
        iterable = rds.torch.IterableDataset(dataset, 20)
        return iterable, torchdata.StatefulDataLoader(iterable, batch_size=None, **options)

    first, second, third = epochs(dataset, 3)
    source, loader = make()
    assert rows_of(loader) == first
    source.set_epoch(1)
    iteration = iter(loader)
    got = rows_of(itertools.islice(iteration, given))
    state = loader.state_dict()
    del iteration, loader
    source, loader = make()
    loader.load_state_dict(state)
    assert got + rows_of(loader) == second
    # What a DataLoader asks for ahead is none of what was consumed.
    source.set_epoch(2)
    assert rows_of(loader) == third


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stateful_data_loader_that_was_through_begins_the_next_epoch(dataset, workers):
    torchdata = pytest.importorskip("torchdata.stateful_dataloader")

    def make():
        iterable = rds.torch.IterableDataset(dataset, 20)
        return torchdata.StatefulDataLoader(iterable, batch_size=None, num_workers=workers)

    first, second, third = epochs(dataset, 3)
    loader = make()
    assert [rows_of(loader), rows_of(loader)] == [first, second]
    other = make()
    other.load_state_dict(loader.state_dict())
    assert rows_of(other) == third


@pytest.mark.parametrize("workers", [0, 2])
def test_accelerate_asks_one_batch_ahead(dataset, workers):
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    first, second, third = epochs(dataset, 3)
    sampler = rds.BatchSampler(dataset, 20)
    loader = accelerator.prepare(DataLoader(dataset, batch_sampler=sampler, num_workers=workers))
    assert rows_of(loader) == first
    got = []
    for number, batch in enumerate(loader, start=1):
        got += rows_of([batch])
        if number == 5:
            break
    state = sampler.state_dict()
    assert state == sampler.state_dict(5)
    sampler = rds.BatchSampler(dataset, 20)
    sampler.load_state_dict(state)
    # It calls set_epoch with a number of its own, which begins at 0.
    loader = accelerator.prepare(DataLoader(dataset, batch_sampler=sampler, num_workers=workers))
    assert got + rows_of(loader) == second
    assert rows_of(loader) == third


def test_accelerate_with_an_iterable_dataset(dataset):
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    iterable = rds.torch.IterableDataset(dataset, 20)
    loader = accelerator.prepare(DataLoader(iterable, batch_size=None, num_workers=2))
    for expected in epochs(dataset, 2):
        assert rows_of(loader) == expected


# Of a position behind the last batch of an epoch nothing is left of that epoch, unless Lightning itself stored it.
@pytest.mark.parametrize(
    ("kind", "steps"), [("stateful", 5), ("sampler", 5), ("sampler", 18), ("loader", 5), ("loader", 13), ("loader", 18)]
)
def test_lightning_goes_on_from_a_checkpoint(dataset, tmp_path, kind, steps):
    lightning = pytest.importorskip("lightning")
    seen = []

    class Model(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 1)

        def training_step(self, batch, _index):
            seen.append(rows_of([batch])[0])
            return self.layer(batch).sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 1e-9)

        # Lightning stores what has a state: a Loader or a StatefulDataLoader. A sampler is one's own to store.
        def on_save_checkpoint(self, checkpoint):
            if kind == "sampler":
                checkpoint["rds"] = sampler.state_dict()

        def on_load_checkpoint(self, checkpoint):
            if kind == "sampler":
                sampler.load_state_dict(checkpoint["rds"])

    def fit(loader, path, **options):
        lightning.Trainer(
            accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
            default_root_dir=tmp_path, max_epochs=3, **options,
        ).fit(Model(), loader, ckpt_path=path)

    def make():
        if kind == "loader":
            return None, rds.Loader(dataset, batch_size=20, format="torch")
        sampler = rds.BatchSampler(dataset, 20)
        if kind == "sampler":
            return sampler, DataLoader(dataset, batch_sampler=sampler)
        torchdata = pytest.importorskip("torchdata.stateful_dataloader")
        return sampler, torchdata.StatefulDataLoader(dataset, batch_sampler=sampler)

    expected = sum(epochs(dataset, 3), [])
    checkpoints = lightning.pytorch.callbacks.ModelCheckpoint(
        dirpath=tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1
    )
    sampler, loader = make()
    fit(loader, None, max_steps=steps + 3, callbacks=[checkpoints])
    assert seen == expected[: steps + 3]
    del seen[steps:]
    sampler, loader = make()
    fit(loader, tmp_path / f"step={steps}.ckpt", enable_checkpointing=False)
    assert seen == expected


@pytest.mark.parametrize("kind", ["loader", "sampler"])
def test_ignite_goes_on_after_a_break(dataset, kind):
    engines = pytest.importorskip("ignite.engine")
    seen = []
    engine = engines.Engine(lambda _engine, batch: seen.extend(rows_of([batch])))
    first, second, third = epochs(dataset, 3)
    sampler = rds.BatchSampler(dataset, 20)
    loader = rds.Loader(dataset, batch_size=20, format="torch")
    source = sampler if kind == "sampler" else loader
    data = DataLoader(dataset, batch_sampler=sampler, num_workers=2) if kind == "sampler" else loader
    engine.run(data, max_epochs=2)
    assert seen == first + second
    state = source.state_dict()
    other = rds.BatchSampler(dataset, 20)
    other.load_state_dict(state)
    seen.clear()
    engines.Engine(engine._process_function).run(DataLoader(dataset, batch_sampler=other), max_epochs=1)
    assert seen == third


@pytest.mark.parametrize("workers", [0, 1])
def test_grain_reads_a_dataset(dataset, workers, monkeypatch):
    grain = pytest.importorskip("grain.python")
    assert isinstance(dataset, grain.RandomAccessDataSource)
    batches = list(grain.MapDataset.source(dataset).seed(0).shuffle().batch(50))
    assert sorted(sum(rows_of(batches), [])) == list(range(ROWS))
    # Rows of a batch are read at once.
    with monkeypatch.context() as patched:
        patched.setattr(rds.ResultDataset, "__getitem__", lambda *_: pytest.fail("a row was read alone"))
        assert rows_of([np.stack(grain.MapDataset.source(dataset)._getitems([3, 253]))]) == [[3, 3]]
    sampler = grain.IndexSampler(ROWS, shard_options=grain.NoSharding(), shuffle=True, num_epochs=1, seed=0)
    loader = grain.DataLoader(
        data_source=dataset, sampler=sampler, worker_count=workers, operations=[grain.Batch(50)]
    )
    iterator = iter(loader)
    got = [next(iterator), next(iterator)]
    again = iter(
        grain.DataLoader(data_source=dataset, sampler=sampler, worker_count=workers, operations=[grain.Batch(50)])
    )
    again.set_state(iterator.get_state())
    assert sorted(sum(rows_of([*got, *again]), [])) == list(range(ROWS))


def test_bfloat16_of_a_table_is_that_of_torch(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = torch.arange(ROWS) / 7
    with rds.ResultDatasetWriter(tmp_path) as writer:
        writer.write_batch(np.arange(ROWS), values.numpy().astype(ml_dtypes.bfloat16))
    loader = rds.Loader(rds.ResultDataset({}, tmp_path), batch_size=50, format="torch", order="in_order")
    assert torch.equal(torch.cat(list(loader)), values.to(torch.bfloat16))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("given", [1, 7, 13])
def test_a_loop_of_accelerate_that_is_broken_off_goes_on(dataset, workers, given):
    accelerate = pytest.importorskip("accelerate")

    def make():
        sampler = rds.BatchSampler(dataset, 20)
        loader = DataLoader(dataset, batch_sampler=sampler, num_workers=workers)
        return sampler, accelerate.Accelerator(cpu=True).prepare(loader)

    first, second = epochs(dataset, 2)
    sampler, loader = make()
    sampler.set_epoch(1)
    assert rows_of(itertools.islice(loader, given)) == second[:given]
    state = sampler.state_dict()
    sampler, loader = make()
    sampler.load_state_dict(state)
    expected = second[given:] or epochs(dataset, 3)[2]
    assert rows_of(loader) == expected


def test_what_is_shared_twice_is_refused(dataset):
    accelerate = pytest.importorskip("accelerate")
    shard = accelerate.data_loader.BatchSamplerShard
    sampler = rds.BatchSampler(dataset, 20, rank=0, world_size=2)
    with pytest.raises(RuntimeError, match="rows would be lost"):
        list(shard(sampler, num_processes=2, process_index=0))
    alone = rds.BatchSampler(dataset, 20, rank=0, world_size=1)
    parts = [list(shard(alone, num_processes=2, process_index=part)) for part in (0, 0)]
    assert parts[0]
    iterable = rds.torch.IterableDataset(dataset, 20, rank=0, world_size=2)
    with pytest.raises(RuntimeError, match="rows would be lost"):
        next(iter(accelerate.data_loader.IterableDatasetShard(iterable, num_processes=2, process_index=0)))


def test_a_data_loader_without_an_order_has_no_position(dataset):
    sampler = rds.BatchSampler(dataset, 20)
    try:
        loader = DataLoader(dataset, batch_sampler=sampler, num_workers=2, in_order=False)
    except TypeError:
        pytest.skip("this PyTorch gives batches in order always")
    iteration = iter(loader)
    next(iteration)
    with pytest.raises(RuntimeError, match="in_order=False"):
        sampler.state_dict()
    del iteration
    sampler.set_epoch(1)
    assert sampler.epoch == 1
