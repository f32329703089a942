"""Builds a wheel that holds librds, whatever Python runs it: `py3-none-<platform>`.

The library is built by cargo from the clone that this directory is part of, as `make build` does, and
in the same place; when that is fresh it takes a second. With RDS_LIBRARY in the environment that
library is packed as it is. An editable install builds nothing: there the library is found at run time.
"""

import atexit
import functools
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
CLONE = HERE.parent
# What the dynamic loader of every Linux with glibc finds.
GLIBC_PARTS = {"libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0", "libgcc_s.so.1"}


@functools.cache
def library() -> Path:
    """The librds.so to be packed, built if need be."""
    chosen = os.environ.get("RDS_LIBRARY")
    if chosen:
        path = Path(chosen)
        if not path.is_file():
            raise SystemExit(f"RDS_LIBRARY names {path}, which is no file")
        return path
    if not (CLONE / "Cargo.lock").exists():
        raise SystemExit(
            "the sources of librds are not beside this package: install it from a clone, or set "
            "RDS_LIBRARY to the path of a librds.so"
        )
    if shutil.which("cargo") is None:
        raise SystemExit("building librds needs cargo, the Rust toolchain: https://rustup.rs")
    target = target_directory()
    command = ["cargo", "build", "--release", "--locked", "--lib"]
    subprocess.run(command, cwd=CLONE, env={**os.environ, "CARGO_TARGET_DIR": str(target)}, check=True)
    return target / "release" / "librds.so"


def target_directory() -> Path:
    """Where `make build` builds."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("CARGO_TARGET_DIR") or cache / "rds" / "target")


def platform_tag(path: Path) -> str:
    """manylinux with the glibc that the library needs, if it needs nothing else; else plain linux."""
    system, _, machine = sysconfig.get_platform().replace(".", "_").partition("-")
    plain = f"{system}_{machine}".replace("-", "_")
    needed = glibc_needed(path)
    return plain if needed is None else f"manylinux_{needed[0]}_{needed[1]}_{machine.replace('-', '_')}"


def glibc_needed(path: Path) -> "tuple[int, int] | None":
    """The newest glibc of which the library uses a symbol; None if that is not all it depends on."""
    try:
        command = ["readelf", "--wide", "--dynamic", "--version-info", str(path)]
        environment = {**os.environ, "LC_ALL": "C"}
        output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"warning: the wheel gets no manylinux tag: {error}", file=sys.stderr)
        return None
    libraries = set(re.findall(r"\(NEEDED\).*\[(.+)\]", output))
    others = {name for name in libraries - GLIBC_PARTS if not name.startswith("ld-linux")}
    versions = [(int(major), int(minor)) for major, minor in re.findall(r"Name: GLIBC_(\d+)\.(\d+)", output)]
    return None if others or not versions else max(versions)


class BinaryDistribution(Distribution):
    """Not for every platform, although no extension module of Python is in it."""

    def has_ext_modules(self):
        return True


class Build(build):
    def initialize_options(self):
        super().initialize_options()
        # What an earlier build has left in the clone must not get into the wheel.
        self.build_base = tempfile.mkdtemp(prefix="rds-build-")
        atexit.register(shutil.rmtree, self.build_base, ignore_errors=True)


class BuildPy(build_py):
    def run(self):
        super().run()
        if not self.editable_mode:
            package = Path(self.build_lib) / "rds"
            shutil.copyfile(library(), package / "librds.so.0")
            (package / "include").mkdir(exist_ok=True)
            for header in ("rds.h", "rds.hpp"):
                shutil.copyfile(CLONE / "include" / header, package / "include" / header)


class BdistWheel(bdist_wheel):
    def get_tag(self):
        # The wheel of an editable install holds no library.
        editable = "editable_wheel" in self.distribution.command_obj
        return "py3", "none", super().get_tag()[2] if editable else platform_tag(library())


setup(
    distclass=BinaryDistribution,
    cmdclass={"build": Build, "build_py": BuildPy, "bdist_wheel": BdistWheel},
)
