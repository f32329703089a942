"""An epoch that two ranks begin and three finish: each row comes once."""

from itertools import islice

import numpy as np

import rds

ROWS, BATCH = 1000, 120


def open_ranks(world_size):
    """All ranks of a world are in this program; as a rule each is a process of its own, and need not say which."""
    options = {"global_batch_size": BATCH, "seed": 7, "world_size": world_size}
    return [rds.Loader(dataset, rank=rank, **options) for rank in range(world_size)]


def train(loaders, steps):
    """Takes so many steps, or those that are left of the epoch."""
    taken, total = 0, 0.0
    for loader in loaders:
        for taken, batch in enumerate(islice(loader, steps), start=1):
            seen[loader.rows] += 1
            total += float(batch["features"][:, 0].sum())
    print(f"{len(loaders)} ranks: {taken} steps, sum {total:g}")


with rds.ResultDatasetWriter("results") as writer:
    features = np.zeros((ROWS, 4), np.float32)
    features[:, 0] = np.arange(ROWS)
    writer.write_batch(np.arange(ROWS), {"features": features})

dataset = rds.ResultDataset({}, "results")
seen = np.zeros(ROWS, int)

loaders = open_ranks(2)
train(loaders, 4)
# All ranks are at the same position, which belongs into a checkpoint.
state = loaders[0].state_dict()

loaders = open_ranks(3)
for loader in loaders:
    loader.load_state_dict(state)
train(loaders, ROWS)
print(f"{np.count_nonzero(seen == 1)} of {ROWS} rows came once")
