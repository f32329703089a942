"""Tables from collections of Dask and catalogues of LSDB, and collections of tables. It is loaded when `rds.dask` is
asked for, and needs Dask."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _given, _options

try:
    # The one of Dask, not of this package.
    import dask.base
except ImportError as error:
    raise ImportError("rds.dask needs Dask; install 'rds[dask]'") from error

from . import _dask_jobs, _dask_partitions, _dask_read
from ._dask_partitions import is_collection
from ._dask_rows import Inferred
from ._errors import InvalidArgumentError
from ._location import absolute

if TYPE_CHECKING:
    import pandas as pd
    from dask.delayed import Delayed

    from .staging import Commit

__all__ = ["infer", "read", "tensors", "write"]

_MODES = {"create": 0, "append": 1, "overwrite": 2}
_KINDS = {"dataframe": 0, "array": 1}
# Of lists and objects a batch is stacked first, so it is not to be a whole partition.
_ROWS_OF_A_BATCH = 1 << 14


def write(
    collection: Any,
    path: str | os.PathLike[str],
    *,
    ids: Any = "id",
    tensors: Any = None,
    name: str | None = None,
    columns: Mapping[str, tuple[Any, Any]] | None = None,
    order: str | None = None,
    mode: str = "create",
    job: str | None = None,
    resume: bool = False,
    durable: bool = False,
    compute: bool = True,
    compute_kwargs: Mapping[str, Any] | None = None,
) -> Commit | Delayed:
    """Writes a collection as one table: tasks for its partitions, and one version when all of them are done.

    Rows come in the order of the partitions, whichever is done first. A task that is killed, retried or run twice
    counts once, and a part that it has written before is not computed again. Rows go from the worker that has them to
    the disk, and pass neither the scheduler nor the client; all workers have to see the directory under the same path.
    The final files are made by workers, too, while parts are still written. Where there are many partitions to a thread,
    a task writes up to four, one after the other.

    Parameters
    ----------
    collection : dask.dataframe.DataFrame, dask.array.Array, dask.bag.Bag or lsdb.Catalog
        Rows of a DataFrame or a catalogue; of an Array along its first axis; a Bag of pairs `(id, tensor)` or
        `(id, {column: tensor})`, or of mappings that have the id under the key `ids`. The margin of a catalogue is not
        written.
    path : str or path
        Directory of the results, as for `ResultDatasetWriter`.
    ids : str, array_like, dask.array.Array or None
        Of a DataFrame or a catalogue the column of ids, or the index, if it has that name or by None. Of an Array as
        many ids as rows, or None: the numbers of the rows. Of a Bag the key of the id.
    tensors : mapping, or list of str, optional
        Of a DataFrame or a catalogue what columns the table has, and of which of the collection: `{"embedding":
        "embedding"}`, or `{"xy": ["x", "y"]}`, which puts columns side by side to tensors of shape `(2,)`. A column of
        it has numbers, or arrays or lists of equal length, also lists of lists; "nested.field" is the field of a nested
        column. A list of names: each as it is. Default: every column but the ids.
    name : str, optional
        Of an Array the name of the column; default "data".
    columns : mapping, optional
        Dtypes and shapes, as for `ResultDatasetWriter`, where they cannot be known before: of lists and objects, if a
        partition or the whole collection may have no rows.
    order : {"pixel", "partition"}, optional
        Of a catalogue in which order partitions come: that of the sky, which is the default, or that of the catalogue.
    mode : {"create", "append", "overwrite"}
        What becomes of a table that is already there, as for `ResultDatasetWriter`.
    job : str, optional
        The name of the job; default one of its own for each call.
    resume : bool
        Whether to go on with a job of that name, or without a name with one of the same collection and options, that
        did not end: of its parts those that are written are not computed again. One that was published is not written
        again. If there is none, a new one begins.
    durable : bool
        Whether a part is on the disk before its task is done, so that it survives a power failure, too.
    compute : bool
        Whether to wait until all is done.
    compute_kwargs : mapping, optional
        For the `compute` of Dask: a scheduler, or retries.

    Returns
    -------
    Commit or dask.delayed.Delayed
        What the version has; rows is 0 if it was there before, by `resume` or because the task that published it ran
        twice. Without `compute` what gives that by its own `compute()`.

    Raises
    ------
    FileExistsError
        The mode is "create", and there is a table; or `job` names a job that was begun, and `resume` is not given.
        Nothing was computed.
    FileNotFoundError
        The mode is "append", and there is none. Nothing was computed.
    KeyError
        There is no such column. Nothing was computed.
    TypeError
        A column is no tensor, or the collection none of those. What the metadata of the collection shows is found
        before anything is computed; otherwise no version is made, and the message names partition, column and row.
    ValueError
        A tensor is null or of another dtype or shape than others, likewise; or chunks of an Array have no known sizes.
    OSError, RuntimeError
        As for `commit_staged`.

    Notes
    -----
    Of a call that failed, parts that were written stay beside the table until `resume` goes on with them, or
    `rds.vacuum` removes them. A job without a name is told by the keys of the partitions and the options: a collection
    that is made in the same way from the same files has the same ones in another process, too. It runs on any scheduler
    of Dask; `dask.annotate` around the call is for the tasks that write.

    Values keep their dtype. Dask itself makes strings of columns of objects in `from_pandas`, `from_map` and
    `from_delayed`, unless "dataframe.convert-string" of its configuration is false; not in `map_partitions`, and not of
    lists of Arrow (`pandas.ArrowDtype`).
    """
    partitions = _dask_partitions.of(collection, ids, tensors, name, order)
    told = _told(ids), tensors, name
    work = _Work(path, partitions, columns, None, _ROWS_OF_A_BATCH, told, durable)
    return work.done(mode, job, resume, compute, compute_kwargs)


def infer(
    collection: Any,
    model: Any,
    path: str | os.PathLike[str],
    *,
    ids: Any = "id",
    inputs: Any = None,
    batch_size: int | None = None,
    columns: Mapping[str, tuple[Any, Any]] | None = None,
    order: str | None = None,
    mode: str = "create",
    job: str | None = None,
    resume: bool = False,
    durable: bool = False,
    compute: bool = True,
    compute_kwargs: Mapping[str, Any] | None = None,
) -> Commit | Delayed:
    """Stores what a model makes of a collection, as `write` stores the collection itself.

    Parameters
    ----------
    collection : dask.dataframe.DataFrame, dask.array.Array, dask.bag.Bag or lsdb.Catalog
        As for `write`.
    model : callable, dask.delayed.Delayed or distributed.Future
        Is called with some rows, and gives an array `(rows, ...)`, which is the column "data", or a mapping of such by
        column. Or what will be a callable.
    path : str or path
        As for `write`.
    ids : str, array_like, dask.array.Array or None
        As for `write`.
    inputs : str, list of str or mapping, optional
        Of a DataFrame or a catalogue what the model is given: the tensors of a column, of several side by side, or a
        dict of these by the keys of a mapping. Default: a frame of pandas with all columns. Of an Array it is given a
        block, of a Bag the stacked tensors, or a dict of them.
    batch_size : int, optional
        How many rows the model is given at most. What it makes of them is written before the next ones, so that the
        memory for results stays small. Default: the whole partition.
    columns : mapping, optional
        Dtypes and shapes of what the model gives, as for `ResultDatasetWriter`, where the whole collection may have no
        rows.
    order, mode, job, resume, durable, compute, compute_kwargs
        As for `write`.

    Returns
    -------
    Commit or dask.delayed.Delayed
        As of `write`.

    Raises
    ------
    ValueError
        The model gave another number of rows than it was given, or tensors of another dtype or shape than before.
    FileExistsError, FileNotFoundError, KeyError, TypeError, OSError, RuntimeError
        As of `write`. What the model itself raises comes as it is.

    Notes
    -----
    A model is sent with each task, so it should be small. A large one gets to the workers once as a function of a
    module that loads it and keeps it::

        @functools.cache
        def network():
            return load("weights.npz")

        def model(rows):
            return network()(rows)

    or as `client.scatter(network, broadcast=True)`, or as `dask.delayed(load)("weights.npz")`, which one worker loads
    and the others get from it. With `resume` and no `job`, a job is told by its model, too: by the pickle of a function
    of a program, by the name of one of a module.
    """
    partitions = _dask_partitions.of(collection, ids, None, None, order, inputs, infer=True)
    partitions = partitions._replace(rows=Inferred(partitions.rows), specs={})
    size = _options.positive("batch_size", batch_size) or None
    work = _Work(path, partitions, columns, model, size, (_told(ids), inputs, model), durable)
    return work.done(mode, job, resume, compute, compute_kwargs)


def _told(ids: Any) -> Any:
    """What a name of a job has of the ids, which may be many."""
    return ids if ids is None or isinstance(ids, str) else dask.base.tokenize(ids)


def _told_of_part(given: tuple[Any, ...]) -> list[tuple[str, ...]]:
    """The keys of a partition, of whose names the end is made of what they do; the begin may be an address in
    memory."""
    keys = [one.key for one in given if is_collection(one)]
    parts = [key if isinstance(key, tuple) else (key,) for key in keys]
    return [(name.rpartition("-")[2], *map(str, numbers)) for name, *numbers in parts]


class _Work:
    """What is the same for all that is written."""

    def __init__(self, path, partitions, columns, model, size, told, durable):
        self.path = absolute(path)
        self.partitions = partitions
        self.model = model
        specs = {**partitions.specs, **(_given.declared(columns) or {})}
        known = {name: spec for name, spec in specs.items() if spec is not None}
        self.task = {
            "size": size,
            "specs": known,
            # Those of a table are to be declared all, or none.
            "columns": known if known and len(known) == len(specs) else None,
            "durable": durable,
        }
        self.token = dask.base.tokenize(list(map(_told_of_part, partitions.given)), told, size, columns)

    def done(self, mode, job, resume, compute, compute_kwargs) -> Any:
        _options.choice("mode", mode, _MODES)
        _options.text("job", job)
        if not self.partitions.given:
            raise InvalidArgumentError("the collection has no partitions, so nothing tells the columns of a table")
        found = _dask_jobs.find(self.path, job, self.token, resume, mode, len(self.partitions.given))
        if mode == "append":
            _dask_jobs.refuse_others(self.path, self.task["specs"], self.partitions.specs)
        options = compute_kwargs or {}
        threads = _dask_jobs.threads(options)
        graph = _dask_jobs.graph(self.path, found, mode, self.partitions, self.task, self.model, threads)
        return graph.compute(**options) if compute else graph


def read(
    path: str | os.PathLike[str],
    columns: Any = None,
    *,
    kind: str = "dataframe",
    rows_per_partition: int | None = None,
    ids: str | None = "id",
    version: int | None = None,
    id_column: str | None = None,
) -> Any:
    """A table as a collection of Dask, whose partitions are ranges of rows.

    Each task opens the table itself, and what it gives is a view of the mapped file: nothing but the path and the
    version passes the scheduler. A worker has in its memory what its tasks look at, and nothing of it when they are
    done, whatever the size of the table.

    Parameters
    ----------
    path : str or path
        As for `ResultDataset`.
    columns : str or sequence of str, optional
        Which columns; default all. Of an Array the one, by default the only one, or "data".
    kind : {"dataframe", "array"}
        What is made.
    rows_per_partition : int, optional
        Default as many as have some 64 MiB of tensors.
    ids : str or None
        What the column of ids is called, which comes first; None leaves it out. An Array has none.
    version : int, optional
        The version of the table; default the newest one now. All tasks read that one.
    id_column : str, optional
        The column of ids in the table, as for `ResultDataset`.

    Returns
    -------
    dask.dataframe.DataFrame or dask.array.Array
        Of an Array the rows are the first axis. Of a DataFrame the index is the number of the row, from 0 on, with
        known divisions. Ids are strings of Arrow, scalars numbers of NumPy, and tensors fixed-size lists of Arrow, in
        lists for each further axis, so that the dtype tells the shape and `write` makes the same table of them; complex
        numbers and bfloat16, which Arrow does not have, are objects that are arrays. `tensors` makes arrays of a series
        without a copy.

    Raises
    ------
    FileNotFoundError
        There is no table, or no such version; also in a task, if it was replaced or removed meanwhile.
    KeyError
        There is no such column.
    ValueError
        There are several columns, and `kind` is "array"; or a column has the name that `ids` gives.

    Notes
    -----
    Of a DataFrame call `optimize()` before `compute()`: each partition is then read by the task that uses it. Dask does
    not do so by itself, and a worker has partitions in its memory that wait for the next task.
    """
    _options.choice("kind", kind, _KINDS)
    if columns is not None and not len(columns):
        raise InvalidArgumentError(f"columns is {columns!r}; at least one is expected, or None for all")
    rows = _options.positive("rows_per_partition", rows_per_partition)
    table = _dask_read.Table.open(absolute(path), columns, kind == "array", ids, version, id_column)
    return table.to_array(rows) if kind == "array" else table.to_frame(rows)


def tensors(series: pd.Series) -> np.ndarray:
    """The tensors of a column of a frame, as a function of a partition has it.

    Parameters
    ----------
    series : pandas.Series
        Numbers, or arrays or lists of equal length: what `write` takes, and what `read` gives.

    Returns
    -------
    numpy.ndarray
        `(len(series), *shape)`; the memory of the series, read-only, where it is numbers or fixed-size lists in one
        piece.

    Raises
    ------
    TypeError
        These are no tensors.
    ValueError
        One is null, or of another shape than those before.
    """
    from . import _frames

    return _frames.tensors(series, str(series.name))
