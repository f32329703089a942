"""Writing results: `ResultDatasetWriter`."""

from __future__ import annotations

import os
import warnings
import weakref
from ctypes import byref, c_void_p
from pathlib import Path

import numpy as np

from . import _arrow, _ids, _options, _tensors
from . import _structs as c
from ._errors import CancelledError
from ._library import library, path_bytes
from ._location import is_local, local_path, table_path


class ResultDatasetWriter:
    """Writes one table of results, batch after batch.

    A batch is accepted whole or refused whole; a refused one leaves the writer usable. What was
    accepted becomes durable as `durability` says, and by `flush`, `commit` and `close`.

    Parameters
    ----------
    result_dir
        Directory of the results, made with its parents; the table appears in
        `result_dir/lance_db` with the first batch.
    mode
        What becomes of a table that is already there: "overwrite" replaces it with the first
        batch, "append" adds rows to it, "create" refuses it.
    durability
        When accepted rows become durable and visible to new readers: "interval" after
        `checkpoint_ms` at most, "batch" before `write_batch` returns, "commit" by `commit` only.
    checkpoint_ms
        The interval in milliseconds; default 1000.
    max_queued_bytes
        How much may wait to be written before `write_batch` waits too; default 64 MiB.

    A writer belongs to the process that opened it. Its methods may be called from any thread;
    calls take turns.
    """

    def __init__(
        self,
        result_dir: str | os.PathLike,
        *,
        mode: str = "overwrite",
        durability: str = "interval",
        checkpoint_ms: int | None = None,
        max_queued_bytes: int | None = None,
    ):
        options = c.WriterOptions(
            mode=_options.choice("mode", mode, c.MODES),
            durability=_options.choice("durability", durability, c.DURABILITIES),
            checkpoint_ms=_options.positive("checkpoint_ms", checkpoint_ms),
            max_queued_bytes=_options.positive("max_queued_bytes", max_queued_bytes),
        )
        self.result_dir = result_dir if "://" in os.fspath(result_dir) else Path(result_dir)
        self.lance_dir = table_path(result_dir).parent
        self.tensor_dtype: np.dtype | None = None
        self.tensor_shape: list[int] | None = None
        self.batch_count = 0

        lib = library()
        handle = c_void_p()
        lib.rds_writer_open(path_bytes(result_dir), byref(options), byref(handle))
        self._handle = handle
        self._finalizer = weakref.finalize(self, _close_forgotten, handle, os.getpid())
        if is_local(result_dir):
            # A path that names the table itself has no result directory of its own.
            made = local_path(result_dir)
            (made.parent if made.suffix == ".lance" else made).mkdir(parents=True, exist_ok=True)

    @property
    def schema(self):
        """The pyarrow schema of the table; None before the first batch."""
        if self.tensor_dtype is None:
            return None
        return _arrow.pyarrow_schema(self.tensor_dtype, self.tensor_shape)

    def write_batch(self, object_ids, data) -> None:
        """Writes one tensor per id.

        Parameters
        ----------
        object_ids
            One-dimensional array or list of strings, UTF-8 bytes or integers.
        data
            A list of arrays of equal dtype and shape, or one array with the tensors stacked along
            its first dimension, in any memory layout and byte order. It is copied.
        """
        if not hasattr(object_ids, "__len__"):
            object_ids = list(object_ids)
        if not hasattr(data, "__len__"):
            data = list(data)
        if len(object_ids) != len(data):
            raise ValueError("Length of object_ids must match length of data")
        stacked = _tensors.stack(data, self._spec())
        if not len(stacked):
            return
        ids, tensor = _ids.to_struct(object_ids), _tensors.to_struct(stacked)
        library().rds_write_tensors(self._handle, byref(ids), byref(tensor))
        self.tensor_dtype, shape = _tensors.spec(stacked)
        self.tensor_shape = list(shape)
        self.batch_count += 1

    def flush(self) -> None:
        """Makes everything accepted durable and visible to readers that open afterwards."""
        library().rds_flush(self._handle)

    def commit(self, progress=None) -> None:
        """Makes everything accepted durable and visible, whatever the durability is.

        `progress(done, total)` is called about ten times a second with numbers of rows. If it
        raises, or Ctrl-C is pressed, the wait ends with that exception; what was accepted stays
        accepted.
        """
        raised: list[BaseException] = []

        @c.ProgressCallback
        def report(_user_data, done, total):
            try:
                if progress is not None:
                    progress(done, total)
            except BaseException as error:  # pylint: disable=broad-exception-caught
                raised.append(error)
                return 1
            return 0

        options = c.CommitOptions(progress=report)
        try:
            library().rds_commit(self._handle, byref(options), None)
        except CancelledError:
            if raised:
                raise raised[0] from None
            raise

    def close(self) -> None:
        """Makes durable what was accepted (with durability "commit": drops what was not
        committed) and frees the writer. A second call does nothing."""
        if self._finalizer.detach() is not None:
            handle, self._handle = self._handle, c_void_p()
            library().rds_writer_close(handle)

    def __enter__(self):
        return self

    def __exit__(self, error_type, error, traceback):
        """Commits, unless the block raised, and closes."""
        try:
            if error_type is None:
                self.commit()
        finally:
            self.close()

    def __repr__(self):
        state = "open" if self._finalizer.alive else "closed"
        return f"<ResultDatasetWriter {str(self.result_dir)!r}, {self.batch_count} batches, {state}>"

    def _spec(self):
        return None if self.tensor_dtype is None else (self.tensor_dtype, tuple(self.tensor_shape))


def create_results_writer(result_dir: str | os.PathLike) -> ResultDatasetWriter:
    """A writer for the results of one run."""
    return ResultDatasetWriter(result_dir)


def _close_forgotten(handle: c_void_p, pid: int) -> None:
    # The copy of a writer in a forked child is not the child's to close.
    if os.getpid() != pid:
        return
    try:
        library().rds_writer_close(handle)
    except Exception as error:  # pylint: disable=broad-exception-caught
        message = f"rows of a ResultDatasetWriter that was not closed are lost: {error}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
