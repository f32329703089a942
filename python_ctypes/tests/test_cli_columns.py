"""The command `rds` with several named tensors."""

import json

import numpy as np
import pyarrow as pa
import pytest
from command import one_line, run, run_json
from legacy_batches import contents, write_batches
from samples import assert_same_bits, numbered_ids, random_array, store, write

import rds
from rds import _plot
from rds.cli import _exit_codes

ROWS = 20
IDS = numbered_ids(ROWS)
POINT = np.stack([np.arange(ROWS), np.arange(ROWS) / 2], axis=1).astype("f4")
LOGITS = random_array("u1", (ROWS, 5)).astype("f4")
SCORE = np.arange(ROWS) / 4
ARRAYS = {"point": POINT, "logits": LOGITS, "score": SCORE}


@pytest.fixture
def results(result_dir):
    write(result_dir, IDS, ARRAYS)
    return str(result_dir)


@pytest.fixture
def without_ids(result_dir):
    store(result_dir, pa.table({"x": SCORE}))
    return str(result_dir)


def test_info_lists_the_columns(results):
    code, out, _ = run("info", results)
    assert code == 0
    for text in ("point   float32 [2]", "logits  float32 [5]", "score   float64 []"):
        assert f"tensor {text}" in out
    assert "20 rows are read from mapped files" in out


def test_info_as_json_lists_the_columns(results):
    facts = run_json("info", results)
    assert facts["columns"] == [
        {"name": name, "dtype": array.dtype.name, "shape": list(array.shape[1:]), "mapped_rows": ROWS}
        for name, array in ARRAYS.items()
    ]
    assert "dtype" not in facts and facts["has_ids"] is True
    assert facts["tensor_bytes"] == sum(array.nbytes for array in ARRAYS.values())


def test_info_of_a_table_without_ids_says_so(without_ids):
    assert "20, without ids" in run("info", without_ids)[1]
    assert run_json("info", without_ids)["has_ids"] is False


def test_head_shows_the_columns(results):
    out = run("head", results, "-n", 2)[1].splitlines()
    assert out[0].split("  ")[0] == "row" and "point: float32 [2]" in out[0] and "score: float64 []" in out[0]
    assert len(out) == 3 and "object-00001" in out[2] and "[0.25]" in out[2]


def test_head_shows_the_columns_asked_for(results):
    out = run("head", results, "--column", "score", "--column", "point")[1].splitlines()
    assert out[0].index("score") < out[0].index("point") and "logits" not in out[0]
    lines = run_json("head", results, "--first", 3, "-n", 1, "--column", "score")
    assert lines == [{"row": 3, "object_id": IDS[3], "tensors": {"score": 0.75}}]


def test_head_of_a_table_without_ids(without_ids):
    assert run("head", without_ids)[1].splitlines()[0].split() == ["row", "x:", "float64", "[]"]
    assert run_json("head", without_ids, "-n", 1) == [{"row": 0, "tensors": {"x": 0.0}}]


