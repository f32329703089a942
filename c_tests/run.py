#!/usr/bin/env python3
"""Compiles the C and C++ tests and the examples against a built librds, runs them, and counts.

Every program runs plainly, or with --asan under AddressSanitizer and UBSan; with --valgrind also under valgrind, but for
those that would take long there. With --tsan and Rust's runtime of it those that have threads run under ThreadSanitizer,
and only so; the library must have been compiled for it. Names select programs: `run.py --library target/release/librds.so --build /tmp/b
test_handles quickstart`.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import attack
import header

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WARNINGS = ["-Wall", "-Wextra", "-pedantic", "-Werror"]
CLOSING = re.compile(r"^(\d+) passed, (\d+) failed$", re.MULTILINE)
SECONDS = {"plain": 180, "asan": 300, "valgrind": 900, "tsan": 900}
PACKAGES = {"gcc": "gcc", "g++": "g++", "nm": "binutils", "valgrind": "valgrind"}
# ASan's allocator does not let go of its locks at fork(): a child of a process whose other threads
# allocate hangs in it. Valgrind is too slow for many forks, and has threads of its own to be counted.
FORKING = {"test_fork", "test_fork_first", "test_fork_load", "test_loader_fork"}
# Each step of these is a process of its own, which takes seconds to begin under valgrind; the functions it
# calls are called by other programs too.
MANY_PROCESSES = {
    "test_columns_kill",
    "test_commit_readers",
    "test_full_disk",
    "test_jobs_killed",
    "test_jobs_left",
    "test_journal",
    "test_kill",
    "test_places",
    "test_race_runs",
    "test_races",
    "test_recover",
    "test_refused",
    "test_room",
    "test_vacuum_processes",
    "test_waiting",
}
# At the end of a thread nobody frees what its last destructors made.
ENDING = {"test_ends"}
# What they do takes long, and much longer under valgrind.
LONG = {
    "test_damaged_parts", "test_forged_files", "test_jobs", "test_pack", "test_reader_asks", "test_reader_waiting",
    "test_staging_processes",
}
# What others do under valgrind, and these only in other combinations.
ALIKE = {
    "test_columns_arrow", "test_columns_files", "test_columns_write", "test_ids_kept", "test_last_error",
    "test_list_parts", "test_metadata", "test_other_tables", "test_parts", "test_sized_arrays", "test_versions",
    "train_loop_plain",
}
# Processes that are killed; what they do others do, too.
KILLED = {"test_jobs_killed"}
# What rds.hpp adds to the calls that others make is in the header: these are others only for the compiler.
HEADER = {"test_hpp_20", "test_hpp_plain", "test_hpp_tables"}
# Valgrind puts its own in place of the program's operator new.
COUNTING = {"test_hpp_memory"}
SKIPPED = {
    "asan": FORKING | ENDING | HEADER | KILLED,
    "valgrind": FORKING | ENDING | MANY_PROCESSES | LONG | ALIKE | HEADER | COUNTING
    | {"test_hpp", "test_hpp_errors", "test_hpp_loader", "test_hpp_parts", "test_hpp_rows", "test_runtime"},
    # A child of a process with threads is not watched; and ends of the process are what it is about to end at.
    "tsan": FORKING | ENDING,
}
THREADS = re.compile(r"pthread_create|std::thread")
SANITIZERS = {
    "asan": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    # The program brings the runtime for itself and the library, and it is Rust's: `-lrds_tsan` stands for it.
    "tsan": ["-fsanitize=thread", "-nodefaultlibs", "-Wl,--export-dynamic"],
}
WITHIN = {"asan": ("__asan_init", "__ubsan_handle"), "tsan": ("__tsan_init", "__tsan_func_entry")}
LIBRARIES = {
    "tsan": ["-Wl,--whole-archive", "-lrds_tsan", "-Wl,--no-whole-archive", "-lstdc++", "-lm", "-lgcc_s", "-lgcc", "-lc"],
}
# What a program is compiled with besides.
FLAGS = {
    "test_hpp_20": ["-std=c++20"],
    "test_hpp_plain": ["-fno-exceptions", "-fno-rtti"],
    "train_loop_plain": ["-Wconversion"],
}
# Examples are tests of their own: what they print is known.
EXAMPLES = {
    "quickstart": ("quickstart.c", "quickstart.txt"),
    "quickstart_cpp": ("quickstart.c", "quickstart.txt"),
    "loop": ("loop.cpp", "loop.txt"),
    "train_loop_plain": ("train_loop_plain.cpp", "train_loop_plain.txt"),
}


@dataclass
class Program:
    name: str
    source: Path
    # What it has to print; None for a test program, which counts for itself.
    expected: str | None = None

    def compiler(self) -> list[str]:
        if self.name == "quickstart":
            return ["gcc", "-std=c99"]
        if self.name == "quickstart_cpp":
            return ["g++", "-x", "c++", "-std=c++17"]
        if self.source.suffix == ".cpp":
            return ["g++", "-std=c++17", *FLAGS.get(self.name, [])]
        return ["gcc", "-std=c11"]


@dataclass
class Outcome:
    name: str
    passed: int
    failed: int
    text: str = ""
    seconds: float = 0


def programs() -> list[Program]:
    tests = sorted([*HERE.glob("test_*.c"), *HERE.glob("test_*.cpp")])
    found = [Program(path.stem, path) for path in tests]
    for name, (source, output) in EXAMPLES.items():
        expected = (HERE / "fixtures" / output).read_text(encoding="utf-8")
        found.append(Program(name, ROOT / "examples" / source, expected))
    return found


def run(command: list[str], seconds: int = 120, **kwargs) -> tuple[int, str]:
    """The exit code and what was printed, in the order it was."""
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=kwargs.pop("stderr", subprocess.STDOUT),
            timeout=seconds,
            check=False,
            **kwargs,
        )
    except FileNotFoundError:
        tool = command[0]
        return 127, f"{tool} is missing: apt-get install {PACKAGES.get(tool, tool)}\n"
    except subprocess.TimeoutExpired as expired:
        text = (expired.stdout or b"").decode(errors="replace")
        return 124, f"{text}\nnot finished after {seconds} seconds\n"
    return done.returncode, done.stdout.decode(errors="replace")


def link_library(library: Path, build: Path, runtime: Path | None = None) -> Path:
    """A directory with the library under the names that the linker and the loader look for, and the runtime."""
    directory = build / "lib"
    directory.mkdir(parents=True, exist_ok=True)
    names = {"librds.so": library, "librds.so.0": library, **({"librds_tsan.a": runtime} if runtime else {})}
    for name, file in names.items():
        link = directory / name
        link.unlink(missing_ok=True)
        link.symlink_to(file.resolve())
    return directory


def compile_program(program: Program, mode: str, build: Path, libraries: Path) -> tuple[Path, str]:
    """The binary, and what is wrong with it, if anything."""
    binary = build / mode / program.name
    binary.parent.mkdir(parents=True, exist_ok=True)
    command = [
        *program.compiler(),
        *WARNINGS,
        *SANITIZERS.get(mode, []),
        *([] if program.expected is not None else ["-D_XOPEN_SOURCE=700"]),
        "-O1",
        "-g",
        f"-I{ROOT / 'include'}",
        f"-I{build}",
        str(program.source),
        *(["-x", "none"] if "-x" in program.compiler() else []),
        f"-L{libraries}",
        f"-Wl,-rpath,{libraries}",
        "-lrds",
        *LIBRARIES.get(mode, []),
        "-pthread",
        "-o",
        str(binary),
    ]
    code, text = run(command, SECONDS["asan"])
    if code != 0:
        return binary, text
    if mode in WITHIN:
        _, symbols = run(["nm", str(binary)])
        for symbol in WITHIN[mode]:
            if symbol not in symbols:
                return binary, f"{symbol} is not in the binary: the sanitizer is off\n"
    return binary, ""


def command_for(binary: Path, mode: str, log: Path) -> list[str]:
    if mode != "valgrind":
        return [str(binary)]
    return [
        "valgrind",
        "--error-exitcode=9",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite",
        "--show-leak-kinds=definite",
        f"--log-file={log}",
        str(binary),
    ]


def environment(mode: str, scratch: Path) -> dict[str, str]:
    variables = dict(os.environ)
    variables.pop("RDS_THREADS", None)
    variables["TMPDIR"] = str(scratch)
    variables["RDS_POINTERS"] = " ".join(header.pointers(ROOT / "include" / "rds.h"))
    variables["RDS_FIXTURES"] = str(HERE / "fixtures")
    variables["CHECK_SLOW"] = "1" if mode in ("valgrind", "tsan") else ""
    # What malloc cannot give is NULL, as without the sanitizer.
    variables["ASAN_OPTIONS"] = "detect_leaks=1:exitcode=23:allocator_may_return_null=1"
    # Some have children that go on with threads.
    variables["TSAN_OPTIONS"] = "exitcode=23:allocator_may_return_null=1:die_after_fork=0"
    return variables


def judge(program: Program, code: int, text: str) -> tuple[int, int]:
    """Passed and failed tests."""
    if program.expected is not None:
        return (1, 0) if code == 0 and text == program.expected else (0, 1)
    closing = CLOSING.findall(text)
    if len(closing) != 1:
        return 0, 1
    passed, failed = map(int, closing[0])
    # 1 is what failed tests exit with. Anything else is what a tool found, after the last test.
    found = code not in (0, 1)
    return passed, failed + (found or (failed == 0 and (code != 0 or passed == 0)))


def run_program(program: Program, mode: str, build: Path, libraries: Path) -> Outcome:
    name = f"{mode} {program.name}"
    begun = time.monotonic()
    binary, wrong = compile_program(program, mode, build, libraries)
    if wrong:
        return Outcome(name, 0, 1, wrong)
    scratch = build / mode / f"{program.name}.tmp"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    log = build / mode / f"{program.name}.valgrind"
    log.unlink(missing_ok=True)
    command = command_for(binary, mode, log)
    streams = {}
    if program.expected is not None:
        command.append(str(scratch / "results"))
        streams["stderr"] = None
    code, text = run(command, SECONDS[mode], env=environment(mode, scratch), **streams)
    passed, failed = judge(program, code, text)
    shutil.rmtree(scratch, ignore_errors=True)
    if mode == "valgrind":
        report = log.read_text(errors="replace") if log.exists() else "valgrind wrote no report\n"
        if "ERROR SUMMARY: 0 errors" not in report:
            failed = max(failed, 1)
        text += report if failed else ""
    if failed:
        text += f"exit code {code}\n"
    return Outcome(name, passed, failed, text, time.monotonic() - begun)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", type=Path, required=True, help="librds.so")
    parser.add_argument("--build", type=Path, required=True, help="directory for binaries")
    parser.add_argument("--asan", action="store_true", help="under ASan and UBSan")
    parser.add_argument("--valgrind", action="store_true", help="also under valgrind")
    parser.add_argument("--tsan", type=Path, metavar="RUNTIME", help="under ThreadSanitizer only: librustc*_rt.tsan.a")
    # Several of them wait more than they work.
    parser.add_argument("--jobs", type=int, default=(os.cpu_count() or 1) + 1)
    parser.add_argument("names", nargs="*", help="programs; default all")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    if not options.library.exists():
        sys.exit(f"{options.library} does not exist; build it first")
    build = options.build.resolve()
    libraries = link_library(options.library, build, options.tsan)
    try:
        attack.write(build)
    except RuntimeError as error:
        sys.exit(f"attack.py: {error}")
    modes = ["tsan"] if options.tsan else ["plain", *(["asan"] * options.asan), *(["valgrind"] * options.valgrind)]
    known = programs()
    unknown = set(options.names) - {program.name for program in known}
    if unknown:
        sys.exit(f"no such program: {', '.join(sorted(unknown))}")
    chosen = [program for program in known if not options.names or program.name in options.names]
    runs = {mode: [one for one in chosen if one.name not in SKIPPED.get(mode, ())] for mode in modes}
    if options.tsan:
        runs["tsan"] = [program for program in runs["tsan"] if THREADS.search(program.source.read_text())]
    else:
        # What runs under ASan runs as it would without.
        runs["plain"] = [program for program in runs["plain"] if program not in runs.get("asan", ())]
    work = [(program, mode) for mode in modes for program in runs[mode]]
    passed = failed = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for outcome in pool.map(lambda item: run_program(*item, build, libraries), work):
            if outcome.failed:
                print(outcome.text, end="")
            word = "FAILED" if outcome.failed else "ok"
            counts = f"{outcome.passed} passed, {outcome.failed} failed"
            print(f"{word} {outcome.name}: {counts} ({outcome.seconds:.0f} s)")
            sys.stdout.flush()
            passed += outcome.passed
            failed += outcome.failed
    print(f"c: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
