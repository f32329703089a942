"""Batches for the DataLoader of PyTorch. It is loaded when `rds.torch` is asked for, and needs PyTorch."""

from __future__ import annotations

import inspect
from typing import Any

from ._iterable import Steps
from ._to_torch import torch

__all__ = ["IterableDataset"]

_Base: Any = torch().utils.data.IterableDataset


class IterableDataset(Steps, _Base):
    __doc__ = Steps.__doc__
    __signature__ = inspect.signature(Steps)
