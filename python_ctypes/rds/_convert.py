"""From Hyrax's earlier format, `batch_<n>.npy` files, to a table: `convert`."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import _verify
from ._batches import Batches
from ._errors import AlreadyExistsError, InvalidArgumentError, NotSupportedError, RdsError
from ._location import is_local, local_path
from ._progress import Progress, reporting
from .writer import ResultDatasetWriter

_QUEUED_BYTES = 16 << 20
_SCRATCH = "lance_db.part-"


@dataclass(frozen=True)
class Conversion:
    """What `convert` has written, and compared with the batches."""

    rows: int
    batches: int
    # By column, unless the only one is `data`.
    tensor_dtype: Any
    tensor_shape: Any


def convert(
    input: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
) -> Conversion:
    """Writes the results of an earlier format as a table, and compares every id and tensor.

    A `tensor` that has fields makes a column of each. Rows come in the order they were written: batch
    after batch, in numeric order. The batches stay as they are. The table appears in `output/lance_db`
    when it is complete and compared; a conversion that fails or is interrupted leaves nothing there. One
    whose process is killed leaves a directory `output/lance_db.part-*`, which may be removed.

    Parameters
    ----------
    input : str or path
        A directory with `batch_<n>.npy` and `batch_index.npy`. Batches are mapped, one after the
        other; memory does not grow with their number or size.
    output : str or path
        The result directory, made with its parents; may be the same. It must have no `lance_db`.
    progress : callable, optional
        Called as `progress(stage, done, total)` with numbers of rows, `stage` being "write" and then
        "verify"; what it raises ends the conversion. Default: a bar on stderr, if that is a terminal.

    Returns
    -------
    Conversion
        With `rows`, `batches`, `tensor_dtype` and `tensor_shape` of what was written.

    Raises
    ------
    FileNotFoundError
        There are no batches, or no index.
    FileExistsError
        `output` has a `lance_db`.
    ValueError, TypeError
        A batch has not the fields, or not the dtype and shape of those before it.
    OSError
        A file cannot be read or written, the batches are not those of the index, or what was read back
        is not what was written. All but what the operating system refuses are RdsErrors too.
    """
    source, target = _local(input), _local(output)
    _refuse_existing(target)
    batches = Batches(source)
    with reporting(progress) as report, _scratch_in(target) as scratch:
        conversion = _write(batches, scratch, report)
        _verify.compare(batches, scratch, report)
        _publish(scratch / "lance_db", target)
    return conversion


def _write(batches: Batches, scratch: Path, report: Progress) -> Conversion:
    done = 0
    report("write", 0, batches.rows)
    # Nothing of it is looked at before it is complete: so one commit is enough.
    writer = ResultDatasetWriter(scratch, mode="create", durability="commit", max_queued_bytes=_QUEUED_BYTES)
    with writer:
        for piece in batches.pieces():
            try:
                given = piece.tensors if piece.tensors.dtype.names is None else piece.columns
                writer.write_batch(piece.ids, given)
            except RdsError as error:
                raise type(error)(f"{piece.path}: {error}") from error
            done += len(piece.ids)
            report("write", done, batches.rows)
        if writer.tensor_dtype is None:
            raise InvalidArgumentError(f"the batches in {batches.directory} have no rows")
    return Conversion(done, len(batches.files), writer.tensor_dtype, writer.tensor_shape)


def _local(location: str | os.PathLike[str]) -> Path:
    path = local_path(location)
    if not is_local(location):
        raise NotSupportedError(f"{os.fspath(location)}: only local directories can be converted")
    if path.suffix == ".lance":
        raise InvalidArgumentError(f"{path} names a table; a result directory is expected")
    return path


def _refuse_existing(target: Path) -> None:
    # A broken link is in the way, too.
    if os.path.lexists(target / "lance_db"):
        raise AlreadyExistsError(f"{target / 'lance_db'} exists already; nothing was converted")


@contextmanager
def _scratch_in(target: Path) -> Iterator[Path]:
    """A directory beside the one to be, gone in the end, with all directories made for it if it is
    left with an error."""
    made = [path for path in (target, *target.parents) if not path.exists()]
    target.mkdir(parents=True, exist_ok=True)
    for path in made:
        _sync(path.parent)
    scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=target))
    try:
        yield scratch
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        for path in made:
            _remove_if_empty(path)
        raise
    scratch.rmdir()


def _remove_if_empty(path: Path) -> None:
    try:
        path.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise


def _publish(made: Path, target: Path) -> None:
    try:
        made.rename(target / made.name)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        # Somebody made one meanwhile.
        _refuse_existing(target)
        raise
    _sync(target)


def _sync(directory: Path) -> None:
    """Makes the names in a directory survive a power failure."""
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
