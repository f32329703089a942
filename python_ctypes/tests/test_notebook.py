"""The notebook under examples/ does what it says, with what a user has installed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import rds

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.py"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Where it has run twice, as notebooks are, and what it printed the second time."""
    output = tmp_path_factory.mktemp("notebook")
    for _ in range(2):
        command = [sys.executable, "-W", "error", NOTEBOOK, output]
        notebook = subprocess.run(command, capture_output=True, text=True, check=False)
        assert notebook.returncode == 0, notebook.stderr
    return output, notebook.stdout


def test_every_digit_is_stored_and_reduced(ran):
    output, printed = ran
    count = len(load_digits().data)
    results, points = (rds.load_results_dataset({}, output / name) for name in ("infer", "reduce"))
    assert results.tensor_shape == {"latent": [32], "probability": [10]}
    assert points.tensor_shape == {"point": [2], "probability": [10]}
    assert len(results) == len(points) == count
    assert results.ids() == points.ids() == [f"digit-{number:04d}" for number in range(count)]
    point = np.asarray(points["point"])
    assert np.isfinite(point).all() and np.std(point, axis=0).min() > 0.1
    assert np.allclose(np.asarray(points["probability"]).sum(axis=1), 1)
    assert repr(results) in printed


def test_an_object_is_looked_up_and_those_like_it_are_of_its_kind(ran):
    _, printed = ran
    labels = load_digits().target
    assert f"digit-0042 is a {labels[42]}, at [" in printed
    assert f"by the model a {labels[42]}." in printed
    (alike,) = (line for line in printed.splitlines() if line.startswith("Most like it are"))
    assert alike.count("digit-") == 5
    assert alike.count(f"(a {labels[42]})") >= 4


def test_the_plots_are_there(ran):
    output, _ = ran
    with Image.open(output / "reduce.png") as image:
        assert image.format == "PNG"
    page = (output / "reduce.html").read_text()
    assert "digit-0042" in page and "<title>Digits: 1,797 rows</title>" in page
