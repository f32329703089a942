"""PyCapsules that own something, without a destructor in Python.

A destructor may be called while an exception is on its way, as consumers drop a capsule that they could
not use. Python code called then loses that exception. So a capsule is released when it is found that
nobody has it any more: by the next one, by the garbage collector, and at exit.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import sys
from collections.abc import Callable
from ctypes import c_char_p, c_void_p
from typing import Any

_new = ctypes.PYFUNCTYPE(ctypes.py_object, c_void_p, c_char_p, c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)

# A capsule borrows its name, and what it points to: `release` keeps both.
_made: dict[int, tuple[Any, bytes, Callable[[Any], None]]] = {}
_one = (object(), b"", None)
_ALONE = sys.getrefcount(_one[0])


def make(address: int, name: bytes, release: Callable[[Any], None]):
    """A capsule; `release(capsule)` is called once, after everybody else has dropped it."""
    if not _made and sweep not in gc.callbacks:
        gc.callbacks.append(sweep)
    sweep()
    capsule = _new(address, name, None)
    _made[id(capsule)] = capsule, name, release
    return capsule


def sweep(_phase="", _info=None) -> None:
    """Releases what nobody has any more."""
    for number, entry in list(_made.items()):
        # Its reference here, and the one of the call; of threads that come here at once one pops it.
        if sys.getrefcount(entry[0]) == _ALONE and _made.pop(number, None) is not None:
            entry[2](entry[0])


@atexit.register
def _end() -> None:
    sweep()
    if sweep in gc.callbacks:
        gc.callbacks.remove(sweep)
