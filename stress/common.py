"""What the programs share: rows that say what they are, temporary places, children, and the last line."""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
WIDTH = 8
# A batch of more rows is not small any more: it does not go into the journal whole.
LARGE_ROWS = 9000


class Failure(Exception):
    """A promise was broken."""


def expect(condition, message: str) -> None:
    if not condition:
        raise Failure(message)


# Rows ------------------------------------------------------------------------------------------------------


def ids(writer: str, first: int, count: int) -> list[str]:
    return [f"{writer}:{number}" for number in range(first, first + count)]


def tensors(writer: str, numbers) -> np.ndarray:
    """A row tells whose it is and which: any other value under its id is found."""
    start = zlib.crc32(writer.encode()) & 0xFFFFFF
    numbers = np.asarray(numbers, dtype=np.int64)
    values = start + numbers[:, None] * 31 + np.arange(WIDTH) * 1000003
    return (values & 0x7FFFFFFF).astype(np.int32)


def batch(writer: str, first: int, count: int):
    return ids(writer, first, count), tensors(writer, np.arange(first, first + count))


def check_rows(object_ids: list[str], data: np.ndarray) -> list[tuple[str, int]]:
    """Writer and number of every row, whose tensors are checked."""
    expect(len(object_ids) == len(data), f"{len(object_ids)} ids of {len(data)} rows")
    rows, by_writer = [], {}
    for at, object_id in enumerate(object_ids):
        expect(object_id is not None, f"row {at} has no id")
        writer, _, number = object_id.rpartition(":")
        rows.append((writer, int(number)))
        by_writer.setdefault(writer, []).append(at)
    for writer, places in by_writer.items():
        wanted = tensors(writer, [rows[at][1] for at in places])
        wrong = np.flatnonzero((np.asarray(data)[places] != wanted).any(axis=1))
        if len(wrong):
            at = places[wrong[0]]
            raise Failure(f"{len(wrong)} rows of {writer} have other tensors; row {at}, {object_ids[at]}: {data[at]}")
    return rows


def read_lance(table, version: int | None = None) -> list[tuple[str, int]]:
    import lance

    found = lance.dataset(str(table), version=version).to_table(columns=["object_id", "data"])
    data = found["data"].combine_chunks()
    expect(found["object_id"].null_count == 0 and data.null_count == 0, "a null that nobody wrote")
    flat = data.flatten() if len(data) else data.values
    expect(flat.null_count == 0, "a null that nobody wrote")
    return check_rows(found["object_id"].to_pylist(), np.asarray(flat).reshape(-1, WIDTH))


def read_rds(table) -> list[tuple[str, int]]:
    import rds

    dataset = rds.ResultDataset({}, table)
    rows = np.asarray(dataset[list(range(len(dataset)))])
    return check_rows([str(i) for i in dataset.ids()], rows.reshape(-1, WIDTH))


def sequences(rows) -> dict[str, list[int]]:
    by_writer: dict[str, list[int]] = {}
    for writer, number in rows:
        by_writer.setdefault(writer, []).append(number)
    return by_writer


def check_sequence(writer: str, numbers: list[int], durable: int, sent: int) -> int:
    """Rows of one writer: all from the first to one at least as far as was told, each once, in order."""
    doubled = [number for number, times in Counter(numbers).items() if times > 1]
    expect(not doubled, f"{writer}: {len(doubled)} rows are there twice, the first is {min(doubled, default=0)}")
    expect(numbers == sorted(numbers), f"{writer}: rows are out of order")
    missing = sorted(set(range(durable)) - set(numbers))
    expect(not missing, f"{writer}: {len(missing)} of {durable} acknowledged rows are lost, from {missing[:1]}")
    expect(numbers == list(range(len(numbers))), f"{writer}: rows are missing before others")
    expect(len(numbers) <= sent, f"{writer}: {len(numbers)} rows of {sent} that were sent")
    return len(numbers)


# Children --------------------------------------------------------------------------------------------------


