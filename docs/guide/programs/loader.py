"""A DataLoader whose workers read one table: no copy of it is made for them."""

import numpy as np
import torch
from torch.utils.data import DataLoader

import rds

if __name__ == "__main__":
    with rds.ResultDatasetWriter("results") as writer:
        features = np.arange(4000, dtype=np.float32).reshape(1000, 4)
        writer.write_batch(np.arange(1000), {"features": features, "label": np.arange(1000) % 10})

    dataset = rds.ResultDataset({}, "results")
    loader = DataLoader(dataset, batch_size=100, shuffle=True, num_workers=2)
    for epoch in range(2):
        seen = [batch["features"][:, 0] for batch in loader]
        print(len(seen), "batches,", len(torch.cat(seen).unique()), "different rows")
