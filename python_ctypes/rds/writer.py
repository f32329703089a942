"""Writing results: `ResultDatasetWriter`."""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from ctypes import byref, c_void_p, string_at
from pathlib import Path
from typing import Any

from . import _arrow, _commit, _given, _ids, _options, _schema, _tensors, _waiting
from . import _structs as c
from ._errors import (
    CancelledError,
    InvalidArgumentError,
    InvalidStateError,
    InvalidTypeError,
    NoRoomError,
)
from ._library import library, path_bytes
from ._location import is_local, local_path, table_path
from ._write_stats import WriterStats


class ResultDatasetWriter:
    """Writes one table of results, batch after batch.

    A batch is accepted whole or refused whole; a refused one leaves the writer usable. What was accepted
    becomes durable as `durability` says: from then on it survives a kill of the process and a power failure.
    Visible to readers that open afterwards it becomes with a version of the table, which `flush`, `commit` and
    `close` make, and time (`visible_ms`).

    Parameters
    ----------
    result_dir : str or path
        Directory of the results, made with its parents; the table appears in
        `result_dir/lance_db` with the first rows that become durable.
    mode : {"overwrite", "append", "create", "staged"}
        What becomes of a table that is already there: "overwrite" replaces it by the first `flush`, `commit`
        or `close`, "append" adds rows to it, after those of runs that died, "create" refuses it. "staged"
        leaves it as it is: many writers, in many processes, write files of one table, and
        `rds.commit_staged` publishes the tokens that their `stage` gives.
    durability : {"interval", "batch", "commit"}
        When accepted rows become durable: "interval" after `checkpoint_ms` at most, "batch" before
        `write_batch` returns, "commit" by `commit` only. No version of the table is made by that.
    checkpoint_ms : int, optional
        The interval in milliseconds; default 1000.
    max_queued_bytes : int, optional
        How much may wait to be written before `write_batch` waits too; default 64 MiB.
    visible_ms : int, optional
        How many milliseconds rows may be durable and not visible, unless `flush` or `commit` is called;
        default 10000. It grows to a tenth of the age of the run, up to ten minutes, so that a long run makes
        few versions. What replaces a table becomes visible by `flush`, `commit` and `close` only.
    job : str, optional
        For "staged": the job that this writer does a part of.
    part : int, optional
        The number of that part, which goes with `job`. Of tokens with one part of one job the first that is
        published counts: a task that ran twice adds its rows once.
    alias_arrow : bool
        Whether tensors of Arrow batches are kept until they are written, instead of being copied before
        `write_batch` returns. Their memory must not change then.
    columns : mapping, optional
        The columns of the table, `{"embedding": ("float32", (512,)), "score": ("float64", ())}`: dtype and
        shape of the tensor of a row, in the order of the table. With them the table is made even if no row is
        written. Default: what the first batch has.
    room_ms : int, optional
        How many milliseconds `write_batch` waits for room in the queue at most, then it is a BlockingIOError, and
        nothing is accepted; 0 never waits. Default as long as it takes.
    metadata : mapping of str to str, optional
        What the table is to say of this run: the model, its checkpoint, the configuration. It is visible with the
        first version of the run, as `ResultDataset.run_metadata`; of several runs of a table the last one that
        gave a key counts.

    Attributes
    ----------
    result_dir, lance_dir : Path
        The directory of the results, and the one that the table is in.
    tensor_dtype : numpy.dtype, dict or None
        The dtype of the tensors written so far, in the byte order of this machine; a dict by column unless
        the only one is `data`.
    tensor_shape : list of int, dict or None
        The shape of one tensor, `[]` for a scalar; likewise.
    batch_count : int
        How many batches were written; those without rows do not count.

    Raises
    ------
    FileExistsError
        The mode is "create", and there is a table, or durable rows of a run that died wait to become one:
        append to it or call `rds.recover` to have them, overwrite it to drop them.
    FileNotFoundError
        The mode is "append", and there is neither a table nor what a run left that died.
    ValueError
        An option is none of those, or the mode is "append" and the table is none of results.
    OSError
        The operating system refused.

    Notes
    -----
    A writer belongs to the process that opened it. It may be pickled at any time, with whatever holds it:
    the copy tells what it was, refuses every call and closes nothing. Its methods may be called from any thread;
    calls take turns. One that is still open when the interpreter ends, or that is forgotten, is
    closed as `close` does. If the process is killed, what was durable becomes visible with the next writer
    that appends, or by `rds.recover`. Every error is an `RdsError` too.
    """

    def __init__(
        self,
        result_dir: str | os.PathLike,
        *,
        mode: str = "overwrite",
        durability: str = "interval",
        checkpoint_ms: int | None = None,
        max_queued_bytes: int | None = None,
        visible_ms: int | None = None,
        job: str | None = None,
        part: int | None = None,
        alias_arrow: bool = False,
        columns: Mapping[str, tuple[Any, Any]] | None = None,
        room_ms: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ):
        if (job is None) != (part is None):
            raise InvalidArgumentError(f"job is {job!r} and part is {part!r}; one goes with the other")
        options = c.WriterOptions(
            mode=_options.choice("mode", mode, c.MODES),
            durability=_options.choice("durability", durability, c.DURABILITIES),
            checkpoint_ms=_options.positive("checkpoint_ms", checkpoint_ms),
            max_queued_bytes=_options.positive("max_queued_bytes", max_queued_bytes),
            visible_ms=_options.positive("visible_ms", visible_ms),
            job=_options.text("job", job),
            part=_options.number("part", part),
            flags=c.WRITER_WAITING_MAIN_THREAD | (c.WRITER_ALIAS_ARROW if alias_arrow else 0),
        )
        if room_ms == 0:
            options.flags |= c.WRITER_NO_WAIT
        else:
            options.room_ms = _options.positive("room_ms", room_ms)
        options.metadata, options.metadata_count = _given.metadata(metadata)
        self._specs = _given.declared(columns)
        if self._specs is not None:
            options.columns, options.column_count = _given.to_structs(self._specs), len(self._specs)
        self._waiting = _waiting.Waiting()
        options.waiting = self._waiting.callback
        self.result_dir = result_dir if "://" in os.fspath(result_dir) else Path(result_dir)
        self.lance_dir = table_path(result_dir).parent
        self.batch_count = 0
        self._staged = mode == "staged"
        self._spare: deque[_tensors.Structs] = deque(maxlen=8)

        lib = library()
        handle = c_void_p()
        lib.rds_writer_open(path_bytes(result_dir), byref(options), byref(handle))
        self._handle: c_void_p | None = handle
        self._finalizer = weakref.finalize(self, _waiting.close_forgotten, handle, os.getpid(), self._waiting)
        if is_local(result_dir):
            # A path that names the table itself has no result directory of its own.
            made = local_path(result_dir)
            (made.parent if made.suffix == ".lance" else made).mkdir(parents=True, exist_ok=True)

    @property
    def tensor_dtype(self) -> Any:
        return self._told(lambda spec: spec[0])

    @property
    def tensor_shape(self) -> Any:
        return self._told(lambda spec: list(spec[1]))

    def _told(self, part) -> Any:
        specs = self._specs
        if specs is None:
            return None
        return part(specs["data"]) if tuple(specs) == ("data",) else {n: part(spec) for n, spec in specs.items()}

    @property
    def schema(self):
        """The pyarrow schema of the table; None before the first batch."""
        return None if self._specs is None else _schema.to_pyarrow(self._specs)

    def write_batch(self, object_ids, data=None) -> None:
        """Writes one tensor per id, or several that have names, or whatever speaks Arrow.

        Parameters
        ----------
        object_ids : sequence of str, bytes or int, or an Arrow table, batch or stream
            One id per tensor: a list, or an array of NumPy of kind `U`, `S`, `i`, `u`, `O` or `T`.
            bytes are decoded as UTF-8, integers become decimal. Without `data`: anything with
            `__arrow_c_stream__` or `__arrow_c_array__` that has the column `object_id` and columns of
            tensors (fixed-size lists, or numbers); a stream is written batch by batch. It is copied too,
            but with `alias_arrow`.
        data : sequence of array_like, array_like of shape (len(object_ids), ...), or a mapping of these
            Tensors of equal dtype and shape, or one array with the tensors stacked along its first
            dimension, in any memory layout and byte order: the column `data`. Or such for each of several
            columns, by their names; what has `items()`, a DataFrame say, will do. It is copied. The first
            batch of a table fixes names, dtypes and shapes; later ones may have the columns in another order.

        Raises
        ------
        ValueError
            The numbers of ids and tensors differ; a tensor has another dtype or shape than earlier
            ones, which names its index; a column is missing, not one of the table's, or of a name that a
            table cannot have; a dimension is 0; an id is not UTF-8. The writer stays
            usable, and nothing of the batch is written; of a stream the batches before it stay.
        TypeError
            The dtype cannot be stored, an id is no text and no integer, or the name of a column no str. The
            writer stays usable.
        OSError, RuntimeError
            Writing failed, perhaps that of an earlier batch: what was durable stays so, and the
            writer accepts nothing more. Also if the stream itself fails. With the `status` 15 it cannot be
            known whether the last version landed; the next writer that appends, or `rds.recover`, finds out.

        Notes
        -----
        Ctrl-C ends the wait for room, and nothing of the batch is accepted; or, with durability "batch", the
        wait until the batch is durable, which it becomes all the same: `stats().accepted_rows` tells.
        """
        self._live()
        if data is None:
            self._write_arrow(object_ids)
            return
        object_ids = _given.sized("object_ids", object_ids)
        tensors = self._structs(object_ids, data)
        if tensors is None:
            return
        ids = _ids.to_struct(object_ids)
        self._call(library().rds_write_tensors, byref(ids), tensors.array, len(tensors.array))
        self._specs = self._specs or tensors.specs()
        tensors.memory = None
        self._spare.append(tensors)
        self.batch_count += 1

    def _structs(self, object_ids, data) -> _tensors.Structs | None:
        """The columns of a batch; None if it has no rows."""
        # Whoever takes them out has them alone, on whatever thread.
        with suppress(IndexError):
            spare = self._spare.pop()
            if spare.refill(len(object_ids), data):
                return spare
        stacks = _given.stacks(object_ids, data, self._specs or {})
        return _tensors.Structs(stacks) if stacks else None

    def _write_arrow(self, batches) -> None:
        if not (hasattr(batches, "__arrow_c_stream__") or hasattr(batches, "__arrow_c_array__")):
            raise InvalidTypeError(
                f"write_batch got {type(batches).__name__} without data; ids with their tensors, or an "
                "object that speaks Arrow, are expected"
            )
        for schema, array in _arrow.batches_of_others(batches):
            rows = array.length
            self._call(library().rds_write_batch, byref(schema), byref(array))
            if rows:
                self._specs = self._specs or _schema.specs(schema)
                self.batch_count += 1

    def flush(self) -> None:
        """Makes everything accepted durable and visible to readers that open afterwards. Ctrl-C ends the wait;
        it goes on in the background."""
        self._call(library().rds_flush)

    def commit(self, progress=None) -> None:
        """Makes everything accepted durable and visible, whatever the durability is, and merges small files
        of this writer, so that at most eight are left.

        Parameters
        ----------
        progress : callable, optional
            Called as `progress(done, total)` with numbers of rows, some twenty times a second. If it raises, or
            Ctrl-C is pressed, the wait ends with that exception; what was accepted stays accepted, and files not
            merged until then stay as they are.

        Raises
        ------
        OSError, RuntimeError
            As for `write_batch`. Also a RuntimeError if another writer replaced the table or changed its columns
            meanwhile, or the mode is "staged"; a FileExistsError if the mode is "create" and another writer made
            the table first.
        """
        _commit.commit(self, progress)

    def _live(self) -> c_void_p:
        """The handle of a writer that is no copy."""
        if self._handle is None:
            raise InvalidStateError(
                f"this is a pickled copy of the writer of {self.result_dir}, which belongs to the process that "
                "opened it; the copy writes nothing"
            )
        return self._handle

    def _call(self, function, *arguments) -> None:
        """Calls a function that may wait."""
        try:
            function(self._live(), *arguments)
        except (CancelledError, NoRoomError) as error:
            raise self._waiting.cause(error) from None

    def stats(self) -> WriterStats:
        """How far the writer is.

        Returns
        -------
        WriterStats
            What was accepted, what of it is durable and visible, what waits; also of a writer that failed.

        Raises
        ------
        ValueError
            The writer is closed.
        """
        stats = c.WriteStats()
        library().rds_writer_stats(self._live(), byref(stats))
        return WriterStats.of(stats)

    def stage(self) -> bytes:
        """Makes durable what was written since the last token, and gives the token for it.

        The rows become visible by `rds.commit_staged`. The writer stays open.

        Returns
        -------
        bytes
            To be sent or stored: any process that sees the same directory may publish it. If nothing was
            written it publishes nothing.

        Raises
        ------
        RuntimeError
            The mode of the writer is not "staged", or it writes a part of a job and has staged it: a part has
            one token.
        OSError
            Writing failed: the rows since the last token are lost, and the writer accepts nothing more.

        Notes
        -----
        Ctrl-C ends the wait; the token is made in the background, and the next call gives it.
        """
        token = c.Token()
        self._call(library().rds_writer_stage, byref(token))
        return string_at(token.data, token.length)

    def abort(self) -> None:
        """Drops what is not durable, makes visible what is, and frees the writer. After `close` it does
        nothing."""
        self._live()
        if self._finalizer.detach() is not None:
            self._end(library().rds_writer_abort)

    def close(self) -> None:
        """Makes durable and visible what was accepted (with durability "commit": drops what was not
        committed), merges the files of this writer to one per 2^20 rows or GiB, and frees the writer. A second
        call does nothing. Ctrl-C ends the wait; it goes on in the background, and if the process ends before it
        is done, what was durable waits for `rds.recover` or the next writer that appends."""
        self._live()
        if self._finalizer.detach() is not None:
            self._end(library().rds_writer_close)

    def _end(self, function) -> None:
        handle, self._handle = self._handle, c_void_p()
        try:
            function(handle)
        except (CancelledError, NoRoomError) as error:
            raise self._waiting.cause(error) from None

    def __enter__(self):
        self._live()
        return self

    def __exit__(self, error_type, error, traceback):
        """Commits, unless the block raised or the rows are staged, and closes."""
        try:
            if error_type is None and not self._staged:
                self.commit()
        finally:
            self.close()

    def __reduce__(self):
        # Whoever pickles something that holds a writer has no use for the copy. It must do no harm.
        names = ("result_dir", "lance_dir", "batch_count", "_specs", "_staged")
        told = {name: getattr(self, name) for name in names}
        return _copy, (type(self), told)

    def __repr__(self):
        state = "copy" if self._handle is None else "open" if self._finalizer.alive else "closed"
        return f"<ResultDatasetWriter {str(self.result_dir)!r}, {self.batch_count} batches, {state}>"


def _copy(cls: type[ResultDatasetWriter], told: dict[str, Any]) -> ResultDatasetWriter:
    """What a pickled writer is read as."""
    writer = cls.__new__(cls)
    vars(writer).update(told, _handle=None)
    return writer
