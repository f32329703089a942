"""Lance's clean-up removes all that no version names, in a loop, beside runs that write, that were killed and that
are recovered, and beside tokens: no acknowledged row is lost.

The clean-up is stopped for moments, as on a busy machine: between what it lists and what it removes runs publish
and end.
"""

from __future__ import annotations

import random
import signal
import time

import _library
import common
import rds
from common import Child, Told, expect


class Cleaner:
    def __init__(self, table, place, seconds: float, chance):
        arguments = ["--verbs", "clean=1", "--pause", 0.01, "--seconds", seconds, "--seed", chance.randrange(1 << 30)]
        self.child = Child(table, place, *arguments, program="lance_child.py", log=place / "log")
        self.chance, self.stopped, self.until, self.told = chance, False, 0.0, []

    def step(self) -> None:
        """Stops it, or lets it go on."""
        self.told += self.child.lines(0)
        if time.monotonic() < self.until:
            return
        self.stopped = not self.stopped
        self.child.signal(signal.SIGSTOP if self.stopped else signal.SIGCONT)
        self.until = time.monotonic() + self.chance.random() * (1.0 if self.stopped else 0.3)

    def finish(self):
        self.child.signal(signal.SIGCONT)
        return self.told + self.child.finish()


class Writers:
    """Children under names of their own: each lives a while, and is killed or closes."""

    def __init__(self, table, place, chance):
        self.table, self.place, self.chance = table, place, chance
        self.told: dict[str, Told] = {}
        self.alive: dict[str, tuple[Child, float]] = {}

    def start(self) -> None:
        writer = f"r{len(self.told)}"
        chance = self.chance
        arguments = [
            "--durability", chance.choice(["batch", "interval"]), "--writer", writer,
            "--seed", chance.randrange(1 << 30), "--verbs", "flush,commit,close", "--often", 0.1, "--pause", 0.05,
            "--visible-ms", 50, "--seconds", chance.random() * 6,
        ]
        self.told[writer] = Told()
        child = Child("write", self.table, *arguments, log=self.place / "log")
        self.alive[writer] = (child, time.monotonic() + chance.choice([chance.random() * 6, 1e9]))

    def step(self, counts) -> None:
        while len(self.alive) < 3:
            self.start()
        for writer, (child, until) in list(self.alive.items()):
            told = self.told[writer].add(child.lines(0))
            if time.monotonic() > until:
                told.add(child.kill())
                counts["killed"] += 1
            elif child.ended:
                told.add(child.finish())
                counts["closed"] += 1
            else:
                continue
            expect(told.error is None, f"{writer}: {told.error}")
            del self.alive[writer]

    def finish(self, counts) -> None:
        for writer, (child, _) in self.alive.items():
            # One at least, however short the program was.
            killed = not counts["killed"] and not child.ended
            self.told[writer].add(child.kill() if killed else child.finish())
            counts["killed" if killed else "closed"] += 1
            expect(self.told[writer].error is None, f"{writer}: {self.told[writer].error}")


class Tokens:
    """Rows that are staged, and published a while later."""

    def __init__(self, table):
        self.table, self.waiting, self.rows, self.at = table, [], 0, 0.0

    def step(self, chance, counts) -> None:
        if time.monotonic() < self.at:
            return
        self.at = time.monotonic() + chance.random()
        writer = rds.ResultDatasetWriter(self.table, mode="staged")
        count = chance.choice([1, 50, common.LARGE_ROWS])
        writer.write_batch(*common.batch("staged", self.rows, count))
        self.waiting.append(writer.stage())
        writer.close()
        self.rows += count
        if len(self.waiting) >= 3:
            self.publish(counts)

    def publish(self, counts) -> None:
        if self.waiting:
            rds.commit_staged(self.table, self.waiting, mode="append")
            counts["tokens"] += len(self.waiting)
            self.waiting = []


def recover(table, counts, **options) -> None:
    """A run that died while it made a version may have to wait: the versions that could tell were removed."""
    try:
        counts["recovered"] += rds.recover(table, **options).recovered_rows
    except rds.RdsError as error:
        expect(error.status == _library.UNKNOWN and not options, f"recover: {error}")
        counts["unknown"] += 1


def run(chosen, place, counts) -> None:
    chance = random.Random(chosen.seed)
    table = place / "t.lance"
    with rds.ResultDatasetWriter(table, mode="create") as writer:
        writer.write_batch(*common.batch("first", 0, 10))
    cleaner = Cleaner(table, place, chosen.seconds + 1, chance)
    writers, tokens = Writers(table, place, chance), Tokens(table)
    end = time.monotonic() + chosen.seconds
    recover_at = 0.0
    while time.monotonic() < end:
        cleaner.step()
        writers.step(counts)
        tokens.step(chance, counts)
        if time.monotonic() > recover_at:
            recover_at = time.monotonic() + chance.random() * 5
            recover(table, counts)
        time.sleep(0.01)
    writers.finish(counts)
    tokens.publish(counts)
    told = cleaner.finish()
    counts["cleaned"] += sum(line[0] == "cleaned" for line in told)
    counts["clean_failed"] += sum(line[0] == "failed" for line in told)
    # Of runs that have ended it puts back what a clean-up took that had listed before their last version.
    recover(table, counts)
    # Nobody has restored, so what cannot be known did not land.
    recover(table, counts, onto_replaced=True)

    rows = common.read_lance(table)
    expect(rows == common.read_rds(table), "Lance and librds read different rows")
    sequences = common.sequences(rows)
    expect(len(sequences.get("first", [])) == 10, "rows of the first run are lost")
    common.check_sequence("staged", sequences.get("staged", []), tokens.rows, tokens.rows)
    for writer, told in writers.told.items():
        counts["rows"] += common.check_sequence(writer, sequences.get(writer, []), told.durable, told.sent)
        counts["acknowledged"] += told.durable


if __name__ == "__main__":
    needed = ("cleaned", "killed", "closed", "tokens", "acknowledged", "rows")
    common.program(run, common.options(__doc__.splitlines()[0], seconds=40.0), *needed)
