"""How far a long work is: told to a function, or drawn on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

Progress = Callable[[str, int, int], None]

_WIDTH = 24
_INTERVAL = 0.1


@contextmanager
def reporting(progress: Progress | None) -> Iterator[Progress]:
    """What a long work reports to: `progress` itself, or a bar on stderr if that is a terminal."""
    if progress is not None:
        yield progress
    elif sys.stderr is not None and sys.stderr.isatty():
        bar = Bar(sys.stderr)
        try:
            yield bar
        finally:
            bar.end()
    else:
        yield silent


def silent(stage: str, done: int, total: int) -> None:
    """Reports to nobody."""


class Bar:
    """One line for each stage, drawn anew ten times a second at most."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._stage = ""
        self._drawn = self._started = 0.0
        self._length = 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self.end()
            self._stage, self._started = stage, now
        elif done < total and now - self._drawn < _INTERVAL:
            return
        self._drawn = now
        text = self._text(done, total, now - self._started)
        # What a longer line before has left is overwritten with blanks.
        self._stream.write("\r" + text.ljust(self._length))
        self._stream.flush()
        self._length = len(text)

    def end(self) -> None:
        """Leaves the line as it is; what comes next begins a new one."""
        if self._length:
            self._stream.write("\n")
            self._stream.flush()
        self._stage, self._length = "", 0

    def _text(self, done: int, total: int, elapsed: float) -> str:
        share = done / total if total else 1.0
        filled = int(_WIDTH * share)
        bar = "#" * filled + "." * (_WIDTH - filled)
        left = f", {elapsed / share - elapsed:.0f} s left" if 0 < share < 1 else f" in {elapsed:.1f} s"
        return f"{self._stage:<7} [{bar}] {share:4.0%}  {done:,} of {total:,} rows{left}"
