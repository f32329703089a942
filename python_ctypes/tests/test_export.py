"""`rds export`: the same values in .npy, Parquet and Arrow files, complete or not there."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from samples import BFLOAT16, DTYPES, assert_same_bits, numbered_ids, random_array, to_arrow, write

import rds
from rds import _export, cli

IDS = [*numbered_ids(29), "ünïcode-星"]


@pytest.fixture
def results(result_dir):
    write(result_dir, IDS, random_array("f4", (30, 2, 3)))
    return result_dir


def export(results, *arguments):
    return cli.main(["export", str(results), *map(str, arguments)])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (2, 3)], ids=str)
def test_npy_has_the_bits_of_every_dtype(result_dir, tmp_path, dtype, shape):
    array = random_array(dtype, (7, *shape))
    write(result_dir, numbered_ids(7), array)
    assert export(result_dir, tmp_path / "out.npy") == 0
    assert_same_bits(np.load(tmp_path / "out.npy"), array.view("u2") if dtype == BFLOAT16 else array)


def test_npy_has_the_ids_beside_it(results, tmp_path):
    assert export(results, tmp_path / "out.npy") == 0
    assert np.load(tmp_path / "out.ids.npy").tolist() == IDS
    assert sorted(path.name for path in tmp_path.glob("*.npy")) == ["out.ids.npy", "out.npy"]


def test_npy_is_written_in_parts(results, tmp_path, monkeypatch):
    monkeypatch.setattr(_export, "_BYTES_AT_ONCE", 7 * 24)
    told = []
    with rds.ResultDataset({}, results) as dataset:
        _export.export(dataset, tmp_path / "out.npy", progress=lambda *values: told.append(values))
        assert_same_bits(np.load(tmp_path / "out.npy"), dataset[:])
    assert told == [("export", done, 30) for done in (7, 14, 21, 28, 30)]


def read_parquet(path):
    return pq.read_table(path)


def read_arrow(path):
    with pa.ipc.open_file(path) as file:
        return file.read_all()


READERS = {"parquet": read_parquet, "arrow": read_arrow}


@pytest.mark.parametrize("form", READERS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_parquet_and_arrow_have_the_table(result_dir, tmp_path, form, dtype):
    if form == "parquet" and dtype == np.dtype("M8[s]"):
        # Parquet has no timestamps in seconds: they come back in milliseconds, if those have the room.
        array = np.arange(21).astype("M8[s]").reshape(7, 3)
        expected = to_arrow(IDS[:7], array.astype("M8[ms]"))["data"]
    else:
        array = random_array(dtype, (7, 3))
        expected = to_arrow(IDS[:7], array)["data"]
    write(result_dir, IDS[:7], array)
    assert export(result_dir, tmp_path / f"out.{form}") == 0
    table = READERS[form](tmp_path / f"out.{form}")
    assert table["object_id"].to_pylist() == IDS[:7]
    got, expected = (column.combine_chunks().flatten() for column in (table["data"], expected))
    assert (
        got.cast(expected.type, safe=False).buffers()[1].to_pybytes()[: expected.nbytes]
        == (expected.buffers()[1].to_pybytes()[: expected.nbytes])
    )
    assert json.loads(table.schema.metadata[b"tensor_shape"]) == [3]
    assert table.schema.metadata[b"tensor_dtype"].decode() == dtype.name


@pytest.mark.parametrize("form", READERS)
def test_results_of_many_batches_are_exported_whole(result_dir, tmp_path, form):
    array = random_array("i4", (20_000, 2))
    write(result_dir, numbered_ids(20_000), array)
    assert export(result_dir, tmp_path / f"out.{form}") == 0
    table = READERS[form](tmp_path / f"out.{form}")
    assert table["object_id"].to_pylist() == numbered_ids(20_000)
    flat = table["data"].combine_chunks().flatten().to_numpy()
    assert_same_bits(flat.reshape(array.shape), array)


def test_the_format_may_be_told(results, tmp_path):
    assert export(results, tmp_path / "out", "--format", "parquet") == 0
    assert pq.read_table(tmp_path / "out").num_rows == 30


def test_an_unknown_end_of_the_name_is_refused(results, tmp_path, capsys):
    assert export(results, tmp_path / "out.csv") == 5
    assert "npy, parquet, arrow" in capsys.readouterr().err


def test_what_was_made_is_told(results, tmp_path, capsys):
    export(results, tmp_path / "out.npy", "--json")
    files = [str(tmp_path / "out.npy"), str(tmp_path / "out.ids.npy")]
    assert json.loads(capsys.readouterr().out) == {"rows": 30, "files": files}
    export(results, tmp_path / "out.arrow")
    assert capsys.readouterr().out == f"30 rows in {tmp_path / 'out.arrow'}\n"


@pytest.mark.parametrize("existing", ["out.npy", "out.ids.npy"])
def test_an_existing_file_is_replaced_only_if_told_to(results, tmp_path, existing):
    (tmp_path / existing).write_text("mine")
    assert export(results, tmp_path / "out.npy") == 4
    told = []
    with rds.ResultDataset({}, results) as dataset, pytest.raises(FileExistsError):
        _export.export(dataset, tmp_path / "out.npy", progress=lambda *values: told.append(values))
    assert told == [], "refused before anything is written"
    assert (tmp_path / existing).read_text() == "mine"
    assert [path.name for path in tmp_path.glob("*out*")] == [existing]
    assert export(results, tmp_path / "out.npy", "--force") == 0
    assert np.load(tmp_path / existing).shape[0] == 30


def test_a_directory_that_is_not_there_is_named(results, tmp_path, capsys):
    assert export(results, tmp_path / "nowhere" / "out.npy") == 3
    assert f"{tmp_path / 'nowhere'} is no directory" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["npy", "parquet", "arrow"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_export_that_is_stopped_leaves_what_was_there(results, tmp_path, form, error):
    path = tmp_path / f"out.{form}"
    path.write_text("mine")

    def stop(stage, done, total):
        raise error

    with rds.ResultDataset({}, results) as dataset, pytest.raises(error):
        _export.export(dataset, path, overwrite=True, progress=stop)
    assert path.read_text() == "mine"
    assert sorted(tmp_path.iterdir()) == [path, results]


def test_a_file_that_appears_meanwhile_is_left(results, tmp_path):
    path = tmp_path / "out.npy"
    with rds.ResultDataset({}, results) as dataset, pytest.raises(FileExistsError):
        _export.export(dataset, path, progress=lambda *_: path.write_text("theirs"))
    assert path.read_text() == "theirs"


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_without_pyarrow_the_error_says_what_to_install(results, tmp_path, form, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert export(results, tmp_path / f"out.{form}") == 7
    assert "pip install 'rds[export]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [results]


def test_parquet_and_arrow_are_written_in_parts(results, tmp_path, monkeypatch):
    monkeypatch.setattr(_export, "_BYTES_AT_ONCE", 7 * 24)
    with rds.ResultDataset({}, results) as dataset:
        for name in ("out.parquet", "out.arrow"):
            _export.export(dataset, tmp_path / name)
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 5
    with pa.ipc.open_file(tmp_path / "out.arrow") as file:
        assert file.num_record_batches == 5
