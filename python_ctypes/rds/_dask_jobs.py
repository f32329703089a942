"""Jobs of `rds.dask`: their names, what is left of one, and the graph that does it."""

from __future__ import annotations

import contextlib
import itertools
import sys
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple

import dask
import dask.base
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from dask.system import CPU_COUNT
from dask.task_spec import GraphNode, List, Task, TaskRef

from . import parts
from ._dask_partitions import Partitions, is_collection
from ._dask_rows import checked
from ._errors import AlreadyExistsError, InvalidArgumentError, NotFoundError, RdsError, SchemaMismatchError
from ._location import table_path
from ._packing import Span
from .reader import ResultDataset
from .staging import Commit

# Of files that are made at a time, beyond which a disk that is shared is not faster.
_MOST_PACKS = 64
# How many workers are asked who packs.
_SPREAD = 8
# A task of Dask costs milliseconds: one writes several parts, as long as each thread has so many of these tasks.
_MOST_TOGETHER = 4
_LEAST_TASKS = 32


class Job(NamedTuple):
    """A job, and the tokens of its parts that are there; None once all of them are published."""

    name: str
    tokens: dict[int, bytes]
    published: set[int]

    def landed(self, count: int) -> bool:
        return self.published.issuperset(range(count))


def find(path: str, name: str | None, token: str, resume: bool, mode: str, count: int) -> Job:
    """The job to go on with, or a new one; what cannot be is an error before anything is computed."""
    exists = _exists(path)
    unfinished = parts.unfinished(path)
    finished = parts.finished(path) if exists else {}
    job = _found(name, token, resume, unfinished, finished)
    numbers = {*job.tokens, *job.published}
    if numbers and max(numbers) >= count:
        raise InvalidArgumentError(
            f"the job {job.name!r} has a part {max(numbers)}, and the collection {count} partitions; it is another "
            "collection: name another job, or leave out resume"
        )
    if job.landed(count):
        return job
    if mode == "create" and exists:
        raise AlreadyExistsError(f"{path} has a table; append to it or overwrite it, by mode=")
    if mode == "append" and not exists:
        raise NotFoundError(f"{path} has no table to append to; create one, by mode=")
    # A table that is replaced takes its parts with it.
    return job._replace(published=set()) if mode == "overwrite" else job


def _found(name: str | None, token: str, resume: bool, unfinished: Mapping, finished: Mapping) -> Job:
    def job(name: str) -> Job:
        ranges = finished.get(name, ())
        return Job(name, dict(unfinished.get(name, {})), {number for numbers in ranges for number in numbers})

    if name is None:
        prefix = f"dask-{token}-"
        jobs = [job(one) for one in {*unfinished, *finished} if one.startswith(prefix)] if resume else []
        # One that has landed rather than one that has not, and then the one with the most parts.
        found = max(jobs, key=lambda one: (len(one.published), len(one.tokens)), default=None)
        return found or Job(prefix + uuid.uuid4().hex[:8], {}, set())
    found = job(name)
    if not resume and (found.tokens or found.published):
        state = "was published" if found.published else f"has {len(found.tokens)} parts that wait"
        raise AlreadyExistsError(f"the job {name!r} {state}; name another one, or go on with it by resume=True")
    return found


