"""`rds recover`, and what `rds info` tells of runs."""

import pytest
from command import one_line, run, run_json
from killed import ids_of, put, show, write_and_die

import rds
from rds.recovery import Recovery

NOTHING = Recovery(*[0] * 8)


def test_the_command_recovers_counts_and_drops(result_dir):
    write_and_die(result_dir, "create")
    assert run("recover", result_dir, "--dry-run") == (0, "15 rows of 1 run wait for `rds recover`\n", "")
    assert run("recover", result_dir) == (0, "15 rows of 1 run became visible\n", "")
    assert run("recover", result_dir) == (0, "nothing waits\n", "")
    write_and_die(result_dir, "append", first=15)
    assert run_json("recover", result_dir, "--drop") == NOTHING._replace(dropped_runs=1, dropped_rows=15)._asdict()
    assert ids_of(result_dir) == list(range(15))


def test_the_command_fails_with_a_code_for_each_cause(result_dir):
    code, out, err = run("recover", result_dir)
    assert code == 3 and "nothing at" in one_line(code, out, err)
    with rds.ResultDatasetWriter(result_dir) as writer:
        put(writer, 0)
    assert run("recover", result_dir, "--run", "0123")[0] == 3
    assert run("recover", result_dir, "--drop", "--onto-replaced")[0] == 2
    writer = rds.ResultDatasetWriter(result_dir, mode="append", durability="batch")
    show(writer, 3)
    with rds.ResultDatasetWriter(result_dir) as other:
        put(other, 100)
    put(writer, 6)
    with pytest.raises(RuntimeError):
        writer.close()
    assert run("recover", result_dir)[0] == 6
    assert run("recover", result_dir, "--onto-replaced")[0] == 0
    assert ids_of(result_dir) == [100, 101, 102, 6, 7, 8]


def test_info_tells_of_rows_that_wait_where_there_is_no_version(result_dir):
    write_and_die(result_dir, "create")
    code, out, err = run("info", result_dir)
    assert (code, err) == (0, "")
    assert "no rows are visible yet" in out and "15 rows of 1 run wait for `rds recover`" in out
    told = run_json("info", result_dir)
    assert (told["rows"], told["version"], told["waiting_runs"], told["waiting_rows"]) == (0, None, 1, 15)


def test_info_tells_of_runs_that_go_on_and_of_tokens(result_dir):
    writer = rds.ResultDatasetWriter(result_dir, mode="create", durability="batch")
    show(writer, 0)
    with rds.ResultDatasetWriter(result_dir, mode="staged") as staging:
        put(staging, 3)
        staging.stage()
    told = run_json("info", result_dir)
    assert told["rows"] == 3
    assert (told["waiting_runs"], told["live_runs"], told["staged_runs"]) == (0, 1, 1)
    out = run("info", result_dir)[1]
    assert "1 run being written; 1 run with tokens that were not published" in out
    writer.close()
    assert run_json("info", result_dir)["live_runs"] == 0


def test_info_counts_a_file_once_however_many_names_it_has(result_dir):
    with rds.ResultDatasetWriter(result_dir) as writer:
        put(writer, 0, 5000)
    told = run_json("info", result_dir)
    assert told["tensor_bytes"] <= told["bytes_on_disk"] < 1.5 * told["tensor_bytes"]
