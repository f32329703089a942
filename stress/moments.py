"""What the processes of `readers.py` tell each other: when the table is there, and what must be seen from now on."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

import numpy as np

TABLE = "t.lance"
# Places in the shared memory.
LIFE, NEWEST, LEAVE, REPLACED = range(4)
NUMBERS = 8


class Moments:
    """`life` is odd while the table may not be there, and another one after; what was seen in one life says
    nothing of the next. Numbers are written by one store each."""

    def __init__(self, place: Path):
        self.place, self.table = place, place / TABLE
        path = place / "moments"
        if not path.exists():
            path.write_bytes(bytes(8 * NUMBERS))
        self.numbers = np.memmap(path, np.int64, "r+")

    @property
    def life(self) -> int:
        return int(self.numbers[LIFE])

    @property
    def replaced(self) -> int:
        """Another number whenever the table may have been replaced."""
        return int(self.numbers[REPLACED])

    def replacing(self) -> None:
        self.numbers[REPLACED] += 1

    def made(self) -> None:
        """Whoever opens from now on sees what is the newest version now."""
        life, version = self.life, newest_version(self.table)
        self.numbers[NEWEST] = max(int(self.numbers[NEWEST]), life << 32 | version)

    def oldest_allowed(self) -> tuple[int, int]:
        """Of this life, the version that whoever opens now sees, or a newer one."""
        life, seen = self.life, int(self.numbers[NEWEST])
        return life, (seen & 0xFFFFFFFF if seen >> 32 == life else 0)

    @contextlib.contextmanager
    def present(self):
        """The table stays there. Whoever wants to take it away comes first."""
        while self.numbers[LEAVE]:
            time.sleep(0.005)
        with self.locked("present", fcntl.LOCK_SH):
            yield

    @contextlib.contextmanager
    def away(self):
        """Nobody else changes the table, which may be taken away."""
        self.numbers[LEAVE] = 1
        try:
            with self.locked("present", fcntl.LOCK_EX):
                self.numbers[LIFE] += 1
                yield
                self.numbers[LIFE] += 1
        finally:
            self.numbers[LEAVE] = 0

    def alone(self):
        """Clean-ups remove what pylance is about to commit, so they and pylance keep out of each other's way."""
        return self.locked("alone", fcntl.LOCK_EX)

    @contextlib.contextmanager
    def locked(self, name: str, how: int):
        with open(self.place / name, "ab") as file:
            fcntl.flock(file, how)
            yield


def versions(table: Path) -> list[int]:
    """The versions that the directory has."""
    names = (name.partition(".") for name in os.listdir(table / "_versions"))
    numbers = [int(name) for name, _, rest in names if rest == "manifest" and name.isdigit()]
    # So that the newest comes first by name, newer tables count down.
    return sorted((1 << 64) - 1 - number if number >= 1 << 63 else number for number in numbers)


def newest_version(table: Path) -> int:
    return versions(table)[-1]