class Child:
    """A process of `child.py` or another program, which tells line by line what it does."""

    def __init__(self, *arguments, program: str = "child.py", log: Path | None = None, **environment):
        command = [sys.executable, str(HERE / program), *map(str, arguments)]
        self.errors = open(log, "ab") if log else None
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env={**os.environ, **{name: str(value) for name, value in environment.items()}},
        )
        os.set_blocking(self.process.stdout.fileno(), False)
        self.rest = b""
        self.ended = False

    def lines(self, seconds: float) -> list[list[str]]:
        """What it has told since, split; waits so long for the first."""
        ready, _, _ = select.select([self.process.stdout], [], [], max(seconds, 0))
        told = b""
        while ready:
            try:
                more = os.read(self.process.stdout.fileno(), 1 << 16)
            except BlockingIOError:
                break
            if not more:
                self.ended = True
                break
            told += more
        *whole, self.rest = (self.rest + told).split(b"\n")
        return [line.decode().split() for line in whole]

    def wait_for(self, word: str, seconds: float = 60) -> list[list[str]]:
        """Lines up to one that begins with the word, or the end."""
        all_lines, end = [], time.monotonic() + seconds
        while not self.ended:
            more = self.lines(end - time.monotonic())
            all_lines += more
            if any(line[0] == word for line in more):
                return all_lines
            expect(time.monotonic() < end, f"a child did not say {word!r} within {seconds} s")
        return all_lines

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def kill(self) -> list[list[str]]:
        """Kills it, and gives what it told before."""
        self.signal(signal.SIGKILL)
        return self.finish()

    def finish(self, seconds: float = 120) -> list[list[str]]:
        lines, end = [], time.monotonic() + seconds
        while not self.ended:
            lines += self.lines(end - time.monotonic())
            expect(time.monotonic() < end, f"a child did not end within {seconds} s")
        self.process.wait()
        self.process.stdout.close()
        if self.errors:
            self.errors.close()
        return lines


class Told:
    """What a writing child has sent, and what it was told is durable."""

    def __init__(self):
        self.sent, self.durable, self.error = 0, 0, None

    def add(self, lines) -> Told:
        for word, *rest in lines:
            if word == "sending":
                self.sent = int(rest[0])
            elif word == "durable":
                self.durable = int(rest[0])
            elif word == "error":
                self.error = (int(rest[0]), " ".join(rest[1:]))
        return self


# Programs --------------------------------------------------------------------------------------------------


def options(description: str, **defaults):
    parser = argparse.ArgumentParser(description=description)
    for name, value in defaults.items():
        option = f"--{name.replace('_', '-')}"
        if value is False:
            parser.add_argument(option, action="store_true")
        else:
            parser.add_argument(option, type=type(value), default=value, help=f"default {value}")
    parser.add_argument("--seed", type=int, default=0, help="default 0: another one every time")
    parser.add_argument("--keep", action="store_true", help="keep the tables, of a success too")
    chosen = parser.parse_args()
    chosen.seed = chosen.seed or random.SystemRandom().randrange(1, 1 << 31)
    return chosen


@contextlib.contextmanager
def place(keep: bool = False):
    """A directory of its own; what failed is left to be looked at."""
    path = Path(tempfile.mkdtemp(prefix="rds-stress-"))
    try:
        yield path
    except BaseException:
        print(f"left at {path}", file=sys.stderr)
        raise
    if not keep:
        shutil.rmtree(path, ignore_errors=True)


def program(run, chosen, *needed: str) -> None:
    """Runs, prints the last line and exits. What is needed must have been checked at least once."""
    counts: Counter[str] = Counter({name: 0 for name in needed})
    try:
        with place(chosen.keep) as path:
            run(chosen, path, counts)
        nothing = [name for name in needed if not counts[name]]
        expect(not nothing, f"nothing was checked of {', '.join(nothing)}")
    except Exception as error:  # pylint: disable=broad-exception-caught
        if not isinstance(error, Failure):
            traceback.print_exc()
        print(f"FAIL: seed={chosen.seed} {_told(counts)}: {type(error).__name__}: {error}")
        sys.exit(1)
    print(f"ok: seed={chosen.seed} {_told(counts)}")


def _told(counts: Counter[str]) -> str:
    return " ".join(f"{name}={number}" for name, number in counts.items())
