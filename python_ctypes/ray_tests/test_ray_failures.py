"""Tasks that fail, are retried and killed, jobs that fail: the rows are there once and in order, or not at all."""

import logging

import jobs
import numpy as np
import pytest
import ray
from jobs import Failing, assert_is_table, dataset, left_of_jobs

import rds
import rds.parts
import rds.ray

RETRIED = {"retry_exceptions": True, "max_retries": 3}
FAILS = {
    3: ("before", "raise", 1), 4: ("in", "raise", 2), 5: ("after", "raise", 1),
    90: ("before", "raise", 2), 91: ("in", "raise", 1), 199: ("after", "raise", 2),
}  # fmt: skip


def test_a_job_of_many_tasks_is_one_version_with_few_files(result_dir):
    sink = rds.ray.Datasink(result_dir)
    dataset(parts=40).write_datasink(sink)
    files = assert_is_table(result_dir)
    assert (sink.commit.rows, sink.commit.version) == (jobs.ROWS, 1)
    assert len(files) == sink.commit.data_files <= 8
    assert rds.parts.finished(result_dir) == {sink.job: [range(40)]}


def test_tasks_that_fail_before_in_and_after_the_write_count_once_when_ray_retries_them(result_dir, tmp_path):
    sink = Failing(result_dir, tmp_path / "notes", FAILS)
    dataset().write_datasink(sink, ray_remote_args=RETRIED)
    assert {task: sink.attempts(task) for task in FAILS} == {task: times + 1 for task, (_, _, times) in FAILS.items()}
    assert sink.attempts(0) == 1
    assert_is_table(result_dir)


def test_tasks_that_ray_runs_again_within_one_process_count_once(result_dir, tmp_path, context, monkeypatch):
    monkeypatch.setattr(context, "retried_map_errors", ["the network is away"])
    monkeypatch.setattr(context, "max_map_retries", 2)
    fails = {0: ("in", "raise", 1), 3: ("after", "raise", 2)}
    sink = Failing(result_dir, tmp_path / "notes", fails)
    dataset(parts=4).write_datasink(sink)
    assert [sink.attempts(task) for task in range(4)] == [2, 1, 1, 3]
    assert_is_table(result_dir)


@pytest.mark.parametrize("when", ["in", "after"])
def test_rows_of_workers_that_are_killed_are_there_once(result_dir, tmp_path, when):
    sink = Failing(result_dir, tmp_path / "notes", {1: (when, "kill", 1), 6: (when, "kill", 1)})
    dataset(parts=10).write_datasink(sink)
    assert sink.attempts(1) >= 2 <= sink.attempts(6)
    assert_is_table(result_dir)


def test_a_job_that_fails_publishes_nothing_and_says_what_is_left(result_dir, tmp_path, caplog):
    sink = Failing(result_dir, tmp_path / "notes", {17: ("after", "raise", 1)})
    with caplog.at_level(logging.WARNING, "rds.ray"), pytest.raises(RuntimeError, match="the network is away"):
        dataset(parts=20).write_datasink(sink)
    (said,) = [record.getMessage() for record in caplog.records if record.name == "rds.ray"]
    assert sink.job in said and "rds.vacuum" in said and "resume=True" in said
    assert sink.commit is None
    with pytest.raises(FileNotFoundError):
        rds.ResultDataset({}, result_dir)
    assert list(rds.parts.unfinished(result_dir)) == [sink.job]
    rds.vacuum(result_dir, older_than_ms=1)
    assert rds.parts.unfinished(result_dir) == {} and left_of_jobs(result_dir) == []


def test_a_job_that_failed_leaves_the_table_as_it_was(result_dir, tmp_path):
    dataset(rows=50, parts=5).write_datasink(rds.ray.Datasink(result_dir))
    for mode in ("append", "overwrite"):
        with pytest.raises(RuntimeError, match="the network is away"):
            fails = {2: ("before", "raise", 1)}
            dataset(parts=5).write_datasink(Failing(result_dir, tmp_path / mode, fails, mode=mode))
        rds.vacuum(result_dir, older_than_ms=1)
        assert_is_table(result_dir, rows=50)


