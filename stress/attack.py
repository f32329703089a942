"""Every function of rds.h is called with arguments that are wrong in every way that there is, one at a time and several
at once: c_tests/test_attack.c with many calls.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import common
from common import expect

ROOT = common.HERE.parent
sys.path.insert(0, str(ROOT / "c_tests"))
import attack  # noqa: E402  pylint: disable=wrong-import-position
import run as c_tests  # noqa: E402  pylint: disable=wrong-import-position


def compiled(place: Path, mode: str) -> Path:
    library = Path(os.environ.get("RDS_LIBRARY") or ROOT / "target" / "release" / "librds.so").resolve()
    expect(library.exists(), f"{library} does not exist; build it or name one in RDS_LIBRARY")
    attack.write(place)
    program = c_tests.Program("test_attack", c_tests.HERE / "test_attack.c")
    binary, wrong = c_tests.compile_program(program, mode, place, c_tests.link_library(library, place))
    expect(not wrong, wrong)
    return binary


def play(chosen, place: Path, counts: Counter) -> None:
    mode = "asan" if chosen.asan else "valgrind" if chosen.valgrind else "plain"
    binary = compiled(place, mode)
    scratch, log = place / "tables", place / "valgrind.log"
    scratch.mkdir()
    environment = c_tests.environment(mode, scratch)
    environment |= {"ATTACK_CALLS": str(chosen.calls), "ATTACK_SEED": str(chosen.seed), "ATTACK_ONLY": chosen.only}
    command = c_tests.command_for(binary, mode, log)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=False)
    for line in done.stdout.splitlines():
        name, _, number = line.partition(" ")
        if name in ("calls", "reports", "nobody_blamed") or name.startswith("RDS_"):
            counts[name] = int(number)
    said = log.read_text(errors="replace") if mode == "valgrind" else ""
    expect("ERROR SUMMARY: 0 errors" in said or not said, f"valgrind:\n{said}")
    expect(done.returncode == 0, f"test_attack ended with {done.returncode}")
    expect(counts["calls"] >= chosen.calls, f"{counts['calls']} calls were made of {chosen.calls}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100000, help="with several wrong arguments; default 100000")
    parser.add_argument("--asan", action="store_true", help="with AddressSanitizer, LeakSanitizer and UBSan")
    parser.add_argument("--valgrind", action="store_true", help="in valgrind")
    parser.add_argument("--only", default="", help="a function; default all")
    parser.add_argument("--seed", type=int, default=0, help="default 0: another one every time")
    parser.add_argument("--keep", action="store_true", help="keep the tables, of a success too")
    chosen = parser.parse_args()
    chosen.seed = chosen.seed or random.SystemRandom().randrange(1, 1 << 31)
    common.program(play, chosen, "calls", "RDS_OK", "RDS_ERR_INVALID_ARGUMENT", "RDS_ERR_INVALID_HANDLE")


if __name__ == "__main__":
    main()
