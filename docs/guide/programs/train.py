"""Trains a perceptron on stored results: shuffled batches, gathered into memory that is used again."""

import numpy as np

import rds

ROWS, WIDTH, BATCH = 1000, 8, 50
random = np.random.default_rng(0)

# The inference loop: results are stored as they come.
hidden = random.integers(-3, 4, WIDTH)
with rds.ResultDatasetWriter("results", metadata={"model": "demo-1"}) as writer:
    for first in range(0, ROWS, BATCH):
        features = random.integers(-9, 10, (BATCH, WIDTH)).astype(np.float32)
        bright = features @ hidden > 0
        writer.write_batch(np.arange(first, first + BATCH), {"features": features, "bright": bright})

# The training loop: every row once an epoch, in an order of its own.
dataset = rds.ResultDataset({}, "results")
print("results of", dataset.run_metadata["model"])
batch = {"features": np.empty((BATCH, WIDTH), np.float32), "bright": np.empty(BATCH, bool)}
weights = np.zeros(WIDTH, np.float32)
for epoch in range(1, 9):
    order = random.permutation(len(dataset))
    mistakes = 0
    for first in range(0, len(order), BATCH):
        dataset.take(order[first : first + BATCH], out=batch)
        wrong = (batch["features"] @ weights > 0) != batch["bright"]
        sign = np.where(batch["bright"][wrong], 1, -1).astype(np.float32)
        weights += sign @ batch["features"][wrong]
        mistakes += int(wrong.sum())
    print(f"epoch {epoch}: {mistakes} mistakes")

# All rows of a column as one array, which is the mapped file itself.
features = np.asarray(dataset["features"])
right = (features @ weights > 0) == np.asarray(dataset["bright"])
print(f"{right.mean():.0%} of {features.shape[0]} rows are right")