def test_a_job_that_failed_goes_on_with_resume(result_dir, tmp_path):
    options = {"job": "night", "resume": True}
    for task, when in ((150, "after"), (20, "in")):
        with pytest.raises(RuntimeError, match="the network is away"):
            fails = {task: (when, "raise", 1)}
            dataset().write_datasink(Failing(result_dir, tmp_path / when, fails, **options))
    sink = rds.ray.Datasink(result_dir, **options)
    dataset().write_datasink(sink)
    assert sink.commit.rows == jobs.ROWS
    assert_is_table(result_dir)
    assert rds.parts.unfinished(result_dir) == {}


def test_resume_needs_no_tasks_of_the_same_rows(result_dir, tmp_path):
    """Ray cuts a dataset by the processors that there are: more parts of an earlier run are not taken for rows."""
    options = {"job": "night", "resume": True}
    with pytest.raises(RuntimeError, match="the network is away"):
        fails = {30: ("after", "raise", 1)}
        dataset(parts=40).write_datasink(Failing(result_dir, tmp_path / "notes", fails, **options))
    dataset(parts=7).write_datasink(rds.ray.Datasink(result_dir, **options))
    assert_is_table(result_dir)
    assert rds.parts.unfinished(result_dir) == {}


def test_a_job_that_has_landed_is_not_written_again(result_dir, tmp_path):
    dataset(parts=10).write_datasink(rds.ray.Datasink(result_dir, job="night"))
    # As of a driver that died before it had cleared up.
    rds.parts.write_part(result_dir, "night", 3, [(["late"], jobs.tensors(np.arange(1)))])
    # It would fail if it took a row.
    again = Failing(result_dir, tmp_path / "notes", {4: ("in", "raise", 1)}, job="night", resume=True)
    dataset(parts=10).write_datasink(again)
    assert again.attempts(4) == 1 and again.commit.rows == 0
    assert_is_table(result_dir)
    assert rds.parts.unfinished(result_dir) == {}
    # Of a dataset of no blocks there are no tasks.
    ray.data.from_items([]).write_datasink(rds.ray.Datasink(result_dir, job="night", resume=True))
    assert_is_table(result_dir)


def test_a_commit_that_fails_may_be_done_again(result_dir, monkeypatch):
    sink = rds.ray.Datasink(result_dir, job="night", resume=True)
    with monkeypatch.context() as patched, pytest.raises(OSError, match="no space"):
        patched.setattr(rds.parts, "commit_parts", lambda *_: (_ for _ in ()).throw(OSError("no space")))
        dataset(parts=10).write_datasink(sink)
    dataset(parts=10).write_datasink(sink)
    assert_is_table(result_dir)


def test_a_name_of_a_job_is_not_used_twice_by_mistake(result_dir, tmp_path):
    sink = Failing(result_dir, tmp_path / "notes", {3: ("after", "raise", 1)}, job="night")
    with pytest.raises(RuntimeError, match="the network is away"):
        dataset(parts=5).write_datasink(sink)
    with pytest.raises(FileExistsError, match="'night' was begun.*resume=True"):
        dataset(parts=5).write_datasink(rds.ray.Datasink(result_dir, job="night"))
    dataset(parts=5).write_datasink(rds.ray.Datasink(result_dir, job="night", resume=True))
    with pytest.raises(FileExistsError, match="'night' has landed"):
        dataset(parts=5).write_datasink(rds.ray.Datasink(result_dir, job="night", mode="append"))
    assert_is_table(result_dir)


def test_blocks_that_ray_is_told_to_leave_out_are_left_out(result_dir, tmp_path, context, monkeypatch):
    monkeypatch.setattr(context, "max_errored_blocks", 1)
    dataset(rows=50, parts=5).write_datasink(Failing(result_dir, tmp_path / "notes", {4: ("after", "raise", 1)}))
    assert_is_table(result_dir, rows=40)
