"""A driver of Dask that writes the parts of a table with two workers, and goes on with what is there."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.distributed import Client, LocalCluster

PARTS = 200
ROWS = 100


def part(number: int, pids: str = "") -> pd.DataFrame:
    """Rows that tell which they are. Whoever makes them leaves his number, to be killed by."""
    if pids:
        Path(pids, str(os.getpid())).touch()
        time.sleep(0.01)
    rows = np.arange(number * ROWS, (number + 1) * ROWS)
    return pd.DataFrame({"id": [f"w:{row}" for row in rows], "x": rows.astype("f4"), "y": rows * 0.5})


class Model:
    def __init__(self, pids: str):
        self.pids = pids

    def __call__(self, rows: pd.DataFrame) -> dict[str, np.ndarray]:
        numbers = rows["x"].to_numpy()
        return {"vector": np.sin(numbers[:, None] + np.arange(16, dtype="f4")), "score": rows["y"].to_numpy()}


def main(where: str, pids: str) -> None:
    import rds.dask

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with dask.config.set({"distributed.scheduler.allowed-failures": 1000, "dataframe.convert-string": False}):
        with LocalCluster(processes=True, **options) as cluster, Client(cluster):
            frames = dd.from_map(part, range(PARTS), pids=pids, meta=part(0).iloc[:0])
            done = rds.dask.infer(frames, Model(pids), where, resume=True, job="job")
            print("done", done.version, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
