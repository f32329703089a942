"""Ray computes what a table is to have, and reads it again: rows go to the disk where they are made."""

import numpy as np
import ray

import rds
import rds.ray

PARTS, ROWS = 8, 1000


def infer(batch):
    """Of each row an id and two tensors."""
    numbers = batch["id"].astype(np.float32)
    return {
        "id": np.array([f"object-{number}" for number in batch["id"]]),
        "embedding": np.stack([numbers, numbers / 2, numbers / 4], axis=1),
        "x": numbers,
        "y": -numbers,
    }


if __name__ == "__main__":
    # Rows come in the order of the dataset, whoever is done first.
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=200_000_000)

    dataset = ray.data.range(PARTS * ROWS, override_num_blocks=PARTS).map_batches(infer)
    sink = rds.ray.Datasink("results", tensors={"embedding": "embedding", "position": ["x", "y"]})
    dataset.write_datasink(sink)
    print(sink.commit.rows, "rows in version", sink.commit.version)

    results = rds.ResultDataset({}, "results")
    print("row 2500 is", results.get_object_id(2500), "at", results["position"][2500])

    again = ray.data.read_datasource(rds.ray.Datasource("results", columns="embedding"))
    print("the largest is", again.map_batches(lambda batch: {"norm": batch["embedding"][:, 0]}).max("norm"))
    ray.shutdown()
