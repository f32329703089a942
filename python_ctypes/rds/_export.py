"""Results as files of other formats: `.npy`, Parquet, Arrow IPC."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np

from ._errors import AlreadyExistsError, InvalidArgumentError, NotFoundError
from ._progress import Progress, reporting
from .column import Column
from .reader import ResultDataset

_BYTES_AT_ONCE = 16 << 20


def export(
    dataset: ResultDataset,
    path: str | os.PathLike[str],
    form: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Writes all rows to a file, and returns the files that were made.

    `form` is "npy", "parquet" or "arrow"; if not given, the end of the name says it. `columns` are the
    names of tensors; default all. "npy" makes a file for each column and one for the ids: of one column
    `name.npy` and `name.ids.npy`, of several `name.<column>.npy`. A file appears when it is
    complete; one that exists is an AlreadyExistsError unless `overwrite`.
    """
    path = Path(path)
    form = form or path.suffix.lstrip(".")
    if form not in FORMS:
        raise InvalidArgumentError(f"{path}: the format {form!r} is not known; {', '.join(FORMS)} are")
    chosen = [dataset[name] for name in (dataset.columns if columns is None else dict.fromkeys(columns))]
    paths = [path]
    if form == "npy":
        paths = npy_paths(path, [column.name for column in chosen])
        if dataset._snapshot.info.has_ids:
            paths.append(path.with_suffix(".ids.npy"))
    if len(set(paths)) < len(paths):
        raise InvalidArgumentError(f"{path}: ids and a column called 'ids' cannot both be written beside it")
    with reporting(progress) as report, new_files(*paths, overwrite=overwrite) as files:
        FORMS[form](dataset, chosen, files, report)
    return paths


def npy_paths(path: Path, columns: list[str]) -> list[Path]:
    """Where the tensors of each column go."""
    if len(columns) == 1:
        return [path]
    for name in columns:
        if "/" in name:
            raise InvalidArgumentError(f"a file cannot be named after the column {name!r}; choose one column")
    return [path.with_suffix(f".{name}.npy") for name in columns]


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


def _npy(dataset: ResultDataset, columns: list[Column], files: list[Path], report: Progress) -> None:
    # Before the tensors, which are large.
    if len(files) > len(columns):
        with files[-1].open("wb") as file:
            np.save(file, np.array(dataset.ids(), np.str_), allow_pickle=False)
    total, done = len(dataset) * len(columns), 0
    for column, path in zip(columns, files):
        for rows in _npy_of(column, path):
            done += rows
            report("export", done, total)


def _npy_of(column: Column, path: Path) -> Iterator[int]:
    """Writes the tensors of a column, and tells how many rows at a time."""
    rows, dtype = len(column), column.dtype
    # NumPy would write a name for bfloat16 that it cannot read.
    stored = np.dtype(np.uint16) if dtype.kind == "V" else dtype
    header = {
        "descr": np.lib.format.dtype_to_descr(stored),
        "fortran_order": False,
        "shape": (rows, *column.shape),
    }
    step = _rows_at_once([column])
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for first in range(0, rows, step):
            part = column[first : first + step]
            part.tofile(file)
            yield len(part)


def _parquet(dataset: ResultDataset, columns: list[Column], files: list[Path], report: Progress) -> None:
    pyarrow = _pyarrow("parquet")
    parquet = importlib.import_module("pyarrow.parquet")

    def open_file(schema):
        # Neither ids nor numbers repeat so much that a dictionary of them were smaller.
        return parquet.ParquetWriter(files[0], schema, use_dictionary=False)

    _write_batches(pyarrow, dataset, columns, open_file, report)


def _arrow(dataset: ResultDataset, columns: list[Column], files: list[Path], report: Progress) -> None:
    pyarrow = _pyarrow("arrow")

    def open_file(schema):
        return pyarrow.ipc.new_file(files[0], schema)

    _write_batches(pyarrow, dataset, columns, open_file, report)


def _write_batches(
    pyarrow: ModuleType,
    dataset: ResultDataset,
    columns: list[Column],
    writer_of: Callable,
    report: Progress,
) -> None:
    names = [column.name for column in columns]
    if dataset._snapshot.info.has_ids:
        names.append("object_id")
    batches = dataset.stream(names, batch_size=_rows_at_once(columns))
    stream = pyarrow.RecordBatchReader.from_stream(batches)
    done = 0
    with writer_of(stream.schema) as writer:
        for batch in stream:
            writer.write_batch(batch)
            done += batch.num_rows
            report("export", done, len(dataset))


def _rows_at_once(columns: list[Column]) -> int:
    return max(_BYTES_AT_ONCE // sum(column._stored.row_bytes for column in columns), 1)


def _pyarrow(form: str) -> ModuleType:
    try:
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise ImportError(f"the format {form} needs pyarrow: pip install 'rds[export]'") from error


FORMS: dict[str, Callable[[ResultDataset, list[Column], list[Path], Progress], None]] = {
    "npy": _npy,
    "parquet": _parquet,
    "arrow": _arrow,
}
