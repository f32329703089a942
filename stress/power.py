"""The power is cut at any moment: what a disk may have then is rebuilt, recovered and read.

All that a CREATE run, an APPEND run that dies, its recovery, a run in INTERVAL and a token do to files is recorded
(recorder.c). Before each fsync, what came before an earlier sync of the same file or directory is on the disk; of the
rest nothing, all, or any part: pages of 4 KiB of what was written, and names one by one. A version that has a name must
open, and after a recovery all rows that were acknowledged must be there, once and in order.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import common
import disk
from common import expect

SMALL, LARGE = 200, 9000
TABLE = "t.lance"


# What is recorded --------------------------------------------------------------------------------------------


class Says:
    """A writer of one name whose acknowledgements go into the record."""

    def __init__(self, table, writer: str, mode: str, durability: str = "batch"):
        import rds

        self.writer, self.sent, self.durability = writer, 0, durability
        self.open = rds.ResultDatasetWriter(
            table, mode=mode, durability=durability, checkpoint_ms=20, visible_ms=1 << 30
        )
        self.record = ctypes.CDLL(None).recorder_says

    def says(self, word: str, more: str = "") -> None:
        self.record(f"{word} {self.writer} {self.sent} {more}".encode())

    def batch(self, rows: int) -> None:
        self.record(f"sent {self.writer} {self.sent + rows}".encode())
        self.open.write_batch(*common.batch(self.writer, self.sent, rows))
        self.sent += rows
        if self.durability == "interval":
            end = time.monotonic() + 10
            while self.open.stats().durable_rows < self.sent:
                expect(time.monotonic() < end, "rows do not become durable")
                time.sleep(0.005)
        if self.durability != "commit":
            self.says("durable")

    def verb(self, verb: str) -> None:
        getattr(self.open, verb)()
        self.says("visible")


def record_create(table) -> None:
    run = Says(table, "a", "create")
    for rows in (3, SMALL, LARGE, 5):
        run.batch(rows)
    run.verb("flush")
    for rows in (7, SMALL):
        run.batch(rows)
    run.verb("commit")
    run.batch(11)
    run.verb("close")


def record_append(table) -> None:
    run = Says(table, "b", "append")
    # More than the first segment of the journal holds.
    for rows in (1, SMALL, 3000, 3000, LARGE, 2):
        run.batch(rows)
    run.verb("flush")
    for rows in (SMALL, LARGE, 3):
        run.batch(rows)
    os._exit(0)


def record_recover(table) -> None:
    import rds

    rds.recover(table)
    run = Says(table, "c", "append", "interval")
    for rows in (SMALL, LARGE):
        run.batch(rows)
    run.verb("close")


def record_token(table) -> None:
    import rds

    run = Says(table, "d", "staged", "commit")
    for rows in (2, LARGE):
        run.batch(rows)
    token = run.open.stage()
    run.says("token", token.hex())
    run.open.close()
    rds.commit_staged(table, [token], mode="append")
    run.says("visible")


RECORDED = {"create": record_create, "append": record_append, "recover": record_recover, "token": record_token}


def record(place: Path) -> Path:
    """The log of all of it. What the log leads to must be what is there: nothing was done unseen."""
    library, log, root = place / "recorder.so", place / "log", place / "recorded"
    source = common.HERE / "recorder.c"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
    root.mkdir()
    for part in RECORDED:
        environment = {"LD_PRELOAD": str(library), "RECORDER_LOG": str(log), "RECORDER_ROOT": str(root)}
        command = [sys.executable, __file__, "--record", part, root / TABLE]
        subprocess.run(command, check=True, env={**os.environ, **environment})
    return log


# What may be on the disk ---------------------------------------------------------------------------------------


def check_record(log: Path, root: Path) -> None:
    now = disk.Disk()
    for operation in disk.read(log):
        now.do(operation)
    with tempfile.TemporaryDirectory(dir=log.parent) as place:
        now.build(Path(place), None)
        seen, there = tree(Path(place)), tree(root)
    unlike = sorted(name for name in {**seen, **there} if seen.get(name) != there.get(name))
    expect(not unlike, f"the record does not lead to what is there: {unlike[:5]}")


def tree(root: Path) -> dict[str, str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Told:
    """What was sent, acknowledged, and told to be visible, by writer; and the tokens."""

    def __init__(self):
        self.sent, self.durable, self.visible, self.tokens = {}, {}, {}, {}

    def add(self, word: str, writer: str, rows: str, token: str = "") -> None:
        if word == "token":
            self.tokens[writer] = (int(rows), bytes.fromhex(token))
            return
        if word == "visible":
            self.durable[writer] = int(rows)
        getattr(self, word)[writer] = int(rows)


def moments(log: Path, seed: int, subsets: int, share: int, shares: int):
    """States before each sync, and at the end: a disk, how to choose, and what was told."""
    now, told, at = disk.Disk(), Told(), 0
    for operation in [*disk.read(log), ("S", 0)]:
        if operation[0] == "A":
            told.add(*operation[1].split())
            continue
        if operation[0] == "S":
            for number in range(subsets + 2):
                if at % shares == share:
                    chance = None if number == 0 else disk.Chosen(f"{seed} {at} {number}", number - 1)
                    yield at, now, chance or disk.Nothing(), told
                at += 1
        now.do(operation)


# What must be there -------------------------------------------------------------------------------------------


def check(table: Path, told: Told, counts, goes_on: bool) -> None:
    import rds

    acknowledged = sum(told.durable.values())
    if not table.is_dir():
        expect(not acknowledged, f"there is no table, and {acknowledged} rows were acknowledged")
        counts["nothing"] += 1
        return
    read_version(table, told.visible, told.sent, counts)
    # The owner's name is on the disk, and perhaps not yet what it says.
    rds.recover(table, take_over=True)
    rows = read_version(table, told.durable, told.sent, counts)
    again = rds.recover(table, take_over=True)
    expect(not again.recovered_rows and not again.waiting_rows, f"a second recovery: {again}")
    for writer, (number, token) in told.tokens.items():
        if (writer, 0) not in rows:
            rds.commit_staged(table, [token], mode="append")
            counts["tokens"] += 1
        rows = read_version(table, {**told.durable, writer: number}, told.sent, counts)
    if goes_on:
        mode = "append" if rows is not None else "create"
        with rds.ResultDatasetWriter(table, mode=mode, durability="batch") as writer:
            writer.write_batch(*common.batch("next", 0, 10))
        after = read_version(table, {**told.durable, "next": 10}, {**told.sent, "next": 10}, counts)
        expect(after[: len(rows or [])] == (rows or []), "rows are other ones after a run that appends")
        counts["goes_on"] += 1
    counts["acknowledged"] += acknowledged


def read_version(table: Path, least: dict, most: dict, counts):
    """Rows of the newest version, by Lance and librds; none if there is no version."""
    if not any((table / "_versions").glob("*.manifest")):
        expect(not sum(least.values()), f"no version has a name, and {least} must be there")
        return None
    rows = common.read_lance(table)
    expect(rows == common.read_rds(table), "Lance and librds read different rows")
    sequences = common.sequences(rows)
    expect(list(dict.fromkeys(writer for writer, _ in rows)) == [w for w in most if w in sequences], "runs in order")
    for writer, sent in most.items():
        common.check_sequence(writer, sequences.get(writer, []), least.get(writer, 0), sent)
    counts["versions"] += 1
    return rows


def share_of(log, place, seed, subsets, share, shares, only) -> tuple[common.Counter, list[str]]:
    counts, failures, known = common.Counter(), [], set()
    for at, now, chance, told in moments(log, seed, subsets, share, shares):
        if only >= 0 and at != only:
            continue
        counts["states"] += 1
        root = place / f"state{at}"
        root.mkdir()
        print_of = now.build(root, chance) + repr(vars(told))
        if print_of in known:
            common.shutil.rmtree(root)
            counts["same"] += 1
            continue
        known.add(print_of)
        try:
            check(root / TABLE, told, counts, goes_on=random.Random(at).random() < 0.2)
        except Exception as error:  # pylint: disable=broad-exception-caught
            failures.append(f"state {at} ({chance}): {type(error).__name__}: {error}")
        else:
            if only < 0:
                common.shutil.rmtree(root)
    return counts, failures


def run(chosen, place, counts) -> None:
    log = record(place)
    check_record(log, place / "recorded")
    # In memory the states are made faster, if there is room.
    fast = Path("/dev/shm") if Path("/dev/shm").is_dir() and not chosen.keep else place
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(dir=fast) as states, ProcessPoolExecutor(chosen.processes) as pool:
        given = (chosen.seed, chosen.subsets)
        shares = [
            pool.submit(share_of, log, Path(states), *given, share, chosen.processes, chosen.only)
            for share in range(chosen.processes)
        ]
        failures = []
        for share in shares:
            some, failed = share.result()
            counts.update(some)
            failures += failed
        if chosen.keep:
            common.shutil.copytree(states, place / "states", dirs_exist_ok=True)
    counts["seconds"] = int(time.monotonic() - begun)
    for failure in failures[:20]:
        print(failure, file=sys.stderr)
    expect(not failures, f"{len(failures)} states, {failures[:1]}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--record"]:
        RECORDED[sys.argv[2]](sys.argv[3])
    else:
        options = common.options(__doc__.splitlines()[0], subsets=3, processes=2, only=-1)
        common.program(run, options, "states", "versions", "acknowledged", "tokens", "goes_on")
