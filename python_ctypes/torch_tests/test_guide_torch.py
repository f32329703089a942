"""The program of the guide that needs PyTorch prints what its page shows."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "docs" / "guide" / "programs" / "loader.py"


def test_a_loader_prints_what_its_page_shows(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, PROGRAM], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == PROGRAM.with_suffix(".txt").read_text(encoding="utf-8")
