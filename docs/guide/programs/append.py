"""Two writers add to one table at the same time: both land, and an open reader moves on when it is told to."""

import numpy as np

import rds


def rows(writer, first, count):
    writer.write_batch(np.arange(first, first + count), {"score": np.full(count, 0.5)})


with rds.ResultDatasetWriter("results") as writer:
    rows(writer, 0, 10)
dataset = rds.ResultDataset({}, "results")

one = rds.ResultDatasetWriter("results", mode="append")
other = rds.ResultDatasetWriter("results", mode="append")
rows(one, 100, 3)
rows(other, 200, 4)
rows(one, 103, 3)
other.close()
one.close()

print("before:", len(dataset))
print("changed:", dataset.refresh())
print("after:", len(dataset))
print(*dataset.ids()[10:])
