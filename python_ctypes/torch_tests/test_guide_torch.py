"""The programs of the guide that need PyTorch print what their pages show."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parents[2] / "docs" / "guide" / "programs"


@pytest.mark.parametrize("name", ["loader.py", "sampler.py"])
def test_a_program_prints_what_its_page_shows(name, tmp_path):
    program = PROGRAMS / name
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == program.with_suffix(".txt").read_text(encoding="utf-8")
