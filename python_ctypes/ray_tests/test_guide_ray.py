"""The program of the guide that needs Ray prints what its page shows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "docs" / "guide" / "programs" / "with_ray.py"


@pytest.fixture(scope="session", autouse=True)
def cluster():
    """The program starts a Ray of its own."""


def test_the_program_prints_what_its_page_shows(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, PROGRAM], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == PROGRAM.with_suffix(".txt").read_text(encoding="utf-8")
