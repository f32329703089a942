"""The command `rds`: what each command prints, and its JSON."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from command import one_line, run, run_json
from legacy_batches import write_batches
from samples import BFLOAT16, DTYPES, numbered_ids, random_array, write

import rds
from rds.cli import _exit_codes


@pytest.fixture
def results(result_dir):
    """Twenty rows of [row, row + 0.5]."""
    rows = np.arange(20, dtype=np.float32)
    write(result_dir, numbered_ids(20), np.stack([rows, rows + 0.5], axis=1))
    return str(result_dir)


# info


def test_info_tells_what_there_is(results):
    code, out, _ = run("info", results)
    assert code == 0
    assert "20" in out and "float32 [2]" in out and "results.lance" in out


def test_info_as_json(results):
    facts = run_json("info", results)
    table = Path(results) / "lance_db" / "results.lance"
    # What is published stays linked in the directory of its run for a while.
    sizes = {path.stat().st_ino: path.stat().st_size for path in table.rglob("*") if path.is_file()}
    age = datetime.now(timezone.utc) - datetime.fromisoformat(facts.pop("committed"))
    assert timedelta(0) <= age < timedelta(minutes=1)
    assert facts == {
        "table": str(table),
        "rows": 20,
        "dtype": "float32",
        "shape": [2],
        "columns": [{"name": "data", "dtype": "float32", "shape": [2], "mapped_rows": 20}],
        "has_ids": True,
        "version": rds.ResultDataset({}, results)._snapshot.info.version,
        "mapped_rows": 20,
        "tensor_bytes": 160,
        "files": len(sizes),
        "bytes_on_disk": sum(sizes.values()),
        "waiting_runs": 0,
        "waiting_rows": 0,
        "live_runs": 0,
        "staged_runs": 0,
    }


def test_a_table_and_a_uri_are_results_too(results):
    table = Path(results) / "lance_db" / "results.lance"
    assert run_json("info", table)["rows"] == run_json("info", table.as_uri())["rows"] == 20


# head


def test_head_prints_number_id_and_tensor(results):
    code, out, _ = run("head", results, "-n", 2)
    assert code == 0
    assert [line.split(maxsplit=2) for line in out.splitlines()] == [
        ["row", "object_id", "data: float32 [2]"],
        ["0", "object-00000", "[0.  0.5]"],
        ["1", "object-00001", "[1.  1.5]"],
    ]


def test_head_prints_ten_rows_and_not_more_than_there_are(results):
    assert [line["row"] for line in run_json("head", results)] == list(range(10))
    assert [line["row"] for line in run_json("head", results, "--first", 18)] == [18, 19]
    assert run_json("head", results, "--first", 20) == run_json("head", results, "-n", 0) == []


def test_head_as_json_has_the_values(results):
    line = run_json("head", results, "--first", 3, "-n", 1)
    assert line == [{"row": 3, "object_id": "object-00003", "data": [3, 3.5]}]


def test_head_shows_the_ends_of_a_large_tensor_on_one_line(result_dir):
    write(result_dir, ["a"], np.arange(10_000.0).reshape(1, 100, 100))
    out = run("head", result_dir)[1]
    assert out.count("\n") == 2
    assert "[0.000e+00 1.000e+00" in out and "..." in out and "9.999e+03]" in out


# ids


def test_ids_are_one_a_line(results):
    assert run("ids", results)[1].splitlines() == numbered_ids(20)
    assert run_json("ids", results) == numbered_ids(20)


# get


def test_get_prints_the_tensors_of_ids(results):
    code, out, _ = run("get", results, "object-00007", "object-00002")
    assert code == 0
    assert out == "object-00007 (row 7):\n[7.  7.5]\nobject-00002 (row 2):\n[2.  2.5]\n"


def test_get_prints_every_digit_of_all_of_a_large_tensor(result_dir):
    values = np.random.default_rng(0).random((1, 5000))
    write(result_dir, ["a"], values)
    heading, printed = run("get", result_dir, "a")[1].split("\n", 1)
    assert heading == "a (row 0):"
    assert np.array(printed.strip("[]\n").split(), float).tolist() == values[0].tolist()


def test_get_as_json(results):
    assert run_json("get", results, "object-00007") == [
        {"object_id": "object-00007", "row": 7, "data": [7, 7.5]}
    ]


def test_get_gives_the_first_row_that_carries_the_id(result_dir):
    write(result_dir, ["a", "b", "b"], np.arange(3.0))
    assert run_json("get", result_dir, "b")[0]["row"] == 1


def test_get_saves_the_tensors(results, tmp_path):
    saved = tmp_path / "two.npy"
    code, out, _ = run("get", results, "object-00007", "object-00002", "-o", saved)
    assert (code, out) == (0, "")
    assert np.load(saved).tolist() == [[7, 7.5], [2, 2.5]]
    found = run_json("get", results, "object-00007", "-o", saved, "--force")
    assert found == [{"object_id": "object-00007", "row": 7}]


def test_get_replaces_a_file_only_if_told_to(results, tmp_path):
    saved = tmp_path / "one.npy"
    saved.write_text("mine")
    assert "exists already" in one_line(*run("get", results, "object-00007", "-o", saved))
    assert saved.read_text() == "mine"
    assert run("get", results, "object-00007", "-o", saved, "--force")[0] == 0
    assert np.load(saved).tolist() == [[7, 7.5]]


def test_get_of_an_id_that_is_not_there_prints_nothing_of_the_others(results, tmp_path):
    saved = tmp_path / "none.npy"
    arguments = ["get", results, "object-00007", "nowhere", "gone", "-o", saved]
    assert "no row carries the id 'nowhere', 'gone'" in one_line(*run(*arguments))
    assert run(*arguments)[0] == _exit_codes.NOT_FOUND
    assert not saved.exists()


# JSON of every dtype


def from_json(data, dtype):
    """The array that JSON was made of."""
    if dtype.kind == "m":
        ints = [np.iinfo(np.int64).min if value == "NaT" else value for value in data]
        return np.array(ints, np.int64).view(dtype)
    if dtype.kind == "M":
        return np.array(data, dtype)
    numbers = np.array(data, object).astype(np.float64 if dtype.kind not in "biu" else dtype)
    return numbers[:, 0] + 1j * numbers[:, 1] if dtype.kind == "c" else numbers.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_json_has_the_values_of_every_dtype(result_dir, dtype):
    if dtype.kind in "fc" or dtype == BFLOAT16:
        values = np.array([0, 1.5, -0.25, np.nan, np.inf, -np.inf]).astype(dtype)
        if dtype.kind == "c":
            values.imag[0] = 7
    elif dtype.kind in "mM":
        values = np.array([0, 1, 10**9, np.iinfo(np.int64).min], np.int64).view(dtype)
    else:
        values = random_array(dtype, 6)
    write(result_dir, ["a"], values[np.newaxis])
    got = from_json(run_json("get", result_dir, "a")[0]["data"], dtype)
    assert np.array_equal(got.astype(values.dtype), values, equal_nan=dtype.kind in "fcmM") or (
        dtype == BFLOAT16 and got.astype(dtype).tobytes() == values.tobytes()
    )


# convert


@pytest.fixture
def legacy(tmp_path):
    return write_batches(tmp_path / "legacy", numbered_ids(11), random_array("f4", (11, 3)))


def test_convert_makes_results_and_says_so(legacy, result_dir):
    code, out, err = run("convert", legacy, result_dir)
    assert (code, err) == (0, "")
    assert out == "11 rows of float32 [3] from 3 batches, written and compared\n"
    assert len(rds.ResultDataset({}, result_dir)) == 11


def test_convert_as_json(legacy, result_dir):
    done = run_json("convert", legacy, result_dir)
    assert done == {"rows": 11, "batches": 3, "dtype": "float32", "shape": [3]}


def test_convert_of_a_converted_directory_is_refused(legacy):
    assert run("convert", legacy, legacy)[0] == 0
    assert "exists already" in one_line(*run("convert", legacy, legacy))


# verify


def test_verify_reads_all_rows(results):
    assert run("verify", results)[:2] == (0, "20 rows, all the same\n")
    assert run_json("verify", results) == {"rows": 20, "against": None}


def test_verify_compares_with_the_batches(legacy, result_dir):
    rds.convert(legacy, result_dir)
    assert run_json("verify", result_dir, "--against", legacy)["rows"] == 11
    batch = np.load(legacy / "batch_2.npy")
    batch["tensor"][1, 2] += 1
    np.save(legacy / "batch_2.npy", batch)
    failed = run("verify", result_dir, "--against", legacy)
    assert failed[0] == _exit_codes.MISMATCH
    assert "row 9: the tensor is not the one in" in one_line(*failed)


def test_verify_finds_a_table_that_is_not_of_these_batches(legacy, results):
    failed = run("verify", results, "--against", legacy)
    assert failed[0] == _exit_codes.MISMATCH
    assert "20 rows, the batches 11" in one_line(*failed)


def test_verify_finds_what_lance_reads_otherwise(results, monkeypatch):
    original = rds.Column.__getitem__

    def getitem(self, index):
        tensors = np.array(original(self, index))
        if self._dataset._options["access"] == "lance":
            tensors[13] += 1
        return tensors

    monkeypatch.setattr(rds.Column, "__getitem__", getitem)
    failed = run("verify", results)
    assert failed[0] == _exit_codes.MISMATCH
    assert "row 13: the tensor is not the one that Lance reads" in one_line(*failed)


def test_verify_finds_a_damaged_file(results):
    (data,) = (Path(results) / "lance_db" / "results.lance" / "data").iterdir()
    data.write_bytes(data.read_bytes()[:200])
    assert run("verify", results)[0] == _exit_codes.STORAGE
