"""One dataset for many threads, and for processes that it is sent to."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np

import rds


def part_of_sum(dataset, worker, workers):
    return int(dataset["count"][worker::workers].sum())


if __name__ == "__main__":
    with rds.ResultDatasetWriter("results") as writer:
        writer.write_batch(np.arange(1000), {"count": np.arange(1000)})
    dataset = rds.ResultDataset({}, "results")

    with ThreadPoolExecutor(4) as threads:
        sums = threads.map(part_of_sum, [dataset] * 4, range(4), [4] * 4)
        print("threads:", sum(sums))

    # What is sent is the location and the version; the other process opens the same version of the same table.
    with rds.ResultDatasetWriter("results", mode="append") as writer:
        writer.write_batch([1000], {"count": [1000]})
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        sums = processes.map(part_of_sum, [dataset] * 2, range(2), [2] * 2)
        print("processes:", sum(sums))
    dataset.refresh()
    print("after a refresh:", part_of_sum(dataset, 0, 1))
