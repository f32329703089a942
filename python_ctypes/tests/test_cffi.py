"""The header with cffi in ABI mode: no declaration of our own, no compiler, only what `rds.h` says."""

import subprocess

import cffi
import numpy as np
import pytest
from samples import numbered_ids
from test_library import HEADER, declarations

import rds
from rds import _library


@pytest.fixture(scope="module")
def ffi():
    ffi = cffi.FFI()
    ffi.cdef(declarations()[0])
    return ffi


@pytest.fixture(scope="module")
def lib(ffi):
    return ffi.dlopen(_library.library()._name)


def test_the_declarations_are_those_that_a_preprocessor_leaves(ffi):
    """Comments and macros are taken out of the header with regular expressions; cc knows how."""
    command = ["cc", "-E", "-P", "-DRDS_API=", "-DRDS_NODISCARD=", "-x", "c", HEADER]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # What the headers of the system declare comes first.
    text = text[text.index("struct ArrowSchema {") :]
    preprocessed = cffi.FFI()
    preprocessed.cdef(text)
    names = [name for kind in ffi.list_types() for name in kind]
    assert sorted(names) == sorted(name for kind in preprocessed.list_types() for name in kind)
    assert len(names) > 20


def test_rows_are_written_and_read(ffi, lib, tmp_path):
    def check(status):
        assert status == lib.RDS_OK, ffi.string(lib.rds_last_error_message())

    array = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    names = [ffi.new("char[]", name.encode()) for name in numbered_ids(4)]
    pointers = ffi.new("const char *[]", names)
    shape = ffi.new("int64_t[]", array.shape)
    size = ffi.sizeof
    ids = ffi.new("rds_ids *", {"struct_size": size("rds_ids"), "kind": lib.RDS_IDS_CSTRINGS, "count": 4})
    ids.data = pointers
    tensor = ffi.new("rds_tensor *", {"struct_size": size("rds_tensor"), "dtype": lib.RDS_DTYPE_FLOAT32})
    tensor.ndim, tensor.shape, tensor.data = 3, shape, ffi.from_buffer(array)

    path = str(tmp_path).encode()
    writer = ffi.new("rds_writer **")
    check(lib.rds_writer_open(path, ffi.NULL, writer))
    check(lib.rds_write_tensors(writer[0], ids, tensor, 1))
    check(lib.rds_writer_close(writer[0]))
    assert lib.rds_writer_close(writer[0]) == lib.RDS_ERR_INVALID_HANDLE

    reader, rows = ffi.new("rds_reader **"), ffi.new("uint64_t[]", [3, 1])
    check(lib.rds_reader_open(path, ffi.NULL, reader))
    table = ffi.new("rds_table_info *", {"struct_size": size("rds_table_info")})
    check(lib.rds_reader_info(reader[0], table))
    assert (table.rows, table.column_count, table.has_ids) == (4, 1, 1)
    column = ffi.new("uint32_t *")
    check(lib.rds_reader_column(reader[0], b"data", column))
    info = ffi.new("rds_column_info *", {"struct_size": size("rds_column_info")})
    check(lib.rds_reader_column_info(reader[0], column[0], info))
    assert ffi.unpack(info.name, info.name_length) == b"data"
    assert (ffi.string(info.dtype_name), list(info.shape[0 : info.ndim])) == (b"float32", [2, 3])
    got = np.empty((2, 2, 3), np.float32)
    check(lib.rds_reader_read(reader[0], column[0], rows, 2, ffi.from_buffer(got), got.nbytes))
    assert got.tolist() == array[[3, 1]].tolist()
    check(lib.rds_reader_close(reader[0]))
    assert rds.ResultDataset({}, tmp_path).ids() == numbered_ids(4)


def test_an_error_has_a_status_a_name_and_a_message(ffi, lib):
    reader = ffi.new("rds_reader **")
    status = lib.rds_reader_open(b"/nowhere", ffi.NULL, reader)
    assert status == lib.RDS_ERR_NOT_FOUND and reader[0] == ffi.NULL
    assert ffi.string(lib.rds_status_name(status)) == b"RDS_ERR_NOT_FOUND"
    assert b"/nowhere" in ffi.string(lib.rds_last_error_message())
