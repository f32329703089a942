"""Processes of `readers.py` that change its table: each does one thing again and again, and tells what it did."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import time
from datetime import timedelta
from pathlib import Path

import _library
import common
import moments
import rds
from reads_child import DELETED, DELETED_OF


def tell(*words) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def failed(doing: str, error: Exception) -> None:
    text = f"{doing}: {type(error).__name__}: {error}"
    tell("failure", json.dumps({"text": text, "where": [], "at": time.time()}))


class Change:
    def __init__(self, chosen):
        self.now, self.chance = moments.Moments(chosen.place), random.Random(chosen.seed)
        self.name, self.unverified, self.rounds = chosen.name, chosen.unverified, 0
        self.table, self.verb = self.now.table, getattr(self, chosen.verb)
        self.end = time.monotonic() + chosen.seconds
        self.pause, self.older_than = chosen.pause, chosen.older_than

    def run(self) -> None:
        while time.monotonic() < self.end:
            self.rounds += 1
            self.verb()
            time.sleep(self.chance.random() * self.pause)
        tell("ended")

    def batch(self, writer: str, first: int, count: int, shape=(common.WIDTH,)):
        ids, tensors = common.batch(writer, first, count)
        return ids, tensors.reshape(count, *shape)

    # Writers -------------------------------------------------------------------------------------------------

    def append(self) -> None:
        """A run: batches, and flushes, commits and a close, after which all of them can be seen."""
        with self.now.present():
            try:
                self.append_run(f"{self.name}.{self.rounds}")
            except rds.RdsError as error:
                # The table was replaced meanwhile, or its rows have another shape than the run's.
                replaced = error.status in (_library.CONFLICT, _library.UNKNOWN, _library.SCHEMA_MISMATCH)
                tell("conflict") if replaced else failed("append", error)

    def append_run(self, run: str) -> None:
        with rds.ResultDataset({}, self.table) as dataset:
            shape = tuple(dataset.tensor_shape)
        before = self.now.replaced
        durability = self.chance.choice(["batch", "interval", "commit"])
        writer = rds.ResultDatasetWriter(
            self.table, mode="append", durability=durability, checkpoint_ms=20,
            visible_ms=self.chance.choice([50, 10000]),
        )
        try:
            sent = 0
            for _ in range(self.chance.randint(1, 8)):
                count = self.chance.choice([1, 20, 60, 400])
                writer.write_batch(*self.batch(run, sent, count, shape))
                sent += count
                verb = self.chance.choice(["flush", "commit", "", ""])
                if verb == "commit" or verb and durability != "commit":
                    getattr(writer, verb)()
                    self.made(run, sent, before)
                time.sleep(self.chance.random() * 0.05)
            writer.commit()
            self.made(run, sent, before)
            writer.close()
            tell("appended", sent)
        except rds.RdsError:
            self.give_up(writer)
            raise

    @staticmethod
    def give_up(writer) -> None:
        try:
            writer.abort()
        except rds.RdsError:
            pass

    def made(self, run: str, sent: int, before: int) -> None:
        """Who opens now sees these rows, unless the table was replaced since the run began."""
        self.now.made()
        if self.chance.random() < 0.3:
            with rds.ResultDataset({}, self.table) as dataset:
                found = dataset.find([f"{run}:0", f"{run}:{sent - 1}"])
            may_miss = [number % DELETED_OF == DELETED for number in (0, sent - 1)]
            missing = [row < 0 and not may for row, may in zip(found, may_miss)]
            if any(missing) and self.now.replaced == before and before % 2 == 0:
                failed("look", common.Failure(f"rows of {run} are not there after they were made visible"))
            tell("looked")

    def replace(self) -> None:
        """An overwrite; now and then the table is away before."""
        run, shape = f"{self.name}.{self.rounds}", self.chance.choice([(8,), (8,), (8,), (2, 4)])
        if self.chance.random() < 0.15:
            return self.move(run, shape)
        with self.now.present():
            self.now.replacing()
            try:
                self.overwrite(run, shape)
            except rds.RdsError as error:
                # Others changed the table since the writer was opened.
                tell("conflict") if error.status == _library.CONFLICT else failed("overwrite", error)
            finally:
                self.now.replacing()

    def overwrite(self, run: str, shape, mode="overwrite") -> None:
        durability = self.chance.choice(["batch", "commit"])
        writer = rds.ResultDatasetWriter(self.table, mode=mode, durability=durability)
        try:
            first = self.chance.choice([1, 100, 3000])
            writer.write_batch(*self.batch(run, 0, first, shape))
            writer.commit()
            self.now.made()
            writer.write_batch(*self.batch(run, first, 50, shape))
            writer.close()
            tell("replaced")
        except rds.RdsError:
            self.give_up(writer)
            raise

    def move(self, run: str, shape) -> None:
        gone = self.now.place / f"gone.{self.rounds}.lance"
        with self.now.away():
            self.table.rename(gone)
            time.sleep(self.chance.random() * 0.05)
            try:
                self.overwrite(run, shape, mode="create")
            except rds.RdsError as error:
                failed("create", error)
        # Whoever has opened it reads on.
        shutil.rmtree(gone)
        tell("moved")

    # Clean-ups -------------------------------------------------------------------------------------------------

    def vacuum(self) -> None:
        keeps = self.chance.random() < 0.2
        with self.now.present(), self.now.alone():
            try:
                removed = rds.vacuum(self.table, older_than_ms=self.older_than, keep_versions=keeps)
            except rds.RdsError as error:
                failed("vacuum", error)
                return
            tell("vacuumed", *removed)

    def pylance(self) -> None:
        verb = self.chance.choice(["lance_append", "lance_append", "delete", "compact", "clean"])
        with self.now.present(), self.now.alone():
            try:
                getattr(self, verb)()
            # What pylance makes of a conflict is told in many ways.
            except Exception as error:  # pylint: disable=broad-exception-caught
                tell("refused", verb, type(error).__name__, str(error).replace("\n", " ")[:300])
                return
        tell(verb)

    def lance_append(self) -> None:
        import lance
        from lance_child import arrow_batch

        dataset = lance.dataset(str(self.table))
        batch = arrow_batch(dataset.schema, f"{self.name}.{self.rounds}", 0, self.chance.choice([1, 100, 1000]))
        lance.write_dataset(batch, str(self.table), mode="append")

    def delete(self) -> None:
        import lance

        dataset = lance.dataset(str(self.table))
        rows = dataset.to_table(columns=["object_id"])["object_id"].to_pylist()
        may = [row for row in rows if int(row.rpartition(":")[2]) % DELETED_OF == DELETED]
        if may:
            chosen = ", ".join(f"'{row}'" for row in self.chance.sample(may, min(len(may), 5)))
            dataset.delete(f"object_id IN ({chosen})")

    def compact(self) -> None:
        import lance

        target = self.chance.choice([500, 100000])
        lance.dataset(str(self.table)).optimize.compact_files(target_rows_per_fragment=target)

    def clean(self) -> None:
        import lance

        lance.dataset(str(self.table)).cleanup_old_versions(timedelta(0), delete_unverified=self.unverified)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("place", type=Path)
    parser.add_argument("--verb", choices=["append", "replace", "vacuum", "pylance"])
    parser.add_argument("--name", default="w")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--pause", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--older-than", type=int, default=1, help="of a vacuum, in ms")
    parser.add_argument("--unverified", action="store_true")
    Change(parser.parse_args()).run()
