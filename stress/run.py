"""Runs all programs of this directory for some minutes, or as long as it is told, and prints what each has checked."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

import common

# Arguments that take half a minute or less, and what a factor of time makes longer of them.
PROGRAMS = {
    "kills.py": ("rounds", 10),
    "taken_over.py": ("rounds", 12),
    "power.py": ("subsets", 1),
    "schema_changes.py": ("rounds", 1),
    "cleanup.py": ("seconds", 8),
    "beside_lance.py": ("seconds", 12),
    "mutations.py": ("count", 400),
    "calls.py": ("calls", 40000),
    "attack.py": ("calls", 100000),
    "readers.py": ("seconds", 6),
    "forks.py": ("count", 15),
    "workers.py": ("kills", 2),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--factor", type=int, default=1, help="how much longer each takes, default 1")
    parser.add_argument("--seed", type=int, default=0, help="default 0: another one every time")
    parser.add_argument("only", nargs="*", help="programs; default all")
    chosen = parser.parse_args()
    failed = []
    for program, (name, value) in PROGRAMS.items():
        if chosen.only and program not in chosen.only:
            continue
        begun = time.monotonic()
        arguments = [f"--{name}", str(value * chosen.factor), "--seed", str(chosen.seed)]
        done = subprocess.run([sys.executable, common.HERE / program, *arguments], stdout=subprocess.PIPE, text=True)
        last = (done.stdout.splitlines() or ["it said nothing"])[-1]
        print(f"{program} ({time.monotonic() - begun:.0f} s): {last}", flush=True)
        # A program that checked nothing says so and fails; one that said nothing has not run.
        if done.returncode or not last.startswith("ok: "):
            failed.append(program)
    print(f"FAIL: {', '.join(failed)}" if failed else "ok")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
