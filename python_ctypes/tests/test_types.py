"""A type checker finds no error in the package, nor in what a user writes with it."""

import subprocess
import sys
from pathlib import Path

import pytest

import rds

PACKAGE = Path(rds.__file__).parent

USER = """
from pathlib import Path
import numpy as np
import rds

writer: rds.ResultDatasetWriter = rds.create_results_writer(Path("run"))
with rds.ResultDatasetWriter("run", mode="append") as writer:
    writer.write_batch(np.array(["a"]), [np.zeros(3)])
    writer.commit(progress=lambda done, total: None)
ds = rds.ResultDataset({}, "run", version=3)
row: np.ndarray = ds[0]
ids: list[str] = ds.ids()
rows: np.ndarray = ds.find(ids)
shape: list[int] = ds.tensor_shape
rows_in_batch = [len(batch) for batch in ds.stream(columns="data", batch_size=10)]
results: rds.ResultDataset | rds.InferenceDataset = rds.load_results_dataset({}, "run")
rds.hyrax.enable()
staging = rds.ResultDatasetWriter("run", mode="staged", visible_ms=10, job="j", part=0, alias_arrow=True)
told: tuple[str, str | None, int] = (staging.stats().state, staging.stats().failure, staging.stats().versions)
waiting: int = rds.recover("run", run="x", take_over=True, dry_run=True).waiting_rows
loader = rds.Loader([ds, ds], batch_size=4, columns=["data"], weights=[0.5, 0.5], format="torch", pin_memory=True)
for batch in loader:
    position: tuple[int, int, np.ndarray] = (loader.epoch, loader.consumed, loader.rows)
sampler = rds.BatchSampler(ds, 4, rank=0, world_size=2, rows=slice(10), tail="pad")
lists: list[list[int]] = list(sampler)
loader.load_state_dict(sampler.state_dict(batches=2))
stalled: int = loader.stats().stalled_ns
iterable = rds.torch.IterableDataset(ds, 4, seed=1)
removed: int = rds.vacuum("run", older_than_ms=1, keep_versions=True).removed_versions
"""
WRONG = """
import rds
rds.ResultDatasetWriter(3)
rds.ResultDataset({}, "run").find()
rds.ResultDataset({}, "run", version="3")
rds.nothing
rds.Loader(ds=3)
rds.BatchSampler(10, "4")
"""


def check(directory, *arguments):
    command = [sys.executable, "-m", "mypy", "--config-file", str(PACKAGE.parent / "pyproject.toml")]
    return subprocess.run(
        [*command, "--cache-dir", str(directory / "cache"), *arguments],
        cwd=PACKAGE.parent, capture_output=True, text=True, check=False,
    )


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("mypy")


def test_the_package_has_no_type_error(directory):
    run = check(directory, "-p", "rds")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "no issues found" in run.stdout


def test_what_users_write_has_no_type_error_and_mistakes_are_found(directory):
    (directory / "user.py").write_text(USER)
    run = check(directory, str(directory / "user.py"))
    assert run.returncode == 0, run.stdout + run.stderr
    (directory / "wrong.py").write_text(WRONG)
    run = check(directory, str(directory / "wrong.py"))
    assert run.returncode == 1
    assert all(f"wrong.py:{line}: error" in run.stdout for line in (3, 4, 5, 6, 7, 8)), run.stdout
