"""A model over the partitions of a DataFrame of Dask: one version of a table, which is a DataFrame again."""

import dask.dataframe as dd
import numpy as np
import pandas as pd

import rds

OBJECTS, PER_PARTITION = 1000, 250


def objects(first):
    """A partition, wherever it is made."""
    numbers = np.arange(first, first + PER_PARTITION)
    return pd.DataFrame({"id": [f"object-{number:03d}" for number in numbers], "x": numbers / 1.0, "y": numbers / 2.0})


def model(rows):
    """What a model makes of rows (n, 2): columns of the table."""
    return {"embedding": np.tanh(rows / OBJECTS).astype(np.float32), "score": rows.sum(axis=1)}


def bright(part):
    """The ids of a partition both numbers of whose embeddings are above 0.42."""
    return part["id"][rds.dask.tensors(part["embedding"]).min(axis=1) > 0.42]


if __name__ == "__main__":
    catalogue = dd.from_map(objects, range(0, OBJECTS, PER_PARTITION), meta=objects(0).iloc[:0])
    options = {"inputs": ["x", "y"], "batch_size": 64, "job": "night-1"}
    done = rds.dask.infer(catalogue, model, "results", **options)
    print(done.rows, "rows in version", done.version)

    # As it is called again when its process has died: what is there is not computed once more.
    again = rds.dask.infer(catalogue, model, "results", **options, resume=True)
    print(again.rows, "rows to do; parts", *rds.parts.finished("results")["night-1"])

    table = rds.dask.read("results", rows_per_partition=400)
    print(table["score"].max().compute(), "is the highest score of", len(table))
    print("first of the bright:", table.map_partitions(bright, meta=("id", "string")).optimize().compute().iloc[0])
