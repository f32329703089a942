"""Jobs of `rds.dask` whose driver died, and what goes on with them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from collections_of_dask import ROWS, check, frame, of_parts, opened
from killed import environment

import rds
import rds.dask
import rds.parts

SYNCHRONOUS = {"scheduler": "synchronous"}

DRIVER = """
import os, signal, sys
from pathlib import Path
import dask
from collections_of_dask import frame, of_parts
import rds.dask

def part(rows, first):
    # What a function refers to is a part of it, and is to be the same each time.
    seen = Path(os.environ["SEEN"])
    if len(list(seen.iterdir())) == int(os.environ["KILL_AT"]):
        os.kill(os.getpid(), signal.SIGKILL)
    (seen / str(first)).touch()
    return frame(rows, first)

def model(rows):
    return {name: rows[name] for name in ("x", "y")}

collection = of_parts(part, [15] * 6, frame(1).iloc[:0])
done = rds.dask.infer(collection, model, sys.argv[1], inputs={"x": "x", "y": "y"}, resume=True,
    compute_kwargs={"scheduler": "synchronous"})
print(done.rows, done.version)
"""


def drive(result_dir, seen, kill_at):
    """Runs a program that is killed when it is to make a partition and has made so many; which it has made."""
    seen.mkdir()
    path = os.pathsep.join([environment()["PYTHONPATH"], str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, result_dir],
        env=environment(PYTHONPATH=path, SEEN=str(seen), KILL_AT=str(kill_at)),
        capture_output=True, text=True, check=False,
    )
    assert done.returncode == (-signal.SIGKILL if kill_at >= 0 else 0), done.stderr
    return done.stdout.split(), {int(mark.name) for mark in seen.iterdir()}


def test_a_driver_that_was_killed_goes_on_with_what_was_not_written(result_dir, tmp_path):
    _, first = drive(result_dir, tmp_path / "first", 3)
    with pytest.raises(FileNotFoundError):
        opened(result_dir)
    ((job, waiting),) = rds.parts.unfinished(result_dir).items()
    assert job.startswith("dask-") and len(waiting) == 3
    _, second = drive(result_dir, tmp_path / "second", 2)
    assert len(rds.parts.unfinished(result_dir)[job]) == 5
    printed, third = drive(result_dir, tmp_path / "third", -1)
    assert printed == [str(ROWS), "1"]
    # What was made when the process died is made once more, and nothing else.
    assert first | second | third == set(range(0, ROWS, 15))
    assert (len(first), len(second), len(third)) == (3, 2, 1)
    check(result_dir, names=["x", "y"])
    printed, fourth = drive(result_dir, tmp_path / "fourth", -1)
    assert (printed, fourth) == (["0", "1"], set())
    check(result_dir, names=["x", "y"])


class Rows:
    """Partitions that are counted, and one that fails, once."""

    def __init__(self, fails=None):
        self.made = []
        self.fails = fails

    def __call__(self, rows, first):
        if first == self.fails:
            self.fails = None
            raise ConnectionError("once")
        self.made.append(first)
        return frame(rows, first)

    def __dask_tokenize__(self):
        return "rows of tests"


def write(rows, result_dir, counts=(30, 30, 30), **options):
    collection = of_parts(rows, list(counts), frame(1).iloc[:0])
    return rds.dask.write(collection, result_dir, compute_kwargs=SYNCHRONOUS, **options)


def failed(result_dir, **options):
    """The job of a call that failed, and which partitions it has."""
    before = rds.parts.unfinished(result_dir)
    with pytest.raises(ConnectionError):
        write(Rows(fails=60), result_dir, **options)
    ((job, tokens),) = ((job, tokens) for job, tokens in rds.parts.unfinished(result_dir).items() if job not in before)
    return job, [30 * number for number in tokens]


@pytest.mark.parametrize("name", [None, "night 1 / Ä"])
def test_parts_that_are_written_are_not_made_again(result_dir, name):
    job, written = failed(result_dir, job=name)
    assert name is None or job == name
    assert 1 <= len(written) <= 2
    rows = Rows()
    assert write(rows, result_dir, job=name, resume=True).rows == ROWS
    assert sorted(rows.made + written) == [0, 30, 60]
    check(result_dir)
    assert rds.parts.finished(result_dir) == {job: [range(3)]}


@pytest.mark.parametrize("mode", ["create", "append", "overwrite"])
def test_a_job_that_was_published_is_not_written_again(result_dir, mode):
    write(Rows(), result_dir, job="night")
    rows = Rows()
    done = write(rows, result_dir, job="night", resume=True, mode=mode)
    assert (done.rows, done.version, rows.made) == (0, 1, [])
    check(result_dir)


def test_without_resume_a_job_of_no_name_is_a_new_one(result_dir):
    failed(result_dir)
    rows = Rows()
    write(rows, result_dir)
    assert sorted(rows.made) == [0, 30, 60]
    assert opened(result_dir).ids() == list(frame()["id"])
    write(Rows(), result_dir, mode="append")
    assert len(opened(result_dir)) == 2 * ROWS


def test_a_name_that_was_used_is_refused_without_resume(result_dir):
    failed(result_dir, job="night")
    said = "the job 'night' has . parts that wait; name another one, or .*resume=True"
    with pytest.raises(FileExistsError, match=said):
        write(Rows(), result_dir, job="night")
    write(Rows(), result_dir, job="night", resume=True)
    for mode in ("append", "overwrite"):
        with pytest.raises(FileExistsError, match="the job 'night' was published"):
            write(Rows(), result_dir, job="night", mode=mode)
    check(result_dir)


def test_other_options_are_another_job(result_dir):
    failed(result_dir)
    rows = Rows()
    write(rows, result_dir, tensors=["x"], resume=True)
    assert sorted(rows.made) == [0, 30, 60]
    assert opened(result_dir).columns == ("x",)


def test_of_several_jobs_the_one_with_the_most_parts_goes_on(result_dir):
    job, written = failed(result_dir)
    # Another driver has done all but publish it.
    other = job.rpartition("-")[0] + "-other"
    for number in range(3):
        part = frame(30, 30 * number)
        columns = {"x": part["x"].to_numpy(), "y": part["y"].to_numpy(), "embedding": np.stack(part["embedding"])}
        rds.parts.write_part(result_dir, other, number, [(list(part["id"]), columns)])
    rows = Rows()
    write(rows, result_dir, resume=True)
    assert rows.made == [] and len(written) < 3
    assert list(rds.parts.finished(result_dir)) == [other]
    assert opened(result_dir).ids() == list(frame()["id"])


def test_a_job_of_more_partitions_is_refused(result_dir):
    failed(result_dir, job="night")
    rows = Rows()
    with pytest.raises(ValueError, match="the job 'night' has a part 1, and the collection 1 partitions"):
        write(rows, result_dir, [90], job="night", resume=True)
    assert rows.made == []


def test_a_job_that_was_published_with_more_partitions_is_refused(result_dir):
    write(Rows(), result_dir, job="night")
    with pytest.raises(ValueError, match="the job 'night' has a part 2, and the collection 2 partitions"):
        write(Rows(), result_dir, [45, 45], job="night", resume=True)


def test_a_collection_that_has_grown_adds_what_is_new(result_dir):
    write(Rows(), result_dir, [30, 30], job="survey")
    rows = Rows()
    assert write(rows, result_dir, job="survey", resume=True, mode="append").rows == 30
    assert rows.made == [60]
    assert opened(result_dir).ids() == list(frame()["id"])
    with pytest.raises(FileExistsError):
        write(rows, result_dir, [30] * 4, job="survey", resume=True)


def test_what_replaces_a_table_has_all_parts(result_dir):
    write(Rows(), result_dir, [30, 30], job="survey")
    rows = Rows()
    assert write(rows, result_dir, job="survey", resume=True, mode="overwrite").rows == ROWS
    assert sorted(rows.made) == [0, 30, 60]
    assert opened(result_dir).ids() == list(frame()["id"])


def test_a_driver_that_died_behind_its_version_finds_it(result_dir, monkeypatch):
    commit = rds.parts.commit_parts

    def dies(*given):
        commit(*given)
        raise ConnectionError("once")

    monkeypatch.setattr(rds.parts, "commit_parts", dies)
    with pytest.raises(ConnectionError):
        write(Rows(), result_dir)
    monkeypatch.undo()
    rows = Rows()
    done = write(rows, result_dir, resume=True)
    assert (done.rows, done.version, rows.made) == (0, 1, [])
    check(result_dir)


def test_a_commit_that_runs_twice_publishes_once(result_dir):
    delayed = rds.dask.write(of_parts(frame, [45, 45]), result_dir, compute=False)
    assert delayed.compute().rows == ROWS
    assert delayed.compute().rows == 0
    check(result_dir)
