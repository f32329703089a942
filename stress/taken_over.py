"""A writer is stopped, its run is taken over, and it goes on: nothing is doubled, nothing that it was told is
missing, nothing that is published changes, and it is told before it acknowledges anything."""

from __future__ import annotations

import hashlib
import random
import signal
import time

import _library
import common
from common import Child, Told, expect


def checksums(table) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (table / "data").iterdir()
        if path.name.endswith(".lance")
    }


def named(table) -> set[str]:
    import lance

    return {file.path for part in lance.dataset(str(table)).get_fragments() for file in part.data_files()}


def take_over(table, log, other_process: bool):
    """Rows that became visible by it."""
    if not other_process:
        return _library.recover(table, _library.TAKE_OVER)
    lines = Child("recover", table, "--flags", _library.TAKE_OVER, log=log).finish()
    told = Told().add(lines)
    expect(told.error is None, f"taking over: {told.error}")
    return _library.Recovered(*map(int, lines[-1][2:]))


def one_round(table, writer: str, chance, counts, log) -> int:
    child = Child(
        "write", table, "--durability", chance.choice(["batch", "batch", "interval"]), "--writer", writer,
        "--seed", chance.randrange(1 << 30), "--verbs", "flush,commit", "--often", chance.choice([0.05, 0.5]),
        "--visible-ms", 100000, log=log,
    )
    lines = child.wait_for("durable")
    time.sleep(chance.random() * 0.3)
    child.signal(signal.SIGSTOP)
    # Stopped at once, but what it had written before is still to be read.
    time.sleep(0.02)
    lines += child.lines(0)
    before = Told().add(lines)
    info = take_over(table, log, chance.random() < 0.5)
    counts["taken_over"] += info.recovered_runs
    found = common.sequences(common.read_lance(table)).get(writer, [])
    rows = common.check_sequence(writer, found, before.durable, before.sent)
    files, names = checksums(table), named(table)
    expect(names <= set(files), f"{names - set(files)} are named and not there")

    child.signal(signal.SIGCONT)
    after = Told().add(child.finish(60))
    live = info.recovered_runs or not any(line == ["ended"] for line in lines)
    expect(not live or after.error, f"{writer}: it was not told that its run was taken over")
    expect(after.error is None or after.error[0] == _library.CONFLICT, f"{writer}: {after.error}")
    counts["told"] += after.error is not None
    expect(after.durable <= rows, f"{writer}: {after.durable} rows acknowledged of {rows} that were taken over")

    now = checksums(table)
    changed = [name for name in names if now.get(name) != files[name]]
    expect(not changed, f"published files changed: {changed}")
    counts["files"] += len(names)
    left = _library.recover(table)
    expect(left.recovered_rows == 0 and left.waiting_rows == 0, f"{writer}: something waited: {left}")
    found = common.sequences(common.read_lance(table)).get(writer, [])
    expect(len(found) == rows, f"{writer}: {len(found)} rows, {rows} when it was taken over")
    common.check_sequence(writer, found, before.durable, before.sent)
    counts["rows"] += rows
    return rows


def run(chosen, place, counts) -> None:
    chance = random.Random(chosen.seed)
    table = place / "t.lance"
    with _library.open_writer(table, mode="create") as writer:
        writer.write_batch(*common.batch("first", 0, 10))
    all_rows = {"first": 10}
    for number in range(chosen.rounds):
        try:
            all_rows[f"r{number}"] = one_round(table, f"r{number}", chance, counts, place / "log")
        except common.Failure as failure:
            raise common.Failure(f"round {number}: {failure}") from failure
    there = {writer: len(rows) for writer, rows in common.sequences(common.read_rds(table)).items()}
    expect(there == {writer: rows for writer, rows in all_rows.items() if rows}, "rows of earlier rounds are lost")


if __name__ == "__main__":
    common.program(run, common.options(__doc__.splitlines()[0], rounds=30), "taken_over", "told", "files", "rows")
