"""What `rds.ray.Datasink` is, but for the class of Ray that it derives from."""

from __future__ import annotations

import itertools
import logging
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from . import _options, _ray_blocks, parts
from ._errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    InvalidTypeError,
    NotFoundError,
    NotSupportedError,
)
from ._location import absolute
from .reader import ResultDataset
from .recovery import recover
from .staging import Commit

_MODES = {"create": 0, "append": 1, "overwrite": 2}

_log = logging.getLogger("rds.ray")


class Sink:
    """A dataset of Ray becomes a table: `dataset.write_datasink(rds.ray.Datasink("results"))`.

    Each task writes one part, wherever it runs, and the driver publishes all of them in one version: rows go to the
    disk from the worker that has them. A task that Ray runs again, because its worker was killed or an error is
    retried, counts once. If the job fails nothing is published, and the table is as it was.

    Parameters
    ----------
    path : str or path
        The directory of the results, as for `ResultDatasetWriter`; all machines of the cluster must see it there.
    ids : str
        The column of the dataset with the ids, strings or integers.
    tensors : mapping, optional
        The columns of the table, in its order, and what they are made of: a column of the dataset, or a list of
        columns with a number in each row, `{"embedding": "embedding", "position": ["ra", "dec"]}`, which makes rows
        of shape `(2,)`. Default: every column but that of the ids, as it is.
    mode : {"create", "append", "overwrite"}
        What becomes of a table that is already there, as for `ResultDatasetWriter`. "create" refuses it before
        anything is written.
    job : str, optional
        The name of the job, under which its parts lie beside the table until they are published. Default: a new
        one for each write.
    resume : bool
        Whether a job of that name may have run before, in a process that died or failed. If it has landed nothing
        is written; else all of it is written anew, and what is left of the earlier run goes first. Needs `job`.
    durable : bool
        Whether a part survives a power failure before the commit, which makes all of them durable.

    Attributes
    ----------
    job : str
        The name of the job: as it was given, or that of the last write.
    commit : Commit or None
        What the last write has published; None before that. Of a job that had landed before, with 0 rows.

    Notes
    -----
    *Columns* that are tensors: those of Ray (`ArrowTensorArray`, in its formats V1, V2 and native), numbers, bool,
    timestamps and durations, and lists of equal length, nested too; in frames of pandas also `TensorArray` and
    objects that are arrays or lists of one shape. Dtypes are kept. Where they lie together in a block they are
    passed on without a copy, but for bool, which Arrow packs into bits. A null, a string, or a tensor of another
    shape is an error that names the task, the column, the row of the task and its id: a ValueError, of dtypes a
    TypeError, of a column that is not there a KeyError. Ray does not tell the columns of a dataset without rows
    whose blocks have none: nothing is published then, and a line of the log says so.

    *Order.* Rows come in the order of the tasks, and in each as they are in its blocks. Ray numbers tasks as their
    blocks arrive. That is the order of the dataset where all of it is one operator, as after `read_parquet` and
    `map_batches` with a function. Behind operators of their own, those with actors or with `num_cpus`, `num_gpus` or
    `concurrency`, it is the order in which their tasks end, unless Ray is told to keep that of the dataset, before
    the dataset is made::

        ray.data.DataContext.get_current().execution_options.preserve_order = True

    *Failures.* Ray runs a task again if its worker dies. Other errors end the job, unless `ray_remote_args` of
    `write_datasink` or `DataContext.retried_map_errors` say otherwise; with `DataContext.max_errored_blocks` a block
    that failed is left out of the table. The parts of a job that failed stay beside the table, where `rds.vacuum`
    removes them, and so does the commit of the same job with `resume`. It writes all parts again: Ray computes all
    rows anyway, and may cut them differently into tasks. To compute nothing ask `rds.parts.finished(path)` first.

    Checkpoints of Ray (`DataContext.checkpoint_config`) are refused: they leave out rows that an earlier run wrote,
    and it has published none.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        ids: str = "id",
        tensors: Mapping[str, str | list[str]] | None = None,
        mode: str = "create",
        job: str | None = None,
        resume: bool = False,
        durable: bool = False,
    ):
        if not isinstance(ids, str):
            raise InvalidTypeError(f"ids is {ids!r}; the name of a column of the dataset is expected")
        _options.choice("mode", mode, _MODES)
        _options.text("job", job)
        if resume and job is None:
            raise InvalidArgumentError("resume is True and job is None; give the name of the job that is to go on")
        # Workers have working directories of their own.
        self._path = absolute(path)
        self._ids = ids
        self._tensors = _ray_blocks.sources(tensors)
        self._mode = mode
        self._named = job
        self._resume = resume
        self._durable = durable
        # Of a table that is appended to; tasks refuse what it cannot have.
        self._columns: dict[str, tuple[Any, tuple[int, ...]]] | None = None
        self._landed = False
        # Whether Ray has begun what it has not ended.
        self._begun = False
        self.job = job or _name()
        self.commit: Commit | None = None

    def get_name(self) -> str:
        """What Ray calls the write in its progress.

        Returns
        -------
        str
            "rds".
        """
        return "rds"

    def on_write_start(self, schema: Any = None) -> None:
        """Begins a job; Ray calls it on the driver, before the first task.

        Parameters
        ----------
        schema : pyarrow.Schema, optional
            Not looked at: Ray does not always know it.

        Raises
        ------
        FileExistsError
            The mode is "create" and there is a table, or the job has parts or has landed and `resume` is False.
        FileNotFoundError
            The mode is "append" and there is no table.
        NotImplementedError
            Ray is to make checkpoints.
        """
        _refuse_checkpoints()
        self.job, self.commit, self._columns = self._named or _name(), None, None
        self._landed = self._named is not None and self._has_landed()
        if not self._landed:
            self._look_at_table()
            if self._resume and self.job in parts.unfinished(self._path):
                # It may have been cut differently into tasks.
                recover(self._path, run=self.job, drop=True)
        self._begun = True

    def _has_landed(self) -> bool:
        """Whether the job is done; an error if it was begun, and that is not expected."""
        landed = self.job in parts.finished(self._path)
        if not self._resume and (landed or self.job in parts.unfinished(self._path)):
            what = "has landed" if landed else "was begun"
            raise AlreadyExistsError(
                f"Datasink: the job {self.job!r} {what} at {self._path}; choose another name, or go on with resume=True"
            )
        return landed

    def _look_at_table(self) -> None:
        """Refuses what the commit would refuse, and looks up the columns of what is appended to."""
        if self._mode == "overwrite":
            return
        try:
            table = ResultDataset({}, self._path)
        except NotFoundError as error:
            if self._mode == "create":
                return
            raise NotFoundError(f"Datasink: mode is 'append', and there is no table at {self._path}") from error
        with table:
            if self._mode == "create":
                raise AlreadyExistsError(
                    f"Datasink: there is a table at {self._path}; append to it, overwrite it, or choose another path"
                )
            self._columns = {name: (table[name].dtype, table[name].shape) for name in table.columns}

    def write(self, blocks: Iterable[Any], ctx: Any) -> bytes:
        """Writes the part of a task; Ray calls it on a worker.

        Parameters
        ----------
        blocks : iterable of pyarrow.Table or pandas.DataFrame
            The rows of the task.
        ctx : TaskContext
            Whose `task_idx` is the number of the part.

        Returns
        -------
        bytes
            The token of the part.
        """
        if self._landed:
            return b""
        columns, blocks = self._columns, iter(blocks)
        for first in blocks:
            if columns is None and not len(first):
                columns = _ray_blocks.specs(first, self._ids, self._tensors)
            blocks = itertools.chain([first], blocks)
            break
        given = self._batches(blocks, ctx.task_idx)
        return parts.write_part(self._path, self.job, ctx.task_idx, given, columns=columns, durable=self._durable)

    def _batches(self, blocks: Iterable[Any], task: int) -> Iterator[tuple]:
        row = 0
        for block in blocks:
            yield from _ray_blocks.batches(block, self._ids, self._tensors, f"Datasink: task {task}", row)
            row += len(block)

    def on_write_complete(self, write_result: Any) -> None:
        """Publishes the parts of all tasks; Ray calls it on the driver, and `on_write_failed` if it raises.

        Parameters
        ----------
        write_result : WriteResult
            Whose `write_returns` are the tokens, in any order.

        Raises
        ------
        FileExistsError
            The mode is "create", and another writer made the table first.
        ValueError
            Parts differ in the names, dtypes or shapes of their columns, or from the table.
        OSError, RuntimeError
            As for `rds.commit_staged`.
        """
        if not self._begun:
            # A dataset of no blocks has no tasks, before which Ray would have begun.
            self.on_write_start()
        tokens = write_result.write_returns
        if self._landed:
            # To commit again what is left of it takes that away.
            tokens = list(parts.unfinished(self._path).get(self.job, {}).values())
        self.commit = Commit(rows=0, tensor_bytes=0, version=0, data_files=0)
        if tokens or not self._landed:
            self.commit = parts.commit_parts(self._path, self.job, tokens, self._mode)
        self._begun = False
        if not (self.commit.version or self._landed):
            _log.warning("%s: no rows, and Ray does not tell the columns: nothing is published", self._path)

    def on_write_failed(self, error: Exception) -> None:
        """Says in the log of `rds.ray` what is left; Ray calls it on the driver.

        Parameters
        ----------
        error : Exception
            What ended the job.
        """
        # What was refused before it began has left nothing.
        if self._begun:
            self._begun = False
            _log.warning(
                "%s: the job %s failed. Parts that it has written, and not published, lie beside the table: "
                "rds.vacuum removes them, and so does the same job with resume=True",
                self._path,
                self.job,
            )


def _name() -> str:
    return f"ray-{uuid.uuid4().hex}"


def _refuse_checkpoints() -> None:
    """What is current when Ray begins a write is the context of the dataset."""
    from ray.data import DataContext

    if getattr(DataContext.get_current(), "checkpoint_config", None) is not None:
        raise NotSupportedError(
            "Datasink: DataContext.checkpoint_config is set, with which Ray leaves out rows that an earlier run wrote "
            "and did not publish; write without checkpoints"
        )
