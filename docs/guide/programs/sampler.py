"""A DataLoader of PyTorch that is stopped in the middle of an epoch and goes on: its sampler knows where it was."""

import numpy as np
import torch
from torch.utils.data import DataLoader

import rds

if __name__ == "__main__":
    with rds.ResultDatasetWriter("results") as writer:
        features = np.arange(4000, dtype=np.float32).reshape(1000, 4)
        writer.write_batch(np.arange(1000), {"features": features})

    dataset = rds.ResultDataset({}, "results")
    sampler = rds.BatchSampler(dataset, 100, seed=7)
    given = []
    for batch in DataLoader(dataset, batch_sampler=sampler, num_workers=2):
        given.append(batch["features"][:, 0])
        if len(given) == 4:
            # Its workers have asked for more: what counts is what it gave.
            state = sampler.state_dict()
            break

    sampler = rds.BatchSampler(dataset, 100, seed=7)
    sampler.load_state_dict(state)
    for batch in DataLoader(dataset, batch_sampler=sampler, num_workers=2):
        given.append(batch["features"][:, 0])
    print(len(given), "batches,", len(torch.cat(given).unique()), "different rows")
