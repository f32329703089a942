"""Storage of machine-learning inference results: an id and one or more tensors per object, on Lance. ::

    with rds.ResultDatasetWriter("results") as writer:
        for ids, vectors, logits in batches:
            writer.write_batch(ids, {"embedding": vectors, "logits": logits})

    dataset = rds.ResultDataset({}, "results")
    dataset["embedding"][17], dataset[17]["logits"]
    dataset.get_object_id(17), dataset.index_of("ngc-1")

With one array, `writer.write_batch(ids, vectors)`, a row is that array: `dataset[17]`.

What is written is durable within a second, and visible to readers after ten at most and when the writer is
closed. If the process is killed, `rds.recover("results")`, or the next writer that appends, makes visible what
was durable.

`rds.Loader(dataset, batch_size=512)` goes through the rows in batches, for training; `rds.BatchSampler` and
`rds.torch.IterableDataset` do for PyTorch's DataLoader.

`rds.dask` and `rds.ray` write and read tables with many workers; both stand on `rds.parts`, which goes with
whatever else hands out tasks.

Arrays from NumPy go in and come out; `dataset.stream()` and `dataset.batch(rows)` speak Arrow, and
`rds.hyrax.enable()` makes the verbs of Hyrax write and read through this package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from . import hyrax
from ._errors import RdsError
from ._library import build_info, get_include, get_library
from ._version import __version__
from .column import Column
from .factories import create_results_writer, load_results_dataset
from .legacy import InferenceDataset
from .reader import ResultDataset
from .recovery import recover
from .staging import commit_staged, vacuum
from .writer import ResultDatasetWriter

__all__ = [
    "BatchSampler",
    "Column",
    "InferenceDataset",
    "Loader",
    "RdsError",
    "ResultDataset",
    "ResultDatasetWriter",
    "__version__",
    "build_info",
    "commit_staged",
    "convert",
    "create_results_writer",
    "get_include",
    "get_library",
    "hyrax",
    "load_results_dataset",
    "recover",
    "vacuum",
]


if TYPE_CHECKING:
    from . import dask, parts, ray, torch
    from ._convert import convert
    from .loader import Loader
    from .sampler import BatchSampler
else:
    # Loaded when they are asked for: `import rds` stays quick.
    _MODULES = ("dask", "parts", "ray", "torch")
    _PLACES = {"BatchSampler": ".sampler", "Loader": ".loader", "convert": "._convert"}

    def __getattr__(name: str):
        if name in _PLACES:
            return getattr(importlib.import_module(_PLACES[name], __name__), name)
        if name in _MODULES:
            return importlib.import_module(f".{name}", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__, "dask", "parts", "ray", "torch"})
