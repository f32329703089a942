"""The programs of the guide, and the code in its pages."""

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from killed import environment

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide"
PAGES = sorted(GUIDE.glob("*.md"))
PROGRAMS = sorted(path for path in (GUIDE / "programs").iterdir() if path.suffix in (".py", ".sh", ".c", ".cpp"))
# What needs PyTorch, which is large: `make test-torch` runs it.
WITH_TORCH = {"loader.py", "sampler.py"}
# And LSDB, which is large too: `make test-lsdb`.
WITH_LSDB = {"of_lsdb.py"}
# What needs others than Python: `make test-ray` runs that of Ray, `test_many_recipes.py` those of Slurm and MPI with
# stand-ins. Those of Spark 4.3 and Daft 0.7 are run by hand.
WITH_ENGINES = {
    "slurm_array.py", "slurm_array.sh", "spark_arrow.py", "with_daft.py", "with_mpi.py", "with_ray.py", "with_spark.py"
}  # fmt: skip

_FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
_COMPILERS = {".c": ["cc", "-std=c11"], ".cpp": ["c++", "-std=c++17"]}
_WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]


class Block(NamedTuple):
    """A fenced block of a page: what stands behind its opening fence, and its text."""

    info: str
    text: str

    @property
    def included(self) -> str | None:
        """The file that it shows, if it is an include."""
        return self.info.partition("{literalinclude}")[2].strip() or None


def blocks(path: Path) -> list[Block]:
    return [Block(*found) for found in _FENCE.findall(path.read_text(encoding="utf-8"))]


def expected(program: Path) -> Path:
    """What a program prints; those of the same name in several languages print the same."""
    return program.with_suffix(".txt")


def link_directory(directory: Path) -> Path:
    """A directory with the library that is tested, under the names that the linker and the loader look for."""
    directory.mkdir(exist_ok=True)
    for name in ("librds.so", "librds.so.0"):
        (directory / name).symlink_to(environment()["RDS_LIBRARY"])
    return directory


def compiled(source: Path, directory: Path) -> Path:
    """The program of a source, made in a directory of its own."""
    libraries = link_directory(directory / "lib")
    program = directory / source.stem
    command = [*_COMPILERS[source.suffix], "-D_XOPEN_SOURCE=700", *_WARNINGS, f"-I{ROOT / 'include'}", source]
    command += [f"-L{libraries}", f"-Wl,-rpath,{libraries}", "-lrds", "-pthread", "-o", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


def output_of(command: list, directory: Path) -> str:
    """What a command prints, where there is nothing yet."""
    done = subprocess.run(
        command, cwd=directory, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def commands(text: str) -> list[str]:
    """The commands of a list for the shell, without what is said of them."""
    return [line.partition("  #")[0].strip() for line in text.splitlines() if line.strip()]


def targets() -> set[str]:
    """Those of the Makefile."""
    return set(re.findall(r"^([a-z][\w-]*):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def run_in_checkout(script: str, directory: Path) -> str:
    """What commands print that are run where the checkout is the directory, but for what they leave there."""
    for name in ("include", "docs", "examples"):
        os.symlink(ROOT / name, directory / name)
    done = subprocess.run(
        ["sh", "-e", "-c", script], cwd=directory, env=environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout
