"""examples/train.py: ranks that are killed, and others that go on, come to what nobody interrupted comes to."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rds

EXAMPLE = Path(__file__).parents[2] / "examples" / "train.py"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    output = tmp_path_factory.mktemp("train") / "output"
    shared = set(os.listdir("/dev/shm"))
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLE, output], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return output, done.stdout, set(os.listdir("/dev/shm")) - shared


def test_what_it_checks_holds(ran):
    _, printed, _ = ran
    facts = re.findall(r"^(ok|FAILED): (.*)$", printed, re.MULTILINE)
    assert [verdict for verdict, _ in facts] == ["ok"] * 4, printed
    before, after = (int(number.replace(",", "")) for number in re.findall(r"[\d,]{2,}", facts[0][1]))
    assert before + after == 20_000 and 0 < before < 20_000


def test_the_model_has_learnt(ran):
    _, printed, _ = ran
    assert float(re.search(r"The model sees ([\d.]+)% of the labels", printed)[1]) > 80


def test_nothing_is_left_but_the_results_and_the_checkpoints(ran):
    output, _, shared = ran
    assert sorted(path.name for path in output.iterdir()) == ["killed.npz", "results", "straight.npz"]
    assert not [name for name in shared if "rds" in name]
    assert rds.ResultDataset({}, output / "results").columns == ("embedding", "label")
