"""Parts of a job: whoever writes them, and however often, the table is that of one writer."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest
from killed import environment

import rds
from rds import parts
from rds._packing import Span

JOB = "a job/of 1"


def rows_of(number, count=300):
    """What one part has: its ids, and columns of several kinds."""
    rows = np.arange(number * 1000, number * 1000 + count)
    data = {
        "vector": np.sin(rows[:, None] + np.arange(8)).astype("f4"),
        "flag": (rows[:, None] + np.arange(3)) % 2 == 0,
        "count": rows.astype("u2"),
    }
    return [f"obj-{row}" for row in rows], data


def write(path, number, **options):
    return parts.write_part(path, JOB, number, [rows_of(number)], **options)


def table_of(path):
    return Path(path) / "lance_db" / "results.lance"


def files_of(path):
    """What a table has on disk, by directory, without the names that are made up."""
    found = {}
    for file in table_of(path).rglob("*"):
        if file.is_file() and file.name != "latest_version_hint.json":
            found.setdefault(str(file.parent.relative_to(table_of(path))), []).append(file.stat().st_size)
    return {directory: sorted(sizes) for directory, sizes in found.items()}


def serial(path, numbers):
    with rds.ResultDatasetWriter(path, durability="commit") as writer:
        for number in numbers:
            writer.write_batch(*rows_of(number))
        writer.commit()
    for leftover in table_of(path).glob("_rds/*/*"):
        leftover.unlink()


def same_table(path, other):
    one, two = lance.dataset(str(table_of(path))), lance.dataset(str(table_of(other)))
    assert one.to_table() == two.to_table()
    assert one.schema == two.schema and one.schema.metadata == two.schema.metadata
    mine, theirs = files_of(path), files_of(other)
    assert mine["data"] == theirs["data"]
    assert mine.keys() == {"data", "_versions", "_transactions"}
    assert len(mine["_versions"]) == 1


@pytest.mark.parametrize("shares", [0, 1, 3])
def test_the_table_is_that_of_one_writer(result_dir, tmp_path, shares):
    tokens = [write(result_dir, number) for number in (4, 0, 3, 1, 2)]
    rows = [parts.pack_parts(result_dir, JOB, tokens, share, shares) for share in range(shares)]
    assert sum(rows) == (1500 if shares else 0)
    commit = parts.commit_parts(result_dir, JOB, tokens)
    assert (commit.rows, commit.version, commit.data_files) == (1500, 1, 3)
    serial(tmp_path / "serial", range(5))
    same_table(result_dir, tmp_path / "serial")


def test_files_end_where_those_of_one_writer_end(result_dir, tmp_path):
    def batch(number):
        return np.arange(number * 400_000, (number + 1) * 400_000), np.full((400_000, 1), number, "u1")

    tokens = [parts.write_part(result_dir, "j", number, [batch(number)]) for number in range(3)]
    assert parts.commit_parts(result_dir, "j", tokens).data_files == 2
    with rds.ResultDatasetWriter(tmp_path / "serial", durability="commit") as writer:
        for number in range(3):
            writer.write_batch(*batch(number))
    assert files_of(result_dir)["data"] == files_of(tmp_path / "serial")["data"]
    fragments = lance.dataset(str(table_of(result_dir))).get_fragments()
    assert [fragment.count_rows() for fragment in fragments] == [1 << 20, 1_200_000 - (1 << 20)]
    dataset = rds.ResultDataset({}, result_dir)
    assert [dataset.get_object_id(row) for row in (0, 1 << 20, 1_199_999)] == ["0", str(1 << 20), "1199999"]
    assert np.array_equal(np.asarray(dataset)[:, 0], np.repeat(np.arange(3), 400_000))


def test_a_file_that_a_stopped_call_makes_is_made_once_more_after_ten_seconds(result_dir):
    tokens = [write(result_dir, number) for number in range(3)]
    parts.pack_parts(result_dir, JOB, tokens[:1], more=True)
    (lock,) = table_of(result_dir).glob("_rds/jobs/*/packed/*.lock")
    with open(lock, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        begin = time.monotonic()
        # A file that is only begun is left to him who has it.
        assert parts.pack_parts(result_dir, JOB, tokens[:2], more=True) == 0
        assert time.monotonic() - begin < 5
        begin = time.monotonic()
        assert parts.commit_parts(result_dir, JOB, tokens).rows == 900
        assert 9 < time.monotonic() - begin < 20
    assert len(rds.ResultDataset({}, result_dir)) == 900


def test_files_are_packed_while_parts_are_written(result_dir):
    def part(number):
        rows = np.arange(number * 300_000, (number + 1) * 300_000), np.full((300_000, 1), number, "u1")
        return parts.write_part(result_dir, "j", number, [rows])

    span, packed, tokens = Span([], 0), [], []
    for number in range(8):
        tokens.append(part(number))
        given, span = span.grown(tokens[-1:])
        packed.append(parts.pack_parts(result_dir, "j", *given[:1], first_row=given.first_row, more=number < 7))
    assert packed == [0, 0, 0, 1 << 20, 0, 0, 1 << 20, 2_400_000 - (2 << 20)]
    made = {file.stat().st_ino for file in table_of(result_dir).glob("_rds/jobs/j/packed/*.lance")}
    assert parts.commit_parts(result_dir, "j", tokens).data_files == len(made) == 3
    assert {file.stat().st_ino for file in (table_of(result_dir) / "data").iterdir()} == made
    dataset = rds.ResultDataset({}, result_dir)
    assert np.array_equal(np.asarray(dataset["data"])[:, 0], np.repeat(np.arange(8), 300_000))
    assert dataset.get_object_id(2_399_999) == "2399999"


def test_a_part_that_was_written_twice_counts_once_and_nothing_of_it_is_left(result_dir, tmp_path):
    tokens = [write(result_dir, number) for number in (0, 1)]
    again = write(result_dir, 1)
    parts.write_part(result_dir, JOB, 1, [(["other"], {k: v[:1] for k, v in rows_of(9)[1].items()})])
    assert parts.commit_parts(result_dir, JOB, [again, *tokens]).rows == 600
    serial(tmp_path / "serial", range(2))
    same_table(result_dir, tmp_path / "serial")


def test_the_same_call_again_finds_that_the_version_has_landed(result_dir):
    tokens = [write(result_dir, number) for number in range(2)]
    for mode in ("create", "create", "append", "overwrite"):
        commit = parts.commit_parts(result_dir, JOB, tokens, mode)
        assert commit.version == 1
    assert commit.rows == 0 and len(rds.ResultDataset({}, result_dir)) == 600
    # As a task does it that runs again, and finds that nothing waits.
    assert [parts.commit_parts(result_dir, JOB, [], mode).rows for mode in ("create", "append", "overwrite")] == [0] * 3


def test_a_job_of_the_same_name_replaces_what_the_first_one_wrote(result_dir):
    parts.commit_parts(result_dir, JOB, [write(result_dir, 0), write(result_dir, 1)])
    assert parts.commit_parts(result_dir, JOB, [write(result_dir, 0)], "overwrite").rows == 300
    assert parts.finished(result_dir) == {JOB: [range(1)]}


def test_a_job_appends_and_another_job_does_not_create(result_dir):
    parts.commit_parts(result_dir, "one", [parts.write_part(result_dir, "one", 0, [rows_of(0)])])
    token = parts.write_part(result_dir, "two", 0, [rows_of(1)])
    with pytest.raises(FileExistsError):
        parts.commit_parts(result_dir, "two", [token])
    assert parts.unfinished(result_dir) == {"two": {0: token}}
    assert parts.commit_parts(result_dir, "two", [token], "append").rows == 300
    assert rds.ResultDataset({}, result_dir).get_object_id(300) == "obj-1000"


def test_what_waits_and_what_is_there_are_listed(result_dir):
    assert parts.unfinished(result_dir) == parts.finished(result_dir) == {}
    tokens = {number: write(result_dir, number) for number in (7, 0, 1, 3)}
    other = parts.write_part(result_dir, "ä" * 500, 2**64 - 1, [rows_of(0)])
    waiting = parts.unfinished(result_dir)
    assert waiting == {JOB: tokens, "ä" * 500: {2**64 - 1: other}}
    assert list(waiting[JOB]) == [0, 1, 3, 7]
    parts.commit_parts(result_dir, JOB, list(tokens.values()))
    assert parts.finished(result_dir) == {JOB: [range(2), range(3, 4), range(7, 8)]}
    assert parts.unfinished(result_dir) == {"ä" * 500: {2**64 - 1: other}}


def test_a_task_finds_the_token_of_its_part(result_dir):
    assert parts.token(result_dir, JOB, 0) is None
    tokens = [write(result_dir, number) for number in range(2)]
    parts.write_part(result_dir, "other", 2, [rows_of(0)])
    assert [parts.token(result_dir, JOB, number) for number in range(3)] == [*tokens, None]
    parts.commit_parts(result_dir, JOB, tokens)
    assert parts.token(result_dir, JOB, 1) is None


def test_a_part_without_rows_has_a_token_and_columns_that_were_declared(result_dir):
    columns = {"data": ("f4", (2,))}
    tokens = [parts.write_part(result_dir, JOB, number, [], columns=columns) for number in range(2)]
    assert set(parts.unfinished(result_dir)[JOB]) == {0, 1}
    assert parts.commit_parts(result_dir, JOB, tokens).version == 1
    dataset = rds.ResultDataset({}, result_dir)
    assert (len(dataset), dataset.tensor_shape) == (0, [2])
    assert parts.finished(result_dir) == {JOB: [range(2)]}


def test_a_job_without_rows_and_columns_makes_no_table_and_leaves_nothing(result_dir):
    tokens = [parts.write_part(result_dir, JOB, 0, [])]
    assert parts.commit_parts(result_dir, JOB, tokens) == (0, 0, 0, 0)
    assert not list(table_of(result_dir).rglob("*"))


def test_batches_may_be_arrow_pairs_and_a_stream(result_dir):
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6, dtype="f8")), 3)
    table = pa.table({"object_id": ["a", "b"], "data": vectors})
    tokens = [
        parts.write_part(result_dir, JOB, 0, table),
        parts.write_part(result_dir, JOB, 1, iter([table, (["c"], np.ones((1, 3)))])),
        parts.write_part(result_dir, JOB, 2, pa.RecordBatchReader.from_batches(table.schema, table.to_batches())),
    ]
    parts.commit_parts(result_dir, JOB, tokens)
    dataset = rds.ResultDataset({}, result_dir)
    assert [dataset.get_object_id(row) for row in range(7)] == list("ababcab")
    assert np.asarray(dataset)[:, 0].tolist() == [0, 3, 0, 3, 1, 0, 3]


def test_what_batches_raise_comes_out_and_leaves_nothing(result_dir):
    def broken():
        yield rows_of(0)
        raise ZeroDivisionError("of the model")

    with pytest.raises(ZeroDivisionError, match="of the model"):
        parts.write_part(result_dir, JOB, 0, broken())
    with pytest.raises(TypeError, match="pairs of ids and data"):
        parts.write_part(result_dir, JOB, 0, ["no batch"])
    with pytest.raises(ValueError, match="300 rows, and there are 1 ids"):
        parts.write_part(result_dir, JOB, 0, [rows_of(0), (["a"], rows_of(1)[1])])
    assert parts.unfinished(result_dir) == {}
    assert not [file for file in table_of(result_dir).rglob("*") if file.is_file()]


@pytest.mark.parametrize(
    "bad, message",
    [
        (dict(job=None), "a str is expected"),
        (dict(job=7), "a str is expected"),
        (dict(part=-1), "at least 0"),
        (dict(part=2**64), "fit 64 bits"),
    ],
    ids=str,
)
def test_a_part_is_named_by_a_text_and_a_number(result_dir, bad, message):
    with pytest.raises((ValueError, TypeError), match=message):
        parts.write_part(result_dir, **{"job": JOB, "part": 0, "batches": [], **bad})


def test_parts_that_do_not_go_together_are_refused_and_stay(result_dir):
    tokens = [write(result_dir, 0), parts.write_part(result_dir, JOB, 1, [(["a"], np.zeros((1, 3)))])]
    with pytest.raises(ValueError, match="token 1"):
        parts.commit_parts(result_dir, JOB, tokens)
    with pytest.raises(ValueError, match="no part of the job"):
        parts.commit_parts(result_dir, "another", tokens)
    with pytest.raises(ValueError, match="share is 3 of 3"):
        parts.pack_parts(result_dir, JOB, tokens, 3, 3)
    assert list(parts.unfinished(result_dir)[JOB]) == [0, 1]
    assert parts.commit_parts(result_dir, JOB, [tokens[0], write(result_dir, 1)]).rows == 600


def test_a_damaged_part_is_named_and_after_it_is_written_again_all_is_well(result_dir, tmp_path):
    tokens = [write(result_dir, number) for number in range(3)]
    (file,) = table_of(result_dir).glob("_rds/jobs/*/0/1-*")
    content = bytearray(file.read_bytes())
    content[5000] ^= 1
    file.write_bytes(content)
    with pytest.raises(OSError, match=rf"token 1: .*{file.name} is damaged"):
        parts.commit_parts(result_dir, JOB, tokens)
    assert not (table_of(result_dir) / "_versions").exists()
    file.unlink()
    waiting = parts.unfinished(result_dir)[JOB]
    assert list(waiting) == [0, 2]
    parts.commit_parts(result_dir, JOB, [*waiting.values(), write(result_dir, 1)])
    serial(tmp_path / "serial", range(3))
    same_table(result_dir, tmp_path / "serial")


def test_a_part_that_is_cut_short_is_not_listed(result_dir):
    write(result_dir, 0)
    (file,) = table_of(result_dir).glob("_rds/jobs/*/0/0-*")
    with file.open("r+b") as content:
        content.truncate(file.stat().st_size - 1)
    assert parts.unfinished(result_dir) == {}


def test_a_failed_job_goes_with_a_vacuum_and_a_young_one_stays(result_dir):
    write(result_dir, 0)
    table = table_of(result_dir)
    assert rds.vacuum(result_dir).removed_files == 0
    assert rds.recover(result_dir).staged_runs == 1
    for file in [*table.rglob("*"), table]:
        os.utime(file, (0, 0))
    assert rds.vacuum(result_dir, dry_run=True).removed_files == 1
    assert rds.vacuum(result_dir).removed_files == 1
    assert not list(table.iterdir()) and parts.unfinished(result_dir) == {}


def test_a_job_is_dropped_by_its_name(result_dir):
    write(result_dir, 0)
    parts.write_part(result_dir, "kept", 0, [rows_of(0)])
    dropped = rds.recover(result_dir, run=JOB, drop=True)
    assert (dropped.dropped_runs, dropped.dropped_rows) == (1, 300)
    assert list(parts.unfinished(result_dir)) == ["kept"]


def test_a_part_may_be_on_disk_when_its_token_is_given(result_dir):
    assert parts.commit_parts(result_dir, JOB, [write(result_dir, 0, durable=True)]).rows == 300


TASK = """
import os, sys, test_parts
path, number, when = sys.argv[1], int(sys.argv[2]), sys.argv[3]
ids, data = test_parts.rows_of(number)
def batches():
    for at in range(0, 300, 50):
        yield ids[at:at + 50], {name: rows[at:at + 50] for name, rows in data.items()}
        if when == str(at):
            os.kill(os.getpid(), 9)
