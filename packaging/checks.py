"""Checks that are counted, in the words that `make test` reads."""

import subprocess
from collections.abc import Callable, Iterable


class Failed(Exception):
    """What a command printed, or what is not as it should be."""


def run(*command, environment: dict[str, str] | None = None, directory=None) -> str:
    done = subprocess.run(
        list(map(str, command)), env=environment, cwd=directory, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command))} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def named(*checks: Callable[[], None]) -> Iterable[tuple[str, Callable[[], None]]]:
    for check in checks:
        yield check.__name__.replace("_", " "), check


def report(of: str, checks: Iterable[tuple[str, Callable[[], None]]]) -> int:
    """Makes every check, whatever became of the others; returns what the program exits with."""
    passed = failed = 0
    for name, check in checks:
        try:
            check()
            passed += 1
            print(f"ok {name}", flush=True)
        except Failed as error:
            failed += 1
            print(f"FAILED {name}: {error}", flush=True)
    print(f"{of}: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0
