"""The same rows as batches by others: what each is given, so that it is as fast as it can be, and how it is read.

A peer is a function that makes an iterator over batches of one shuffled epoch.
"""

import importlib.util
import sys
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import numpy as np
from _common import BATCH, npy_path

import rds


def opened_memmap(directory):
    return np.load(npy_path(directory), mmap_mode="r")


def rds_batches(directory, seed):
    return iter(rds.Loader(rds.ResultDataset({}, directory), batch_size=BATCH, seed=seed))


def order_of(directory, seed):
    """The row numbers that `rds_batches` goes through, known beforehand: memmap need not work them out."""
    loader = rds.Loader(rds.ResultDataset({}, directory), batch_size=BATCH, seed=seed, columns=())
    return list(loader)


def gathered(memmap, order):
    return (memmap[rows] for rows in order)


def stacked(rows):
    """Batches of what comes row by row."""
    rows = iter(rows)
    while batch := list(islice(rows, BATCH)):
        yield np.stack(batch)


class Rows:
    """A dataset for PyTorch over a mapped file, as its tutorials write one."""

    def __init__(self, memmap):
        self.memmap = memmap

    def __len__(self):
        return len(self.memmap)

    def __getitem__(self, row):
        return self.memmap[row].copy()


class Batches(Rows):
    """The same, asked for a batch at a time, which few are written for."""

    def __getitems__(self, rows):
        return self.memmap[rows]


def torch_batches(directory, seed, rows):
    import torch
    from torch.utils.data import DataLoader

    return iter(
        DataLoader(
            rows(opened_memmap(directory)),
            batch_size=BATCH,
            shuffle=True,
            generator=torch.Generator().manual_seed(seed),
            num_workers=2,
            collate_fn=torch.from_numpy if rows is Batches else None,
        )
    )


def write_lancedb(directory):
    """A table of its own: the StreamingDataset panics over one with metadata in its schema, as those of librds have."""
    import lancedb
    import pyarrow as pa

    values = opened_memmap(directory)
    data = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
    lancedb.connect(str(directory / "lancedb")).create_table("rows", pa.table({"data": data}))


def lancedb_batches(directory, seed, read_batch_size):
    """By a transform to rows of NumPy, without the DataLoader, which is slower."""
    import lancedb
    from lancedb.streaming import StreamingDataset

    def rows(batch):
        return list(batch.column(0).flatten().to_numpy().reshape(batch.num_rows, -1))

    table = lancedb.connect(str(directory / "lancedb")).open_table("rows")
    dataset = StreamingDataset(
        table,
        num_splits=1,
        shuffle_seed=seed,
        rank=0,
        world_size=1,
        columns=["data"],
        transform=rows,
        read_batch_size=read_batch_size,
    )
    return stacked(dataset)


def write_mds(directory):
    from streaming import MDSWriter

    values = opened_memmap(directory)
    columns = {"data": f"ndarray:float32:{values.shape[1]}"}
    with MDSWriter(out=str(directory / "mds"), columns=columns) as writer:
        for row in values:
            writer.write({"data": np.asarray(row)})


def mds_batches(directory, seed):
    import torch
    from streaming import StreamingDataset
    from streaming.base.util import clean_stale_shared_memory
    from torch.utils.data import DataLoader

    def collate(samples):
        return torch.from_numpy(np.stack([sample["data"] for sample in samples]))

    clean_stale_shared_memory()
    dataset = StreamingDataset(local=str(directory / "mds"), shuffle=True, shuffle_seed=seed, batch_size=BATCH)
    return iter(DataLoader(dataset, batch_size=BATCH, num_workers=2, collate_fn=collate))


class Peer(NamedTuple):
    name: str
    package: str
    # What makes its files, if it needs any.
    write: Callable | None
    # The ways in which it is read, with what each is given besides; the fastest one counts.
    ways: dict
    # How many times as fast rds is to be; None for what is only shown.
    target: float | None


PEERS = (
    Peer(
        "LanceDB StreamingDataset",
        "lancedb",
        write_lancedb,
        {f"{size} rows at once": (lancedb_batches, size) for size in (512, 2048)},
        20,
    ),
    # Without workers it has a third of the speed.
    Peer("MDS StreamingDataset", "streaming", write_mds, {"2 workers": (mds_batches,)}, 5),
    Peer("DataLoader over memmap, 2 workers", "torch", None, {"row by row": (torch_batches, Rows)}, 10),
    Peer("DataLoader over memmap, 2 workers", "torch", None, {"batch by batch": (torch_batches, Batches)}, None),
)


def missing(package):
    """Which of a package and torch, which each of them needs, are not installed."""
    return [name for name in dict.fromkeys((package, "torch")) if importlib.util.find_spec(name) is None]


def available():
    """The peers that are installed; of each that is not, a line is printed."""
    for peer in PEERS:
        if names := missing(peer.package):
            print(f"{peer.name} is not measured: not installed: {', '.join(names)}")
            sys.stdout.flush()
        else:
            yield peer


