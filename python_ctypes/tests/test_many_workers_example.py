"""examples/many_workers.py: a worker of Dask is killed on the way, and the table has every row once and in order."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from killed import environment

import rds

EXAMPLE = Path(__file__).parents[2] / "examples" / "many_workers.py"
OBJECTS = 40_000


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    output = tmp_path_factory.mktemp("many_workers") / "output"
    command = [sys.executable, "-W", "error", EXAMPLE, output, "--objects", str(OBJECTS)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return output, done.stdout


def test_what_it_checks_holds(ran):
    _, printed = ran
    facts = re.findall(r"^(ok|FAILED): (.*)$", printed, re.MULTILINE)
    assert [verdict for verdict, _ in facts] == ["ok"] * 7, printed
    assert f"{OBJECTS:,} rows are one version" in printed


def test_nothing_is_left_but_the_results(ran):
    output, printed = ran
    assert [path.name for path in output.iterdir()] == ["results"]
    dataset = rds.ResultDataset({}, output / "results")
    counts = [int(count.replace(",", "")) for count in re.search("each class: (.*)", printed)[1].split()]
    assert len(dataset) == sum(counts) == OBJECTS
