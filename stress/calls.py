"""Every function is called with arguments right and wrong, from threads that share handles and close them: no call ends
the process, hangs, panics or says what its header does not, and what is moved is released once.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import common
from common import expect

ROOT = common.HERE.parent
sys.path.insert(0, str(ROOT / "c_tests"))
import header  # noqa: E402  pylint: disable=wrong-import-position
import run as c_tests  # noqa: E402  pylint: disable=wrong-import-position

HEADER = ROOT / "include" / "rds.h"
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
# They cannot fail, so nobody refuses what they are given.
WITHOUT_STATUS = {
    "rds_abi_version", "rds_build_info", "rds_last_error_message", "rds_last_error_status", "rds_status_name",
    "rds_version",
}


def documented() -> str:
    """What each function may return, as bits, by the header."""
    text = HEADER.read_text(encoding="utf-8")
    numbers = header.enums(text)["rds_status"]
    found = []
    for function in header.functions(text):
        words = " ".join(line for line in function.comment if line.startswith("@return")).replace(",", " ").split()
        bits = sum(1 << number for name, number in numbers.items() if name in words)
        found.append(f"{function.name}:{bits} ")
    return "".join(found)


def compiled(place: Path, asan: bool) -> Path:
    library = Path(os.environ.get("RDS_LIBRARY") or ROOT / "target" / "release" / "librds.so").resolve()
    expect(library.exists(), f"{library} does not exist; build it or name one in RDS_LIBRARY")
    libraries = c_tests.link_library(library, place)
    command = [
        *shlex.split(os.environ.get("CXX", "c++")), "-std=c++17", *c_tests.WARNINGS, *(SANITIZE if asan else []),
        "-O1", "-g", f"-I{HEADER.parent}", str(common.HERE / "calls.cpp"), f"-L{libraries}", f"-Wl,-rpath,{libraries}",
        "-lrds", "-pthread", "-o", str(place / "calls"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"calls.cpp does not compile:\n{done.stderr}")
    return place / "calls"


def play(chosen, place: Path, counts: Counter) -> None:
    binary = compiled(place, chosen.asan)
    tables = place / "place"
    tables.mkdir()
    environment = {**os.environ, "RDS_DOCUMENTED": documented(), "RDS_FIXTURES": str(ROOT / "c_tests" / "fixtures"), "ASAN_OPTIONS": "detect_leaks=1:exitcode=23:"
                   "allocator_may_return_null=1:handle_segv=0:handle_abort=0:use_sigaltstack=0"}
    arguments = [tables, chosen.calls, chosen.seed, chosen.threads, int(not chosen.no_arrow), *chosen.only]
    done = subprocess.run(
        [str(binary), *map(str, arguments)], stdout=subprocess.PIPE, text=True, env=environment, check=False
    )
    by_function = {name: [int(n) for n in numbers] for name, *numbers in map(str.split, done.stdout.splitlines())}
    released = by_function.pop("released", [0, 0])
    counts["batches_released"], counts["streams_released"] = released
    counts["accepted"] = sum(times[0] for times in by_function.values())
    counts["refused"] = sum(sum(times[1:]) for times in by_function.values())
    counts["outcomes"] = sum(bool(n) for times in by_function.values() for n in times)
    expect(done.returncode == 0, f"calls ended with {done.returncode}")
    if chosen.only:
        return
    for name in (ROOT / "include" / "rds.symbols").read_text(encoding="utf-8").split():
        accepted, *refused = by_function.get(name, [0])
        expect(accepted, f"no call of {name} succeeded")
        expect(sum(refused) or name in WITHOUT_STATUS, f"no call of {name} failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=60000, help="default 60000")
    parser.add_argument("--threads", type=int, default=4, help="default 4; with 1 a seed gives the same calls")
    parser.add_argument("--no-arrow", action="store_true", help="batches of Arrow are not spoilt")
    parser.add_argument("--asan", action="store_true", help="with AddressSanitizer, LeakSanitizer and UBSan")
    parser.add_argument("--seed", type=int, default=0, help="default 0: another one every time")
    parser.add_argument("--keep", action="store_true", help="keep the tables, of a success too")
    parser.add_argument("only", nargs="*", help="functions; default all")
    chosen = parser.parse_args()
    chosen.seed = chosen.seed or random.SystemRandom().randrange(1, 1 << 31)
    needed = ["accepted", "refused"]
    if not chosen.only:
        needed += ["batches_released", "streams_released"]
    common.program(play, chosen, *needed)


if __name__ == "__main__":
    main()
