"""The guide, the README and the header say nothing that does not compile, run and print what they show."""

import re
import shlex
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import guide
import pytest
from guide import GUIDE, PAGES, PROGRAMS, ROOT, WITH_ENGINES, WITH_LSDB, WITH_TORCH

import rds
from rds import _errors, cli

README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
HEADER = (ROOT / "include" / "rds.h").read_text(encoding="utf-8")
ERROR = re.compile(r"^\| `(RDS_ERR_\w+)` \| (\d+) \| (\w+) \|", re.MULTILINE)

HEADER_PROGRAM = """\
#include <stdio.h>
#include "rds.h"
static int fail(void) {{
    fprintf(stderr, "%s\\n", rds_last_error_message());
    return 1;
}}
int main(void) {{
{}
    return vectors[0][0] == 4 && vectors[0][2] == 6 ? 0 : 2;
}}
"""


@pytest.fixture(scope="module")
def executables(request, tmp_path_factory):
    """The programs in C and C++ that are to be run, compiled two at a time."""
    wanted = {item.callspec.params.get("program") for item in request.session.items if hasattr(item, "callspec")}
    sources = [source for source in PROGRAMS if source in wanted and source.suffix != ".py"]
    with ThreadPoolExecutor(2) as compilers:
        yield {
            source: compilers.submit(guide.compiled, source, tmp_path_factory.mktemp("compiled"))
            for source in sources
        }


HERE = [path for path in PROGRAMS if path.name not in WITH_TORCH | WITH_LSDB | WITH_ENGINES]


@pytest.mark.parametrize("program", HERE, ids=lambda path: path.name)
def test_a_program_prints_what_its_page_shows(program, executables, tmp_path):
    compiled = executables.get(program)
    command = [compiled.result()] if compiled else [sys.executable, "-W", "error", program]
    assert guide.output_of(command, tmp_path) == guide.expected(program).read_text(encoding="utf-8")


def test_every_program_and_its_output_is_in_a_page_and_nothing_else_is_there():
    files = {path.name for path in (GUIDE / "programs").iterdir()}
    shown = {block.included for page in PAGES for block in guide.blocks(page) if block.included}
    assert shown == {f"programs/{name}" for name in files}
    assert files == {path.name for path in PROGRAMS} | {guide.expected(path).name for path in PROGRAMS}
    assert len(PAGES) == 10 and WITH_TORCH | WITH_LSDB | WITH_ENGINES < files


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_begins_with_a_program_and_its_output(page):
    shown = [block.included for block in guide.blocks(page)]
    programs = [GUIDE / name for name in shown[:3] if name and not name.endswith(".txt")]
    outputs = [f"programs/{guide.expected(program).name}" for program in programs]
    assert programs and shown[0] == f"programs/{programs[0].name}"
    assert set(outputs) <= set(shown)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_has_a_program_in_c_and_one_in_cpp(page):
    assert {".c", ".cpp"} <= {Path(block.included).suffix for block in guide.blocks(page) if block.included}


@pytest.mark.parametrize("page", [README, CONTRIBUTING, *PAGES], ids=lambda path: path.stem)
def test_every_block_of_code_is_of_a_program_or_a_list_of_commands(page):
    lines = [[line.strip() for line in path.read_text(encoding="utf-8").splitlines()] for path in PROGRAMS]
    for block in guide.blocks(page):
        if block.included:
            assert (page.parent / block.included).is_file()
        elif block.info == "sh":
            for command in guide.commands(block.text):
                check_command(command)
        else:
            assert block.info in ("c", "cpp", "python"), block
            part = [line.strip() for line in block.text.splitlines()]
            size = len(part)
            assert any(part == all_[i : i + size] for all_ in lines for i in range(len(all_))), block.text


