"""Writes a table of three objects, and reads it back by row and by id."""

import numpy as np

import rds

ids = ["ngc-1", "ngc-2", "ngc-3"]
embedding = np.array([[0.5, 1.5, 2.5], [3.5, 4.5, 5.5], [6.5, 7.5, 8.5]], dtype=np.float32)
label = np.array([7, 9, 7], dtype=np.int32)

with rds.ResultDatasetWriter("results") as writer:
    writer.write_batch(ids, {"embedding": embedding, "label": label})

dataset = rds.ResultDataset({}, "results")
print(len(dataset), "rows")
for name in dataset.columns:
    column = dataset[name]
    print(f"{name}: {column.dtype} {list(column.shape)}")

row = dataset.index_of("ngc-2")
print("ngc-2 is row", row)
print("embedding:", *dataset["embedding"][row])
print("label:", dataset["label"][row])
