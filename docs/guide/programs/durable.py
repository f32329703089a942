"""A writer is killed; what it had made durable becomes visible afterwards."""

import os
import signal
from multiprocessing import get_context

import numpy as np

import rds


def write_and_die():
    writer = rds.ResultDatasetWriter("results", durability="batch")
    for first in (0, 10, 20):
        ids = np.arange(first, first + 10)
        writer.write_batch(ids, {"score": ids / 2})  # durable when it returns
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    process = get_context("spawn").Process(target=write_and_die)
    process.start()
    process.join()
    print("ended by signal", -process.exitcode)

    found = rds.recover("results", dry_run=True)
    print(found.waiting_rows, "rows wait,", found.recovered_rows, "recovered")
    done = rds.recover("results")
    print(done.waiting_rows, "rows wait,", done.recovered_rows, "recovered")

    dataset = rds.ResultDataset({}, "results")
    print(len(dataset), "rows, the last is", dataset.get_object_id(29), "with", dataset["score"][29])
