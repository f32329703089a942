"""How far a writer is."""

from __future__ import annotations

from typing import NamedTuple

from . import _structs as c


class WriterStats(NamedTuple):
    """What `ResultDatasetWriter.stats` tells, since the writer was opened.

    `checkpoints` is how often rows were made durable, `versions` how often a version of the table was made
    that shows them, `blocked_ns` how long calls waited because the queue was full. `state` is "running",
    "retrying" (something fails that may pass: what was accepted is kept and tried again, and calls wait) or
    "failed" (nothing more is accepted, and what was durable stays so); `failure` is what fails then, or None.
    """

    accepted_rows: int
    accepted_bytes: int
    durable_rows: int
    durable_bytes: int
    queued_rows: int
    queued_bytes: int
    checkpoints: int
    blocked_ns: int
    visible_rows: int
    versions: int
    state: str
    failure: str | None

    @classmethod
    def of(cls, stats: c.WriteStats) -> WriterStats:
        numbers = {name: getattr(stats, name) for name in cls._fields[:-2]}
        failure = stats.failure_message.decode("utf-8", "replace") if stats.failure else None
        return cls(**numbers, state=c.WRITER_STATES[stats.state], failure=failure)
