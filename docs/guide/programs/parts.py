"""Three processes write parts of a job, and one is killed. What is missing is written, and one call publishes all."""

import os
import signal
from multiprocessing import get_context

import numpy as np

import rds

JOB, PARTS, ROWS = "night-1", 3, 100


def batches(part, dies):
    numbers = np.arange(part * ROWS, (part + 1) * ROWS)
    yield numbers, {"square": numbers.astype(np.float64) ** 2}
    if dies:
        os.kill(os.getpid(), signal.SIGKILL)


def infer(part, dies=False):
    """What a worker does, on any machine that sees the directory."""
    rds.parts.write_part("results", JOB, part, batches(part, dies))


if __name__ == "__main__":
    workers = [get_context("spawn").Process(target=infer, args=(part, part == 1)) for part in range(PARTS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    waiting = rds.parts.unfinished("results")[JOB]
    print("parts that wait:", *waiting)
    for part in range(PARTS):
        if part not in waiting:
            infer(part)
    tokens = rds.parts.unfinished("results")[JOB].values()
    done = rds.parts.commit_parts("results", JOB, list(tokens))
    print(done.rows, "rows in version", done.version)

    dataset = rds.ResultDataset({}, "results")
    print("row 250 is object", dataset.get_object_id(250), "with", dataset["square"][250])
