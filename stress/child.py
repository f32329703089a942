"""What child processes do. Each tells on its standard output, line by line, what it begins and what it has
been told: the parent kills or stops it at any moment and knows what must be there."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time

import _library
import common
import rds


def tell(*words) -> None:
    # One write: a line is told whole, or not at all.
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


class Source:
    """One writer after the other under one name, with rows that go on."""

    def __init__(self, chosen):
        self.chosen = chosen
        self.chance = random.Random(chosen.seed)
        self.sent = chosen.first
        self.before = chosen.first
        self.durable = chosen.first
        self.mode = chosen.mode
        self.open()

    def open(self) -> None:
        self.writer = _library.open_writer(
            self.chosen.table,
            mode=self.mode,
            durability=self.chosen.durability,
            checkpoint_ms=20,
            visible_ms=self.chosen.visible_ms,
        )
        self.before = self.sent
        tell("open")

    def batch(self) -> None:
        large = self.chance.random() < self.chosen.large
        rows = common.LARGE_ROWS if large else self.chance.randint(1, 60)
        batch = common.batch(self.chosen.writer, self.sent, rows)
        tell("sending", self.sent + rows)
        self.writer.write_batch(*batch)
        self.sent += rows
        if self.chosen.durability == "batch":
            self.told(self.sent)
        else:
            self.told(self.before + self.writer.stats().durable_rows)

    def told(self, durable: int) -> None:
        if durable > self.durable:
            self.durable = durable
            tell("durable", durable)

    def verb(self, verb: str) -> None:
        tell("begin", verb)
        getattr(self.writer, verb)()
        self.told(self.sent)
        tell("done", verb)
        if verb == "close":
            # With rows it has made the table.
            self.mode = self.mode if self.mode == "append" or self.sent == 0 else "append"
            self.open()


def write(chosen) -> None:
    source = Source(chosen)
    verbs = [verb for verb in chosen.verbs.split(",") if verb]
    end = time.monotonic() + chosen.seconds
    for _ in range(chosen.batches):
        source.batch()
        if verbs and source.chance.random() < chosen.often:
            source.verb(source.chance.choice(verbs))
        if chosen.pause:
            time.sleep(source.chance.random() * chosen.pause)
        if time.monotonic() > end:
            break
    source.verb("flush")
    source.writer.close()
    tell("ended", source.sent)


def recover(chosen) -> None:
    tell("begin", "recover")
    info = _library.recover(chosen.table, chosen.flags)
    tell("done", "recover", *info)


def open_append(chosen) -> None:
    """A writer that appends finishes what others left, though it has no rows of its own."""
    tell("begin", "open")
    _library.open_writer(chosen.table, mode="append").close()
    tell("done", "open")


VERBS = {"write": write, "recover": recover, "open": open_append}


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("table")
    parser.add_argument("--mode", default="append")
    parser.add_argument("--durability", default="batch")
    parser.add_argument("--writer", default="w")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batches", type=int, default=1 << 30)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--verbs", default="", help="of flush, commit, close")
    parser.add_argument("--often", type=float, default=0.05, help="chance of a verb after a batch")
    parser.add_argument("--large", type=float, default=0.02, help="chance of a batch that is large")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between batches at most")
    parser.add_argument("--visible-ms", type=int, default=300)
    parser.add_argument("--flags", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    try:
        VERBS[chosen.verb](chosen)
    except rds.RdsError as error:
        tell("error", error.status, str(error).replace("\n", " "))
        # Nothing is closed: what is open is left as a process leaves it that ends.
        sys.stdout.flush()
        os._exit(3)


if __name__ == "__main__":
    main()
