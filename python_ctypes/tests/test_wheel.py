"""The wheel: built from a clone, for every Python 3 of its platform, with the library in it."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.linalg import _umath_linalg

import rds
from rds import _library

PROJECT = Path(__file__).parents[1]
CLONE = PROJECT.parent
LIBRARY = Path(_library.library()._name).resolve()
# A small one, where it does not matter what is in it; it needs OpenBLAS.
OTHER_LIBRARY = Path(_umath_linalg.__file__)


# With the packages that are installed here; no network is needed.
PIP = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", ".", "--wheel-dir"]
# What pip calls, in a third of the time.
BACKEND = [sys.executable, "-c", "import sys, setuptools.build_meta as b; b.build_wheel(sys.argv[1])"]


def build(out, command=BACKEND, **environment):
    """Builds a wheel."""
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environment}
    return subprocess.run(
        [*command, out], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of the library that is tested here."""
    out = tmp_path_factory.mktemp("wheel")
    built = build(out, PIP, RDS_LIBRARY=str(LIBRARY))
    assert built.returncode == 0, built.stderr
    (path,) = out.iterdir()
    return path


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory):
    """A new environment with NumPy and the wheel in it, and nothing else."""
    place = tmp_path_factory.mktemp("bare")
    venv.create(place, with_pip=False, symlinks=True)
    (packages,) = place.glob("lib/python*/site-packages")
    installed = Path(np.__file__).parents[1]
    for name in ("numpy", "numpy.libs", f"numpy-{np.__version__}.dist-info"):
        (packages / name).symlink_to(installed / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", place / "bin" / "python"]
    run_in(place, *pip, "install", "--quiet", "--no-index", wheel)
    listed = run_in(place, *pip, "list", "--format=freeze")
    assert {line.partition("==")[0] for line in listed.splitlines()} == {"numpy", "rds"}
    return place


def run_in(bare, *command):
    """What a command prints that finds no other package than those of the environment."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("RDS_", "PYTHON"))
    }
    ran = subprocess.run(command, cwd=bare, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_wheel_holds_the_library_as_it_was_built(wheel):
    with zipfile.ZipFile(wheel) as archive, archive.open("rds/librds.so.0") as packed:
        assert hashlib.sha256(packed.read()).digest() == hashlib.sha256(LIBRARY.read_bytes()).digest()


def test_the_wheel_has_every_file_of_the_package_and_no_other(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if not name.startswith("rds-")}
    kept = {".py", ".html", ".typed"}
    sources = {
        path for path in (PROJECT / "rds").rglob("*") if path.suffix in kept or path.name == "py.typed"
    }
    headers = {"rds/include/rds.h", "rds/include/rds.hpp"}
    assert packed == {str(path.relative_to(PROJECT)) for path in sources} | headers | {"rds/librds.so.0"}


def test_the_wheel_has_the_licences_of_what_is_in_it(wheel):
    with zipfile.ZipFile(wheel) as archive:
        for name in ("LICENSE", "THIRD-PARTY"):
            (packed,) = (one for one in archive.namelist() if one.endswith(f"licenses/{name}"))
            assert archive.read(packed) == (CLONE / name).read_bytes()


def test_the_tag_says_what_the_library_needs(wheel):
    """auditwheel looks at each symbol of the library."""
    command = [sys.executable, "-m", "auditwheel", "show", wheel]
    shown = " ".join(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    tag = re.search(r'platform tag: "([^"]+)"', shown)[1]
    assert wheel.name == f"rds-{rds.__version__}-py3-none-{tag}.whl"
    assert tag.startswith("manylinux_2_")


def test_a_library_with_other_dependencies_gets_a_plain_tag(tmp_path):
    built = build(tmp_path, RDS_LIBRARY=str(OTHER_LIBRARY))
    assert built.returncode == 0, built.stderr
    (path,) = tmp_path.iterdir()
    assert re.fullmatch(r"rds-.*-py3-none-linux_\w+\.whl", path.name)


def test_without_readelf_the_tag_is_a_plain_one_and_a_warning_says_so(tmp_path):
    built = build(tmp_path, RDS_LIBRARY=str(OTHER_LIBRARY), PATH=str(tmp_path))
    assert built.returncode == 0, built.stderr
    assert "warning: the wheel gets no manylinux tag" in built.stderr
    (path,) = tmp_path.iterdir()
    assert "-py3-none-linux_" in path.name


def test_the_wheel_works_with_numpy_alone(bare):
    code = (
        "import sys, numpy as np, rds\n"
        "with rds.ResultDatasetWriter('results') as writer:\n"
        "    writer.write_batch(['a', 'b'], np.arange(6, dtype='f4').reshape(2, 3))\n"
        "dataset = rds.ResultDataset({}, 'results')\n"
        "print(rds.__file__, dataset.ids(), dataset[1].tolist(), dataset.index_of('b'))"
    )
    printed = run_in(bare, "bin/python", "-c", code)
    package = Path(printed.split()[0])
    assert package.is_relative_to(bare)
    assert printed.endswith("['a', 'b'] [3.0, 4.0, 5.0] 1\n")


def test_the_wheel_has_the_command(bare):
    test_the_wheel_works_with_numpy_alone(bare)
    assert run_in(bare, "bin/rds", "ids", "results") == "a\nb\n"
    assert run_in(bare, "bin/rds", "plot", "--help")
    assert run_in(bare, "bin/rds", "--version") == f"rds {rds.__version__}\n"


# What builds the library


@pytest.fixture
def cargo(tmp_path):
    """A stand-in for cargo that writes down how it was called and makes a library."""
    tools = tmp_path / "tools"
    tools.mkdir()
    program = tools / "cargo"
    program.write_text(
        "#!/bin/sh\n"
        f'echo "$PWD: cargo $*" >> {tmp_path}/calls\n'
        'mkdir -p "$CARGO_TARGET_DIR/release"\n'
        f'cp {OTHER_LIBRARY} "$CARGO_TARGET_DIR/release/librds.so"\n'
    )
    program.chmod(0o755)
    return tmp_path / "calls", {"RDS_LIBRARY": "", "PATH": f"{tools}:{os.environ['PATH']}"}


def makefile_says():
    """The directory and the flags with which `make build` calls cargo."""
    text = (CLONE / "Makefile").read_text()
    flags = re.search(r"^CARGO_FLAGS := (.*)$", text, re.MULTILINE)[1]
    assert "$(CARGO) build $(CARGO_FLAGS) --lib" in text
    assert "CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/rds" in text
    assert "CARGO_TARGET_DIR ?= $(CACHE)/target" in text
    return f"cargo build {flags} --lib"


@pytest.mark.parametrize(
    "chosen", ["HOME", "XDG_CACHE_HOME", "CARGO_TARGET_DIR"], ids=lambda name: name.lower()
)
def test_the_library_is_built_as_the_makefile_does(cargo, tmp_path, chosen):
    calls, environment = cargo
    place = tmp_path / "place"
    target = {"HOME": ".cache/rds/target", "XDG_CACHE_HOME": "rds/target", "CARGO_TARGET_DIR": ""}[chosen]
    environment |= {"XDG_CACHE_HOME": "", "CARGO_TARGET_DIR": "", chosen: str(place)}
    built = build(tmp_path / "out", **environment)
    assert built.returncode == 0, built.stderr
    assert calls.read_text() == f"{CLONE}: {makefile_says()}\n"
    assert (place / target / "release" / "librds.so").exists()


def test_a_build_that_fails_makes_no_wheel(cargo, tmp_path):
    _, environment = cargo
    program = Path(environment["PATH"].partition(":")[0]) / "cargo"
    program.write_text("#!/bin/sh\necho the compiler is broken >&2\nexit 101\n")
    built = build(tmp_path / "out", **environment, CARGO_TARGET_DIR=str(tmp_path / "target"))
    assert built.returncode != 0
    assert "the compiler is broken" in built.stdout + built.stderr
    assert not list(tmp_path.glob("out/*"))


def test_a_library_that_is_not_there_makes_no_wheel(tmp_path):
    built = build(tmp_path, RDS_LIBRARY="/nowhere/librds.so")
    assert built.returncode != 0
    assert "RDS_LIBRARY names /nowhere/librds.so, which is no file" in built.stdout + built.stderr


def test_without_the_sources_the_error_says_what_to_do(tmp_path):
    copied = tmp_path / "copied"
    ignored = shutil.ignore_patterns("*.so", "*.egg-info", "__pycache__", "tests", ".*")
    shutil.copytree(PROJECT, copied, ignore=ignored)
    environment = {**os.environ, "RDS_LIBRARY": ""}
    command = [*PIP, tmp_path]
    built = subprocess.run(command, cwd=copied, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode != 0
    assert "install it from a clone, or set RDS_LIBRARY" in built.stdout + built.stderr


def test_an_editable_install_builds_nothing(cargo, tmp_path):
    calls, environment = cargo
    place = tmp_path / "place"
    venv.create(place, with_pip=False, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", place / "bin" / "python"]
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--editable", PROJECT]
    # The tools of the build are those of this environment.
    environment = {**os.environ, **environment, "PYTHONPATH": str(Path(np.__file__).parents[1])}
    subprocess.run([*pip, "install", *options], env=environment, check=True)
    assert not calls.exists()
    assert (place / "bin" / "rds").exists()
    code = "import importlib.util; print(importlib.util.find_spec('rds').origin)"
    found = subprocess.run([place / "bin" / "python", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(PROJECT / "rds" / "__init__.py")


def test_protoc_is_that_of_make_build():
    pinned = (PROJECT / "build-requirements.txt").read_text().split()
    text = (PROJECT / "pyproject.toml").read_text()
    requires = re.search(r"^requires = \[(.*)\]$", text, re.MULTILINE)[1]
    assert all(f'"{requirement}"' in requires for requirement in pinned)


def test_the_build_leaves_nothing_in_the_clone(wheel):
    assert not (PROJECT / "build").exists() and not (PROJECT / "dist").exists()
