"""Workers of Dask and their driver are killed while they write the parts of a table, and another driver goes on.

The table that comes of it is the one that a single writer makes: the same rows, one version, as many data files of the
same sizes, and nothing else beside it.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import common
import workers_child
from common import expect

# Of each driver that is killed; the last ones when all parts are written, while these are packed or published.
WORKERS_KILLED = 2.5
LATE = 0.2
PATIENCE = 60


class Driver:
    def __init__(self, where: Path, pids: Path):
        pids.mkdir(exist_ok=True)
        for old in pids.iterdir():
            old.unlink()
        self.pids, self.parts = pids, where / "lance_db" / "results.lance" / "_rds" / "jobs" / "job" / "0"
        self.log = (where.parent / "log").open("a")
        command = [sys.executable, common.HERE / "workers_child.py", where, pids]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True, start_new_session=True)

    def written(self) -> int:
        """How many parts are there."""
        with contextlib.suppress(FileNotFoundError):
            names = [name for name in os.listdir(self.parts) if name[0].isdigit() and "." not in name]
            return len({name.partition("-")[0] for name in names})
        return 0

    def wait_for(self, parts: int) -> bool:
        """False, if the driver has ended meanwhile."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None and self.written() < parts:
            expect(time.monotonic() < end, f"{self.written()} parts after {PATIENCE} s, {parts} were expected")
            time.sleep(0.01)
        return self.process.poll() is None

    def kill_worker(self, chance: random.Random) -> bool:
        for pid in chance.sample(sorted(int(mark.name) for mark in self.pids.iterdir()), k=len(list(self.pids.iterdir()))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                (self.pids / str(pid)).unlink()
                return True
        return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        # Its workers end by themselves, a moment later; until then they write on.


def run(chosen, place, counts) -> None:
    chance = random.Random(chosen.seed)
    where = place / "results"
    late = max(1, round(LATE * chosen.kills))
    early = chosen.kills - late
    for life in range(chosen.kills):
        driver = Driver(where, place / f"pids{life}")
        goal = workers_child.PARTS if life >= early else (life + 1) * workers_child.PARTS // (early + 1)
        begun = driver.written()
        for killed in range(round((life + 1) * WORKERS_KILLED) - round(life * WORKERS_KILLED)):
            if driver.wait_for(begun + (goal - begun) * (killed + 1) // 4):
                counts["killed_workers"] += driver.kill_worker(chance)
        if driver.wait_for(goal) and life >= early:
            time.sleep(chance.random() * 0.4)
        # It may have been done.
        counts["killed_drivers"] += driver.process.poll() is None
        driver.kill()
    driver = Driver(where, place / "pids")
    while driver.process.poll() is None and counts["killed_workers"] < WORKERS_KILLED * chosen.kills:
        counts["killed_workers"] += driver.kill_worker(chance)
        time.sleep(0.2)
    said, _ = driver.process.communicate(timeout=PATIENCE)
    expect(driver.process.returncode == 0 and said == "done 1\n", f"the last driver said {said!r}")
    compare(where, serial(place / "serial"), counts)


def serial(where: Path) -> Path:
    import rds

    model = workers_child.Model("")
    with rds.ResultDatasetWriter(where, durability="commit") as writer:
        for number in range(workers_child.PARTS):
            part = workers_child.part(number)
            writer.write_batch(list(part["id"]), model(part))
        writer.commit()
    return where


def compare(where: Path, other: Path, counts) -> None:
    import lance

    tables = [path / "lance_db" / "results.lance" for path in (where, other)]
    one, two = (lance.dataset(str(table)) for table in tables)
    rows, wanted = one.to_table(), two.to_table()
    expect(rows.schema.equals(wanted.schema, check_metadata=True), f"the schema {rows.schema}")
    expect(rows.combine_chunks() == wanted.combine_chunks(), "other rows than those of one writer")
    expect(len(one.versions()) == 1, f"{len(one.versions())} versions")
    sizes = [sorted(file.stat().st_size for file in (table / "data").iterdir()) for table in tables]
    expect(sizes[0] == sizes[1], f"data files of {sizes[0]} bytes; one writer makes {sizes[1]}")
    left = {path.name for path in tables[0].iterdir()} - {"_transactions", "_versions", "data"}
    expect(not left, f"{left} are left")
    counts["rows"] += rows.num_rows
    counts["data_files"] += len(sizes[0])


if __name__ == "__main__":
    chosen_options = common.options(__doc__.splitlines()[0], kills=20)
    common.program(run, chosen_options, "killed_drivers", "killed_workers", "rows", "data_files")
