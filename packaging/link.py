#!/usr/bin/env python3
"""Makes the libraries that are installed of the archive that cargo makes.

The archive has all of Rust's and C's objects with all their symbols. Linked into one object, of which only the functions
of rds.h stay visible, it is librds.a: a program may have an LZ4 or zstd of its own beside it. The same object becomes
librds.so, linked by the compiler that is named: which glibc it needs is that linker's to say.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SYMBOLS = (ROOT / "include" / "rds.symbols").read_text().split()
# The version of the interface, which programs ask for: it stays as long as the name of the library does.
VERSION = "RDS_0"
# `rustc --print native-static-libs`, but what unwinds, of which toolchains have one or another.
NEEDED = ("-lpthread", "-lm", "-ldl", "-lc")
UNWINDERS = ("-lgcc_s", "-lunwind")
# Linkers differ in what they know.
OPTIONS = (
    # Code of the library runs until the process ends, on threads of its own: it is never unloaded.
    "-Wl,-z,nodelete",
    "-Wl,-z,relro,-z,now",
    "-Wl,--gc-sections",
    "-Wl,--icf=all",
    "-Wl,-O2",
)


def run(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{shlex.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def merge(archive: Path, made: Path, work: Path) -> None:
    """One object of all that the interface reaches, in which nothing else has a name for others."""
    names, merged = work / "symbols", work / "rds.o"
    names.write_text("".join(f"{name}\n" for name in SYMBOLS))
    roots = [f"--undefined={name}" for name in SYMBOLS]
    run("ld", "-r", "--gc-sections", "--force-group-allocation", *roots, "-o", merged, archive)
    # Rust's standard library has its code a second time, for optimisation while linking.
    bitcode = ["--remove-section=.llvmbc", "--remove-section=.llvmcmd"]
    run("objcopy", "--strip-debug", "--strip-unneeded", *bitcode, f"--keep-global-symbols={names}", merged)
    run("ar", "rcs", made, merged)
    check(run("nm", "-g", "--defined-only", made), archive)


def share(archive: Path, made: Path, work: Path, compiler: list[str]) -> None:
    script = work / "rds.map"
    script.write_text(f"{VERSION} {{ global: {' '.join(f'{name};' for name in SYMBOLS)} local: *; }};\n")
    options = ["-Wl,-soname,librds.so.0", f"-Wl,--version-script={script}", "-s", *known(compiler, work)]
    whole = ["-Wl,--whole-archive", archive, "-Wl,--no-whole-archive"]
    run(*compiler, "-shared", "-o", made, *whole, *options)
    check(run("nm", "-D", "--defined-only", made), made)


def known(compiler: list[str], work: Path) -> list[str]:
    """What there is of options and libraries with a compiler."""
    source, out = work / "probe.c", work / "probe.so"
    source.write_text("int rds_probe(void);\nint rds_probe(void) { return 0; }\n")

    def links(*options: str) -> bool:
        command = [*compiler, "-shared", "-fPIC", str(source), *options, "-o", str(out)]
        return subprocess.run(command, capture_output=True).returncode == 0

    if not links():
        sys.exit(f"{shlex.join(compiler)} cannot link a shared library")
    found = list(filter(links, OPTIONS))
    print(f"{shlex.join(compiler)} links without {' '.join(sorted({*OPTIONS} - {*found})) or 'nothing'}")
    unwinder = next(filter(links, UNWINDERS), None)
    if unwinder is None:
        sys.exit(f"{shlex.join(compiler)} has none of {', '.join(UNWINDERS)}, which panics need")
    return [*found, unwinder, *NEEDED]


def check(symbols: str, made: Path) -> None:
    """It has the functions of rds.h, and nothing else for others."""
    lines = [line.split() for line in symbols.splitlines()]
    found = {re.sub("@.*", "", line[-1]) for line in lines if len(line) == 3} - {VERSION}
    if found != set(SYMBOLS):
        sys.exit(f"{made}: its symbols differ from rds.symbols by {sorted(found ^ set(SYMBOLS))[:9]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="as cargo makes it; for a shared library the one that was made of it")
    parser.add_argument("made", type=Path, help="librds.a or librds.so")
    parser.add_argument("--compiler", default=os.environ.get("CC") or "cc", help="with options, as a shell has them")
    chosen = parser.parse_args()
    chosen.made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=chosen.made.parent) as directory:
        work = Path(directory)
        unchecked = work / chosen.made.name
        if chosen.made.suffix == ".a":
            merge(chosen.archive, unchecked, work)
        else:
            share(chosen.archive, unchecked, work, shlex.split(chosen.compiler))
        unchecked.replace(chosen.made)


if __name__ == "__main__":
    main()
