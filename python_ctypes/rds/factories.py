"""A writer and a reader for the results of one run, whatever their format is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ._errors import InvalidArgumentError, MissingResultsError
from ._location import is_local, local_path, table_path
from .legacy import InferenceDataset
from .reader import ResultDataset
from .writer import ResultDatasetWriter


def create_results_writer(result_dir: str | os.PathLike[str]) -> ResultDatasetWriter:
    """A writer for the results of one run; its first `flush`, `commit` or `close` replaces a table that is
    there.

    Parameters
    ----------
    result_dir : str or path
        As for `ResultDatasetWriter`.

    Returns
    -------
    ResultDatasetWriter
        With all defaults.
    """
    return ResultDatasetWriter(result_dir)


def load_results_dataset(
    config: Mapping[str, Any],
    results_dir: str | os.PathLike[str] | None = None,
    verb: str | None = None,
) -> ResultDataset | InferenceDataset:
    """The results in a directory: a table, or the batches of Hyrax's earlier format.

    Parameters
    ----------
    config : dict
        The configuration, which the dataset keeps.
    results_dir : str or path, optional
        A directory, a table (ending in `.lance`), or one of these as a URI. Default: what Hyrax finds
        for `config` and `verb`, which needs Hyrax installed.
    verb : str, optional
        The verb of Hyrax whose most recent results are meant where `results_dir` is missing.

    Returns
    -------
    ResultDataset or InferenceDataset
        The latter where there is no `lance_db`, with a DeprecationWarning.

    Raises
    ------
    RuntimeError
        The directory does not exist; also a FileNotFoundError. Or it holds results of neither kind.
    ValueError
        `results_dir` is missing, and Hyrax is not installed.
    """
    if results_dir is None:
        results_dir = _resolve(config, verb)
    if not is_local(results_dir) or table_path(results_dir).parent.exists():
        return ResultDataset(config, results_dir)
    directory = local_path(results_dir)
    if not directory.exists():
        raise MissingResultsError(f"the results directory {directory} does not exist")
    return InferenceDataset(config, directory)


def _resolve(config: Mapping[str, Any], verb: str | None) -> Path:
    try:
        from hyrax.config_utils import resolve_results_dir
    except ImportError as error:
        raise InvalidArgumentError(
            "results_dir is missing: without Hyrax there is no other way to tell which results are meant"
        ) from error
    return resolve_results_dir(config, None, verb)
