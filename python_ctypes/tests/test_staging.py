"""Many writers and one commit, aborted writers, and what is left behind."""

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


def test_staged_rows_that_nobody_publishes_are_removed_when_they_are_old(result_dir):
    write(result_dir, IDS[:30], DATA[:30])
    token = stage(result_dir, 30, 60)
    assert rds.vacuum(result_dir).removed_files == 0
    time.sleep(0.05)
    counted = rds.vacuum(result_dir, older_than_ms=1, dry_run=True)
    assert counted.removed_files > 0 and counted.removed_bytes >= DATA[30:60].nbytes
    assert rds.vacuum(result_dir, older_than_ms=1) == counted
    assert rds.vacuum(result_dir, older_than_ms=1).removed_files == 0
    with pytest.raises(FileNotFoundError):
        rds.commit_staged(result_dir, [token], mode="append")
    check(result_dir, range(30))


def test_vacuum_refuses_what_is_not_there(result_dir):
    with pytest.raises(FileNotFoundError):
        rds.vacuum(result_dir)
    with pytest.raises(ValueError, match="older_than_ms"):
        rds.vacuum(result_dir, older_than_ms=0)


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
        assert set(writer.stats()) == {0}
        writer.write_batch(IDS, DATA)
        stats = writer.stats()
        assert (stats.accepted_rows, stats.durable_rows) == (90, 0)
        assert stats.accepted_bytes >= DATA.nbytes
        writer.flush()
        stats = writer.stats()
        assert (stats.accepted_rows, stats.durable_rows, stats.queued_rows) == (90, 90, 0)
        assert stats.durable_bytes == stats.accepted_bytes and stats.checkpoints == 1
    with pytest.raises(ValueError, match="rds_writer_stats"):
        writer.stats()
