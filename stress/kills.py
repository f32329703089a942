"""A writer is killed at any moment, or whoever recovers is: what was acknowledged is there once, in order.

Rounds share a table until it is made anew. Of each round the model keeps how many rows were sent and how many
were acknowledged; after a recovery these must be there, the rows of earlier rounds first.
"""

from __future__ import annotations

import random
import shutil
import time

import common
from common import Child, Told, expect

ROUNDS_OF_A_TABLE = 20
MOST_ATTEMPTS = 50


class Table:
    def __init__(self, path):
        self.path = path
        # Writers in order, each with what it was told and sent; the rows that a check found.
        self.writers: dict[str, Told] = {}
        self.found: dict[str, int] = {}

    def has_version(self) -> bool:
        return any((self.path / "_versions").glob("*.manifest"))

    def check(self, counts, complete: bool) -> None:
        """Opens with Lance and librds; after a recovery all that was acknowledged is there."""
        if not self.has_version():
            told = [writer for writer, told in self.writers.items() if told.durable]
            expect(not complete or not told, f"there is no version, and rows of {told} were acknowledged")
            counts["without_version"] += 1
            return
        rows = common.read_lance(self.path)
        expect(rows == common.read_rds(self.path), "Lance and librds read different rows")
        sequences = common.sequences(rows)
        order = list(dict.fromkeys(writer for writer, _ in rows))
        expect(order == [writer for writer in self.writers if writer in sequences], f"runs in the order {order}")
        for writer, told in self.writers.items():
            durable = told.durable if complete else self.found.get(writer, 0)
            self.found[writer] = common.check_sequence(writer, sequences.get(writer, []), durable, told.sent)
            if complete:
                # Recovered once: nothing more can come.
                told.sent = told.durable = self.found[writer]
        counts["checks"] += 1
        counts["rows"] += len(rows)

    def overwritten(self, writer: str, told: Told) -> None:
        """Whether a run that replaces the table did so; rows that were acknowledged do once it is recovered."""
        if self.has_version() and any(row[0] == writer for row in common.read_lance(self.path)):
            self.writers, self.found = {writer: told}, {}
        else:
            expect(not told.durable, f"{writer}: {told.durable} acknowledged rows did not replace the table")


def kill_writer(table: Table, writer: str, mode: str, chance, counts, log) -> None:
    durability = chance.choice(["batch", "batch", "interval"])
    in_verb = chance.random() < 0.15
    child = Child(
        "write", table.path, "--mode", mode, "--durability", durability, "--writer", writer,
        "--seed", chance.randrange(1 << 30), "--verbs", "flush,commit,close",
        "--often", 0.3 if in_verb else 0.05, log=log,
    )
    lines = child.wait_for("begin" if in_verb else "open")
    time.sleep(chance.random() ** 2 * (0.03 if in_verb else 0.6))
    lines += child.kill()
    told = Told().add(lines)
    expect(told.error is None, f"{writer}: {told.error}")
    counts["kills"] += 1
    counts["kills_in_verb"] += lines[-1][0] == "begin"
    counts["acknowledged"] += told.durable
    if mode == "overwrite":
        table.pending = (writer, told)
    else:
        table.writers[writer] = told


def kill_recovery(table: Table, chance, counts, log) -> None:
    child = Child(chance.choice(["recover", "open"]), table.path, log=log)
    child.wait_for("begin")
    time.sleep(chance.random() ** 2 * 0.15)
    lines = child.kill()
    counts["kills"] += 1
    counts["kills_in_recovery"] += not any(line[0] in ("done", "error") for line in lines)


def recover(table: Table, log) -> None:
    child = Child("recover", table.path, log=log)
    told = Told().add(child.finish())
    # With nothing ever durable there may be no directory either.
    expect(told.error is None or (told.error[0] == 4 and not table.path.exists()), f"recover: {told.error}")


def one_round(table: Table, number: int, is_last: bool, chance, counts, log) -> None:
    table.pending = None
    mode = "append" if table.has_version() else "create"
    if mode == "append" and chance.random() < 0.08:
        mode = "overwrite"
        # A run that died comes first, and what replaces the table would be on top of another version then.
        recover(table, log)
        table.check(counts, complete=True)
    kill_writer(table, f"r{number}", mode, chance, counts, log)
    attempts = 0
    # A short run may have had none by chance.
    while chance.random() < 0.25 or is_last and counts["kills_in_recovery"] == 0 and attempts < MOST_ATTEMPTS:
        kill_recovery(table, chance, counts, log)
        attempts += 1
    if table.pending is None:
        table.check(counts, complete=False)
        if table.has_version() and chance.random() < 0.2:
            # Left for the next round's writer, which appends.
            return
    recover(table, log)
    if table.pending:
        table.overwritten(*table.pending)
    table.check(counts, complete=True)


def run(chosen, place, counts) -> None:
    chance = random.Random(chosen.seed)
    table = None
    for number in range(chosen.rounds):
        if number % ROUNDS_OF_A_TABLE == 0:
            if table:
                recover(table, place / "log")
                table.check(counts, complete=True)
                shutil.rmtree(table.path)
            table = Table(place / f"t{number}.lance")
        try:
            one_round(table, number, number + 1 == chosen.rounds, chance, counts, place / "log")
        except common.Failure as failure:
            raise common.Failure(f"round {number}: {failure}") from failure
    recover(table, place / "log")
    table.check(counts, complete=True)


if __name__ == "__main__":
    chosen_options = common.options(__doc__.splitlines()[0], rounds=60)
    common.program(run, chosen_options, "kills", "kills_in_recovery", "checks", "acknowledged", "rows")
