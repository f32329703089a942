"""The native loader against the order and the steps in plain Python: thousands of random cases."""

from pathlib import Path

import numpy as np
import pytest
from order_reference import Permutation, epoch_of, mixed, share, shuffled, step_of

import rds
from rds import _plans

VECTORS = Path(__file__).parents[2] / "src" / "reader" / "loader" / "order_vectors.txt"
SIZES = (64, 5, 1, 23)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """Tables whose rows are their own numbers."""
    made = []
    for number, size in enumerate(SIZES):
        where = tmp_path_factory.mktemp("table")
        with rds.ResultDatasetWriter(where) as writer:
            writer.write_batch(np.arange(size), np.arange(size, dtype=np.int32) + 1000 * number)
        made.append(rds.ResultDataset({}, where))
    return made


def vectors():
    for line in VECTORS.read_text().splitlines():
        if line and not line.startswith("#"):
            given, rows = line.split(":")
            yield tuple(map(int, given.split())), list(map(int, rows.split()))


@pytest.mark.parametrize(("given", "rows"), list(vectors()), ids=str)
def test_the_order_is_the_one_that_is_written_down(given, rows):
    n, clump, seed, epoch, table, number = given
    if clump == 1:
        permutation = Permutation(n, seed, epoch, table, number)
        positions = [*range(min(n, 8)), *range(max(n - 2, 0), n)]
        assert [permutation(position) for position in positions] == rows
    elif n < 100_000:
        order = shuffled(n, clump, seed, epoch, table, number)
        assert order[:8] + order[-2:] == rows
    if (table, number) == (0, 0):
        sampler = rds.BatchSampler(n, min(n, 8), seed=seed, clump=clump)
        sampler.set_epoch(epoch)
        assert next(iter(sampler)) == rows[: min(n, 8)]


def options(rng, n):
    """Random sizes, ranks and tails, which leave a step."""
    while True:
        world_size = int(rng.choice([1, 1, 2, 3, 5]))
        tail = str(rng.choice(["short", "pad", "drop"]))
        if rng.random() < 0.5:
            size = {"batch_size": int(rng.integers(1, 9))}
            step = size["batch_size"] * world_size
        else:
            step = int(rng.integers(1, 20))
            size = {"global_batch_size": step}
        if tail != "drop" or step <= n or not n:
            return step, world_size, tail, size


def subset(rng, size):
    """Rows of a table, as they are chosen and as they are listed."""
    kind = rng.integers(4)
    if kind == 0:
        return None, list(range(size))
    if kind == 1:
        first, stop = sorted(rng.integers(0, size + 1, 2).tolist())
        return slice(first, stop), list(range(first, stop))
    if kind == 2:
        mask = rng.random(size) < 0.5
        return mask, np.flatnonzero(mask).tolist()
    listed = rng.integers(0, size, int(rng.integers(0, 2 * size))).tolist()
    return listed, listed


def walk(rng, open_loader, rows_of, consumed_of, state, check):
    """From a state on some steps of all ranks, with options of their own; the state afterwards, or None at the end."""
    epoch, consumed = consumed_of(state)
    rows = rows_of(epoch)
    step, world_size, tail, size = options(rng, len(rows))
    loaders = [open_loader(rank=rank, world_size=world_size, tail=tail, **size) for rank in range(world_size)]
    for loader in loaders:
        loader.load_state_dict(state)
        # Of this epoch, although nothing may be left of it.
        loader.set_epoch(epoch)
    iterations = [iter(loader) for loader in loaders]
    for _ in range(int(rng.integers(1, 6))):
        expected = step_of(rows, consumed, step, tail)
        if expected is None:
            assert [next(iteration, None) for iteration in iterations] == [None] * world_size
            assert {(loader.epoch, loader.consumed) for loader in loaders} == {(epoch + 1, 0)}
            return None
        taken, consumed = expected
        for rank, (loader, iteration) in enumerate(zip(loaders, iterations)):
            mine = share(taken, rank, world_size)
            check(loader, next(iteration), [row for row, _ in mine])
            assert loader.padded == sum(padded for _, padded in mine)
        states = {loader.state_dict()["rds"] for loader in loaders}
        assert len(states) == 1
        assert (loaders[0].epoch, loaders[0].consumed) == (epoch, consumed)
    return loaders[0].state_dict()


