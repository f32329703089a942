"""A process that does with pylance what other users of a table do. It tells line by line what has landed.

Its own reads, writes and clean-ups keep out of each other's way by a lock that librds knows nothing of: what stock
clean-ups do to stock writers is not looked at here.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import random
import time
from datetime import timedelta
from pathlib import Path

import common
import lance
import pyarrow as pa


def tell(*words) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


@contextlib.contextmanager
def locked(place: Path, exclusive: bool = False):
    with open(place / "lock", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield


def rows_of(dataset) -> set[tuple[str, int]]:
    ids = dataset.to_table(columns=["object_id"])["object_id"].to_pylist()
    return {(row.rpartition(":")[0], int(row.rpartition(":")[2])) for row in ids}


def arrow_batch(schema: pa.Schema, writer: str, first: int, count: int) -> pa.Table:
    ids, tensors = common.batch(writer, first, count)
    columns = {
        "object_id": pa.array(ids, schema.field("object_id").type),
        "data": pa.FixedSizeListArray.from_arrays(pa.array(tensors.reshape(-1)), common.WIDTH),
    }
    arrays = [columns[field.name].cast(field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


class Other:
    def __init__(self, chosen):
        self.chosen, self.place = chosen, Path(chosen.place)
        self.table = str(chosen.table)
        self.chance = random.Random(chosen.seed)
        self.sent = 0

    def some(self, dataset) -> str:
        """A predicate for a few rows, whoever wrote them, and these."""
        rows = dataset.count_rows()
        places = sorted({self.chance.randrange(rows) for _ in range(self.chance.randint(1, 5))}) if rows else []
        self.picked = dataset.take(places, columns=["object_id"])["object_id"].to_pylist() if places else []
        return "object_id IN (" + ", ".join(f"'{row}'" for row in self.picked or ["none"]) + ")"

    def append(self) -> None:
        with locked(self.place):
            dataset, count = lance.dataset(self.table), self.chance.randint(1, 100)
            batch = arrow_batch(dataset.schema, self.chosen.writer, self.sent, count)
            self.sent += count
            tell("sending", self.sent)
            lance.write_dataset(batch, self.table, mode="append")
            tell("appended", self.sent - count, self.sent)

    def delete(self) -> None:
        with locked(self.place):
            dataset = lance.dataset(self.table)
            dataset.delete(self.some(dataset))
            tell("deleted", dataset.version, *self.picked)

    def update(self) -> None:
        with locked(self.place):
            dataset = lance.dataset(self.table)
            dataset.update({"object_id": "object_id"}, where=self.some(dataset))
            tell("updated", dataset.version, *self.picked)

    def compact(self) -> None:
        with locked(self.place):
            lance.dataset(self.table).optimize.compact_files(target_rows_per_fragment=self.chance.choice([500, 100000]))
            tell("compacted")

    def clean(self) -> None:
        with locked(self.place, exclusive=True):
            age = timedelta(seconds=self.chance.choice([0, 0, 3]))
            unverified = self.chance.random() < 0.7
            lance.dataset(self.table).cleanup_old_versions(age, delete_unverified=unverified)
            tell("cleaned")

    def restore(self) -> None:
        """What it takes and brings back is the difference between the version before and the one restored."""
        with locked(self.place, exclusive=True):
            versions = [version["version"] for version in lance.dataset(self.table).versions()]
            back = min(len(versions), self.chance.choice([2, 2, 3, 4, 12]))
            old = lance.dataset(self.table, version=versions[-back])
            to, rows = old.version, rows_of(old)
            began = time.time()
            old.restore()
            before = rows_of(lance.dataset(self.table, version=old.version - 1))
            event = {
                "version": old.version, "to": to, "began": began,
                "taken": sorted(before - rows), "back": sorted(rows - before),
            }
            # The name comes last: whoever sees it may read it.
            written = self.place / f"restore.{old.version}"
            written.write_text(json.dumps(event))
            written.rename(self.place / f"restore.{old.version}.json")
            tell("restored", old.version, to)

    def run(self) -> None:
        verbs = [verb.split("=") for verb in self.chosen.verbs.split(",")]
        names, weights = [verb[0] for verb in verbs], [float(verb[1]) for verb in verbs]
        end = time.monotonic() + self.chosen.seconds
        while time.monotonic() < end:
            verb = self.chance.choices(names, weights)[0]
            try:
                getattr(self, verb)()
            # What pylance makes of a conflict is told in many ways.
            except Exception as error:  # pylint: disable=broad-exception-caught
                tell("failed", verb, type(error).__name__, str(error).replace("\n", " ")[:300])
            time.sleep(self.chance.random() * self.chosen.pause)
        tell("ended")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("table")
    parser.add_argument("place", help="of the lock, and of what restores took")
    parser.add_argument("--writer", default="l")
    parser.add_argument("--verbs", default="append=1", help="with weights")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--pause", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=1)
    Other(parser.parse_args()).run()