def check_command(command):
    """Whether what it names is there: a target, a file, a command of `rds` with its options."""
    if command.startswith("lib="):
        assert command == "lib=~/.cache/rds/target/release"
        return
    first, *rest = shlex.split(command)
    if first == "make":
        assert set(rest) <= guide.targets() and rest, command
    elif first == "rds":
        cli.parser().parse_args(rest)
    elif first == "pip":
        assert rest[:1] == ["install"] and (ROOT / rest[-1].partition("[")[0]).is_dir(), command
    elif first in ("python", ".venv/bin/python"):
        assert (ROOT / rest[0]).is_file(), command
    else:
        # It is run as it stands by the test below.
        assert first == "cc", command


@pytest.mark.parametrize("page", [README, PAGES[0]], ids=lambda path: path.stem)
def test_the_first_program_is_built_and_run_by_the_command_that_is_shown(page, tmp_path):
    (compile_,) = (c for b in guide.blocks(page) if b.info == "sh" for c in guide.commands(b.text) if c[:3] == "cc ")
    libraries = guide.link_directory(tmp_path / "lib")
    printed = guide.run_in_checkout(f"lib={libraries}\n{compile_}", tmp_path)
    assert printed == (GUIDE / "programs" / "start.txt").read_text(encoding="utf-8")


def test_the_paths_and_the_options_that_are_named_in_the_readme_are_there():
    text = README.read_text(encoding="utf-8")
    for path in re.findall(r"\]\(([^):]+)\)", text):
        assert (ROOT / path).exists(), path
    extras = re.search(r"python_ctypes\[([\w,]+)\]", text)[1].split(",")
    project = (ROOT / "python_ctypes" / "pyproject.toml").read_text(encoding="utf-8")
    assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in extras)


def test_the_options_that_comments_of_the_readme_name_are_there():
    text = README.read_text(encoding="utf-8")
    for command in (
        "rds ids results",
        "rds get results ngc-1",
        "rds head results --column embedding",
        "rds verify results --against old_results",
        "rds plot results out.html --colour logits:argmax",
        "rds info results --json",
    ):
        name, options = command.split()[1], [word for word in command.split() if word.startswith("--")]
        assert f"rds {name}" in text and all(option in text for option in options)
        cli.parser().parse_args(command.split()[1:])


def test_the_example_of_the_header_runs(tmp_path):
    examples = re.findall(r"@code\{\.c\}\n(.*?)@endcode", HEADER, re.DOTALL)
    assert len(examples) == 1
    code = textwrap.dedent(re.sub(r"^ \* ?", "", examples[0], flags=re.MULTILINE))
    source = tmp_path / "example.c"
    source.write_text(HEADER_PROGRAM.format(code.removesuffix(" ")), encoding="utf-8")
    done = subprocess.run([guide.compiled(source, tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert rds.ResultDataset({}, tmp_path / "results").ids() == ["ngc-1", "ngc-2"]


def test_every_function_is_in_the_overview_of_c():
    named = re.findall(r"`(rds_\w+)`", (ROOT / "docs" / "reference" / "c.md").read_text(encoding="utf-8"))
    symbols = (ROOT / "include" / "rds.symbols").read_text(encoding="utf-8").split()
    assert sorted(named) == sorted(symbols)


def test_the_statuses_of_the_guide_are_those_of_the_header_and_of_python():
    rows = ERROR.findall((GUIDE / "7-errors.md").read_text(encoding="utf-8"))
    assert [(name, int(number)) for name, number, _ in rows] == [
        (name, int(number)) for name, number in re.findall(r"^  (RDS_ERR_\w+) = (\d+),$", HEADER, re.MULTILINE)
    ]
    for _, number, base in rows:
        bases = _errors.BY_STATUS[int(number)].__bases__
        assert [kind.__name__ for kind in bases if kind is not rds.RdsError] == [base]


def test_the_figure_is_what_its_script_draws():
    drawn = subprocess.run([sys.executable, ROOT / "docs" / "figure.py"], capture_output=True, text=True, check=True)
    assert drawn.stdout == (ROOT / "docs" / "figure.svg").read_text(encoding="utf-8")
