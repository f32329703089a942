"""A sampler of batches: its order, and a position that is behind what was consumed."""

import copy
import gc
import pickle

import numpy as np
import pytest
from order_reference import epoch_of, share, step_of
from samples import numbered_ids, random_array, write

import rds

ROWS = 100
DATA = random_array("f4", (ROWS, 4))


@pytest.fixture
def dataset(make_dataset):
    return make_dataset(numbered_ids(ROWS), DATA)


class Ahead:
    """Asks a sampler as an iterator of a DataLoader does: for so many batches more than it has given."""

    def __init__(self, sampler, ahead, keeps=False):
        self._index_sampler = sampler
        self._ahead = ahead
        if ahead:
            self._shutdown = False
        self._keeps = keeps
        self._reset()
        self._reset()

    def _reset(self):
        self._sampler_iter = iter(self._index_sampler)
        self._num_yielded = 0
        self._fetched = []

    def _next_index(self):
        return next(self._sampler_iter)

    def _fetch(self, count):
        while len(self._fetched) < count:
            try:
                self._fetched.append(self._next_index())
            except StopIteration:
                return

    def __iter__(self):
        return self

    def __next__(self):
        self._fetch(self._ahead + 1)
        if not self._fetched:
            if self._ahead and not self._keeps:
                self._shutdown = True
            raise StopIteration
        batch = self._fetched.pop(0)
        # It asks for another one before it says that it has given this one.
        self._fetch(self._ahead)
        self._num_yielded += 1
        return batch


def place(sampler):
    return sampler.epoch, sampler.consumed


@pytest.mark.parametrize("part", range(4))
def test_random_samplers_are_those_of_the_reference(part):
    rng = np.random.default_rng(200 + part)
    for _ in range(250):
        n, world_size, batch = int(rng.integers(1, 50)), int(rng.integers(1, 5)), int(rng.integers(1, 7))
        tail = str(rng.choice(["short", "pad", "drop"] if n >= batch * world_size else ["short", "pad"]))
        seed, epoch, clump = int(rng.integers(0, 1000)), int(rng.integers(0, 4)), int(rng.choice([1, 1, 3]))
        rows = epoch_of(range(n), "shuffled", clump, seed, epoch)
        for rank in range(world_size):
            sampler = rds.BatchSampler(
                n, batch, seed=seed, rank=rank, world_size=world_size, tail=tail, clump=clump
            )
            sampler.set_epoch(epoch)
            expected, padded, consumed = [], 0, 0
            while (step := step_of(rows, consumed, batch * world_size, tail)) is not None:
                taken, consumed = step
                mine = share(taken, rank, world_size)
                padded = sum(fills for _, fills in mine)
                # A batch without rows would be no batch for a DataLoader.
                expected += [[row for row, _ in mine]] if mine else []
            assert sampler.padded == padded and len(sampler) == len(expected)
            assert list(sampler) == expected
            assert all(type(row) is int for batch in expected for row in batch)
            assert place(sampler) == (epoch + 1, 0)


def test_it_goes_through_the_rows_that_a_loader_goes_through(dataset):
    options = {"batch_size": 16, "seed": 5, "rows": range(10, 90), "clump": 2, "tail": "drop"}
    sampler, loader = rds.BatchSampler(dataset, **options), rds.Loader(dataset, columns=[], **options)
    assert (sampler.batch_size, sampler.drop_last) == (16, True)
    assert list(sampler) == [rows.tolist() for rows in loader]
    # The state of the one is that of the other.
    next(iter(loader))
    sampler.load_state_dict(loader.state_dict())
    assert sampler.state_dict() == loader.state_dict()
    assert list(sampler) == [rows.tolist() for rows in loader]


def test_what_is_yielded_counts_if_nobody_else_does():
    sampler = rds.BatchSampler(20, 4)
    whole = list(rds.BatchSampler(20, 4))
    iteration = iter(sampler)
    assert [next(iteration), next(iteration)] == whole[:2]
    assert place(sampler) == (0, 8)
    assert list(sampler) == whole[2:]
    assert place(sampler) == (1, 0)


