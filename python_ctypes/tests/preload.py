"""Libraries for LD_PRELOAD, which stand in for a file system or a disk that fails."""

import os
import subprocess
import sys

from killed import environment


def preloadable(directory, source):
    """C source as a library."""
    path = directory / "preload.c"
    path.write_text(source)
    library = path.with_suffix(".so")
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, path, "-ldl"], check=True)
    return library


def run_with(library, code, *arguments, **variables):
    """Runs Python with the library before all others."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment(LD_PRELOAD=str(library), **variables),
        capture_output=True,
        text=True,
        timeout=60,
    )
