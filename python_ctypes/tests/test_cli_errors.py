"""The command `rds` when something is wrong: exit codes, and errors in one line."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import one_line, run
from legacy_batches import write_batches
from samples import numbered_ids, random_array, write

import rds
from rds import cli
from rds.cli import _exit_codes

COMMANDS = [module.__name__.rpartition(".")[2] for module in cli.COMMANDS]


@pytest.fixture
def results(result_dir):
    """Twenty rows of [row, row + 0.5]."""
    rows = np.arange(20, dtype=np.float32)
    write(result_dir, numbered_ids(20), np.stack([rows, rows + 0.5], axis=1))
    return str(result_dir)


@pytest.fixture
def legacy(tmp_path):
    return write_batches(tmp_path / "legacy", numbered_ids(11), random_array("f4", (11, 3)))


def test_exit_codes_are_those_of_the_help():
    assert _exit_codes.DESCRIPTIONS.keys() == {0, 1, 2, 3, 4, 5, 6, 7, 70, 130, 143}
    text = " ".join(cli.parser().format_help().split())
    for code, description in _exit_codes.DESCRIPTIONS.items():
        assert f" {code} {description}" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    code, out, _ = run(command, "--help")
    assert code == 0 and "--json" in out
    assert command in run("--help")[1]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["info"],
        ["get", "somewhere"],
        ["head", "somewhere", "-n", "-1"],
        ["head", "somewhere", "-n", "many"],
        ["export", "somewhere", "x", "--format", "csv"],
        ["plot", "somewhere", "x.png", "--max-points", "0"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_2(arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (_exit_codes.USAGE, "")
    assert err.startswith("usage: rds")


READING = [
    ["info"],
    ["head"],
    ["ids"],
    ["get", "object-00001"],
    ["verify"],
    ["export", "out.npy"],
    ["plot", "out.html"],
]


@pytest.mark.parametrize("arguments", READING, ids=lambda arguments: arguments[0])
def test_results_that_are_not_there_are_3(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed = run(arguments[0], tmp_path / "nowhere", *arguments[1:])
    assert failed[0] == _exit_codes.NOT_FOUND
    assert "does not exist" in one_line(*failed)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", READING, ids=lambda arguments: arguments[0])
def test_batches_of_the_earlier_format_are_to_be_converted_first(arguments, legacy):
    failed = run(arguments[0], legacy, *arguments[1:])
    assert failed[0] == _exit_codes.NOT_FOUND
    assert f"rds convert {legacy}" in one_line(*failed)


def test_an_error_as_json(tmp_path):
    code, out, err = run("info", tmp_path, "--json")
    assert (code, out) == (_exit_codes.NOT_FOUND, "")
    error = json.loads(err)
    assert error["exit_code"] == code and "does not exist" in error["error"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (rds.RdsError("of no kind"), _exit_codes.INTERNAL),
        (AssertionError("a defect\nin two lines"), _exit_codes.INTERNAL),
        (PermissionError(13, "Permission denied", "x"), _exit_codes.STORAGE),
        (OSError(28, "No space left on device"), _exit_codes.STORAGE),
        (ImportError("install it"), _exit_codes.MISSING_PACKAGE),
        (rds._errors.CommitConflictError("another writer"), _exit_codes.STORAGE),
        (rds._errors.CommitUnknownError("perhaps"), _exit_codes.STORAGE),
        (rds._errors.CorruptError("damaged"), _exit_codes.STORAGE),
        (rds._errors.NotResultsError("other columns"), _exit_codes.UNSUITABLE),
        (rds._errors.NotSupportedError("s3"), _exit_codes.UNSUITABLE),
        (rds._errors.AlreadyExistsError("there"), _exit_codes.EXISTS),
        (KeyboardInterrupt(), _exit_codes.INTERRUPTED),
    ],
    ids=repr,
)
def test_each_error_has_its_code_and_one_line(monkeypatch, error, code):
    def fail(_arguments):
        raise error

    monkeypatch.setattr(cli.info, "run", fail)
    failed = run("info", "anything")
    assert failed[0] == code
    one_line(*failed)


def test_signals_are_as_before_after_a_command(results):
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        run("ids", results)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_where_an_error_comes_from_is_shown_on_demand(tmp_path, monkeypatch):
    monkeypatch.setenv("RDS_TRACEBACK", "1")
    with pytest.raises(FileNotFoundError):
        cli.main(["info", str(tmp_path)])


def test_the_console_script_and_the_module_are_the_same_command(results):
    script = Path(sys.executable).with_name("rds")
    for command in ([script], [sys.executable, "-m", "rds"]):
        ran = subprocess.run([*command, "ids", results], capture_output=True, text=True, check=True)
        assert ran.stdout.splitlines() == numbered_ids(20)
        ran = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert ran.stdout == f"rds {rds.__version__}\n"


def test_the_command_line_loads_nothing_heavy(results):
    code = (
        "import sys; from rds.cli import main\n"
        f"main(['info', {results!r}])\n"
        "print([n for n in ('pyarrow', 'lance', 'lancedb', 'torch', 'matplotlib') if n in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.endswith("\n[]\n")
