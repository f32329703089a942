"""The recipes of the guide for Slurm and MPI, with stand-ins of both: rows are there once, in order, in one version."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from guide import GUIDE
from killed import environment

import rds
import rds.parts

PROGRAMS = GUIDE / "programs"
HERE = Path(__file__).parent
PARTS, ROWS = 8, 1000


def assert_is_the_table(where):
    with rds.ResultDataset({}, where) as table:
        assert list(table.ids()) == [f"object-{number}" for number in range(PARTS * ROWS)]
        assert np.array_equal(np.asarray(table["square"]), np.arange(PARTS * ROWS, dtype=np.float64) ** 2)
        assert [version.version for version in table.versions()] == [1]
    inside = where / "lance_db" / "results.lance"
    data = [path for path in inside.rglob("*.lance")]
    assert [path.parent.name for path in data] == ["data"]
    assert rds.parts.unfinished(where) == {}


@pytest.fixture
def cluster(tmp_path):
    """A directory with the recipe, and a shell in it that finds the stand-in of sbatch."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, command in (("python", sys.executable), ("sbatch", f'{sys.executable}" "{HERE / "sbatch.py"}')):
        (programs / name).write_text(f'#!/bin/sh\nexec "{command}" "$@"\n')
        (programs / name).chmod(0o755)
    for name in ("slurm_array.py", "slurm_array.sh"):
        (tmp_path / name).symlink_to(PROGRAMS / name)
    (tmp_path / "slurm").mkdir()
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"

    def submit(job, **more):
        told = environment(PATH=path, STANDIN_SLURM=str(tmp_path / "slurm"), **more)
        return subprocess.run(
            ["sh", "slurm_array.sh", job], cwd=tmp_path, env=told, capture_output=True, text=True, check=False
        )

    submit.place = tmp_path
    return submit


def test_tasks_of_an_array_that_are_requeued_count_once(cluster):
    done = cluster("night-1")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert (cluster.place / "commit.out").read_text() in ((PROGRAMS / "slurm_array.txt").read_text(), "")
    assert_is_the_table(cluster.place / "results")


def test_what_failed_is_submitted_again_and_nothing_else(cluster):
    done = cluster("night-1", STANDIN_FAILS="2 5")
    assert done.returncode == 0, done.stderr
    where = cluster.place / "results"
    assert sorted(rds.parts.unfinished(where)["night-1"]) == [0, 1, 3, 4, 6, 7]
    assert not (cluster.place / "commit.out").exists()
    for output in cluster.place.glob("slurm-*.out"):
        output.unlink()
    assert cluster("night-1").returncode == 0
    assert sorted(path.name[-6:] for path in cluster.place.glob("slurm-*.out")) == ["-2.out", "-5.out"]
    assert_is_the_table(where)


def test_a_job_that_has_landed_may_be_submitted_again(cluster):
    assert cluster("night-1").returncode == 0
    for output in cluster.place.glob("slurm-*.out"):
        output.unlink()
    assert cluster("night-1").returncode == 0
    assert list(cluster.place.glob("slurm-*.out")) == [] and (cluster.place / "commit.out").read_text() == ""
    assert_is_the_table(cluster.place / "results")


def test_the_commit_of_a_job_with_missing_parts_says_which(tmp_path):
    command = [sys.executable, PROGRAMS / "slurm_array.py"]
    told = environment(SLURM_ARRAY_TASK_ID="3")
    assert subprocess.run([*command, "write", "night-1"], cwd=tmp_path, env=told, check=False).returncode == 0
    command += ["commit", "night-1"]
    done = subprocess.run(command, cwd=tmp_path, env=told, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "parts [0, 1, 2, 4, 5, 6, 7] of the job night-1 are missing\n"


def run_ranks(directory, size):
    """What all ranks print; the status of each."""
    place = directory / "ranks"
    place.mkdir()
    ranks, command = [], [sys.executable, PROGRAMS / "with_mpi.py", "night-1"]
    for rank in range(size):
        told = environment(STANDIN_RANK=str(rank), STANDIN_SIZE=str(size), STANDIN_PLACE=str(place))
        told["PYTHONPATH"] = os.pathsep.join([str(HERE / "standin_mpi"), told["PYTHONPATH"]])
        ranks.append(subprocess.Popen(command, cwd=directory, env=told, stdout=subprocess.PIPE, text=True))
    printed = [rank.communicate()[0] for rank in ranks]
    return "".join(printed), [rank.returncode for rank in ranks]


@pytest.mark.parametrize("size", [1, 3])
def test_ranks_of_mpi_write_one_table(tmp_path, size):
    printed, statuses = run_ranks(tmp_path, size)
    assert (printed, statuses) == ((PROGRAMS / "with_mpi.txt").read_text(), [0] * size)
    assert_is_the_table(tmp_path / "results")


def test_ranks_of_mpi_go_on_with_what_an_earlier_run_has_written(tmp_path):
    """Of the parts that are there nothing is computed: they have rows that no rank would write."""
    for part in (1, 6):
        numbers = np.arange(part * ROWS, (part + 1) * ROWS)
        rows = [(numbers, {"square": numbers.astype(np.float64)})]
        rds.parts.write_part(tmp_path / "results", "night-1", part, rows)
    printed, statuses = run_ranks(tmp_path, 2)
    assert (printed, statuses) == ((PROGRAMS / "with_mpi.txt").read_text(), [0, 0])
    with rds.ResultDataset({}, tmp_path / "results") as table:
        ids = list(table.ids())
        assert (ids[999], ids[1000], ids[6999], ids[7000]) == ("object-999", "1000", "6999", "object-7000")
