"""Datasets that tests write, sinks that fail, and what a table must then be."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import ray

import rds
import rds.ray
from rds._location import table_path

ROWS = 1000
PARTS = 200


def tensors(numbers):
    """What a row has, told by its number."""
    return {
        "embedding": np.stack([numbers + step / 8 for step in range(6)], axis=1).reshape(-1, 2, 3).astype(np.float32),
        "score": numbers.astype(np.float64) / 7,
    }


def make(batch):
    return {"id": np.array([f"object-{number}" for number in batch["id"]]), **tensors(batch["id"])}


def dataset(rows=ROWS, parts=PARTS, function=make):
    """Rows in tasks of equal size, each of which is one part."""
    return ray.data.range(rows, override_num_blocks=parts).map_batches(function)


def assert_is_table(where, rows=ROWS, versions=1):
    """Whether it is what one writer makes that writes row after row, and nothing else is beside it."""
    with rds.ResultDataset({}, where) as table:
        assert list(table.ids()) == [f"object-{number}" for number in range(rows)]
        got = table.take(range(rows))
        for name, expected in tensors(np.arange(rows)).items():
            assert got[name].dtype == expected.dtype
            assert np.array_equal(got[name], expected)
        fragments = table.lance_dataset.get_fragments()
        named = {file.path for fragment in fragments for file in fragment.data_files()}
    assert len(os.listdir(table_path(where) / "_versions")) == versions + 1  # with the hint
    assert {path.name for path in (table_path(where) / "data").iterdir()} == named
    assert [path for path in left_of_jobs(where) if path.suffix == ".lance"] == []
    return named


def left_of_jobs(where):
    """Files of parts beside the table."""
    inside = table_path(where)
    known = {"_versions", "_transactions", "data"}
    return [path for path in inside.rglob("*") if path.is_file() and path.relative_to(inside).parts[0] not in known]


class Failing(rds.ray.Datasink):
    """A sink whose tasks of some numbers fail, each so many times: before, in or after the write."""

    def __init__(self, where, notes, fails, **options):
        super().__init__(where, **options)
        self.notes, self.fails = str(notes), fails
        Path(notes).mkdir(exist_ok=True)

    def write(self, blocks, ctx):
        when, how, times = self.fails.get(ctx.task_idx, (None, None, 0))
        attempt = self.attempts(ctx.task_idx)
        (Path(self.notes) / f"{ctx.task_idx}.{attempt}").touch()
        fail = how if attempt < times else None
        if fail and when == "before":
            FAILURES[fail]()
        token = super().write(self.interrupted(blocks) if fail and when == "in" else blocks, ctx)
        if fail and when == "after":
            FAILURES[fail]()
        return token

    def attempts(self, task):
        return len(list(Path(self.notes).glob(f"{task}.*")))

    def interrupted(self, blocks):
        """The first half of the first block, and then the failure."""
        how = next(how for when, how, _ in self.fails.values() if when == "in")
        for block in blocks:
            yield block.slice(0, len(block) // 2)
            FAILURES[how]()


def _raise():
    raise RuntimeError("the network is away")


def _kill():
    # What was given to the writer is on its way to the disk.
    time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)


FAILURES = {"raise": _raise, "kill": _kill}
