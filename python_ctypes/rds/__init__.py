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
    "Column",
    "InferenceDataset",
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
    from ._convert import convert
else:

    def __getattr__(name: str):
        # Loaded when it is asked for: `import rds` stays quick.
        if name == "convert":
            return importlib.import_module("._convert", __name__).convert
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
