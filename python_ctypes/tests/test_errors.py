"""Errors are Python's own kinds, with the whole message of librds."""

import ctypes
import pickle

import numpy as np
import pytest

import rds
from rds import _errors, _library
from rds._structs import WriterOptions

KINDS = {
    1: ValueError,
    2: ValueError,
    3: RuntimeError,
    4: FileNotFoundError,
    5: FileExistsError,
    6: ValueError,
    7: IndexError,
    8: OSError,
    9: RuntimeError,
    10: NotImplementedError,
    11: OSError,
    12: RuntimeError,
    13: RuntimeError,
    14: RuntimeError,
    15: RuntimeError,
}


@pytest.mark.parametrize("status", KINDS)
def test_every_status_is_an_rds_error_and_one_of_pythons(status):
    error = _errors.from_status(status, "rds_x: what: why")
    assert isinstance(error, rds.RdsError)
    assert isinstance(error, KINDS[status])
    assert error.status == status
    assert str(error) == "rds_x: what: why"


@pytest.mark.parametrize("status", [*KINDS, 99])
def test_an_error_survives_pickling(status):
    error = pickle.loads(pickle.dumps(_errors.from_status(status, "rds_x: why")))
    assert type(error) is type(_errors.from_status(status, ""))
    assert (error.status, str(error)) == (status, "rds_x: why")


def test_a_status_of_a_newer_library_is_still_an_rds_error():
    error = _errors.from_status(99, "new")
    assert type(error) is rds.RdsError
    assert (error.status, str(error)) == (99, "new")


def test_an_unsupported_dtype_is_a_type_error():
    assert issubclass(_errors.UnsupportedDtypeError, TypeError)


def test_the_message_names_function_row_and_rows(make_dataset):
    make_dataset(["a"], np.ones((1, 2)))
    dataset = rds.ResultDataset({}, make_dataset(["a"], np.ones((1, 2))).data_location)
    with pytest.raises(IndexError) as caught:
        dataset[np.array([5], np.uint64)]
    assert str(caught.value) == "rds_reader_read: row 5 is out of range (the table has 1 rows)"


def test_the_message_passes_whole_with_every_character(tmp_path):
    name = "β星👾" * 300
    with pytest.raises(rds.RdsError) as caught:
        rds.ResultDatasetWriter(f"s3://{name}/")
    assert name in str(caught.value)
    assert str(caught.value).startswith("rds_writer_open: ")


def test_another_scheme_is_refused_by_name_in_reader_and_writer():
    for open_it in (rds.ResultDatasetWriter, lambda path: rds.ResultDataset({}, path)):
        with pytest.raises(NotImplementedError, match='"s3"'):
            open_it("s3://bucket/run")


def test_a_path_with_a_nul_is_refused():
    with pytest.raises(ValueError, match="NUL"):
        rds.ResultDatasetWriter("a\0b")


def test_a_path_that_is_not_utf8_is_refused(tmp_path):
    with pytest.raises(ValueError, match="UTF-8"):
        rds.ResultDatasetWriter(str(tmp_path) + "/\udcff")


@pytest.mark.parametrize("name", ["new\nline", "tab\t", "\x7f", "\x01", "a/\x1b/b"])
def test_a_path_with_a_control_character_is_refused_at_once(tmp_path, name):
    for open_it in (rds.ResultDatasetWriter, rds.vacuum, rds.recover, lambda path: rds.commit_staged(path, [])):
        with pytest.raises(ValueError, match="control character"):
            open_it(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_path_may_have_every_other_character(tmp_path):
    place = tmp_path / "\x85 #?%0a β"
    with rds.ResultDatasetWriter(place) as writer:
        writer.write_batch(["a"], np.ones((1, 2)))
    assert rds.ResultDataset({}, place).ids() == ["a"]


def test_no_results_is_a_runtime_error_that_says_so(result_dir):
    with pytest.raises(RuntimeError, match="lance_db does not exist") as caught:
        rds.ResultDataset({}, result_dir)
    assert isinstance(caught.value, (rds.RdsError, FileNotFoundError))


def test_a_missing_table_is_an_error_that_names_it(result_dir):
    (result_dir / "lance_db").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="results.lance"):
        rds.ResultDataset({}, result_dir)


def test_a_result_directory_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError):
        rds.ResultDatasetWriter(tmp_path / "file")


@pytest.mark.parametrize("handle", [None, 1, 2**63, 0xDEADBEEF])
def test_a_wrong_handle_is_an_error_not_a_crash(handle):
    with pytest.raises(ValueError, match="rds_flush"):
        _library.library().rds_flush(handle)


def test_a_wrong_struct_size_is_an_error(tmp_path):
    options = WriterOptions()
    options.struct_size = 3
    handle = ctypes.c_void_p()
    with pytest.raises(rds.RdsError, match="RDS_WRITER_OPTIONS_INIT|struct_size"):
        _library.library().rds_writer_open(bytes(tmp_path), ctypes.byref(options), ctypes.byref(handle))
    assert handle.value is None


def open_twice(path):
    with rds.ResultDatasetWriter(path) as writer:
        writer.write_batch(["a"], np.ones((1, 2)))
    return rds.ResultDataset({}, path)