@pytest.mark.parametrize("ahead", [0, 1, 4, 100])
def test_what_was_given_counts_and_not_what_was_asked_for(dataset, ahead):
    sampler = rds.BatchSampler(dataset, 10)
    whole = list(rds.BatchSampler(dataset, 10))
    given = []
    for number, batch in enumerate(Ahead(sampler, ahead), start=1):
        given.append(batch)
        assert place(sampler) == (0, 10 * number)
        resumed = rds.BatchSampler(dataset, 10)
        resumed.load_state_dict(sampler.state_dict())
        resumed.set_epoch(0)
        assert list(resumed) == whole[number:]
    assert given == whole
    assert place(sampler) == (1, 0)
    following = rds.BatchSampler(dataset, 10)
    following.set_epoch(1)
    assert list(Ahead(sampler, ahead)) == list(following)


@pytest.mark.parametrize("ahead", [0, 1, 4, 100])
def test_a_loop_that_is_broken_off_is_counted_although_its_iterator_is_gone(ahead):
    sampler = rds.BatchSampler(100, 10)
    whole = list(rds.BatchSampler(100, 10))
    for number, _ in enumerate(Ahead(sampler, ahead)):
        if number == 3:
            break
    gc.collect()
    assert place(sampler) == (0, 40)
    assert list(Ahead(sampler, ahead)) == whole[4:]
    assert place(sampler) == (1, 0)


@pytest.mark.parametrize("ahead", [1, 100])
def test_an_iterator_that_is_kept_begins_the_next_epoch(ahead):
    """As with persistent workers: after the last batch it cannot be seen whether there was a look for another."""
    sampler = rds.BatchSampler(100, 10)
    iterator = Ahead(sampler, ahead, keeps=True)
    whole = list(iterator)
    assert len(whole) == 10 and place(sampler) == (0, 100)
    resumed = rds.BatchSampler(100, 10)
    resumed.load_state_dict(sampler.state_dict())
    iterator._reset()
    following = [next(iterator), next(iterator)]
    assert place(sampler) == (1, 20)
    assert list(resumed) == [] and following == list(resumed)[:2]
    list(iterator)
    sampler.set_epoch(2)
    assert place(sampler) == (2, 0)


def test_an_iterator_may_have_given_batches_before():
    """As one of torchdata that was resumed."""
    sampler = rds.BatchSampler(100, 10)
    iterator = Ahead(sampler, 2)
    iterator._num_yielded = 7
    next(iterator)
    assert place(sampler) == (0, 10)


def test_an_iterator_does_not_live_on_because_it_is_counted():
    ended = []

    class Ended(Ahead):
        def __del__(self):
            ended.append(self._num_yielded)

    sampler = rds.BatchSampler(100, 10)
    gc.disable()
    try:
        for _ in Ended(sampler, 2):
            break
        assert ended == [1]
    finally:
        gc.enable()
    assert place(sampler) == (0, 10)


@pytest.mark.parametrize("ahead", [0, 3])
def test_who_counts_himself_says_so(ahead):
    sampler = rds.BatchSampler(100, 10)
    rows = list(rds.BatchSampler(100, 10))
    sampler.load_state_dict(sampler.state_dict(0))
    iterator = Ahead(sampler, ahead)
    for _ in range(4):
        next(iterator)
    for batches in range(5):
        resumed = rds.BatchSampler(100, 10)
        resumed.load_state_dict(sampler.state_dict(batches))
        assert list(resumed) == rows[batches:]
    with pytest.raises(ValueError, match="batches is 20"):
        sampler.state_dict(20)
    with pytest.raises(ValueError, match="batches is -1"):
        sampler.state_dict(-1)
    # Of an iteration that began in the middle.
    iterator = Ahead(sampler, ahead)
    next(iterator)
    assert int.from_bytes(sampler.state_dict(1)["rds"][24:32], "little") == 50


