"""What it takes to have rds, beside pylance, lancedb and pyarrow: bytes installed and to download, time
to import.

    .venv/bin/python benches/compare/package.py [rounds]

Installed is what a package needs besides NumPy, its dependencies with it. The wheel of rds is built for
this. Each import is a new process, with its modules compiled and all files in the page cache.
"""

import os
import re
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from _common import Measure, medians

from rds import _library

PROJECT = Path(__file__).parents[2] / "python_ctypes"
LIBRARY = Path(_library.library()._name).resolve()
PEERS = ("pylance", "lancedb", "pyarrow")

IMPORTS = {
    "python": "pass",
    "numpy": "import numpy",
    "rds": "import rds",
    "rds, opened": "import rds; rds.build_info()",
    "lance": "import lance",
    "lance, lancedb, pyarrow": "import lance, lancedb, pyarrow",
}


def with_dependencies(names, seen=frozenset()):
    """The distributions that these need, as far as they are installed."""
    for name in names:
        try:
            required = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        needed = [re.match(r"[\w.-]+", text)[0].lower() for text in required if "extra ==" not in text]
        seen = seen | {name}
        seen = with_dependencies([other for other in needed if other not in seen], seen)
    return seen


def installed_bytes(name):
    files = [Path(file.locate()) for file in distribution(name).files or []]
    return sum(file.stat().st_size for file in files if file.exists())


def wheel_bytes():
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        environment = {**os.environ, "RDS_LIBRARY": str(LIBRARY)}
        subprocess.run([*command, "--wheel-dir", out, PROJECT], env=environment, check=True)
        (wheel,) = Path(out).iterdir()
        return wheel.name, wheel.stat().st_size


def show_sizes():
    package = [path for path in (PROJECT / "rds").rglob("*") if path.suffix in (".py", ".html")]
    ours = LIBRARY.stat().st_size + sum(path.stat().st_size for path in package)
    theirs = {name: installed_bytes(name) for name in with_dependencies(PEERS) - {"numpy"}}
    name, size = wheel_bytes()
    print(f"{name}: {size / 1e6:.1f} MB, installed {ours / 1e6:.1f} MB in {len(package) + 1} files")
    for peer in PEERS:
        print(f"{peer}: installed {theirs[peer] / 1e6:.1f} MB")
    print(f"all three with {len(theirs) - len(PEERS)} dependencies: {sum(theirs.values()) / 1e6:.1f} MB")


def main(rounds):
    show_sizes()
    with tempfile.TemporaryDirectory() as cache:
        # Compiled, as after an installation, whatever the environment says.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}

        def starting(code):
            return lambda: subprocess.run([sys.executable, "-c", code], env=environment, check=True)

        calls = {name: starting(code) for name, code in IMPORTS.items()}
        for call in calls.values():
            call()
        times = medians(calls, rounds)
    imports = Measure("a process that imports", "lance, lancedb, pyarrow")
    imports.add("", times)
    imports.show()
    beyond = {name: times[name] - times["numpy"] for name in ("rds", "rds, opened")}
    more = Measure("of that beyond NumPy", limits={"rds": 30e-3, "rds, opened": 110e-3})
    more.add("", beyond)
    more.show()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
