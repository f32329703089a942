"""Parts of a job: each counts once, in the order of its number, however often its task ran."""

import numpy as np
import pytest
from killed import ids_of, put

import rds


def part(where, number, first, job="job", rows=3):
    with rds.ResultDatasetWriter(where, mode="staged", job=job, part=number) as writer:
        put(writer, first, rows)
        return writer.stage()


def test_rows_come_in_the_order_of_the_parts(result_dir):
    tokens = [part(result_dir, number, 3 * number) for number in (2, 0, 1)]
    assert rds.commit_staged(result_dir, tokens).rows == 9
    assert ids_of(result_dir) == list(range(9))


def test_of_one_part_that_came_twice_the_first_counts(result_dir):
    tokens = [part(result_dir, 0, 0), part(result_dir, 0, 100), part(result_dir, 1, 3)]
    assert rds.commit_staged(result_dir, tokens).rows == 6
    assert ids_of(result_dir) == list(range(6))


def test_a_part_that_is_published_already_adds_nothing_later(result_dir):
    rds.commit_staged(result_dir, [part(result_dir, 0, 0)])
    late = [part(result_dir, 0, 100), part(result_dir, 1, 3)]
    assert rds.commit_staged(result_dir, late, mode="append").rows == 3
    assert rds.commit_staged(result_dir, [part(result_dir, 1, 200)], mode="append").rows == 0
    assert ids_of(result_dir) == list(range(6))


def test_a_part_is_known_after_other_writers_and_compactions(result_dir):
    rds.commit_staged(result_dir, [part(result_dir, 0, 0)])
    with rds.ResultDatasetWriter(result_dir, mode="append") as writer:
        put(writer, 3)
    dataset = rds.ResultDataset({}, result_dir).lance_dataset
    dataset.optimize.compact_files()
    assert rds.commit_staged(result_dir, [part(result_dir, 0, 100)], mode="append").rows == 0
    assert ids_of(result_dir) == list(range(6))


def test_parts_of_different_jobs_have_nothing_to_do_with_each_other(result_dir):
    rds.commit_staged(result_dir, [part(result_dir, 0, 0, job="a β")])
    rds.commit_staged(result_dir, [part(result_dir, 0, 3, job="b")], mode="append")
    rds.commit_staged(result_dir, [part(result_dir, 0, 100, job="a β")], mode="append")
    assert ids_of(result_dir) == list(range(6))


def test_tokens_without_a_job_all_count(result_dir):
    tokens = []
    for first in (0, 3):
        with rds.ResultDatasetWriter(result_dir, mode="staged") as writer:
            put(writer, first)
            tokens.append(writer.stage())
    assert rds.commit_staged(result_dir, tokens).rows == 6
    assert ids_of(result_dir) == list(range(6))


def test_a_part_of_a_table_that_is_replaced_counts_again(result_dir):
    rds.commit_staged(result_dir, [part(result_dir, 0, 100)])
    assert rds.commit_staged(result_dir, [part(result_dir, 0, 0)], mode="overwrite").rows == 3
    assert ids_of(result_dir) == [0, 1, 2]


def test_all_of_a_part_is_in_one_token_and_a_second_one_is_refused(result_dir):
    with rds.ResultDatasetWriter(result_dir, mode="staged", job="j", part=7) as writer:
        put(writer, 0)
        first = writer.stage()
        put(writer, 3)
        with pytest.raises(rds.RdsError, match="one token"):
            writer.stage()
    assert rds.commit_staged(result_dir, [first]).rows == 3
    assert ids_of(result_dir) == list(range(3))


@pytest.mark.parametrize("options", [{"job": "j"}, {"part": 1}], ids=str)
def test_a_part_without_a_job_or_a_job_without_a_part_is_refused(result_dir, options):
    with pytest.raises(ValueError, match="one goes with the other"):
        rds.ResultDatasetWriter(result_dir, mode="staged", **options)


def test_a_number_of_a_part_may_be_as_large_as_64_bits(result_dir):
    with rds.ResultDatasetWriter(result_dir, mode="staged", job="j", part=2**64 - 1) as writer:
        writer.write_batch(["a"], np.zeros((1, 2)))
        token = writer.stage()
    assert rds.commit_staged(result_dir, [token]).rows == 1
