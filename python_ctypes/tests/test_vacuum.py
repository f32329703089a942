"""`vacuum` gives the disk back: old versions and what nobody names, from an age on, and nothing else."""

import os
import time
from pathlib import Path

import lance
import numpy as np
import pytest
from killed import ids_of, put, show, table_path, write_and_die
from samples import write

import rds

ROWS = 4000
BLOCK = np.repeat(np.arange(ROWS, dtype="f4")[:, None], 64, axis=1)


def on_disk(where):
    found = {}
    for directory, _, names in os.walk(where):
        for name in names:
            status = os.stat(os.path.join(directory, name))
            found[status.st_ino] = status.st_size
    return sum(found.values())


def vacuum(where, **options):
    time.sleep(0.05)
    return rds.vacuum(where, older_than_ms=1, **options)


def test_the_disk_of_a_table_that_was_overwritten_is_given_back(result_dir):
    for _ in range(3):
        write(result_dir, np.arange(ROWS), BLOCK)
    assert on_disk(result_dir) > 3 * BLOCK.nbytes
    removed = vacuum(result_dir)
    assert removed.removed_versions == 2 and removed.removed_bytes > 2 * BLOCK.nbytes
    assert on_disk(result_dir) < 1.5 * BLOCK.nbytes
    assert ids_of(result_dir) == list(range(ROWS))


def test_what_a_long_run_merged_away_is_given_back(result_dir):
    with rds.ResultDatasetWriter(result_dir) as writer:
        for first in range(0, ROWS, 250):
            show(writer, first, 250)
    vacuum(result_dir)
    assert on_disk(result_dir) < 1.5 * BLOCK.nbytes
    assert ids_of(result_dir) == list(range(ROWS))


def test_a_run_that_is_being_made_is_left(result_dir):
    write(result_dir, np.arange(30), BLOCK[:30])
    begun = Path(table_path(result_dir)) / "_rds" / f"{7:032x}"
    begun.mkdir(parents=True)
    vacuum(result_dir)
    assert begun.exists()
    os.utime(begun, (0, 0))
    vacuum(result_dir)
    assert not begun.exists()


def test_nothing_young_is_removed(result_dir):
    for _ in range(3):
        write(result_dir, np.arange(30), BLOCK[:30])
    leftover = f"{table_path(result_dir)}/data/leftover.lance"
    with open(leftover, "wb") as file:
        file.write(bytes(1000))
    removed = rds.vacuum(result_dir)
    assert removed == (0, 0, 1, 0)
    assert os.path.exists(leftover)
    assert vacuum(result_dir, keep_versions=True).removed_bytes >= 1000
    assert not os.path.exists(leftover)


@pytest.mark.parametrize("name", ["_transactions/3-0.txn", "_versions/.tmp_9.manifest_0", "data/rds-0-1-0.lance"])
def test_what_a_commit_under_way_needs_is_not_removed(result_dir, name):
    write(result_dir, np.arange(30), BLOCK[:30])
    table = Path(table_path(result_dir))
    file = table / name
    file.write_bytes(b"0")
    elsewhere = table / "_rds" / "0" / "rds-0-1-0.lance"
    if "data" in name:
        elsewhere.parent.mkdir()
        os.link(file, elsewhere)
    time.sleep(0.01)
    vacuum(result_dir)
    assert file.exists()
    os.utime(file, (time.time() - 120,) * 2)
    elsewhere.unlink(missing_ok=True)
    vacuum(result_dir)
    assert not file.exists()


def test_versions_that_are_kept_keep_their_files(result_dir):
    for number in range(3):
        write(result_dir, np.arange(number + 1), BLOCK[: number + 1])
    before = [version["version"] for version in lance.dataset(table_path(result_dir)).versions()]
    assert vacuum(result_dir, keep_versions=True).removed_versions == 0
    for number, version in enumerate(before):
        assert lance.dataset(table_path(result_dir), version=version).to_table().num_rows == number + 1


def test_a_dry_run_counts_and_removes_nothing(result_dir):
    for _ in range(3):
        write(result_dir, np.arange(30), BLOCK[:30])
    before = on_disk(result_dir)
    counted = vacuum(result_dir, dry_run=True)
    assert counted.removed_versions == 2 and counted.removed_bytes >= 2 * BLOCK[:30].nbytes
    assert on_disk(result_dir) == before
    assert vacuum(result_dir) == counted
    assert on_disk(result_dir) < before
    assert vacuum(result_dir).removed_versions == 0


def test_rows_that_wait_and_runs_that_go_on_are_never_removed(result_dir):
    with rds.ResultDatasetWriter(result_dir) as writer:
        put(writer, 100)
    live = rds.ResultDatasetWriter(result_dir, mode="append", durability="batch")
    put(live, 200)
    write_and_die(result_dir, "append")
    vacuum(result_dir)
    assert rds.recover(result_dir).recovered_rows == 15
    vacuum(result_dir)
    live.close()
    assert ids_of(result_dir) == [100, 101, 102, *range(15), 200, 201, 202]


def test_a_reader_of_a_version_that_is_removed_keeps_its_mapped_rows(result_dir):
    write(result_dir, np.arange(30), BLOCK[:30])
    dataset = rds.ResultDataset({}, result_dir)
    write(result_dir, np.arange(3), BLOCK[:3])
    assert vacuum(result_dir).removed_versions == 1
    np.testing.assert_array_equal(dataset.__get_all__(), BLOCK[:30])
    assert dataset.refresh() is True and len(dataset) == 3


def test_what_is_not_there_is_refused(result_dir):
    with pytest.raises(FileNotFoundError):
        rds.vacuum(result_dir)
    with pytest.raises(ValueError, match="older_than_ms"):
        rds.vacuum(result_dir, older_than_ms=0)
