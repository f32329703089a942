"""Tables written and read by Ray Data. It is loaded when `rds.ray` is asked for, and needs Ray."""

from __future__ import annotations

import inspect
from typing import Any

try:
    # The one of the cluster, not this module.
    import ray.data
except ImportError as error:
    raise ImportError("rds.ray needs Ray Data; install ray[data]") from error

from ._ray_sink import Sink
from ._ray_source import Source

__all__ = ["Datasink", "Datasource"]

_Sink: Any = ray.data.Datasink
_Source: Any = ray.data.Datasource


class Datasink(Sink, _Sink):
    __doc__ = Sink.__doc__
    __signature__ = inspect.signature(Sink)


class Datasource(Source, _Source):
    __doc__ = Source.__doc__
    __signature__ = inspect.signature(Source)