MISTAKES = {
    "row": (IndexError, lambda ds: ds[7]),
    "negative row": (IndexError, lambda ds: ds[-1]),
    "row that is none": (IndexError, lambda ds: ds[1.5]),
    "rows": (IndexError, lambda ds: ds[[0, 7]]),
    "rows of floats": (IndexError, lambda ds: ds[[0.5]]),
    "mask": (IndexError, lambda ds: ds[[True, False]]),
    "id of a row": (IndexError, lambda ds: ds.get_object_id(1)),
    "absent id": (KeyError, lambda ds: ds.index_of("x")),
    "single id": (TypeError, lambda ds: ds.find("x")),
    "id that is none": (TypeError, lambda ds: ds.find([None])),
    "id that is no text": (ValueError, lambda ds: ds.find(["\ud800"])),
    "one id that is no text": (ValueError, lambda ds: ds.index_of("\ud800")),
    "bytes that are no text": (ValueError, lambda ds: ds.find([b"\xff", "a"])),
    "ids of two dimensions": (ValueError, lambda ds: ds.find(np.array([["a"]]))),
    "column": (KeyError, lambda ds: ds["x"]),
    "column of a stream": (KeyError, lambda ds: ds.stream("x")),
    "row of bytes": (IndexError, lambda ds: ds[b"a"]),
    "batch size": (ValueError, lambda ds: ds.stream(batch_size=0)),
    "version": (FileNotFoundError, lambda ds: rds.ResultDataset({}, ds.data_location, version=99)),
    "access": (ValueError, lambda ds: rds.ResultDataset({}, ds.data_location, access="x")),
    "mode": (ValueError, lambda ds: rds.ResultDatasetWriter(ds.data_location, mode="x")),
    "create": (FileExistsError, lambda ds: rds.ResultDatasetWriter(ds.data_location, mode="create")),
    "out": (ValueError, lambda ds: ds.take([0], out=np.empty(1))),
    "array without a copy": (ValueError, lambda ds: np.asarray(ds, "f4", copy=False)),
    "device": (BufferError, lambda ds: ds.__dlpack__(dl_device=(2, 0))),
    "metadata": (NotImplementedError, lambda ds: ds.metadata([0], ["x"])),
    "original_config": (AttributeError, lambda ds: ds.original_config),
    "path": (ValueError, lambda ds: rds.ResultDataset({}, "a\0b")),
    "closed": (ValueError, lambda ds: (ds.close(), ds.ids())),
}


@pytest.mark.parametrize(("kind", "mistake"), MISTAKES.values(), ids=MISTAKES)
def test_every_mistake_of_a_reader_is_pythons_error_and_an_rds_error(tmp_path, kind, mistake):
    with pytest.raises(kind) as caught:
        mistake(open_twice(tmp_path))
    assert isinstance(caught.value, rds.RdsError)
    assert caught.value.status in _errors.BY_STATUS
    assert str(caught.value) and pickle.loads(pickle.dumps(caught.value)).status == caught.value.status


WRONG_BATCHES = {
    "lengths": (ValueError, ["a"], np.ones((2, 2))),
    "dtype": (TypeError, ["a"], np.array([["x"]])),
    "shape": (ValueError, ["a"], np.ones((1, 3))),
    "odd tensor": (ValueError, ["a", "b"], [np.ones(2), np.ones(3)]),
    "no elements": (ValueError, ["a"], np.ones((1, 0))),
    "scalar": (TypeError, ["a"], np.array(1.0)),
    "ids by name": (TypeError, {"a": 1}, np.ones((1, 2))),
    "no columns": (ValueError, ["a"], {}),
    "column without a name": (TypeError, ["a"], {1: np.ones((1, 2))}),
    "column of one number": (ValueError, ["a"], {"data": 1.5}),
    "ids without order": (TypeError, {"a"}, np.ones((1, 2))),
    "masked": (TypeError, ["a"], np.ma.ones((1, 2))),
    "id": (TypeError, [None], np.ones((1, 2))),
    "single id": (TypeError, "a", np.ones((1, 2))),
    "text": (ValueError, ["\ud800"], np.ones((1, 2))),
    "no data": (TypeError, ["a"], None),
}


@pytest.mark.parametrize(("kind", "ids", "data"), WRONG_BATCHES.values(), ids=WRONG_BATCHES)
def test_every_wrong_batch_is_pythons_error_and_an_rds_error(tmp_path, kind, ids, data):
    with rds.ResultDatasetWriter(tmp_path) as writer:
        writer.write_batch(["first"], np.ones((1, 2)))
        with pytest.raises(kind) as caught:
            writer.write_batch(ids, data)
        assert isinstance(caught.value, rds.RdsError)
        writer.write_batch(["last"], np.ones((1, 2)))
    assert rds.ResultDataset({}, tmp_path).ids() == ["first", "last"]


def test_a_failed_open_makes_no_directory(result_dir):
    with pytest.raises(FileNotFoundError):
        rds.ResultDatasetWriter(result_dir, mode="append")
    assert not result_dir.exists()
