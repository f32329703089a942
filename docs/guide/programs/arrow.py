"""Results from Arrow and to Arrow, NumPy and whatever speaks DLPack."""

import duckdb
import numpy as np
import polars
import pyarrow as pa

import rds

# In: a fixed-size list is a tensor, a number is a scalar.
vectors = pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.float32(), 2))
batch = pa.table({"object_id": ["a", "b", "c"], "vector": vectors, "label": pa.array([7, 9, 7], pa.int32())})
with rds.ResultDatasetWriter("results") as writer:
    writer.write_batch(batch)

# Out: whole, in batches, or some rows. To Arrow a scalar is a list of one number.
dataset = rds.ResultDataset({}, "results")
print(pa.table(dataset).column_names)
print(polars.DataFrame(dataset.batch([2, 0], columns=["object_id", "vector"])).rows())
print(duckdb.sql("select label[1], count(*) from dataset group by 1 order by 1").fetchall())
for part in dataset.stream(columns="vector", batch_size=2):
    print(len(part), "rows", part["vector"].tolist())

# Without a copy: the memory of the mapped file.
array = np.asarray(dataset["vector"])
tensor = np.from_dlpack(dataset["vector"])
print(tensor.shape, np.shares_memory(array, tensor), array.flags.writeable)
