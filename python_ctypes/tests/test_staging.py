"""Many writers and one commit, aborted writers, and what is left behind."""

import json
import multiprocessing
import time

import numpy as np
import pytest
from samples import assert_same_bits, numbered_ids, random_array, write

import rds

DATA = random_array("f4", (90, 4))
IDS = numbered_ids(90)


def stage(result_dir, start, stop):
    with rds.ResultDatasetWriter(result_dir, mode="staged") as writer:
        writer.write_batch(IDS[start:stop], DATA[start:stop])
        return writer.stage()


def check(result_dir, order):
    dataset = rds.ResultDataset({}, result_dir)
    assert dataset.ids() == [IDS[row] for row in order]
    assert_same_bits(dataset.__get_all__(), DATA[order])


def test_tokens_of_many_processes_are_one_version_in_their_order(result_dir):
    parts = [(60, 90), (0, 30), (30, 60)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        tokens = pool.starmap(stage, [(result_dir, *part) for part in parts])
    assert all(type(token) is bytes and len(token) < 65536 for token in tokens)
    with pytest.raises(FileNotFoundError):
        rds.ResultDataset({}, result_dir)
    commit = rds.commit_staged(result_dir, tokens)
    assert (commit.rows, commit.tensor_bytes, commit.version) == (90, DATA.nbytes, 1)
    check(result_dir, [*range(60, 90), *range(60)])


def test_a_writer_stages_again_and_again(result_dir):
    tokens = []
    with rds.ResultDatasetWriter(result_dir, mode="staged") as writer:
        for start in range(0, 90, 30):
            writer.write_batch(IDS[start : start + 30], DATA[start : start + 30])
            tokens.append(writer.stage())
        tokens.append(writer.stage())
    assert rds.commit_staged(result_dir, tokens).rows == 90
    check(result_dir, range(90))


@pytest.mark.parametrize(("mode", "rows"), [("append", range(60)), ("overwrite", range(30, 60))])
def test_tokens_are_added_to_a_table_or_replace_it(result_dir, mode, rows):
    write(result_dir, IDS[:30], DATA[:30])
    token = stage(result_dir, 30, 60)
    with pytest.raises(FileExistsError):
        rds.commit_staged(result_dir, [token])
    rds.commit_staged(result_dir, [token], mode=mode)
    check(result_dir, list(rows))
    with pytest.raises(FileExistsError):
        rds.commit_staged(result_dir, [token], mode=mode)
    check(result_dir, list(rows))


def test_what_is_no_token_publishes_nothing(result_dir):
    token = stage(result_dir, 0, 30)
    wrong = [([token, b"x"], ValueError), ([token, token], FileExistsError), (token, TypeError), ([1], TypeError)]
    for tokens, error in wrong:
        with pytest.raises(error) as caught:
            rds.commit_staged(result_dir, tokens)
        assert isinstance(caught.value, rds.RdsError)
    with pytest.raises(ValueError, match="mode is 'staged'"):
        rds.commit_staged(result_dir, [token], mode="staged")
    rds.commit_staged(result_dir, [token])
    check(result_dir, range(30))


def test_only_a_staging_writer_stages(result_dir):
    with rds.ResultDatasetWriter(result_dir) as writer:
        with pytest.raises(RuntimeError, match="rds_writer_stage"):
            writer.stage()
    with rds.ResultDatasetWriter(result_dir, mode="staged") as writer:
        with pytest.raises(RuntimeError, match="rds_commit"):
            writer.commit()


def test_a_token_is_good_at_any_age_until_its_run_is_dropped_by_name(result_dir):
    write(result_dir, IDS[:30], DATA[:30])
    kept, dropped = stage(result_dir, 30, 60), stage(result_dir, 60, 90)
    time.sleep(0.05)
    rds.vacuum(result_dir, older_than_ms=1)
    assert rds.recover(result_dir, drop=True).staged_runs == 2
    run = json.loads(dropped[12:-4])["run"]
    given_up = rds.recover(result_dir, run=run, drop=True)
    assert (given_up.dropped_runs, given_up.dropped_rows, given_up.staged_runs) == (1, 30, 0)
    with pytest.raises(FileNotFoundError):
        rds.commit_staged(result_dir, [dropped], mode="append")
    rds.commit_staged(result_dir, [kept], mode="append")
    check(result_dir, range(60))


def test_abort_drops_what_is_not_durable(result_dir):
    writer = rds.ResultDatasetWriter(result_dir, checkpoint_ms=3_600_000)
    writer.write_batch(IDS[:30], DATA[:30])
    writer.flush()
    writer.write_batch(IDS[30:], DATA[30:])
    writer.abort()
    check(result_dir, range(30))
    writer.abort()
    writer.close()
    with pytest.raises(ValueError):
        writer.write_batch(IDS, DATA)


def test_an_aborted_writer_leaves_no_table(result_dir):
    writer = rds.ResultDatasetWriter(result_dir, checkpoint_ms=3_600_000)
    writer.write_batch(IDS, DATA)
    writer.abort()
    with pytest.raises(FileNotFoundError):
        rds.ResultDataset({}, result_dir)


def test_stats_tell_how_far_a_writer_is(result_dir):
    with rds.ResultDatasetWriter(result_dir, checkpoint_ms=3_600_000) as writer:
        assert writer.stats()[:-2] == (0,) * 10
        assert writer.stats()[-2:] == ("running", None)
        writer.write_batch(IDS, DATA)
        stats = writer.stats()
        assert (stats.accepted_rows, stats.durable_rows) == (90, 0)
        assert stats.accepted_bytes >= DATA.nbytes
        writer.flush()
        stats = writer.stats()
        assert (stats.accepted_rows, stats.durable_rows, stats.queued_rows) == (90, 90, 0)
        assert stats.durable_bytes == stats.accepted_bytes and stats.checkpoints == 1
        assert (stats.visible_rows, stats.versions, stats.state, stats.failure) == (90, 1, "running", None)
    with pytest.raises(ValueError, match="rds_writer_stats"):
        writer.stats()


def test_tokens_without_a_job_stay_where_they_were_given(result_dir):
    tokens = []
    for number, part in enumerate([1, 0, None, None]):
        job = {} if part is None else {"job": "j", "part": part}
        with rds.ResultDatasetWriter(result_dir, mode="staged", **job) as writer:
            writer.write_batch([f"{number}"], np.zeros((1, 2), "f4"))
            tokens.append(writer.stage())
    rds.commit_staged(result_dir, [tokens[2], *tokens[:2], tokens[3]])
    assert rds.ResultDataset({}, result_dir).ids() == ["2", "1", "0", "3"]
