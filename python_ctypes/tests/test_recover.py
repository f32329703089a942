"""What was durable when a writer was killed becomes visible: in order, once, and told."""

import shutil
import signal
import subprocess
import sys
import time

import lance
import pytest
from killed import WRITE, environment, ids_of, put, runs_of, table_path, write_and_die

import rds
from rds.recovery import Recovery

NOTHING = Recovery(*[0] * 8)


@pytest.mark.parametrize("rows", [3, 2000], ids=["in the journal", "in files"])
def test_a_killed_run_that_made_the_table_is_recovered_once_and_in_order(result_dir, rows):
    assert write_and_die(result_dir, "create", rows=rows) == 5 * rows
    with pytest.raises(FileNotFoundError):
        rds.ResultDataset({}, result_dir)
    assert rds.recover(result_dir) == NOTHING._replace(recovered_runs=1, recovered_rows=5 * rows)
    assert ids_of(result_dir) == list(range(5 * rows))
    assert rds.recover(result_dir) == NOTHING
    assert ids_of(result_dir) == list(range(5 * rows))


@pytest.mark.parametrize("rows", [3, 2000], ids=["in the journal", "in files"])
def test_the_next_writer_that_appends_finishes_a_killed_one_and_follows_it(result_dir, rows):
    write_and_die(result_dir, "create", rows=rows)
    write_and_die(result_dir, "append", first=5 * rows, rows=rows)
    with rds.ResultDatasetWriter(result_dir, mode="append") as writer:
        put(writer, 10 * rows, rows)
    assert ids_of(result_dir) == list(range(11 * rows))
    assert rds.recover(result_dir) == NOTHING


def test_rows_that_were_shown_before_the_kill_come_once(result_dir):
    then = "writer.flush(); writer.write_batch(['15'], np.full((1, 64), 15, 'f4'))"
    assert write_and_die(result_dir, "create", then=then) == 16
    assert ids_of(result_dir) == list(range(15))
    assert rds.recover(result_dir).recovered_rows == 1
    assert ids_of(result_dir) == list(range(16))


def test_a_killed_overwrite_leaves_the_table_until_it_is_recovered(result_dir):
    with rds.ResultDatasetWriter(result_dir) as writer:
        put(writer, 100)
    write_and_die(result_dir, "overwrite")
    assert ids_of(result_dir) == [100, 101, 102]
    assert rds.recover(result_dir).recovered_rows == 15
    assert ids_of(result_dir) == list(range(15))


@pytest.mark.parametrize("replaces", [False, True])
def test_who_appends_after_a_killed_overwrite_follows_its_rows(result_dir, replaces):
    if replaces:
        with rds.ResultDatasetWriter(result_dir) as writer:
            put(writer, 100)
    write_and_die(result_dir, "overwrite")
    with rds.ResultDatasetWriter(result_dir, mode="append") as writer:
        put(writer, 15)
    assert ids_of(result_dir) == list(range(18))


@pytest.mark.parametrize("what", ["onto_replaced", "drop"])
def test_a_killed_overwrite_of_a_table_that_went_on_waits_until_somebody_decides(result_dir, what):
    with rds.ResultDatasetWriter(result_dir) as writer:
        put(writer, 100)
    write_and_die(result_dir, "overwrite")
    lance.dataset(table_path(result_dir)).delete("object_id = '101'")
    with pytest.raises(RuntimeError) as raised:
        rds.recover(result_dir)
    assert raised.value.status == 9
    assert rds.recover(result_dir, dry_run=True).waiting_rows == 15
    rds.recover(result_dir, **{what: True})
    assert ids_of(result_dir) == [100, 102] + list(range(15)) * (what == "onto_replaced")
    assert rds.recover(result_dir) == NOTHING


def test_rows_without_durability_are_no_rows(result_dir):
    assert write_and_die(result_dir, "create", durability="commit") == 0
    if result_dir.exists() and any(result_dir.iterdir()):
        assert rds.recover(result_dir) == NOTHING
    with pytest.raises(FileNotFoundError):
        rds.ResultDataset({}, result_dir)


def test_what_a_commit_made_durable_outlives_a_kill(result_dir):
    then = "writer.commit(); writer.write_batch(['99'], np.zeros((1, 64), 'f4'))"
    assert write_and_die(result_dir, "create", durability="commit", then=then) == 15
    assert ids_of(result_dir) == list(range(15))
    assert rds.recover(result_dir).recovered_rows == 0
    assert ids_of(result_dir) == list(range(15))


def test_what_an_interval_told_to_be_durable_outlives_a_kill(result_dir):
    then = "import time; time.sleep(0.3)"
    told = write_and_die(result_dir, "create", durability="interval", then=then)
    assert told > 0
    recovered = rds.recover(result_dir).recovered_rows
    assert recovered >= told
    assert ids_of(result_dir) == list(range(recovered))


@pytest.mark.parametrize(("rows", "moments"), [(1, (0.05, 0.2, 0.5)), (3000, (0.02, 0.05, 0.1))], ids=["1", "3000"])
def test_every_batch_that_was_acknowledged_outlives_a_kill_at_any_moment(result_dir, rows, moments):
    loop = WRITE.replace("exec(then)", "").replace(
        "    ids =", "    print(number * rows, flush=True)\n    ids ="
    )
    told = 0
    for moment in moments:
        arguments = [str(result_dir), "append" if told else "create", "batch", str(told), "1000000", str(rows), ""]
        child = subprocess.Popen(
            [sys.executable, "-c", loop, *arguments], env=environment(), stdout=subprocess.PIPE, text=True
        )
        first = child.stdout.readline()
        assert first == "0\n"
        child.stdout.readline()
        time.sleep(moment)
        child.send_signal(signal.SIGKILL)
        lines = child.stdout.read().splitlines()
        child.wait()
        acknowledged = int(lines[-1]) if lines else rows
        rds.recover(result_dir)
        shown = ids_of(result_dir)
        assert shown == list(range(len(shown)))
        assert acknowledged <= len(shown) - told <= acknowledged + rows
        told = len(shown)


