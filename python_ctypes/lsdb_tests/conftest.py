"""What the tests of `tests` have, for those that need LSDB: `make test-lsdb` runs them, where it is installed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import pytest


@pytest.fixture
def result_dir(tmp_path):
    """A result directory that does not exist yet."""
    return tmp_path / "results"