def position_of(state):
    """Epoch and rows consumed, as the layout of a position has them."""
    return tuple(int.from_bytes(state["rds"][at : at + 8], "little") for at in (16, 24))


@pytest.mark.parametrize("part", range(8))
def test_random_epochs_of_changing_ranks_are_those_of_the_reference(datasets, part):
    rng = np.random.default_rng(part)
    dataset = datasets[0]
    for _ in range(300):
        chosen, listed = subset(rng, len(dataset))
        order, clump = ("in_order", 1) if rng.random() < 0.2 else ("shuffled", int(rng.choice([1, 1, 2, 7, 100])))
        seed, epoch = int(rng.integers(0, 2**64, dtype=np.uint64)), int(rng.integers(0, 5))

        def open_loader(**more):
            return rds.Loader(dataset, columns=[], rows=chosen, order=order, clump=clump, seed=seed, **more)

        def check(loader, batch, expected):
            assert batch.tolist() == loader.rows.tolist() == expected

        first = open_loader(batch_size=1)
        first.seek(epoch)
        state = first.state_dict()
        while state is not None:
            state = walk(
                rng, open_loader, lambda epoch: epoch_of(listed, order, clump, seed, epoch), position_of, state, check
            )


@pytest.mark.parametrize("part", range(4))
def test_random_mixtures_are_those_of_the_reference(datasets, part):
    rng = np.random.default_rng(100 + part)
    for _ in range(100):
        numbers = rng.permutation(len(datasets))[: int(rng.integers(2, 5))].tolist()
        tables = [datasets[number] for number in numbers]
        subsets = [subset(rng, len(table)) for table in tables]
        listed = [rows for _, rows in subsets]
        epoch_rows = int(rng.integers(1, 80)) if rng.random() < 0.5 else None
        schedule = []
        if all(listed):
            positions = sorted(zip(rng.integers(0, 3, 3).tolist(), rng.integers(0, 30, 3).tolist()))
            for position in positions[: int(rng.integers(0, 4))]:
                schedule.append((*position, [int(w) for w in rng.integers(0, 5, len(tables))]))
                schedule[-1][2][int(rng.integers(len(tables)))] += 1
        elif epoch_rows is not None or not any(listed):
            continue
        total = sum(map(len, listed)) if epoch_rows is None else epoch_rows
        order, clump = ("in_order", 1) if rng.random() < 0.2 else ("shuffled", int(rng.choice([1, 3])))
        seed = int(rng.integers(0, 100))

        def open_loader(**more):
            return rds.Loader(
                tables, rows=[chosen for chosen, _ in subsets], order=order, clump=clump, seed=seed,
                weights=schedule or None, epoch_rows=epoch_rows, **more,
            )

        def check(loader, batch, expected):
            assert list(zip(loader.tables.tolist(), loader.rows.tolist())) == expected
            assert batch.tolist() == [row + 1000 * numbers[table] for table, row in expected]

        first = open_loader(batch_size=1)
        first.seek(int(rng.integers(0, 3)))
        state = first.state_dict()
        while state is not None:
            state = walk(
                rng, open_loader, lambda epoch: mixed(listed, schedule, total, order, clump, seed, epoch), position_of,
                state, check,
            )


@pytest.mark.parametrize("tail", ["short", "pad", "drop"])
@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_workers_take_whole_steps_in_turn(datasets, workers, tail):
    def loader(**more):
        return rds.Loader(datasets[0], global_batch_size=6, rank=1, world_size=2, tail=tail, columns=[], **more)

    alone = loader()
    for begin in (0, 6, 12, 59, 64):
        alone.seek(2, begin)
        expected = [rows.tolist() for rows in alone]
        several = []
        for number in range(workers):
            one = loader()
            one._worker = _plans.Worker(number, workers)
            one.seek(2, begin)
            several.append(iter(one))
        got = []
        while len(got) < len(expected):
            got.append(next(several[len(got) % workers]).tolist())
        assert got == expected
        assert [next(one, None) for one in several] == [None] * workers
