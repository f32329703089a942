"""Four processes write one table: each stages a part of a job, and one call publishes them all."""

from multiprocessing import get_context

import numpy as np

import rds

PARTS, ROWS = 4, 100


def infer(part):
    """What a worker does; its token is bytes, to be sent or stored."""
    numbers = np.arange(part * ROWS, (part + 1) * ROWS)
    squares = {"square": numbers.astype(np.float64) ** 2}
    return rds.parts.write_part("results", "night-1", part, [(numbers, squares)])


if __name__ == "__main__":
    with get_context("spawn").Pool(2) as pool:
        # In any order, and one of them twice, as schedulers do.
        tokens = pool.map(infer, [2, 0, 3, 1, 3])
    done = rds.parts.commit_parts("results", "night-1", tokens, mode="overwrite")
    print(done.rows, "rows in one version")

    dataset = rds.ResultDataset({}, "results")
    print("row 250 is object", dataset.get_object_id(250), "with", dataset["square"][250])
