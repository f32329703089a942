"""Stand-ins of Hyrax, which is too large to be installed for every test."""

import importlib
import sys
from contextlib import contextmanager
from pathlib import Path

import rds.hyrax


@contextmanager
def imported(name, monkeypatch):
    """The one in a directory beside this file, freshly imported, with its own results layer: `hyrax.datasets`."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / name))
    before = set(sys.modules)
    rds.hyrax.dataset_class.cache_clear()
    yield importlib.import_module("hyrax.datasets")
    rds.hyrax.disable()
    rds.hyrax.dataset_class.cache_clear()
    for module in set(sys.modules) - before:
        if module.split(".")[0] == "hyrax":
            del sys.modules[module]
