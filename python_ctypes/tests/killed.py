"""Writers in processes of their own that end as by `kill -9`."""

import os
import subprocess
import sys
from pathlib import Path

import lance
import numpy as np

import rds
from rds import _library

WRITE = """
import os, signal, sys
import numpy as np
import rds
where, mode, durability, first, batches, rows, then = sys.argv[1:]
first, batches, rows = int(first), int(batches), int(rows)
writer = rds.ResultDatasetWriter(where, mode=mode, durability=durability, checkpoint_ms=20)
for number in range(batches):
    ids = np.arange(first + number * rows, first + (number + 1) * rows)
    writer.write_batch(ids, np.repeat(ids[:, None], 64, axis=1).astype("f4"))
exec(then)
print(writer.stats().durable_rows, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def environment(**more):
    return {
        **os.environ,
        "PYTHONPATH": str(Path(rds.__file__).parents[1]),
        "RDS_LIBRARY": os.path.abspath(_library.library()._name),
        **more,
    }


def write_and_die(where, mode, *, first=0, batches=5, rows=3, durability="batch", then="pass"):
    """What the writer said to be durable, in rows."""
    arguments = map(str, (where, mode, durability, first, batches, rows, then))
    run = subprocess.run(
        [sys.executable, "-c", WRITE, *arguments], env=environment(), capture_output=True, text=True
    )
    assert run.returncode == -9, run.stderr
    return int(run.stdout.split()[-1])


def put(writer, first, rows=3):
    """Rows whose ids are `first`, `first + 1`, and so on, and whose numbers are all equal to the id."""
    ids = np.arange(first, first + rows)
    writer.write_batch(ids, np.repeat(ids[:, None], 64, axis=1).astype("f4"))


def show(writer, first, rows=3):
    """The same, and a version that shows them."""
    put(writer, first, rows)
    writer.flush()


def table_path(where):
    return str(Path(where) / "lance_db" / "results.lance")


def ids_of(where):
    """The ids of the newest version, for librds and pylance alike; each has its own row."""
    dataset = rds.ResultDataset({}, where)
    ids = [int(name) for name in dataset.ids()]
    np.testing.assert_array_equal(dataset.__get_all__(), np.repeat(np.array(ids)[:, None], 64, axis=1))
    table = lance.dataset(table_path(where)).to_table()
    assert list(map(int, table["object_id"].to_pylist())) == ids
    np.testing.assert_array_equal(np.stack(table["data"].to_numpy(zero_copy_only=False)), dataset.__get_all__())
    return ids


def runs_of(where):
    """Names of the runs that left something in the table."""
    return [path.name for path in Path(table_path(where), "_rds").iterdir() if path.is_dir()]