def graph(
    path: str, job: Job, mode: str, partitions: Partitions, task: Mapping[str, Any], model: Any, threads: int
) -> Delayed:
    """What writes the parts that are not there, makes files of all, and publishes these. `threads`: how many tasks
    run at a time."""
    unique = uuid.uuid4().hex
    shared = [model] if is_collection(model) else []
    # What will be a model is a key: of what Dask makes, or of a Future of distributed.
    model = TaskRef(model.key) if shared or _is_future(model) else model
    below: dict[Any, Any] = {}
    graphs: dict[int, Any] = {}
    tasks: dict[int, GraphNode] = {}
    for number, given in enumerate(partitions.given):
        if number in job.tokens or number in job.published:
            continue
        arguments = []
        for one in given:
            if is_collection(one):
                # Mostly that of the whole collection, for each of its partitions.
                if id(one.dask) not in graphs:
                    graphs[id(one.dask)] = one.dask
                    below.update(one.dask)
                one = TaskRef(one.key)
            arguments.append(one)
        key = (f"rds-part-{unique}", number)
        tasks[number] = Task(key, _write, path, job.name, number, task, partitions.rows, model, *arguments)
    numbers = sorted({*tasks, *job.tokens} - job.published)
    size = min(len(tasks) // (_LEAST_TASKS * threads), _MOST_TOGETHER)
    nodes, written = {}, []
    for together in _together(numbers, _fused(tasks, below), {one.key for one in shared}, size):
        if isinstance(together, int):
            written.append(List(job.tokens[together]))
            continue
        node = _looked_up((f"rds-part-{unique}", next(iter(together))), path, job.name, together)
        nodes[node.key] = node
        written.append(TaskRef(node.key))
    last = f"rds-commit-{unique}"
    end = _end(unique, path, job, mode, written, min(4 * threads, _MOST_PACKS))
    layer = {**below, **nodes, **end}
    return Delayed(last, HighLevelGraph.from_collections(last, layer, dependencies=shared), layer=last)


def _end(unique: str, path: str, job: Job, mode: str, written: list[Any], packs: int) -> dict[Any, GraphNode]:
    """What is done with the tokens of all parts, in order: lists of those that are there, or what will be such.

    Files are made as soon as the parts that fill them are written, by so many tasks; the last one makes the rest.
    """
    last, spans = f"rds-commit-{unique}", f"rds-spans-{unique}"
    nodes: dict[Any, GraphNode] = {}
    before: Any = (Span([], 0), Span([], 0))
    for number, (first, end) in enumerate(itertools.pairwise(_borders(len(written), packs))):
        group = written[first:end]
        nodes[spans, number] = Task((spans, number), _grown, before, List(*group))
        before = TaskRef((spans, number))
        # Dask runs a task on one of the workers that have what it takes, on that with the least to do: for that alone
        # it is given some of the tokens once more.
        spread = group[:: max(len(group) // _SPREAD, 1)]
        key, more = (f"rds-pack-{unique}", number), end < len(written)
        # In a tuple Dask takes it for no key.
        nodes[key] = Task(key, _pack, (key,), path, job.name, mode, more, before, *spread)
    packed = List(*(TaskRef(key) for key in nodes if key[0] != spans))
    nodes[last] = Task(last, _commit, path, job.name, mode, List(*written), packed)
    return nodes


def _borders(count: int, groups: int) -> list[int]:
    """Between that many, which become so many groups, and some more: the last ones are small, for nothing else is done
    while they are packed."""
    size = -(-count // groups)
    borders = [0]
    while (left := count - borders[-1]) > 0:
        borders.append(borders[-1] + min(size, max(left // 2, size // 4, 1), left))
    return borders


def threads(options: Mapping[str, Any]) -> int:
    """How many tasks run at a time, as far as it is known before they do. `options` are those for the `compute` of
    Dask."""
    scheduler = options.get("scheduler") or dask.config.get("scheduler", None)
    if scheduler in ("sync", "synchronous", "single-threaded"):
        return 1
    if scheduler in (None, "distributed", "dask.distributed"):
        with contextlib.suppress(ImportError, ValueError):
            from distributed import Client

            scheduler = Client.current()
    if hasattr(scheduler, "scheduler_info"):
        # Its workers may be still to come.
        return scheduler.scheduler_info(n_workers=1)["total_threads"] or CPU_COUNT
    return options.get("num_workers") or dask.config.get("num_workers", None) or CPU_COUNT


def _is_future(model: Any) -> bool:
    return hasattr(model, "key") and hasattr(model, "client")


def _write(path, job, number, task, rows, model, *given) -> bytes:
    """The task of a part: it may run twice, and its token is all that leaves the worker."""
    if model is not None:
        given = (model, *given)
    slices = checked(rows(task["size"], *given), task["specs"])
    try:
        return parts.write_part(path, job, number, slices, columns=task["columns"], durable=task["durable"])
    except RdsError as error:
        if len(error.args) == 1:
            error.args = (f"partition {number}: {error.args[0]}",)
        raise


def _unless_written(path, job, numbers, making, keys, *values) -> list[bytes]:
    """The tokens of parts: those that an earlier run of the task has written, on a worker that is lost since, and of
    the others what the tasks in `making` give, of the values of these keys."""
    tokens = []
    for number, task in zip(numbers, making):
        token = parts.token(path, job, number)
        tokens.append(task(dict(zip(keys, values))) if token is None else token)
    return tokens


def _grown(before, tokens) -> tuple[Span, Span]:
    return before[1].grown(list(itertools.chain.from_iterable(tokens)))


def _pack(keys, path, job, mode, more, spans, *_) -> int:
    _leave_slot(keys[0])
    # What is not there, or not any more, is for the commit to tell: it may have landed.
    with contextlib.suppress(NotFoundError):
        span = spans[0]
        return parts.pack_parts(path, job, span.tokens, mode=mode, first_row=span.first_row, more=more)
    return 0


def _leave_slot(key: Any) -> None:
    """Half of the time a task that packs waits for the disk: its worker does another one meanwhile."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return
    # A thread of another scheduler in a task of a worker has none.
    with contextlib.suppress(ValueError, LookupError):
        # Not the task of somebody who calls us in it.
        if distributed.get_worker().get_current_task() == key:
            distributed.secede()


def _commit(path, job, mode, tokens, _) -> Commit:
    commit = parts.commit_parts(path, job, list(itertools.chain.from_iterable(tokens)), mode)
    if not commit.rows and not _exists(path):
        raise InvalidArgumentError(
            "no partition has rows, and nothing tells the columns of the table; name them by columns="
        )
    return commit


def refuse_others(path: str, known: Mapping[str, Any], names: Mapping[str, Any]) -> None:
    """Refuses rows that the table that they are to be added to cannot have, as far as that is known before they are
    made."""
    with ResultDataset({}, path) as dataset:
        has = {name: (dataset[name].dtype, dataset[name].shape) for name in dataset.columns}
    if names and names.keys() != has.keys():
        raise SchemaMismatchError(f"columns are {list(names)}, and the table at {path} has {list(has)}")
    for name, spec in known.items():
        if has.get(name) != spec:
            raise SchemaMismatchError(f"column {name!r} is {spec}, and the table at {path} has {has.get(name)}")


def _exists(path: str) -> bool:
    return any(table_path(path).glob("_versions/*.manifest"))


def _together(
    numbers: Sequence[int], tasks: Mapping[int, GraphNode], shared: Set[Any], size: int
) -> Iterator[dict[int, GraphNode] | int]:
    """Tasks of parts that follow each other, which one task does, and numbers without a task. What a task takes from
    others tells Dask where to do it: then it stays alone."""
    together: dict[int, GraphNode] = {}
    for number in numbers:
        alone = number not in tasks or not tasks[number].dependencies <= shared
        if together and (alone or len(together) >= size):
            yield together
            together = {}
        if number not in tasks:
            yield number
        elif alone:
            yield {number: tasks[number]}
        else:
            together[number] = tasks[number]
    if together:
        yield together


def _looked_up(key: Any, path: str, job: str, tasks: Mapping[int, GraphNode]) -> GraphNode:
    """A task that does others, unless their parts are written."""
    keys = tuple({key for task in tasks.values() for key in task.dependencies})
    # In a tuple Dask takes them for values, and does not do them before.
    return Task(key, _unless_written, path, job, tuple(tasks), tuple(tasks.values()), keys, *map(TaskRef, keys))


def _fused(tasks: dict[int, GraphNode], below: dict[Any, Any]) -> dict[int, GraphNode]:
    """What makes a partition in one task with what writes it, if nothing else uses it: rows stay where they are
    made."""
    if not all(isinstance(node, GraphNode) for node in below.values()):
        # Futures of what was persisted, or tasks of an earlier Dask, which do not tell what they use.
        return tasks
    users = Counter(key for node in (*below.values(), *tasks.values()) for key in node.dependencies)
    made = {}
    for number, task in tasks.items():
        chain, behind = [task], list(task.dependencies)
        while behind:
            key = behind.pop()
            node = below.get(key)
            if node is not None and users[key] == 1 and not node.block_fusion:
                chain.append(node)
                behind += node.dependencies if len(node.dependencies) == 1 else ()
        made[number] = Task.fuse(*chain)
    return made
