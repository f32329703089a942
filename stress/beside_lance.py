"""Runs of librds and everything that pylance does to a table, at the same time: every row is accounted for.

Three runs append, two in INTERVAL and one in BATCH, in processes of their own; others append, delete, update, compact,
clean up and restore with pylance. What a restore took is the difference of two versions, which is read when it is
made. At the end every row that was acknowledged is there once, unless a restore took it, somebody deleted it, or its
run was told that the table was restored below it: then it waits, and comes with RDS_RECOVER_ONTO_REPLACED.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter, defaultdict

import _library
import common
import lance
import rds
from common import Child, Told, expect
from lance_child import arrow_batch, locked

DURABILITIES = ("interval", "interval", "batch")
# How long a file that a clean-up took may be away while its run lives.
PUT_BACK = 20.0
# How many of the versions that are left at the end are read.
VERSIONS = 30


class Run:
    """One writing process after the other in one place of the three."""

    def __init__(self, durability: str):
        self.durability, self.child, self.opened = durability, None, 0.0

    def start(self, model: Model, seconds: float) -> None:
        self.writer = f"r{len(model.runs)}"
        self.told = model.runs[self.writer] = Told()
        self.child = Child(
            "write", model.table, "--durability", self.durability, "--writer", self.writer,
            "--seed", model.chance.randrange(1 << 30), "--verbs", "flush,commit,close", "--often", 0.1,
            "--pause", 0.08, "--large", 0.002, "--visible-ms", 100, "--seconds", seconds, log=model.place / "log",
        )

    def step(self, model: Model, counts) -> None:
        lines = self.child.lines(0)
        self.told.add(lines)
        for line in lines:
            self.opened = time.time() if line[0] == "open" else self.opened
            counts["verbs"] += line[0] == "done"
        if not self.child.ended:
            return
        self.told.add(self.child.finish())
        self.child = None
        counts["runs"] += 1
        if self.told.error:
            status, message = self.told.error
            expect(status == _library.CONFLICT, f"{self.writer}: {message}")
            model.conflicts[self.writer] = (self.opened, message)
            counts["conflicts"] += 1


class Model:
    def __init__(self, table, place, chance):
        self.table, self.place, self.chance = table, place, chance
        self.runs: dict[str, Told] = {}
        # When the run was opened that was told of a restore, and what it was told.
        self.conflicts: dict[str, tuple[float, str]] = {}
        # Rows that pylance was told of, and those that it had sent.
        self.others: dict[str, tuple[set, int]] = {}
        self.deleted: list[tuple[int, list[str]]] = []

    def restores(self) -> list[dict]:
        return [json.loads(path.read_text()) for path in sorted(self.place.glob("restore.*.json"))]

    def hear(self, writer: str, lines, counts) -> None:
        told, sent = self.others.setdefault(writer, (set(), 0))
        for word, *rest in lines:
            if word == "sending":
                sent = int(rest[0])
                continue
            counts[word] += 1
            if word == "appended":
                told.update(range(int(rest[0]), int(rest[1])))
            elif word == "deleted":
                self.deleted.append((int(rest[0]), rest[1:]))
        self.others[writer] = (told, sent)

    def changes(self) -> dict[tuple[str, int], bool]:
        """Of rows that were taken or brought back, whether the last change left them there."""
        events = [(version, False, [split(row) for row in rows]) for version, rows in self.deleted]
        for restore in self.restores():
            events.append((restore["version"], False, [tuple(row) for row in restore["taken"]]))
            events.append((restore["version"], True, [tuple(row) for row in restore["back"]]))
        there = {}
        for _, is_there, rows in sorted(events, key=lambda event: event[0]):
            there.update((row, is_there) for row in rows)
        return there


def split(object_id: str) -> tuple[str, int]:
    writer, _, number = object_id.rpartition(":")
    return writer, int(number)


def read(table, place, counts, version: int | None = None) -> list[tuple[str, int]]:
    """A version with nobody cleaning up. What a clean-up took from a run that lives is soon put back."""
    end = time.monotonic() + PUT_BACK
    while True:
        try:
            with locked(place):
                dataset = lance.dataset(str(table), version=version)
                rows = common.read_lance(table, dataset.version)
                if version is None:
                    check_order(dataset, counts)
            break
        except Exception as error:  # pylint: disable=broad-exception-caught
            # Below one's feet, if it was an old one.
            gone = version and all(found["version"] != version for found in lance.dataset(str(table)).versions())
            if gone:
                return []
            if isinstance(error, common.Failure) or "ot found" not in str(error) or time.monotonic() > end:
                raise
            counts["waited"] += 1
            time.sleep(0.2)
    check_once(rows)
    counts["versions"] += 1
    return rows


def check_once(rows) -> None:
    doubled = [row for row, times in Counter(rows).items() if times > 1]
    expect(not doubled, f"{len(doubled)} rows are there twice: {sorted(doubled)[:3]}")


def check_order(dataset, counts) -> None:
    """Rows that nobody but librds has moved are in the order in which they were written."""
    last: dict[str, int] = defaultdict(lambda: -1)
    for fragment in dataset.get_fragments():
        if all(file.path.startswith("rds-") for file in fragment.data_files()):
            for row in fragment.to_table(columns=["object_id"])["object_id"].to_pylist():
                writer, number = split(row)
                expect(last[writer] < number, f"{row} comes after {writer}:{last[writer]}")
                last[writer] = number
                counts["in_order"] += 1


def missing(model: Model, rows) -> dict[str, list[int]]:
    """Acknowledged rows that are not there and should, by writer; checks that what is gone stays gone."""
    changes, there = model.changes(), set(rows)
    again = [row for row, is_there in changes.items() if not is_there and row in there]
    expect(not again, f"{len(again)} rows that were taken or deleted are there: {sorted(again)[:3]}")
    lost: dict[str, list[int]] = defaultdict(list)
    acknowledged = [(writer, number) for writer, told in model.runs.items() for number in range(told.durable)]
    acknowledged += [(writer, number) for writer, (told, _) in model.others.items() for number in sorted(told)]
    for row in acknowledged:
        if row not in there and changes.get(row, True):
            lost[row[0]].append(row[1])
    sent = {**{w: told.sent for w, told in model.runs.items()}, **{w: sent for w, (_, sent) in model.others.items()}}
    for writer, number in there:
        expect(writer == "first" or number < sent[writer], f"{writer}:{number} was never sent")
    return lost


def check_end(model: Model, counts) -> None:
    for writer, (opened, message) in model.conflicts.items():
        restores = [event for event in model.restores() if event["began"] > opened - 1]
        expect(restores, f"{writer}: nobody has restored since it was opened, and it was told {message}")
    try:
        rds.recover(model.table)
    except rds.RdsError as error:
        # That of a run which was told before it was restored away, and clean-ups took the versions that could tell.
        expect(error.status in (_library.CONFLICT, _library.UNKNOWN), f"recover: {error}")
        counts["refused" if error.status == _library.CONFLICT else "unknown"] += 1
    waiting = rds.recover(model.table, dry_run=True)
    lost = missing(model, read(model.table, model.place, counts))
    for writer, numbers in lost.items():
        expect(writer in model.conflicts, f"{writer}: {len(numbers)} acknowledged rows are lost, from {numbers[0]}")
    rows = sum(map(len, lost.values()))
    expect(rows <= waiting.waiting_rows, f"{rows} rows are missing, {waiting.waiting_rows} wait")
    counts["waiting"] += waiting.waiting_rows
    rds.recover(model.table, onto_replaced=True)
    rows = read(model.table, model.place, counts)
    lost = missing(model, rows)
    expect(not lost, f"rows are lost though they were told to wait: { {w: (len(n), n[0]) for w, n in lost.items()} }")
    expect(common.sequences(common.read_rds(model.table)) == common.sequences(rows), "librds reads other rows")
    versions = [version["version"] for version in lance.dataset(str(model.table)).versions()]
    for version in model.chance.sample(versions, min(len(versions), VERSIONS)):
        read(model.table, model.place, counts, version)
    counts["rows"] += len(rows)
    counts["acknowledged"] += sum(told.durable for told in model.runs.values())


def make(table) -> None:
    with rds.ResultDatasetWriter(table, mode="create") as writer:
        writer.write_batch(*common.batch("first", 0, 100))
    # Restores find some versions of before.
    for first in range(100, 200, 10):
        schema = lance.dataset(str(table)).schema
        lance.write_dataset(arrow_batch(schema, "first", first, 10), str(table), mode="append")


def run(chosen, place, counts) -> None:
    chance = random.Random(chosen.seed)
    table = place / "t.lance"
    make(table)
    model = Model(table, place, chance)
    end = time.monotonic() + chosen.seconds
    verbs = {
        "l0": "append=4,delete=2,update=2",
        "l1": f"append=1,delete=1,compact=3,update=1,clean={chosen.clean}",
        "l2": f"restore={chosen.restore},append=4,compact=1",
    }
    children = {
        writer: Child(
            table, place, "--writer", writer, "--verbs", weights, "--pause", 0.6, "--seconds", chosen.seconds,
            "--seed", chance.randrange(1 << 30), program="lance_child.py", log=place / "log",
        )
        for writer, weights in verbs.items()
    }
    runs = [Run(durability) for durability in DURABILITIES]
    read_at = 0.0
    while (left := end - time.monotonic()) > 0 or any(run.child for run in runs):
        for one in runs:
            if one.child is None and left > 0:
                one.start(model, min(left, 3 + chance.random() * 20))
            if one.child:
                one.step(model, counts)
        for writer, child in children.items():
            model.hear(writer, child.lines(0.02), counts)
        if time.monotonic() > read_at:
            read(table, place, counts)
            read_at = time.monotonic() + 1.5
    for writer, child in children.items():
        model.hear(writer, child.finish(), counts)
    check_end(model, counts)


if __name__ == "__main__":
    needed = ("appended", "deleted", "updated", "compacted", "runs", "versions", "rows", "acknowledged", "in_order")
    chosen_options = common.options(__doc__.splitlines()[0], seconds=120.0, restore=0.5, clean=0.7)
    common.program(run, chosen_options, *needed)
