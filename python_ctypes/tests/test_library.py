"""The ctypes declarations are those of the generated header."""

import ctypes
import re
import struct
from pathlib import Path

import cffi
import pytest

from rds import _dtypes, _errors, _gather, _library, _load_structs, _loading, _structs

HEADER = Path(__file__).parents[2] / "include" / "rds.h"

STRUCTS = {
    "rds_error": _structs.Error,
    "rds_string": _structs.String,
    "rds_metadata": _structs.Metadata,
    "rds_version_info": _structs.VersionInfo,
    "rds_ids": _structs.Ids,
    "rds_tensor": _structs.Tensor,
    "rds_column_spec": _structs.ColumnSpec,
    "rds_column_info": _structs.ColumnInfo,
    "rds_rows": _structs.Rows,
    "rds_target": _structs.Target,
    "rds_select_options": _structs.SelectOptions,
    "rds_writer_options": _structs.WriterOptions,
    "rds_commit_options": _structs.CommitOptions,
    "rds_commit_info": _structs.CommitInfo,
    "rds_reader_options": _structs.ReaderOptions,
    "rds_table_info": _structs.TableInfo,
    "rds_span": _structs.Span,
    "rds_stream_options": _structs.StreamOptions,
    "rds_runtime_options": _structs.RuntimeOptions,
    "rds_write_stream_options": _structs.WriteStreamOptions,
    "rds_write_stats": _structs.WriteStats,
    "rds_token": _structs.Token,
    "rds_commit_staged_options": _structs.CommitStagedOptions,
    "rds_pack_parts_options": _structs.PackPartsOptions,
    "rds_vacuum_options": _structs.VacuumOptions,
    "rds_vacuum_info": _structs.VacuumInfo,
    "rds_recover_options": _structs.RecoverOptions,
    "rds_recover_info": _structs.RecoverInfo,
    "rds_loader_table": _load_structs.LoaderTable,
    "rds_loader_weights": _load_structs.LoaderWeights,
    "rds_loader_options": _load_structs.LoaderOptions,
    "rds_loader_batch": _load_structs.LoaderBatch,
    "rds_position": _load_structs.Position,
    "rds_load_stats": _load_structs.LoadStats,
    "struct ArrowSchema": _structs.ArrowSchema,
    "struct ArrowArray": _structs.ArrowArray,
    "struct ArrowArrayStream": _structs.ArrowArrayStream,
}


def declarations():
    """The header without comments and preprocessor, which cffi does not read."""
    text = HEADER.read_text()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    macros = dict(re.findall(r"^#define (\w+) (\d+)u?\s*$", text, flags=re.MULTILINE))
    text = re.sub(r"^#ifdef __cplusplus.*?^#endif.*?$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^#.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\b(RDS_API|RDS_NODISCARD)\b", "", text)
    for length in ("RDS_MAX_NDIM", "RDS_FAILURE_BYTES", "RDS_POSITION_BYTES"):
        text = text.replace(length, macros[length])
    return text, macros


@pytest.fixture(scope="module")
def header():
    ffi = cffi.FFI()
    ffi.cdef(declarations()[0])
    return ffi


def function_names():
    return sorted(set(re.findall(r"\b(rds_\w+)\(", declarations()[0])))


def struct_names():
    text = declarations()[0]
    named = re.findall(r"^typedef struct \w+ \{.*?^\} (\w+);", text, flags=re.DOTALL | re.MULTILINE)
    return named + [f"struct {name}" for name in re.findall(r"^struct (\w+) \{", text, flags=re.MULTILINE)]


def kind_of_c_type(ctype):
    return "pointer" if ctype.kind in ("pointer", "function") else "number"


def kind_of_ctypes_type(declared):
    pointers = (ctypes.c_void_p, ctypes.c_char_p)
    is_pointer = declared in pointers or issubclass(declared, (ctypes._Pointer, ctypes._CFuncPtr))
    return "pointer" if is_pointer else "number"


def test_every_function_of_the_header_is_declared_and_no_other():
    assert sorted(_library.FUNCTIONS) == function_names()


def test_every_struct_of_the_header_is_mirrored():
    assert sorted(struct_names()) == sorted(STRUCTS)


@pytest.mark.parametrize("name", STRUCTS)
def test_struct_has_the_fields_offsets_and_size_of_the_header(header, name):
    mirrored = STRUCTS[name]
    fields = header.typeof(name).fields
    assert [field for field, _ in fields] == [field[0] for field in mirrored._fields_]
    for field, described in fields:
        descriptor = getattr(mirrored, field)
        assert descriptor.offset == described.offset, field
        assert descriptor.size == header.sizeof(described.type), field
    assert ctypes.sizeof(mirrored) == header.sizeof(name)


