"""DLPack tensors of librds as PyCapsules."""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_int, c_uint32, c_uint64, c_void_p
from typing import Any

from . import _capsules

CPU = (1, 0)

_NAME = b"dltensor_versioned"

_is_valid = ctypes.PYFUNCTYPE(c_int, ctypes.py_object, c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)


class _Managed(ctypes.Structure):
    """The begin of DLManagedTensorVersioned, as dlpack.h has it."""

    _fields_ = [
        ("major", c_uint32),
        ("minor", c_uint32),
        ("manager_ctx", c_void_p),
        ("deleter", ctypes.CFUNCTYPE(None, c_void_p)),
        ("flags", c_uint64),
    ]


def capsule(tensor: c_void_p):
    """A PyCapsule that owns the DLManagedTensorVersioned that a pointer points to."""
    address: Any = tensor.value

    def delete(capsule) -> None:
        # A consumer that took the tensor has renamed the capsule, and deletes the tensor itself.
        if _is_valid(capsule, _NAME):
            _Managed.from_address(address).deleter(address)

    return _capsules.make(address, _NAME, delete)
