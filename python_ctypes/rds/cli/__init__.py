"""The command `rds`: results looked at, converted, checked and exported from a shell."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Sequence

from .._version import __version__
from . import compact, convert, export, get, head, ids, info, plot, recover, verify
from ._exit_codes import DESCRIPTIONS, INTERRUPTED, OK, TERMINATED, code_of
from ._output import message_of, write_json

COMMANDS = (info, head, ids, get, convert, verify, recover, compact, export, plot)

_TRACEBACK = "RDS_TRACEBACK"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    arguments = parser().parse_args(argv)
    # So that what a command has half done is removed on the way out, as with Ctrl-C.
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        arguments.run(arguments)
        sys.stdout.flush()
        return OK
    except KeyboardInterrupt:
        return _fail(arguments, "interrupted; nothing was left half done", INTERRUPTED)
    except _Terminated:
        return _fail(arguments, "terminated; nothing was left half done", TERMINATED)
    except BrokenPipeError:
        # The reader of the output, `head` for one, wants no more. What is still in the buffer must
        # not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:  # pylint: disable=broad-exception-caught
        if os.environ.get(_TRACEBACK):
            raise
        return _fail(arguments, message_of(error), code_of(error))
    finally:
        signal.signal(signal.SIGTERM, before)


def parser() -> argparse.ArgumentParser:
    """The command line, one subparser for each command."""
    codes = "\n".join(f"  {code:3}  {text}" for code, text in DESCRIPTIONS.items())
    top = argparse.ArgumentParser(
        prog="rds",
        description="Looks at, converts, checks and exports results of inference.",
        epilog=f"exit codes:\n{codes}\n\nWith {_TRACEBACK}=1 in the environment an error shows where it "
        "comes from.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"rds {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--json",
        action="store_true",
        help="write one JSON document; an error is one too, on standard error",
    )
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for module in COMMANDS:
        name = module.__name__.rpartition(".")[2]
        summary, _, rest = (module.__doc__ or "").partition("\n")
        command = commands.add_parser(
            name,
            parents=[common],
            help=summary,
            description=f"{summary}\n{rest}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return top


class _Terminated(BaseException):
    """SIGTERM has come."""


def _terminate(_signal, _frame):
    raise _Terminated


def _fail(arguments: argparse.Namespace, message: str, code: int) -> int:
    # Standard error may be closed, or a pipe that nobody reads.
    with contextlib.suppress(OSError, ValueError):
        if arguments.json:
            write_json({"error": message, "exit_code": code}, sys.stderr)
        else:
            print(f"rds: {message}", file=sys.stderr)
    return code