@pytest.mark.parametrize("name", sorted(_library.FUNCTIONS))
def test_function_has_the_parameters_of_the_header(header, name):
    library = header.dlopen(_library.library()._name)
    expected = header.typeof(getattr(library, name))
    result, arguments = _library.FUNCTIONS[name]
    assert [kind_of_ctypes_type(a) for a in arguments] == [kind_of_c_type(a) for a in expected.args]
    for declared, described in zip(arguments, expected.args):
        assert ctypes.sizeof(declared) == header.sizeof(described)
    is_status = expected.result.cname == "rds_status"
    assert is_status == (result is _library.STATUS or name == "rds_last_error_status")


@pytest.mark.parametrize(
    ("enum", "prefix", "mirrored"),
    [
        ("rds_write_mode", "RDS_MODE_", _structs.MODES),
        ("rds_durability", "RDS_DURABILITY_", _structs.DURABILITIES),
        ("rds_access", "RDS_ACCESS_", _structs.ACCESSES),
        ("rds_loader_order", "RDS_ORDER_", _load_structs.ORDERS),
        ("rds_loader_tail", "RDS_TAIL_", _load_structs.TAILS),
        ("rds_writer_state", "RDS_WRITER_", {name: n for n, name in enumerate(_structs.WRITER_STATES)}),
    ],
)
def test_options_have_the_numbers_of_the_header(header, enum, prefix, mirrored):
    expected = header.typeof(enum).relements
    assert {prefix + name.upper(): number for name, number in mirrored.items()} == expected


def test_dtypes_have_the_numbers_of_the_header(header):
    expected = header.typeof("rds_dtype").relements
    for number, name in enumerate(_dtypes.NAMES, start=1):
        in_c = "RDS_DTYPE_" + name.upper().replace("[", "_").rstrip("]")
        assert expected.pop(in_c) == number
    assert not expected


def test_constants_have_the_values_of_the_header(header):
    macros = declarations()[1]
    assert _structs.ABI_VERSION == int(macros["RDS_ABI_VERSION"])
    assert _structs.MAX_NDIM == int(macros["RDS_MAX_NDIM"])
    assert _structs.FAILURE_BYTES == int(macros["RDS_FAILURE_BYTES"])
    for name in (
        "TENSOR_BYTE_SWAPPED",
        "READER_NO_PREFETCH",
        "SELECT_NO_IDS",
        "SELECT_NO_TENSORS",
        "COMMIT_MERGE_ALL",
        "WRITER_ALIAS_ARROW",
        "WRITER_WAITING_MAIN_THREAD",
        "STREAM_ROWS",
        "VACUUM_DRY_RUN",
        "VACUUM_KEEP_VERSIONS",
        "RECOVER_ONTO_REPLACED",
        "RECOVER_DROP",
        "RECOVER_TAKE_OVER",
        "RECOVER_DRY_RUN",
    ):
        assert getattr(_structs, name) == int(macros[f"RDS_{name}"])
    for name in (
        "LOADER_NO_TABLE",
        "LOADER_NO_THREADS",
        "LOADER_WHOLE_STEPS",
        "LOADER_WAITING_MAIN_THREAD",
        "POSITION_BYTES",
    ):
        assert getattr(_load_structs, name) == int(macros[f"RDS_{name}"])
    kinds = header.typeof("rds_ids_kind").relements
    for name in ("IDS_UTF8", "IDS_NUMPY_S", "IDS_NUMPY_U", "IDS_INT64", "IDS_UINT64"):
        assert getattr(_structs, name) == kinds[f"RDS_{name}"]
    forms = header.typeof("rds_table_form").relements
    for name in ("FORM_DATA", "FORM_NAMED", "FORM_TYPES"):
        assert getattr(_structs, name) == forms[f"RDS_{name}"]


def test_what_is_packed_by_hand_has_the_layout_of_the_header(header):
    assert struct.calcsize(_gather._ROWS.format) == header.sizeof("rds_rows")
    for count in (1, 3):
        assert struct.calcsize("@" + count * _gather._TARGET) == count * header.sizeof("rds_target")
    packed = struct.pack("@" + _gather._TARGET, *range(1, 7))
    target = _structs.Target.from_buffer_copy(packed)
    assert [getattr(target, name) for name, *_ in _structs.Target._fields_] == [1, 2, 3, 4, 5, 6]
    rows = _structs.Rows.from_buffer_copy(_gather._ROWS.pack(1, 2, 3, 4, 5))
    assert [getattr(rows, name) for name, *_ in _structs.Rows._fields_] == [1, 2, 3, 4, 5]
    assert _loading._BATCH.size == header.sizeof("rds_loader_batch")
    batch = _load_structs.LoaderBatch.from_buffer_copy(_loading._BATCH.pack(*range(1, 12)))
    assert [getattr(batch, name) for name, *_ in _load_structs.LoaderBatch._fields_] == list(range(1, 12))


def test_every_status_of_the_header_has_an_exception(header):
    expected = header.typeof("rds_status").relements
    assert sorted(_errors.BY_STATUS) == sorted(set(expected.values()) - {0})


def test_status_names_of_the_library_are_those_of_the_header(header):
    library = _library.library()
    for name, number in header.typeof("rds_status").relements.items():
        assert library.rds_status_name(number).decode() == name
