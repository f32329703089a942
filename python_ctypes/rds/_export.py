"""Results as files of other formats: `.npy`, Parquet, Arrow IPC."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np

from ._errors import AlreadyExistsError, InvalidArgumentError, NotFoundError
from ._progress import Progress, reporting
from .reader import ResultDataset

_BYTES_AT_ONCE = 16 << 20


def export(
    dataset: ResultDataset,
    path: str | os.PathLike[str],
    form: str | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Writes all rows to a file, and returns the files that were made.

    `form` is "npy", "parquet" or "arrow"; if not given, the end of the name says it. "npy" makes two
    files, `name.npy` with the tensors and `name.ids.npy` with the ids. A file appears when it is
    complete; one that exists is an AlreadyExistsError unless `overwrite`.
    """
    path = Path(path)
    form = form or path.suffix.lstrip(".")
    if form not in FORMS:
        raise InvalidArgumentError(f"{path}: the format {form!r} is not known; {', '.join(FORMS)} are")
    paths = [path, path.with_suffix(".ids.npy")] if form == "npy" else [path]
    with reporting(progress) as report, new_files(*paths, overwrite=overwrite) as files:
        FORMS[form](dataset, files, report)
    return paths


@contextmanager
def new_files(*paths: str | os.PathLike[str], overwrite: bool = False) -> Iterator[list[Path]]:
    """Where to write files that get their names when all are complete, and are gone if that fails."""
    names = [Path(path) for path in paths]
    for name in names:
        if not name.parent.is_dir():
            raise NotFoundError(f"{name.parent} is no directory")
    parts = [name.with_name(f".{name.name}.{os.getpid()}.part") for name in names]
    try:
        _refuse_existing(names, overwrite)
        yield parts
        _refuse_existing(names, overwrite)
        for part, name in zip(parts, names):
            part.replace(name)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def _refuse_existing(paths: list[Path], overwrite: bool) -> None:
    for path in paths:
        if not overwrite and os.path.lexists(path):
            raise AlreadyExistsError(f"{path} exists already")


def _npy(dataset: ResultDataset, files: list[Path], report: Progress) -> None:
    tensors, ids = files
    # Before the tensors, which are large.
    with ids.open("wb") as file:
        np.save(file, np.array(dataset.ids(), np.str_), allow_pickle=False)
    rows, dtype = len(dataset), dataset.tensor_dtype
    # NumPy would write a name for bfloat16 that it cannot read.
    stored = np.dtype(np.uint16) if dtype.kind == "V" else dtype
    header = {
        "descr": np.lib.format.dtype_to_descr(stored),
        "fortran_order": False,
        "shape": (rows, *dataset.tensor_shape),
    }
    step = _rows_at_once(dataset)
    with tensors.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for first in range(0, rows, step):
            dataset[first : first + step].tofile(file)
            report("export", min(first + step, rows), rows)


def _parquet(dataset: ResultDataset, files: list[Path], report: Progress) -> None:
    pyarrow = _pyarrow("parquet")
    parquet = importlib.import_module("pyarrow.parquet")

    def open_file(schema):
        # Neither ids nor numbers repeat so much that a dictionary of them were smaller.
        return parquet.ParquetWriter(files[0], schema, use_dictionary=False)

    _write_batches(pyarrow, dataset, open_file, report)


def _arrow(dataset: ResultDataset, files: list[Path], report: Progress) -> None:
    pyarrow = _pyarrow("arrow")
    _write_batches(pyarrow, dataset, lambda schema: pyarrow.ipc.new_file(files[0], schema), report)


def _write_batches(
    pyarrow: ModuleType, dataset: ResultDataset, writer_of: Callable, report: Progress
) -> None:
    batches = dataset.stream(batch_size=_rows_at_once(dataset))
    stream = pyarrow.RecordBatchReader.from_stream(batches)
    done = 0
    with writer_of(stream.schema) as writer:
        for batch in stream:
            writer.write_batch(batch)
            done += batch.num_rows
            report("export", done, len(dataset))


def _rows_at_once(dataset: ResultDataset) -> int:
    return max(_BYTES_AT_ONCE // dataset._snapshot.info.row_bytes, 1)


def _pyarrow(form: str) -> ModuleType:
    try:
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise ImportError(f"the format {form} needs pyarrow: pip install 'rds[export]'") from error


FORMS: dict[str, Callable[[ResultDataset, list[Path], Progress], None]] = {
    "npy": _npy,
    "parquet": _parquet,
    "arrow": _arrow,
}
