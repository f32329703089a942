#!/usr/bin/env python3
"""Installs Debian packages, uses them as programs do, and removes them: in a root of its own, see packaging/root.

The directory that it runs in has the packages, THIRD-PARTY and the programs of the guide with what they print.
"""

import gzip
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from checks import Failed, named, report, run

PACKAGES = ("librds0", "librds-dev", "python3-rds")
WARNINGS = ("-Wall", "-Wextra", "-pedantic", "-Werror")
# Of no package, or of the package manager itself.
ELSEWHERE = {"/dev", "/proc", "/sys", "/tmp", "/work", "/var/cache", "/var/lib/dpkg", "/var/log"}
HERE = Path.cwd()
# What is not there; and what a batch system has to run.
ELSEWHERE_IMPORTED = re.compile(
    "^(import|from) (daft|dask|lsdb|mpi4py|pyarrow|pyspark|ray|torch)\\b|SLURM_ARRAY", re.MULTILINE
)


def files() -> set[str]:
    found = set()
    for directory, inner, names in os.walk("/"):
        inner[:] = [name for name in inner if os.path.join(directory, name) not in ELSEWHERE]
        found.update(os.path.join(directory, name) for name in (*inner, *names))
    return found


def package(name: str) -> Path:
    (found,) = HERE.glob(f"{name}_*.deb")
    return found


def says(expected: str, *command: str | Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        printed = run(*command, directory=directory)
    if printed != (HERE / expected).read_text():
        raise Failed(f"{command[-1]} printed {printed!r}")


def packages_are_installed() -> None:
    run("dpkg", "--force-unsafe-io", "--install", *map(package, PACKAGES))


def a_program_in_c_is_built_by_pkg_config() -> None:
    flags = run("pkg-config", "--cflags", "--libs", "rds").split()
    run("cc", "-std=c11", *WARNINGS, "start.c", *flags, "-o", "/tmp/start")
    says("start.txt", "/tmp/start")


def a_program_in_cpp_is_built_by_pkg_config() -> None:
    flags = run("pkg-config", "--cflags", "--libs", "rds").split()
    run("c++", "-std=c++17", *WARNINGS, "start.cpp", *flags, "-o", "/tmp/start_cpp")
    says("start.txt", "/tmp/start_cpp")


def programs_of_the_guide_print_what_it_shows() -> None:
    programs = [HERE / f"{path.stem}.py" for path in HERE.glob("*.txt")]
    programs = [path for path in programs if path.exists() and not ELSEWHERE_IMPORTED.search(path.read_text())]
    if len(programs) < 5:
        raise Failed(f"there are only {programs}")
    for path in programs:
        says(f"{path.stem}.txt", "python3", path)


def python_uses_the_library_of_the_system() -> None:
    found = run("python3", "-c", "import rds; print(rds.get_library(), rds.get_include())", directory="/").split()
    multiarch = run("dpkg-architecture", "-qDEB_HOST_MULTIARCH").strip()
    if not re.fullmatch(f"/usr/lib/{multiarch}/librds\\.so\\.0\\.\\S+", found[0]) or found[1] != "/usr/include":
        raise Failed(f"the library and the headers are {found}")


def the_command_tells_of_a_table() -> None:
    with tempfile.TemporaryDirectory() as directory:
        run("python3", HERE / "start.py", directory=directory)
        told = run("rds", "info", "results", directory=directory)
    if "embedding" not in told or "3" not in told:
        raise Failed(f"rds info printed {told!r}")


def licences_are_there() -> None:
    named = set()
    for name in PACKAGES:
        text = Path(f"/usr/share/doc/{name}/copyright").read_text()
        named.update(re.findall(r"^ (/usr/share/\S+?)\.?$", text, re.MULTILINE))
    third_party = Path("/usr/share/doc/librds0/THIRD-PARTY.gz")
    if len(named) != 2 or str(third_party) not in named or not all(map(os.path.exists, named)):
        raise Failed(f"the texts that are named: {sorted(named)}")
    if gzip.decompress(third_party.read_bytes()) != (HERE / "THIRD-PARTY").read_bytes():
        raise Failed(f"{third_party} is another than that of the checkout")


def lintian_finds_nothing() -> None:
    # Of the archive, one object of a quarter of a gigabyte, it asks readelf for all, which takes hours: a small one instead.
    thin = Path(tempfile.mkdtemp()) / "thin"
    run("dpkg-deb", "--raw-extract", package("librds-dev"), thin)
    (archive,) = thin.rglob("librds.a")
    archive.unlink()
    (thin.parent / "small.c").write_text("int rds(void);\nint rds(void) { return 0; }\n")
    run("gcc", "-c", "small.c", directory=thin.parent)
    run("strip", "--strip-unneeded", thin.parent / "small.o")
    run("ar", "rcs", archive, thin.parent / "small.o")
    listed = sorted(path.relative_to(thin) for path in (thin / "usr").rglob("*") if path.is_file() and not path.is_symlink())
    (thin / "DEBIAN" / "md5sums").write_text(run("md5sum", *listed, directory=thin))
    run("dpkg-deb", "-Zgzip", "-z1", "--build", thin, thin.parent / "librds-dev.deb")
    others = [package(name) for name in PACKAGES if name != "librds-dev"]
    run("lintian", "--allow-root", "--fail-on", "error,warning", *others, thin.parent / "librds-dev.deb")
    shutil.rmtree(thin.parent)


def nothing_is_left_of_them() -> None:
    run("dpkg", "--purge", *PACKAGES)
    if (left := files()) != BEFORE:
        raise Failed(f"left behind: {sorted(left - BEFORE)}; missing: {sorted(BEFORE - left)}")


BEFORE = files()
if __name__ == "__main__":
    checks = named(
        packages_are_installed,
        a_program_in_c_is_built_by_pkg_config,
        a_program_in_cpp_is_built_by_pkg_config,
        programs_of_the_guide_print_what_it_shows,
        python_uses_the_library_of_the_system,
        the_command_tells_of_a_table,
        licences_are_there,
        lintian_finds_nothing,
        nothing_is_left_of_them,
    )
    sys.exit(report("packages", checks))
