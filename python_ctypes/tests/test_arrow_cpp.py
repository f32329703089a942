"""Arrow C++ itself, as pyarrow brings it: its batches and streams go in, and ours are valid for it."""

import re
import subprocess
from pathlib import Path

import guide
import pyarrow as pa
import pytest
from killed import environment

SOURCE = Path(__file__).with_name("arrow_cpp.cpp")
TESTS = re.findall(r"^TEST\((\w+)\)", SOURCE.read_text(encoding="utf-8"), re.MULTILINE)
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The C++ program, linked with librds and with the libarrow of pyarrow."""
    directory = tmp_path_factory.mktemp("arrow_cpp")
    libraries = guide.link_directory(directory / "lib")
    (arrow,) = (path for place in pa.get_library_dirs() for path in Path(place).glob("libarrow.so.*"))
    # The wheel has it under the name for the loader alone.
    (libraries / "libarrow.so").symlink_to(arrow)
    includes = [f"-I{guide.ROOT / name}" for name in ("include", "c_tests")] + ["-isystem", pa.get_include()]
    links = [f"-L{libraries}", *(f"-Wl,-rpath,{place}" for place in (libraries, arrow.parent)), "-lrds", "-larrow"]
    command = ["c++", "-std=c++20", "-D_XOPEN_SOURCE=700", *WARNINGS, *includes, SOURCE, *links, "-pthread"]
    done = subprocess.run([*command, "-o", directory / "program"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return directory / "program"


@pytest.mark.parametrize("name", TESTS)
def test_with_arrow_cpp(program, name, tmp_path):
    variables = environment(TMPDIR=str(tmp_path))
    done = subprocess.run([program, name], env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"ok {name}\n1 passed, 0 failed\n"), done.stderr


def test_every_test_of_the_program_is_run():
    assert sorted(TESTS) == sorted(re.findall(r"RUN\((\w+)\)", SOURCE.read_text(encoding="utf-8")))
    assert len(TESTS) > 10
