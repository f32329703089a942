"""The program of the guide that needs LSDB prints what its page shows."""

import subprocess
import sys

import guide
import pytest
from killed import environment


@pytest.mark.parametrize("name", sorted(guide.WITH_LSDB))
def test_a_program_prints_what_its_page_shows(name, tmp_path):
    program = guide.GUIDE / "programs" / name
    done = subprocess.run(
        [sys.executable, program], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == guide.expected(program).read_text(encoding="utf-8")
