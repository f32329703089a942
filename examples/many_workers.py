"""Four processes of Dask run a model over a catalogue of two million objects, and one of them is killed on the way. All
rows come into one version of a table, once and in the order of the catalogue; then the table is read by Dask.

    python examples/many_workers.py [OUTPUT_DIRECTORY] [--objects N]

What an earlier run left in the output directory (default ./many_workers_output) is replaced. It needs NumPy, and what
`pip install './python_ctypes[dask]'` installs. The exit code is 1 if a row was lost, came twice or is another one.
"""

import argparse
import logging
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.distributed import Client, LocalCluster

import rds

WORKERS, PARTITIONS = 4, 40
BATCH = 4096
BANDS = ["g", "r", "i", "z"]
WIDTH, CLASSES = 16, 5
WEIGHTS = np.random.default_rng(0).normal(size=(len(BANDS), WIDTH))


# The catalogue and the model ----------------------------------------------------------------------


def objects(first, rows):
    """A partition, which a worker makes when it is asked for: magnitudes of some objects."""
    magnitudes = np.random.default_rng(first).normal(21.0, 2.0, size=(rows, len(BANDS)))
    ids = [f"object-{number:07d}" for number in range(first, first + rows)]
    return pd.DataFrame({"id": ids, **dict(zip(BANDS, magnitudes.T))})


def model(rows):
    """What is stored of rows (n, 4): an embedding, and the class that it tells."""
    embeddings = np.tanh((rows[:, :, None] - 21.0) * WEIGHTS).sum(axis=1)
    return {"embedding": embeddings.astype(np.float32), "label": embeddings[:, :CLASSES].argmax(axis=1)}


def catalogue(firsts, rows):
    return dd.from_map(objects, firsts, rows=rows, meta=objects(0, 1).iloc[:0])


# The job ------------------------------------------------------------------------------------------


def infer(client, firsts, rows, results):
    """Runs the job, and kills one of the workers when the first parts are written; returns what was published, and how
    many these were."""
    processes = list(client.run(os.getpid).values())
    delayed = rds.dask.infer(
        catalogue(firsts, rows), model, results, inputs=BANDS, batch_size=BATCH, job="night-1", compute=False
    )
    future = client.compute(delayed)
    while not (written := written_parts(results)) and not future.done():
        time.sleep(0.01)
    os.kill(processes[0], signal.SIGKILL)
    return future.result(), written


def written_parts(results):
    return len(rds.parts.unfinished(results).get("night-1", ()))


# What is shown ------------------------------------------------------------------------------------


def check(what, holds):
    print("ok:" if holds else "FAILED:", what)
    return holds


def same_rows(dataset, firsts, rows):
    """Whether each row is what the model makes of the object in a process that nobody kills."""
    ids = dataset.ids()
    for first in firsts:
        part = objects(first, rows)
        if ids[first : first + rows] != list(part["id"]):
            return False
        for start in range(0, rows, BATCH):
            made = model(part[BANDS].to_numpy()[start : start + BATCH])
            place = slice(first + start, first + start + len(made["label"]))
            if not all(np.array_equal(dataset[name][place], values) for name, values in made.items()):
                return False
    return True


def main():
    arguments = argparse.ArgumentParser(description="Inference by the workers of Dask, one of which is killed.")
    arguments.add_argument("output", nargs="?", default="many_workers_output", type=Path)
    arguments.add_argument("--objects", default=2_000_000, type=int)
    chosen = arguments.parse_args()
    results = chosen.output / "results"
    shutil.rmtree(results, ignore_errors=True)
    rows = -(-chosen.objects // PARTITIONS)
    firsts, total = range(0, rows * PARTITIONS, rows), rows * PARTITIONS

    options = {"n_workers": WORKERS, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(silence_logs=logging.CRITICAL, **options) as cluster, Client(cluster) as client:
        start = time.perf_counter()
        done, written = infer(client, firsts, rows, results)
        taken = time.perf_counter() - start
        print(f"{WORKERS} workers, {taken:.1f} s; one was killed when {written} of {PARTITIONS} parts were written")

        dataset = rds.load_results_dataset({}, results)
        print(dataset)
        met = check("the worker was killed on the way", 0 < written < PARTITIONS)
        met &= check(f"{done.rows:,} rows are one version", done.rows == total and len(dataset.versions()) == 1)
        files = list((results / "lance_db" / "results.lance" / "data").iterdir())
        met &= check(f"it has {len(files)} data files", len(files) == done.data_files)
        met &= check("nothing waits beside the table", rds.parts.unfinished(results) == {})
        met &= check("each row is there once, in order, as the model makes it here", same_rows(dataset, firsts, rows))

        # As a driver does that does not know how far it came.
        again = rds.dask.infer(
            catalogue(firsts, rows), model, results, inputs=BANDS, batch_size=BATCH, job="night-1", resume=True
        )
        met &= check("what is done is not done again", again.rows == 0 and again.version == done.version)

        table = rds.dask.read(results, "label")
        counts = table["label"].value_counts().compute().sort_index()
        print("Objects of each class:", *(f"{count:,}" for count in counts))
        met &= check("the workers have read all of them", counts.sum() == total)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
