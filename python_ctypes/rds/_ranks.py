"""Which of the processes that train together this one is."""

from __future__ import annotations

import os
import sys

from ._errors import InvalidArgumentError, InvalidStateError

Ranks = tuple[int, int]


def of_process(rank: int | None, world_size: int | None, inherited: Ranks | None = None) -> Ranks:
    """Rank and world size: those that are given, else what this process is told by what trains in it.

    `inherited` is what the process was that started this one, which is told nothing itself.
    """
    if rank is not None or world_size is not None:
        if rank is None or world_size is None:
            raise InvalidArgumentError(f"rank is {rank}, world_size {world_size}; one goes with the other")
        return _checked(rank, world_size)
    return _of_torch() or inherited or _of_environment() or _of_jax() or (0, 1)


def is_starting_process() -> bool:
    """Whether what is pickled now goes to a process that this one starts."""
    context = sys.modules.get("multiprocessing.context")
    return context is not None and context.get_spawning_popen() is not None


def _checked(rank: int, world_size: int) -> Ranks:
    if not 0 <= rank < world_size < 1 << 32:
        raise InvalidArgumentError(f"rank is {rank}, world_size {world_size}; ranks are from 0 to world_size - 1")
    return int(rank), int(world_size)


def _of_torch() -> Ranks | None:
    # Whoever has ranks of torch has imported it.
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed.get_rank(), distributed.get_world_size()


def _of_environment() -> Ranks | None:
    """As torchrun and others tell."""
    rank, world_size = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if rank is None and world_size is None:
        return None
    if rank is None or world_size is None:
        raise InvalidStateError(
            f"the environment has RANK={rank} and WORLD_SIZE={world_size}; set both or none, or give rank and "
            "world_size"
        )
    try:
        return _checked(int(rank), int(world_size))
    except ValueError as error:
        raise InvalidStateError(f"the environment has RANK={rank!r} and WORLD_SIZE={world_size!r}: {error}") from error


def _of_jax() -> Ranks | None:
    jax = sys.modules.get("jax")
    distributed = getattr(jax, "distributed", None)
    # Without it the question for the rank would start a backend.
    if distributed is None or not hasattr(distributed, "is_initialized") or not distributed.is_initialized():
        return None
    return jax.process_index(), jax.process_count()  # type: ignore[union-attr]
