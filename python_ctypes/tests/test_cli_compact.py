"""`rds compact`: fewer data files, the same rows."""

import json
import os
import time

import lance
import pytest
from killed import write_and_die
from samples import assert_same_bits, numbered_ids, random_array, to_arrow

import rds
from rds import cli
from rds._compact import compact

ROWS, FILES = 600, 6
IDS, TENSORS = numbered_ids(ROWS), random_array("f4", (ROWS, 3))


@pytest.fixture
def of_lance(result_dir):
    """Many small files, written by pylance in one version."""
    path = result_dir / "lance_db" / "results.lance"
    lance.write_dataset(to_arrow(IDS, TENSORS), str(path), max_rows_per_file=ROWS // FILES)
    return result_dir


@pytest.fixture
def of_runs(result_dir):
    """As many runs of rds, one after the other."""
    step = ROWS // FILES
    for start in range(0, ROWS, step):
        mode = "append" if start else "create"
        with rds.ResultDatasetWriter(result_dir, mode=mode) as writer:
            writer.write_batch(IDS[start : start + step], TENSORS[start : start + step])
    return result_dir


@pytest.fixture(params=["of_lance", "of_runs"])
def results(request):
    return request.getfixturevalue(request.param)


def data_files(results, version=None):
    dataset = lance.dataset(str(results / "lance_db" / "results.lance"), version=version)
    return sum(len(fragment.data_files()) for fragment in dataset.get_fragments())


def assert_whole(results, version=None):
    with rds.ResultDataset({}, results, version=version) as dataset:
        assert dataset.ids() == IDS
        assert_same_bits(dataset[:], TENSORS)


def test_small_files_become_one_with_the_same_rows(results, capsys):
    assert data_files(results) == FILES
    assert cli.main(["compact", str(results)]) == 0
    assert data_files(results) == 1
    assert_whole(results)
    version = rds.ResultDataset({}, results)._snapshot.info.version
    assert capsys.readouterr().out.startswith(f"version {version} has 1 data file\n")
    table = lance.dataset(str(results / "lance_db" / "results.lance")).to_table()
    assert table["object_id"].to_pylist() == IDS


def test_readers_and_earlier_versions_stay(results):
    with rds.ResultDataset({}, results) as before:
        version = before._snapshot.info.version
        compact(results)
        assert_same_bits(before[:], TENSORS)
    assert data_files(results, version) == FILES
    assert_whole(results, version)


def test_what_is_compact_stays_as_it_is(results, capsys):
    compact(results)
    version = rds.ResultDataset({}, results)._snapshot.info.version
    capsys.readouterr()
    assert cli.main(["compact", str(results), "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done == {"data_files": 1, "version": version, "removed_files": 0, "removed_bytes": 0}


def test_files_that_no_version_has_named_for_a_week_are_removed(results, capsys):
    data = results / "lance_db" / "results.lance" / "data"
    old, young = data / "rds-0123456789abcdef0123456789abcdef-1.lance", data / "young.lance"
    for path in (old, young):
        path.write_bytes(bytes(1000))
    os.utime(old, (time.time() - 8 * 86400,) * 2)
    assert cli.main(["compact", str(results)]) == 0
    assert not old.exists() and young.exists()
    assert "removed 1 file that no version names, 1,000 bytes" in capsys.readouterr().out
    assert_whole(results)


def test_rows_of_a_killed_run_are_compacted_too(of_runs):
    write_and_die(of_runs, "append", batches=0, then="writer.write_batch(['x'], np.ones((1, 3), 'f4'))")
    compact(of_runs)
    assert rds.ResultDataset({}, of_runs).ids() == [*IDS, "x"]
    assert data_files(of_runs) == 1


def test_progress_is_told_and_may_stop_it(results):
    told = []
    compact(results, lambda *values: told.append(values))
    assert told and told[-1][1] == told[-1][2]
    assert {stage for stage, _, _ in told} == {"merge"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_is_stopped_leaves_the_results_whole(results, error):
    def stop(*_values):
        raise error

    with pytest.raises(error):
        compact(results, stop)
    assert_whole(results)
    compact(results)
    assert data_files(results) == 1


def test_no_results_are_3(tmp_path, capsys):
    assert cli.main(["compact", str(tmp_path)]) == 3
    assert "does not exist" in capsys.readouterr().err
