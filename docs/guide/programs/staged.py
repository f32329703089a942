"""Four processes write one table: each stages a part of a job, and one call publishes them all."""

from multiprocessing import get_context

import numpy as np

import rds

PARTS, ROWS = 4, 100


def infer(part):
    """What a worker does; its token is bytes, to be sent or stored."""
    numbers = np.arange(part * ROWS, (part + 1) * ROWS)
    with rds.ResultDatasetWriter("results", mode="staged", job="night-1", part=part) as writer:
        writer.write_batch(numbers, {"square": numbers.astype(np.float64) ** 2})
        return writer.stage()


if __name__ == "__main__":
    with get_context("spawn").Pool(2) as pool:
        # In any order, and one of them twice, as schedulers do.
        tokens = pool.map(infer, [2, 0, 3, 1, 3])
    done = rds.commit_staged("results", tokens, mode="overwrite")
    print(done.rows, "rows in one version")

    dataset = rds.ResultDataset({}, "results")
    print("row 250 is object", dataset.get_object_id(250), "with", dataset["square"][250])
