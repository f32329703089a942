"""The results layer of Hyrax, through librds: `enable` switches it on, `disable` off.

`rds.hyrax.ResultDataset` is the dataset class that Hyrax knows: by its import path it is usable in
`data_request` whether or not the switch is on. It and `rds.hyrax.ResultDatasetWriter` are what those of the
Hyrax that is installed are: since 0.13 a row is a dict of named tensors.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from . import _hyrax_rows, _kinds, factories, reader, writer
from ._location import is_local, table_path

_CLASS = "ResultDataset"
_WRITER = "ResultDatasetWriter"

# What stands in the modules of Hyrax while the switch is on, and what stood there before.
_exchanged: dict[str, tuple[Any, Any]] = {}


def enable() -> None:
    """Makes the verbs of Hyrax write and read results through librds.

    What Hyrax's modules call `ResultDataset`, `ResultDatasetWriter`, `create_results_writer` and
    `load_results_dataset` is exchanged, and `ResultDataset` in its registry of datasets. Results of the
    earlier format go on being read by Hyrax itself. A second call does nothing. An ImportError if Hyrax
    is not installed.
    """
    if _exchanged:
        return
    results = _hyrax("datasets.result_dataset")
    made = _hyrax("datasets.result_factories")
    here = {
        _CLASS: (results.ResultDataset, dataset_class()),
        _WRITER: (results.ResultDatasetWriter, writer_class()),
        "create_results_writer": (made.create_results_writer, _creator()),
        "load_results_dataset": (made.load_results_dataset, _loader(made.load_results_dataset)),
    }
    _exchanged.update(here)
    for name, (theirs, ours) in here.items():
        _replace(name, theirs, ours)


def disable() -> None:
    """Gives Hyrax its own results layer back; without `enable` before it does nothing."""
    for name, (theirs, ours) in _exchanged.items():
        _replace(name, ours, theirs)
    _exchanged.clear()


@functools.cache
def dataset_class() -> type[reader.ResultDataset]:
    """`rds.ResultDataset` as a dataset of Hyrax.

    Returns
    -------
    type
        What `rds.hyrax.ResultDataset` is.
    """
    registry = _hyrax("datasets.dataset_registry")
    base: Any = registry.HyraxDataset
    # Hyrax registers a class when it is made, by its name; the place is Hyrax's own until `enable`.
    theirs = _hyrax("datasets.result_dataset").ResultDataset
    rows: Any = _hyrax_rows.NamedRows if _has_named_rows() else _hyrax_rows.Rows

    class ResultDataset(rows, base):
        __doc__ = reader.ResultDataset.__doc__

        def __init__(self, config, data_location, **options):
            rows.__init__(self, config, data_location, **options)
            base.__init__(self, config)

    ResultDataset.__module__, ResultDataset.__qualname__ = __name__, _CLASS
    registry.DATASET_REGISTRY[_CLASS] = theirs
    return ResultDataset


def writer_class() -> type[writer.ResultDatasetWriter]:
    """`rds.ResultDatasetWriter` as the Hyrax that is installed has it.

    Returns
    -------
    type
        What `rds.hyrax.ResultDatasetWriter` is.
    """
    return _hyrax_rows.NamedWriter if _has_named_rows() else writer.ResultDatasetWriter


def _has_named_rows() -> bool:
    """Whether a row of the installed Hyrax is a dict; ours is what theirs is, so it may stand there already."""
    return hasattr(_hyrax("datasets.result_dataset").ResultDataset, "keys")


def _dataset_class(cls: type) -> type:
    return dataset_class() if "hyrax.datasets.result_dataset" in sys.modules else cls


_kinds.dataset_class = _dataset_class


def __getattr__(name: str):
    if name == _CLASS:
        return dataset_class()
    if name == _WRITER:
        return writer_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _creator():
    made = writer_class()
    if made is writer.ResultDatasetWriter:
        return factories.create_results_writer

    @functools.wraps(factories.create_results_writer)
    def create_results_writer(result_dir: str | os.PathLike[str]):
        return made(result_dir)

    return create_results_writer


def _loader(theirs):
    @functools.wraps(factories.load_results_dataset)
    def load_results_dataset(
        config: Mapping[str, Any],
        results_dir: str | os.PathLike[str] | None = None,
        verb: str | None = None,
    ):
        resolve = _hyrax("config_utils").resolve_results_dir
        directory = resolve(config, results_dir, verb)
        if not is_local(directory) or table_path(directory).parent.exists():
            return dataset_class()(config, directory)
        return theirs(config, directory, verb)

    return load_results_dataset


def _replace(name: str, old, new) -> None:
    """In every module of Hyrax that has taken `old` under its name."""
    for module_name, module in list(sys.modules.items()):
        if module_name.split(".")[0] == "hyrax" and vars(module).get(name) is old:
            setattr(module, name, new)
    if name == _CLASS:
        _hyrax("datasets.dataset_registry").DATASET_REGISTRY[_CLASS] = new


def _hyrax(name: str) -> ModuleType:
    try:
        importlib.import_module("hyrax")
    except ImportError as error:
        raise ImportError("rds.hyrax needs Hyrax; install hyrax") from error
    return importlib.import_module(f"hyrax.{name}")
