"""The command `rds`, run in this process."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout

import pytest

from rds import cli


def run(*arguments):
    """Exit code, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as exit:
            code = exit.code
    return code, out.getvalue(), err.getvalue()


def run_json(*arguments):
    """The document that it prints."""
    code, out, err = run(*arguments, "--json")
    assert (code, err) == (0, "")
    assert out.count("\n") == 1, "one document on one line"
    return json.loads(out, parse_constant=pytest.fail)


def one_line(code, out, err):
    """The message of an error: one line, and nothing printed before it."""
    assert code != 0 and out == ""
    assert err.startswith("rds: ") and err.count("\n") == 1
    assert "Traceback" not in err
    return err