def test_the_state_of_an_iteration_is_behind_what_it_gave():
    sampler = rds.BatchSampler(40, 10)
    whole = list(rds.BatchSampler(40, 10))
    iterator = Ahead(sampler, 2)
    next(iterator)
    state = iterator._sampler_iter.state_dict()
    other = iter(rds.BatchSampler(40, 10))
    other.load_state_dict(state)
    assert list(other) == whole[3:]
    following = rds.BatchSampler(40, 10)
    following.set_epoch(1)
    assert other.state_dict() == following.state_dict()


def test_set_epoch_leaves_an_epoch_alone_that_was_begun():
    sampler = rds.BatchSampler(40, 10)
    first = list(sampler)
    sampler.set_epoch(0)
    next(iter(sampler))
    sampler.set_epoch(0)
    assert list(sampler) == first[1:]
    sampler.set_epoch(1)
    assert place(sampler) == (1, 0)
    for wrong, error in ((-1, ValueError), (0.5, TypeError)):
        with pytest.raises(error, match="epoch is"):
            sampler.set_epoch(wrong)


def test_ranks_may_change_from_one_iteration_to_the_next(monkeypatch):
    sampler = rds.BatchSampler(40, 5, seed=3)
    sampler.load_state_dict(rds.BatchSampler(40, 5, seed=8).state_dict())
    whole = sum(rds.BatchSampler(40, 5, seed=8), [])
    next(iter(sampler))
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert sum(sampler, []) == whole[10:15] + whole[20:25] + whole[30:35] + whole[37:40]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_is_a_sampler_of_its_own(dataset, copied):
    for source in (dataset, ROWS):
        sampler = rds.BatchSampler(source, 10, rows=np.arange(0, ROWS, 2), seed=4)
        iteration = iter(sampler)
        next(iteration)
        again = copied(sampler)
        assert place(again) == (0, 10)
        assert list(again) == list(iteration)


@pytest.mark.parametrize("rows", [0, []], ids=str)
def test_no_rows_are_no_batches(rows):
    sampler = rds.BatchSampler(0, 4) if rows == 0 else rds.BatchSampler(10, 4, rows=rows)
    assert len(sampler) == 0 and list(sampler) == []


@pytest.mark.parametrize(
    ("given", "options", "error", "text"),
    [
        (10, {}, ValueError, "batch_size is None"),
        (10, {"batch_size": 20, "tail": "drop"}, ValueError, "leaves no step"),
        (10, {"global_batch_size": 2, "rank": 0, "world_size": 3}, ValueError, "there are 3 ranks"),
        (10, {"batch_size": 2, "rows": [10]}, IndexError, "row 10 is out of range"),
        (-1, {"batch_size": 2}, ValueError, "dataset is -1"),
        ("results", {"batch_size": 2}, TypeError, "dataset is str"),
        (None, {"batch_size": 2}, TypeError, "dataset is NoneType"),
    ],
)
def test_wrong_options_are_refused_by_name(given, options, error, text):
    with pytest.raises(error, match=text) as caught:
        rds.BatchSampler(given, **options)
    assert isinstance(caught.value, rds.RdsError)


def test_several_tables_are_refused(dataset):
    with pytest.raises(ValueError, match="one table"):
        rds.BatchSampler([dataset, dataset], 4)


def test_the_version_that_the_dataset_showed_is_named_by_the_state(dataset, result_dir):
    sampler = rds.BatchSampler(dataset, 10)
    state = sampler.state_dict()
    write(result_dir, ["more"], DATA[:1], mode="append")
    dataset.refresh()
    with pytest.raises(ValueError, match="version"):
        rds.BatchSampler(dataset, 10).load_state_dict(state)
    sampler.load_state_dict(state)
    assert len(sum(sampler, [])) == ROWS
