#!/usr/bin/env python3
"""Builds and runs programs against an installed librds that was moved to another place, as its users would.

Shared and static, by pkg-config and by CMake, as C99, C11, C++17 and C++20, with gcc and clang; every warning is an error.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from checks import Failed, report, run

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CONSUMERS = HERE / "consumers"
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]
COMPILERS = {"gcc": ("gcc", "g++"), "clang": ("clang", "clang++")}
STANDARDS = ("c99", "c11", "c++17", "c++20")
SAYS = "row 1 has 3 and 4"
# From a source of a page to its output.
LONGEST_SECONDS = 5


class Tree:
    """An installed tree, under a prefix that it was not made for."""

    def __init__(self, work: Path, libdir: str):
        self.work = work
        destdir, prefix = work / "stage", "/opt/rds"
        self.make = ["make", "-C", ROOT, "--no-print-directory"]
        self.places = [f"DESTDIR={destdir}", f"PREFIX={prefix}", f"LIBDIR={prefix}/{libdir}"]
        run(*self.make, "install", *self.places)
        self.staged = destdir / "opt" / "rds"
        self.prefix = work / "moved" / "here"
        shutil.copytree(self.staged, self.prefix, symlinks=True)
        self.lib = self.prefix / libdir
        self.environment = {**os.environ, "PKG_CONFIG_PATH": str(self.lib / "pkgconfig")}
        self.environment.pop("LD_LIBRARY_PATH", None)

    def flags(self, *asked: str) -> list[str]:
        return run("pkg-config", *asked, "rds", environment=self.environment).split()

    def link(self, static: bool) -> list[str]:
        if not static:
            return [*self.flags("--libs"), f"-Wl,-rpath,{self.lib}"]
        # The linker takes the shared library where there are both.
        libraries = self.flags("--static", "--libs")
        return [str(self.lib / "librds.a") if flag == "-lrds" else flag for flag in libraries]

    def results(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.work))

    def says(self, program: Path, static: bool) -> None:
        output = run(program, self.results(), environment=self.environment)
        if SAYS not in output:
            raise Failed(f"{program.name} printed {output!r}")
        needed = run("readelf", "-d", program)
        if ("librds.so.0" in needed) == static:
            raise Failed(f"{program.name} is linked in the wrong way:\n{needed}")


def by_pkg_config(tree: Tree, family: str, standard: str, static: bool) -> None:
    cxx = standard.startswith("c++")
    source = CONSUMERS / ("consumer.cpp" if cxx else "consumer.c")
    program = tree.work / f"{family}-{standard}-{'static' if static else 'shared'}"
    compiler = COMPILERS[family][cxx]
    options = [f"-std={standard}", *WARNINGS, *tree.flags("--cflags")]
    begun = time.monotonic()
    run(compiler, *options, source, *tree.link(static), "-o", program, environment=tree.environment)
    tree.says(program, static)
    if not static and time.monotonic() - begun > LONGEST_SECONDS:
        raise Failed(f"compiling and running {source.name} took {time.monotonic() - begun:.1f} s")


def by_cmake(tree: Tree, family: str) -> None:
    build = tree.work / f"cmake-{family}"
    c, cxx = COMPILERS[family]
    flags = " ".join(WARNINGS)
    run("cmake", "-S", CONSUMERS, "-B", build, f"-Drds_DIR={tree.lib / 'cmake' / 'rds'}", f"-DCMAKE_C_COMPILER={c}",
        f"-DCMAKE_CXX_COMPILER={cxx}", f"-DCMAKE_C_FLAGS={flags}", f"-DCMAKE_CXX_FLAGS={flags}")
    run("cmake", "--build", build)
    programs = [path for path in build.iterdir() if re.fullmatch(r"c(xx)?\d\d_rds(_static)?", path.name)]
    if len(programs) != len(STANDARDS) + 1:
        raise Failed(f"CMake built {sorted(path.name for path in programs)}")
    for program in programs:
        tree.says(program, static=program.name.endswith("static"))


def version_is_checked_by_cmake(tree: Tree) -> None:
    for wanted, fits in (("0.2", True), ("0.2.0", True), ("0.1", True), ("0.3", False), ("1.0", False)):
        project = Path(tempfile.mkdtemp(dir=tree.work))
        (project / "CMakeLists.txt").write_text(
            f"cmake_minimum_required(VERSION 3.18)\nproject(x C)\nfind_package(rds {wanted} REQUIRED)\n"
        )
        try:
            run("cmake", "-S", project, "-B", project / "b", f"-Drds_DIR={tree.lib / 'cmake' / 'rds'}")
            found = True
        except Failed:
            found = False
        if found != fits:
            raise Failed(f"find_package(rds {wanted}) {'succeeds' if found else 'fails'}")


def codecs_of_its_own(tree: Tree) -> None:
    program = tree.work / "own_codecs"
    run("gcc", "-std=c11", *WARNINGS, *tree.flags("--cflags"), CONSUMERS / "own_codecs.c", *tree.link(True), "-o", program,
        environment=tree.environment)
    tree.says(program, static=True)


def only_functions_of_the_interface(tree: Tree) -> None:
    symbols = (ROOT / "include" / "rds.symbols").read_text().split()
    for command in (["nm", "-g", "--defined-only", tree.lib / "librds.a"], ["nm", "-D", "--defined-only", tree.lib / "librds.so"]):
        found = {line.split()[-1].split("@")[0] for line in run(*command).splitlines() if len(line.split()) == 3}
        if found - {"RDS_0"} != set(symbols):
            raise Failed(f"{command[-1]}: {sorted(found ^ set(symbols))}")


def links_lead_to_the_library(tree: Tree) -> None:
    for name in ("librds.so", "librds.so.0"):
        if not (tree.lib / name).is_symlink() or not (tree.lib / name).resolve().name.startswith("librds.so.0."):
            raise Failed(f"{name} leads to {(tree.lib / name).resolve()}")
    dynamic = run("readelf", "-d", tree.lib / "librds.so")
    if "[librds.so.0]" not in dynamic or "RUNPATH" in dynamic or "RPATH" in dynamic:
        raise Failed(dynamic)


def man_pages_can_be_shown(tree: Tree) -> None:
    pages = list((tree.prefix / "share" / "man").rglob("*.[13]"))
    if len(pages) != 2:
        raise Failed(f"man pages: {pages}")
    for page in pages:
        text = page.read_text()
        if not text.startswith(".Dd ") or f".Dt {page.stem.upper()} {page.suffix[1:]}" not in text:
            raise Failed(f"{page.name} is no page of mdoc")
    command = (tree.prefix / "share" / "man" / "man1" / "rds.1").read_text()
    for module in (ROOT / "python_ctypes" / "rds" / "cli").glob("[a-z]*.py"):
        if f".It Cm {module.stem}\n" not in command:
            raise Failed(f"rds.1 does not tell of {module.stem}")
    codes = (ROOT / "python_ctypes" / "rds" / "cli" / "_exit_codes.py").read_text()
    numbers = dict(re.findall(r"^([A-Z_]+) = (\d+)$", codes, re.MULTILINE))
    for name, text in re.findall(r'^    ([A-Z_]+): "(.+)",$', codes, re.MULTILINE):
        if f".It {numbers[name]}\n{text}\n" not in command:
            raise Failed(f"rds.1 does not say that {numbers[name]} is: {text}")


def licences_are_those_of_the_checkout(tree: Tree) -> None:
    for name in ("LICENSE", "THIRD-PARTY"):
        if (tree.prefix / "share" / "doc" / "librds" / name).read_bytes() != (ROOT / name).read_bytes():
            raise Failed(f"{name} is another")


def uninstall_leaves_nothing(tree: Tree) -> None:
    run(*tree.make, "uninstall", *tree.places)
    left = [path for path in tree.staged.rglob("*") if not path.is_dir()]
    if left:
        raise Failed(f"left behind: {left}")


def checks(tree: Tree):
    for family in COMPILERS:
        for standard in STANDARDS:
            # To link the archive takes seconds: each standard by one of both compilers.
            for static in (False, True) if (family == "gcc") == (standard in ("c99", "c++17")) else (False,):
                name = f"{family} {standard} {'static' if static else 'shared'} by pkg-config"
                yield name, lambda f=family, s=standard, t=static: by_pkg_config(tree, f, s, t)
        yield f"{family} by CMake", lambda f=family: by_cmake(tree, f)
    together = (
        version_is_checked_by_cmake,
        codecs_of_its_own,
        only_functions_of_the_interface,
        links_lead_to_the_library,
        man_pages_can_be_shown,
        licences_are_those_of_the_checkout,
        uninstall_leaves_nothing,
    )
    for check in together:
        yield check.__name__.replace("_", " "), lambda check=check: check(tree)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, required=True, help="a directory to work in")
    parser.add_argument("--libdir", default="lib/x86_64-linux-gnu", help="below the prefix")
    chosen = parser.parse_args()
    chosen.build.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=chosen.build) as work:
        return report("install", checks(Tree(Path(work), chosen.libdir)))


if __name__ == "__main__":
    sys.exit(main())