print(test_parts.parts.write_part(path, test_parts.JOB, number, batches()).hex(), flush=True)
if when == "after":
    os.kill(os.getpid(), 9)
"""


PLACES = [str(Path(rds.__file__).parents[1]), str(Path(__file__).parent)]
TASK_ENVIRONMENT = environment(PYTHONPATH=os.pathsep.join(PLACES))


def task(path, number, when="never"):
    run = subprocess.run(
        [sys.executable, "-c", TASK, str(path), str(number), when],
        env=TASK_ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == (0 if when == "never" else -signal.SIGKILL), run.stderr
    return bytes.fromhex(run.stdout.strip())


def test_tasks_that_are_killed_leave_whole_parts_or_none(result_dir, tmp_path):
    for number, when in enumerate(["0", "after", "250"]):
        task(result_dir, number, when)
    waiting = parts.unfinished(result_dir)[JOB]
    assert list(waiting) == [1], "what the second one wrote is there, though nobody was told"
    tokens = [*waiting.values(), task(result_dir, 0), task(result_dir, 2)]
    parts.commit_parts(result_dir, JOB, tokens)
    serial(tmp_path / "serial", range(3))
    same_table(result_dir, tmp_path / "serial")


def test_a_task_that_is_late_is_told_and_leaves_nothing(result_dir):
    tokens = [write(result_dir, 0)]

    def late():
        yield rows_of(0)
        parts.commit_parts(result_dir, JOB, tokens)

    with pytest.raises(FileNotFoundError, match="part 0 was removed while it was written"):
        parts.write_part(result_dir, JOB, 0, late())
    assert files_of(result_dir).keys() == {"data", "_versions", "_transactions"}


def test_parts_without_a_token_stay_and_may_be_added_later(result_dir):
    tokens = [write(result_dir, number) for number in range(3)]
    write(result_dir, 0)
    assert parts.commit_parts(result_dir, JOB, []) == (0, 0, 0, 0)
    assert parts.commit_parts(result_dir, JOB, tokens[:1]).rows == 300
    assert parts.unfinished(result_dir) == {JOB: {1: tokens[1], 2: tokens[2]}}
    assert parts.commit_parts(result_dir, JOB, [], "append").rows == 0
    assert parts.commit_parts(result_dir, JOB, tokens[1:], "append").rows == 600
    assert files_of(result_dir).keys() == {"data", "_versions", "_transactions"}


def test_what_others_put_in_the_place_of_a_table_has_none_of_its_jobs(result_dir):
    parts.commit_parts(result_dir, JOB, [write(result_dir, 0)])
    other = lance.dataset(str(table_of(result_dir))).to_table(limit=1)
    lance.write_dataset(other, str(table_of(result_dir)), mode="overwrite")
    assert parts.finished(result_dir) == {}
    assert parts.commit_parts(result_dir, JOB, [write(result_dir, 0)], "append").rows == 300
    assert parts.finished(result_dir) == {JOB: [range(1)]}
    parts.commit_parts(result_dir, "two", [parts.write_part(result_dir, "two", 3, [rows_of(1)])], "append")
    assert parts.finished(result_dir) == {JOB: [range(1)], "two": [range(3, 4)]}
    assert len(rds.ResultDataset({}, result_dir)) == 601


def test_a_part_that_cannot_be_read_is_told(result_dir):
    write(result_dir, 0)
    (file,) = table_of(result_dir).glob("_rds/jobs/*/0/0-*")
    target = file.with_name("elsewhere")
    file.rename(target)
    file.symlink_to(file.name)
    with pytest.raises(OSError, match=file.name):
        parts.unfinished(result_dir)


def test_a_commit_that_is_killed_leaves_nothing_behind_the_next_one(result_dir, tmp_path):
    tokens = [write(result_dir, number) for number in range(3)]
    code = "import sys, threading, time, os, test_parts\n" \
        "threading.Thread(target=lambda: (time.sleep(float(sys.argv[2])), os.kill(os.getpid(), 9))).start()\n" \
        "test_parts.parts.commit_parts(sys.argv[1], test_parts.JOB, [bytes.fromhex(t) for t in sys.argv[3:]])"
    for pause in np.linspace(0.002, 0.02, 4):
        subprocess.run([sys.executable, "-c", code, str(result_dir), str(pause), *(token.hex() for token in tokens)],
            env=TASK_ENVIRONMENT, capture_output=True)  # fmt: skip
    parts.commit_parts(result_dir, JOB, tokens)
    serial(tmp_path / "serial", range(3))
    same_table(result_dir, tmp_path / "serial")
