"""Signals during calls of librds that take long, and what is told meanwhile.

A signal (Ctrl-C) is handled where Python runs on the main thread. Calls on a writer that wait ask a callback of
Python on that thread; other calls that take long are made on a thread of their own.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from ctypes import c_void_p
from typing import TypeVar

from . import _structs as c
from ._errors import CancelledError
from ._library import library

Result = TypeVar("Result")


def on_main_thread() -> bool:
    """Whether this is the main thread of the process: the one that handles signals, and that librds asks."""
    return threading.get_native_id() == os.getpid()


class Waiting:
    """What the calls of the main thread on one writer ask while they wait.

    What a handler of a signal raises then, or what is told meanwhile, ends the wait.
    """

    __slots__ = ("_raised", "_tell", "callback")

    def __init__(self) -> None:
        self._raised: list[BaseException] = []
        self._tell: list[Callable[[], None]] = []
        answers = _answers(self._raised, self._tell)
        next(answers)
        self.callback = c.WaitingCallback(answers.send)

    def cause(self, cancelled: Exception) -> BaseException:
        """Why a call of librds was cancelled."""
        return self._raised.pop() if self._raised else cancelled

    @contextmanager
    def telling(self, tell: Callable[[], None]) -> Iterator[None]:
        """Calls `tell` as often as a call asks."""
        self._tell.append(tell)
        try:
            yield
        finally:
            self._tell.clear()


def _answers(raised: list, tell: list) -> Generator[int, object, None]:
    """Zero as long as a wait is to go on.

    A generator, because it goes on inside of its `try`: what a signal raises at the begin of a function, nothing
    in that function can catch.
    """
    answer = 0
    while True:
        try:
            while True:
                yield answer
                answer = 0
                for one in tell:
                    one()
        except GeneratorExit:
            return
        except BaseException as error:  # pylint: disable=broad-exception-caught
            raised.append(error)
            answer = 1


# Calls of other threads that call back.
_calling_back: set[object] = set()
_ending = False


@contextmanager
def progress_of_thread(progress: Callable[[int, int], object], raised: list) -> Iterator[Callable]:
    """A progress callback for a call of another thread than the main one; nothing as the interpreter ends.

    The interpreter ends threads that come back into it by unwinding their stack, and librds, when it is on that
    stack, the process.
    """

    def report(_user_data, done, total):
        try:
            progress(done, total)
        except BaseException as error:  # pylint: disable=broad-exception-caught
            raised.append(error)
        return 1 if raised or _ending else 0

    call = object()
    _calling_back.add(call)
    try:
        yield c.ProgressCallback() if _ending else c.ProgressCallback(report)
    finally:
        _calling_back.discard(call)


@atexit.register
def _end() -> None:
    global _ending
    _ending = True
    until = time.monotonic() + 5
    while _calling_back and time.monotonic() < until:
        time.sleep(0.005)


os.register_at_fork(after_in_child=_calling_back.clear)


def aside(call: Callable[[], Result]) -> Result:
    """Makes a call that takes long, so that the main thread goes on handling signals: what they raise, it raises
    at once, and the call is left to itself."""
    if not on_main_thread():
        return call()
    results: list[Result] = []
    raised: list[BaseException] = []

    def run():
        try:
            results.append(call())
        except BaseException as error:  # pylint: disable=broad-exception-caught
            raised.append(error)

    thread = threading.Thread(target=run, name="rds-aside", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        # There are no threads to be had, or the interpreter ends.
        return call()
    # The signal may have come to another thread, which wakes nobody here.
    while thread.is_alive():
        thread.join(0.05)
    if raised:
        raise raised.pop()
    return results.pop()


def close_forgotten(handle: c_void_p, pid: int, waiting: Waiting) -> None:
    """Closes a writer that nobody has any more; an interrupt meanwhile comes again."""
    # The copy of a writer in a forked child is not the child's to close.
    if os.getpid() != pid:
        return
    try:
        library().rds_writer_close(handle)
    except CancelledError as error:
        cause = waiting.cause(error)
        if not isinstance(cause, KeyboardInterrupt):
            raise cause from None
        # What a finalizer raises is lost; so it comes again when this one has returned.
        again = threading.main_thread().ident, signal.SIGINT
        threading.Timer(0.01, signal.pthread_kill, again).start()
    except Exception as error:  # pylint: disable=broad-exception-caught
        message = f"closing a ResultDatasetWriter that was forgotten failed; what is not durable is lost: {error}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
