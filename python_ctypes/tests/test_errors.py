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


def test_a_failed_open_makes_no_directory(result_dir):
    with pytest.raises(FileNotFoundError):
        rds.ResultDatasetWriter(result_dir, mode="append")
    assert not result_dir.exists()