def test_create_refuses_where_rows_wait_and_says_how_many(result_dir):
    write_and_die(result_dir, "create")
    with pytest.raises(FileExistsError, match="15 rows of an interrupted run"):
        rds.ResultDatasetWriter(result_dir, mode="create")
    assert rds.recover(result_dir, dry_run=True).waiting_rows == 15


def test_overwrite_drops_rows_that_wait_once_it_is_visible(result_dir):
    write_and_die(result_dir, "create")
    writer = rds.ResultDatasetWriter(result_dir, mode="overwrite", durability="batch")
    put(writer, 100)
    assert rds.recover(result_dir, dry_run=True).waiting_rows == 15
    writer.close()
    assert ids_of(result_dir) == [100, 101, 102]
    assert rds.recover(result_dir) == NOTHING


def test_a_run_that_goes_on_is_left_alone(result_dir):
    writer = rds.ResultDatasetWriter(result_dir, mode="create", durability="batch")
    put(writer, 0)
    assert rds.recover(result_dir) == NOTHING._replace(live_runs=1)
    put(writer, 3)
    writer.close()
    assert ids_of(result_dir) == list(range(6))


def test_an_owner_that_was_taken_over_acknowledges_nothing(result_dir):
    writer = rds.ResultDatasetWriter(result_dir, mode="create", durability="batch")
    put(writer, 0)
    assert rds.recover(result_dir, take_over=True).recovered_rows == 3
    with pytest.raises(RuntimeError) as raised:
        put(writer, 3)
    assert raised.value.status == 9
    with pytest.raises(RuntimeError):
        writer.close()
    assert ids_of(result_dir) == [0, 1, 2]
    assert rds.recover(result_dir) == NOTHING


def test_a_dry_run_counts_and_changes_nothing(result_dir):
    with rds.ResultDatasetWriter(result_dir) as writer:
        put(writer, 100)
    for _ in range(2):
        write_and_die(result_dir, "append", batches=2)
    left = sorted(path for path in result_dir.rglob("*"))
    counted = rds.recover(result_dir, dry_run=True)
    assert counted.waiting_runs in (1, 2) and counted.waiting_rows == 6 * counted.waiting_runs
    assert rds.recover(result_dir, dry_run=True) == counted
    assert sorted(path for path in result_dir.rglob("*")) == left


def test_one_run_is_recovered_by_its_name(result_dir):
    with rds.ResultDatasetWriter(result_dir) as writer:
        put(writer, 100)
    others = set(runs_of(result_dir))
    write_and_die(result_dir, "append", batches=1)
    (name,) = set(runs_of(result_dir)) - others
    with pytest.raises(FileNotFoundError, match="no run 0123"):
        rds.recover(result_dir, run="0123")
    assert rds.recover(result_dir, run=name, drop=True) == NOTHING._replace(dropped_runs=1, dropped_rows=3)
    assert rds.recover(result_dir) == NOTHING
    assert ids_of(result_dir) == [100, 101, 102]


def test_a_table_that_was_moved_recovers_for_itself(result_dir, tmp_path):
    write_and_die(result_dir, "create", rows=2000)
    shutil.move(result_dir, tmp_path / "elsewhere")
    assert rds.recover(tmp_path / "elsewhere").recovered_rows == 10_000
    assert ids_of(tmp_path / "elsewhere") == list(range(10_000))


@pytest.mark.parametrize("what", ["onto_replaced", "drop"])
def test_rows_of_a_table_that_was_replaced_wait_until_somebody_decides(result_dir, what):
    with rds.ResultDatasetWriter(result_dir) as writer:
        put(writer, 100)
    kept = lance.dataset(table_path(result_dir)).to_table()
    write_and_die(result_dir, "append")
    lance.write_dataset(kept.slice(2), table_path(result_dir), mode="overwrite")
    with pytest.raises(RuntimeError, match="replaced"):
        rds.recover(result_dir)
    with rds.ResultDatasetWriter(result_dir, mode="append") as writer:
        put(writer, 200)
    assert ids_of(result_dir) == [102, 200, 201, 202]
    assert rds.recover(result_dir, dry_run=True).waiting_rows == 15
    rds.recover(result_dir, **{what: True})
    assert ids_of(result_dir) == [102, 200, 201, 202] + list(range(15)) * (what == "onto_replaced")
    assert rds.recover(result_dir) == NOTHING


def test_tokens_of_a_killed_process_are_published_and_its_other_rows_are_lost(result_dir):
    then = "open(where + '.token', 'wb').write(writer.stage()); writer.write_batch(['99'], np.zeros((1, 64), 'f4'))"
    write_and_die(result_dir, "staged", then=then)
    assert rds.recover(result_dir) == NOTHING._replace(staged_runs=1)
    token = (result_dir.parent / (result_dir.name + ".token")).read_bytes()
    assert rds.commit_staged(result_dir, [token]).rows == 15
    assert ids_of(result_dir) == list(range(15))
    assert rds.recover(result_dir) == NOTHING


def test_what_is_wrong_is_refused(result_dir):
    with pytest.raises(FileNotFoundError):
        rds.recover(result_dir)
    for options in ({"drop": True, "onto_replaced": True}, {"run": "a\0b"}):
        with pytest.raises(ValueError) as raised:
            rds.recover(result_dir, **options)
        assert isinstance(raised.value, rds.RdsError)
    with pytest.raises(TypeError):
        rds.recover(result_dir, run=b"x")
