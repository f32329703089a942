#!/usr/bin/env python3
"""Uses the wheel, and libraries that were unpacked, with what a Debian has of its own: in a root, see packaging/root.

The directory that it runs in has the wheel, NumPy's, the tree of `make install` in rds/, and programs.
"""

import os
import sys
import tempfile
from pathlib import Path

from checks import Failed, named, report, run

HERE = Path.cwd()
TREE = HERE / "rds"
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")
SAYS = (HERE / "start.txt").read_text()
BUILT = Path(tempfile.mkdtemp())
(WHEEL,) = HERE.glob("rds-*.whl")
os.environ["PKG_CONFIG_PATH"] = str(TREE / "lib" / "pkgconfig")


def says(*command: str | Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        printed = run(*command, directory=directory)
    if printed != SAYS:
        raise Failed(f"{command[-1]} printed {printed!r}")


def works_in(environment: Path, *options: str | Path) -> None:
    pip = [environment / "bin" / "python", "-m", "pip"]
    run(*pip, "install", "--quiet", "--no-index", "--disable-pip-version-check", *options, WHEEL)
    says(environment / "bin" / "python", HERE / "start.py")
    with tempfile.TemporaryDirectory() as directory:
        run(environment / "bin" / "python", HERE / "start.py", directory=directory)
        told = run(environment / "bin" / "rds", "info", "results", directory=directory)
    if "embedding" not in told:
        raise Failed(f"rds info printed {told!r}")


def the_wheel_works_with_numpy_of_pypi() -> None:
    run(sys.executable, "-m", "venv", BUILT / "venv")
    works_in(BUILT / "venv", "--find-links", HERE / "numpy")


def the_wheel_works_with_numpy_of_the_system() -> None:
    run(sys.executable, "-m", "venv", "--system-site-packages", BUILT / "system")
    works_in(BUILT / "system", "--no-deps")


def program(compiler: str, standard: str, source: str, name: str, static: bool = False) -> Path:
    flags = run("pkg-config", *["--static"] * static, "--cflags", "--libs", "rds").split()
    if static:
        flags[flags.index("-lrds")] = str(TREE / "lib" / "librds.a")
    run(compiler, f"-std={standard}", *WARNINGS, source, *flags, f"-Wl,-rpath,{TREE / 'lib'}", "-o", BUILT / name)
    return BUILT / name


def a_program_in_c_runs() -> None:
    says(program("gcc", "c11", "start.c", "start"))


def a_program_in_c_with_the_archive_runs() -> None:
    built = program("gcc", "c99", "start.c", "start_static", static=True)
    if "librds" in run("ldd", built):
        raise Failed("it asks for the shared library")
    says(built)


def programs_in_cpp_run() -> None:
    for standard in ("c++17", "c++20"):
        says(program("g++", standard, "start.cpp", standard))


def every_call_of_the_header_for_cpp_compiles() -> None:
    for standard in ("c++17", "c++20"):
        run("g++", f"-std={standard}", *WARNINGS, "-fsyntax-only", f"-I{TREE / 'include'}", "uses_hpp.cpp")


if __name__ == "__main__":
    # In a Debian whose Python is too old there is another, without NumPy.
    own = [the_wheel_works_with_numpy_of_the_system] if Path("/usr/lib/python3/dist-packages/numpy").is_dir() else []
    checks = named(
        the_wheel_works_with_numpy_of_pypi,
        *own,
        a_program_in_c_runs,
        a_program_in_c_with_the_archive_runs,
        programs_in_cpp_run,
        every_call_of_the_header_for_cpp_compiles,
    )
    for tool in ("ldd", "g++"):
        print(run(tool, "--version").splitlines()[0])
    print("Python", sys.version.split()[0])
    sys.exit(report("wheel", checks))
