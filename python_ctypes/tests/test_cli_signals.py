"""Long commands: their progress on a terminal, and what is left when they are stopped."""

import io
import os
import pty
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from legacy_batches import write_batches
from samples import numbered_ids, write

from rds import _progress

RDS = [sys.executable, "-m", "rds"]


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Enough batches for a conversion to be stopped in its middle."""
    directory = tmp_path_factory.mktemp("large") / "legacy"
    return write_batches(directory, numbered_ids(60_000), np.zeros((60_000, 64), np.float32), rows=64)


def has_begun(target):
    return any(target.glob("lance_db.part-*/lance_db/results.lance/_rds/*/*.lance"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_conversion_that_is_stopped_leaves_nothing(large, tmp_path, number):
    target = tmp_path / "target"
    command = [*RDS, "convert", str(large), str(target)]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while running.poll() is None and not has_begun(target):
        time.sleep(0.001)
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 128 + number
    assert out == ""
    assert err.startswith("rds: ") and "nothing was left half done" in err and err.count("\n") == 1
    assert not target.exists()


def test_a_reader_that_stops_reading_is_no_error(tmp_path):
    write(tmp_path, numbered_ids(200_000), np.zeros((200_000, 1), np.uint8))
    ids = subprocess.Popen(
        [*RDS, "ids", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert ids.stdout.readline() == "object-00000\n"
    ids.stdout.close()
    assert ids.wait(timeout=60) == 0
    assert ids.stderr.read() == ""


def terminal_output(command):
    """What a command writes to standard error if that is a terminal."""
    ours, theirs = pty.openpty()
    running = subprocess.Popen(command, stderr=theirs, stdout=subprocess.PIPE)
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:
            break
        if not part:
            break
        written += part
    os.close(ours)
    running.communicate(timeout=60)
    assert running.returncode == 0
    return written.decode()


def test_a_terminal_sees_a_bar_for_each_stage(large, tmp_path):
    written = terminal_output([*RDS, "convert", str(large), str(tmp_path / "target")])
    lines = [line.split("\r")[-1] for line in written.split("\r\n")]
    assert lines.pop() == ""
    assert len(lines) == 2
    for line, stage in zip(lines, ("write", "verify")):
        assert line.startswith(stage) and "100%" in line and "60,000 of 60,000 rows" in line


def test_whoever_is_no_terminal_sees_none(large, tmp_path):
    command = [*RDS, "convert", str(large), str(tmp_path / "target")]
    assert subprocess.run(command, capture_output=True, check=True).stderr == b""


def test_a_bar_is_drawn_ten_times_a_second_at_most(monkeypatch):
    stream, now = io.StringIO(), [0.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now[0])
    bar = _progress.Bar(stream)
    for done in range(1001):
        now[0] = done / 1000
        bar("write", done, 1000)
    bar.end()
    drawn = stream.getvalue().split("\r")
    assert 10 <= len(drawn) - 1 <= 12
    assert "50%" in stream.getvalue() and "s left" in drawn[2]
    assert drawn[-1].rstrip() == "write   [########################] 100%  1,000 of 1,000 rows in 1.0 s"


def test_a_shorter_line_hides_the_longer_one_before_it(monkeypatch):
    stream, now = io.StringIO(), [0.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now[0])
    bar = _progress.Bar(stream)
    for done, now[0] in ((0, 0.0), (1, 1000.0), (9, 1001.0)):
        bar("write", done, 10)
    *_, longer, shorter = stream.getvalue().split("\r")
    assert longer.endswith("9000 s left") and shorter.rstrip().endswith("111 s left")
    assert len(longer) == len(shorter)


def test_a_work_without_rows_is_done():
    stream = io.StringIO()
    _progress.Bar(stream)("verify", 0, 0)
    assert "100%" in stream.getvalue()