@pytest.mark.parametrize("command", [["head"], ["get", IDS[0]], ["verify"], ["export", "x.npy"], ["plot", "x.html"]], ids=str)
def test_an_unknown_column_is_named(results, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(command[0], results, *command[1:], "--column", "x")
    assert code == _exit_codes.NOT_FOUND
    assert "no column 'x'; the table has 'point', 'logits', 'score'" in one_line(code, out, err)


def test_get_prints_each_column(results):
    out = run("get", results, IDS[3])[1]
    assert out.startswith("object-00003 (row 3):\npoint:\n[3.  1.5]\nlogits:\n")
    assert out.endswith("score:\n0.75\n")
    assert run("get", results, IDS[3], "--column", "score")[1] == "object-00003 (row 3):\nscore:\n0.75\n"
    (found,) = run_json("get", results, IDS[3])
    assert found["tensors"] == {"point": [3.0, 1.5], "logits": LOGITS[3].tolist(), "score": 0.75}


def test_get_saves_a_file_for_each_column(results, tmp_path):
    run("get", results, IDS[3], IDS[1], "-o", tmp_path / "some.npy", "--column", "score")
    assert_same_bits(np.load(tmp_path / "some.npy"), SCORE[[3, 1]])
    assert run("get", results, IDS[3], "-o", tmp_path / "all.npy")[0] == 0
    for name, array in ARRAYS.items():
        assert_same_bits(np.load(tmp_path / f"all.{name}.npy"), array[[3]])
    assert run("get", results, IDS[3], "-o", tmp_path / "all.npy")[0] == _exit_codes.EXISTS


def test_export_to_npy_makes_a_file_for_each_column(results, tmp_path):
    done = run_json("export", results, tmp_path / "out.npy")
    names = ["out.point.npy", "out.logits.npy", "out.score.npy", "out.ids.npy"]
    assert done == {"rows": ROWS, "files": [str(tmp_path / name) for name in names]}
    for name, array in ARRAYS.items():
        assert_same_bits(np.load(tmp_path / f"out.{name}.npy"), array)
    assert np.load(tmp_path / "out.ids.npy").tolist() == IDS
    assert run_json("export", results, tmp_path / "one.npy", "--column", "score")["files"] == [
        str(tmp_path / "one.npy"),
        str(tmp_path / "one.ids.npy"),
    ]
    assert_same_bits(np.load(tmp_path / "one.npy"), SCORE)


@pytest.mark.parametrize("columns", [None, ["score"], ["score", "point"]], ids=str)
@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_export_to_a_table_has_the_columns(results, tmp_path, form, columns):
    path = tmp_path / f"out.{form}"
    asked = [word for name in columns or [] for word in ("--column", name)]
    assert run("export", results, path, *asked)[0] == 0
    from pyarrow import ipc, parquet

    table = parquet.read_table(path) if form == "parquet" else ipc.open_file(path).read_all()
    assert table.schema.names == ["object_id", *(columns or ARRAYS)]
    for name in columns or ARRAYS:
        array = ARRAYS[name]
        assert_same_bits(table[name].combine_chunks().flatten().to_numpy().reshape(array.shape), array)
        told = json.loads(table.schema.metadata[name.encode()])
        assert told == {"tensor_shape": list(array.shape[1:]), "tensor_dtype": array.dtype.name}


def test_export_without_ids_has_none(without_ids, tmp_path):
    assert run_json("export", without_ids, tmp_path / "x.npy")["files"] == [str(tmp_path / "x.npy")]
    assert run("export", without_ids, tmp_path / "x.parquet")[0] == 0


@pytest.mark.parametrize("name", ["a/b", "ids"])
def test_export_refuses_a_column_that_no_file_can_be_named_after(result_dir, tmp_path, name):
    write(result_dir, IDS, {name: SCORE, "b": SCORE})
    code, out, err = run("export", result_dir, tmp_path / "x.npy")
    assert code == _exit_codes.UNSUITABLE and repr(name) in one_line(code, out, err)
    assert run("export", result_dir, tmp_path / "x.npy", "--column", name)[0] == 0


def test_verify_compares_the_columns(results, monkeypatch):
    assert run_json("verify", results)["rows"] == ROWS
    original = rds.Column.__getitem__

    def getitem(self, index):
        tensors = np.array(original(self, index))
        if self._dataset._options["access"] == "lance" and self.name == "logits":
            tensors[13] += 1
        return tensors

    monkeypatch.setattr(rds.Column, "__getitem__", getitem)
    failed = run("verify", results)
    assert failed[0] == _exit_codes.MISMATCH
    assert "row 13: the tensor of logits is not the one that Lance reads" in one_line(*failed)
    assert run("verify", results, "--column", "score", "--column", "point")[0] == 0


def test_verify_without_ids(without_ids):
    assert run("verify", without_ids) == (0, "20 rows, all the same\n", "")


@pytest.fixture
def legacy(tmp_path):
    tensors = np.zeros(ROWS, [("point", "f4", 2), ("logits", "f4", 5), ("score", "f8")])
    for name, array in ARRAYS.items():
        tensors[name] = array
    return write_batches(tmp_path / "legacy", IDS, tensors)


def test_convert_makes_a_column_of_each_field(legacy, result_dir):
    before = contents(legacy)
    code, out, err = run("convert", legacy, result_dir)
    assert (code, err) == (0, "")
    assert "20 rows of point float32 [2], logits float32 [5], score float64 [] from 5 batches" in out
    dataset = rds.ResultDataset({}, result_dir)
    for name, array in ARRAYS.items():
        assert_same_bits(np.asarray(dataset[name]), array)
    assert dataset.ids() == IDS and contents(legacy) == before
    assert run("verify", result_dir, "--against", legacy)[0] == 0


def test_convert_tells_the_columns_as_json(legacy, result_dir):
    assert run_json("convert", legacy, result_dir)["columns"] == [
        {"name": name, "dtype": array.dtype.name, "shape": list(array.shape[1:])} for name, array in ARRAYS.items()
    ]


def test_verify_against_batches_compares_every_column(legacy, result_dir):
    rds.convert(legacy, result_dir)
    batch = np.load(legacy / "batch_2.npy")
    batch["tensor"]["score"][1] += 1
    np.save(legacy / "batch_2.npy", batch)
    failed = run("verify", result_dir, "--against", legacy)
    assert failed[0] == _exit_codes.MISMATCH
    assert "row 9: the tensor of score is not the one in" in one_line(*failed)
    assert run("verify", result_dir, "--against", legacy, "--column", "point")[0] == 0
    write(result_dir, IDS, {"point": POINT})
    failed = run("verify", result_dir, "--against", legacy)
    assert "the table has the columns ['point']" in one_line(*failed)


def test_a_field_that_cannot_be_a_column_leaves_nothing(tmp_path, result_dir):
    tensors = np.zeros(ROWS, [("a.b", "f4"), ("c", "f4")])
    legacy = write_batches(tmp_path / "legacy", IDS, tensors)
    code, out, err = run("convert", legacy, result_dir)
    assert code == _exit_codes.UNSUITABLE
    assert "a.b" in one_line(code, out, err) and "batch_0.npy" in err
    assert not result_dir.exists()


BY = {
    "score": SCORE,
    "logits:argmax": LOGITS.argmax(axis=1),
    "logits:argmin": LOGITS.argmin(axis=1),
    "logits:max": LOGITS.max(axis=1),
    "logits:min": LOGITS.min(axis=1),
    "logits:mean": LOGITS.mean(axis=1),
    "point:norm": np.hypot(*POINT.T),
}


@pytest.mark.parametrize("by", BY)
def test_points_are_coloured_by_another_column(results, by):
    dataset = rds.ResultDataset({}, results)
    assert np.allclose(_plot.values_of(dataset, by), BY[by])
    points = _plot.points_of(dataset, _plot.values_of(dataset, by))
    assert_same_bits(points.xyz, POINT)
    expected = _plot.points_of(dataset, BY[by])
    assert np.array_equal(points.colours, expected.colours)


@pytest.mark.parametrize("spelling", ["--colour", "--color"])
@pytest.mark.parametrize("end", ["html", "png"])
def test_plot_draws_the_one_column_that_can_be(results, tmp_path, end, spelling):
    out = tmp_path / f"out.{end}"
    assert run_json("plot", results, out, spelling, "logits:argmax") == {"file": str(out), "points": ROWS}
    assert out.stat().st_size > 1000


def test_plot_colours_by_a_file_too(results, tmp_path):
    np.save(tmp_path / "labels.npy", np.arange(ROWS) % 3)
    assert run("plot", results, tmp_path / "x.html", "--colour", tmp_path / "labels.npy")[0] == 0


PLOTS = {
    "a column of many numbers": (["--column", "logits"], "logits is float32 [5]"),
    "no number": (["--colour", "logits"], "logits:argmax"),
    "an unknown reduction": (["--colour", "logits:median"], "'median' is not known"),
    "an unknown column": (["--colour", "x:max"], "no column 'x'"),
}


@pytest.mark.parametrize(("arguments", "text"), PLOTS.values(), ids=PLOTS)
def test_what_cannot_be_drawn_is_refused(results, tmp_path, arguments, text):
    assert text in one_line(*run("plot", results, tmp_path / "x.html", *arguments))
    assert not (tmp_path / "x.html").exists()


def test_of_two_columns_that_can_be_drawn_one_is_chosen(result_dir, tmp_path):
    write(result_dir, IDS, {"a": POINT, "b": POINT + 1, "c": SCORE})
    assert "'a', 'b' can be drawn; choose one" in one_line(*run("plot", result_dir, tmp_path / "x.html"))
    assert run("plot", result_dir, tmp_path / "x.html", "--column", "b", "--colour", "c")[0] == 0


def test_a_table_without_ids_is_drawn_with_row_numbers(result_dir):
    store(result_dir, pa.table({"x": pa.FixedShapeTensorArray.from_numpy_ndarray(POINT)}))
    points = _plot.points_of(rds.ResultDataset({}, result_dir))
    assert points.ids == [str(row) for row in range(ROWS)]
