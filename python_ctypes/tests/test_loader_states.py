"""Where a loader is: epochs, states, ranks that come from elsewhere, weights that change."""

import copy
import json
import sys
import types

import numpy as np
import pytest
from samples import numbered_ids, random_array, write

import rds
from rds import _sources

ROWS = 100
DATA = random_array("f4", (ROWS, 4))
IDS = numbered_ids(ROWS)


@pytest.fixture
def dataset(make_dataset):
    return make_dataset(IDS, DATA)


@pytest.fixture
def tables(tmp_path):
    """Three tables whose rows are their own numbers, and say of which table they are."""
    made = []
    for table, size in enumerate((50, 20, 5)):
        write(tmp_path / str(table), np.arange(size), np.stack([np.full(size, table), np.arange(size)], axis=1))
        made.append(rds.ResultDataset({}, tmp_path / str(table)))
    return made


def rows_of(loader, batches=None):
    """Rows of some batches, or of all to the end of the epoch."""
    found = []
    if batches == 0:
        return found
    for number, _ in enumerate(loader, start=1):
        found += loader.rows.tolist()
        if number == batches:
            break
    return found


def place(loader):
    return loader.epoch, loader.consumed


def test_what_is_broken_off_goes_on_where_it_was(dataset):
    loader = rds.Loader(dataset, batch_size=8)
    whole = rows_of(rds.Loader(dataset, batch_size=8))
    assert rows_of(loader, 3) + rows_of(loader, 1) + rows_of(loader) == whole
    assert place(loader) == (1, 0)


def exhausted(dataset, kind, tail):
    """Something that has given its last batch, and was not asked for more; its position, and the first rows after."""
    options = {"batch_size": 30, "tail": tail}
    one = rds.Loader(dataset, columns=[], **options) if kind == "loader" else rds.BatchSampler(dataset, **options)
    iteration = iter(one)
    for _ in range(len(one)):
        next(iteration)
    following = rds.Loader(dataset, columns=[], **options)
    following.seek(1)
    return one, iteration, (0, 90 if tail == "drop" else 100), next(iter(following)).tolist()


@pytest.mark.parametrize("tail", ["short", "pad", "drop"])
@pytest.mark.parametrize("kind", ["loader", "sampler"])
def test_behind_the_last_batch_comes_the_next_epoch_for_who_counts_steps(dataset, kind, tail):
    one, iteration, end, following = exhausted(dataset, kind, tail)
    assert place(one) == end
    assert list(next(iter(one))) == following
    assert place(one) == (1, 30)
    if kind == "loader":
        # Which is none of the iteration before.
        assert next(iteration, None) is None


@pytest.mark.parametrize("tail", ["short", "pad", "drop"])
@pytest.mark.parametrize("kind", ["loader", "sampler"])
def test_behind_a_state_of_the_last_batch_nothing_is_left_of_the_epoch(dataset, kind, tail):
    one, iteration, end, following = exhausted(dataset, kind, tail)
    state = one.state_dict()
    assert next(iteration, None) is None
    for epochs in (range(0, 2), range(1, 2), None):
        other, _, _, _ = exhausted(dataset, kind, tail)
        other.load_state_dict(state)
        assert place(other) == end and other.state_dict() == state
        if epochs is None:
            assert list(other) == []
            assert list(next(iter(other))) == following
            continue
        # A loop that counts epochs.
        seen = []
        for epoch in epochs:
            other.set_epoch(epoch)
            assert place(other) == (end if epoch == 0 else (1, 0))
            seen += list(other)
        assert len(seen) == len(other) and list(seen[0]) == following


@pytest.mark.parametrize("kind", ["loader", "sampler"])
def test_an_epoch_that_was_asked_for_to_its_end_has_nothing_more(dataset, kind):
    one, *_ = exhausted(dataset, kind, "short")
    one.set_epoch(0)
    assert list(one) == [] and place(one) == (1, 0)
    assert len(list(one)) == 4


def test_set_epoch_leaves_an_epoch_alone_that_was_begun(dataset):
    loader = rds.Loader(dataset, batch_size=8)
    first = rows_of(loader, 3)
    loader.set_epoch(0)
    assert place(loader) == (0, 24)
    loader.set_epoch(2)
    assert place(loader) == (2, 0)
    rows_of(loader, 3)
    loader.set_epoch(np.int64(0))
    assert rows_of(loader, 3) == first
    loader.seek(0)
    assert rows_of(loader, 3) == first
    loader.seek(0, 8)
    assert rows_of(loader, 2) == first[8:]
    for wrong in ((0, 101), (-1, 0), (0, -1)):
        with pytest.raises(ValueError):
            loader.seek(*wrong)
    with pytest.raises(TypeError, match=r"epoch is 0\.5"):
        loader.set_epoch(0.5)
    assert place(loader) == (0, 24)


def test_an_iteration_goes_on_from_where_it_is_put(dataset):
    loader = rds.Loader(dataset, batch_size=8)
    whole = rows_of(loader)
    loader.seek(0)
    iteration = iter(loader)
    next(iteration)
    loader.seek(0, 40)
    next(iteration)
    assert loader.rows.tolist() == whole[40:48]


@pytest.mark.parametrize("given", [0, 1, 5, 13])
def test_a_state_goes_on_in_another_loader(dataset, given):
    loader = rds.Loader(dataset, batch_size=8, seed=3)
    loader.seek(7)
    before = rows_of(loader, given)
    state = loader.state_dict()
    assert list(state) == ["rds"] and type(state["rds"]) is bytes and len(state["rds"]) == 64
    # Of another seed, batch size and number of ranks.
    others = [rds.Loader(dataset, batch_size=5, seed=99, rank=rank, world_size=2) for rank in range(2)]
    after = []
    for other in others:
        other.load_state_dict(state)
        other.set_epoch(7)
        assert place(other) == (7, min(8 * given, ROWS))
        assert other.state_dict() == state
        after += rows_of(other)
    assert sorted(before + after) == list(range(ROWS))
    assert {place(other) for other in others} == {(8, 0)}


def test_a_state_of_something_else_is_refused_by_name(dataset, tmp_path):
    loader = rds.Loader(dataset, batch_size=8)
    rows_of(loader, 2)
    where, before = place(loader), rows_of(loader, 1)
    loader.seek(*where)
    write(tmp_path / "another", IDS, DATA)
    another = rds.ResultDataset({}, tmp_path / "another")
    damaged = bytearray(loader.state_dict()["rds"])
    damaged[30] ^= 1
    refused = [
        (rds.Loader(dataset, batch_size=8, rows=range(99)).state_dict(), "subset"),
        (rds.Loader(dataset, batch_size=8, order="in_order").state_dict(), "order"),
        (rds.Loader(dataset, batch_size=8, clump=2).state_dict(), "clump"),
        (rds.Loader(another, batch_size=8).state_dict(), "another table"),
        (rds.BatchSampler(ROWS, 8).state_dict(), "of no table"),
        ({"rds": bytes(damaged)}, "damaged"),
        ({"rds": bytes(64)}, "no state of a loader"),
        ({"rds": b"short"}, "64 bytes"),
        ({}, "64 bytes"),
        (None, "64 bytes"),
    ]
    for state, text in refused:
        with pytest.raises(ValueError, match=text) as caught:
            loader.load_state_dict(state)
        assert isinstance(caught.value, rds.RdsError)
        assert place(loader) == where
    assert rows_of(loader, 1) == before


def test_a_state_of_another_version_names_both(dataset, result_dir):
    state = rds.Loader(dataset, batch_size=8).state_dict()
    write(result_dir, ["more"], DATA[:1], mode="append")
    newer = rds.Loader(rds.ResultDataset({}, result_dir), batch_size=8)
    with pytest.raises(ValueError, match="version"):
        newer.load_state_dict(state)
    shown = rds.ResultDataset({}, result_dir, version=dataset._snapshot.info.version)
    rds.Loader(shown, batch_size=8).load_state_dict(state)


@pytest.fixture
def ranks(monkeypatch):
    """Sets what processes are told: RANK and WORLD_SIZE, torch.distributed, jax.distributed."""
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)

    def set_ranks(environment=None, torch=None, jax=None):
        for name, value in zip(("RANK", "WORLD_SIZE"), environment or ()):
            if value is not None:
                monkeypatch.setenv(name, value)
        if torch:
            distributed = types.SimpleNamespace(
                is_available=lambda: True, is_initialized=lambda: torch[2], get_rank=lambda: torch[0],
                get_world_size=lambda: torch[1],
            )
            monkeypatch.setitem(sys.modules, "torch.distributed", distributed)
        if jax:
            distributed = types.SimpleNamespace(is_initialized=lambda: jax[2])
            module = types.SimpleNamespace(
                distributed=distributed, process_index=lambda: jax[0], process_count=lambda: jax[1]
            )
            monkeypatch.setitem(sys.modules, "jax", module)

    return set_ranks


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, (0, 1)),
        ({"environment": ("1", "4")}, (1, 4)),
        ({"torch": (2, 4, True), "environment": ("1", "4")}, (2, 4)),
        ({"torch": (2, 4, False), "environment": ("1", "4")}, (1, 4)),
        ({"torch": (2, 4, False)}, (0, 1)),
        ({"jax": (3, 4, True)}, (3, 4)),
        ({"jax": (3, 4, False)}, (0, 1)),
        ({"jax": (3, 4, True), "environment": ("1", "4")}, (1, 4)),
    ],
)
def test_ranks_come_from_who_knows_them(dataset, ranks, told, expected):
    ranks(**told)
    rank, world_size = expected
    given = rds.Loader(dataset, batch_size=4, rank=rank, world_size=world_size)
    assert rows_of(rds.Loader(dataset, batch_size=4)) == rows_of(given)
    assert list(rds.BatchSampler(ROWS, 4)) == list(rds.BatchSampler(ROWS, 4, rank=rank, world_size=world_size))
    # What is given comes before what is told.
    alone = rds.Loader(dataset, batch_size=4, rank=0, world_size=1)
    assert len(rows_of(alone)) == ROWS


@pytest.mark.parametrize("environment", [("1", None), (None, "4"), ("one", "4"), ("4", "4"), ("-1", "4")], ids=str)
def test_half_a_rank_in_the_environment_is_an_error(dataset, ranks, environment):
    ranks(environment)
    with pytest.raises(RuntimeError, match="RANK="):
        rds.Loader(dataset, batch_size=4)


def test_ranks_may_change_from_one_iteration_to_the_next(dataset, ranks):
    loader = rds.Loader(dataset, batch_size=4)
    whole = rows_of(rds.Loader(dataset, batch_size=4))
    assert (rows_of(loader, 2), len(loader)) == (whole[:8], 25)
    ranks(("1", "2"))
    assert len(loader) == 13
    # The second half of each step of eight rows.
    assert rows_of(loader, 2) == whole[12:16] + whole[20:24]
    assert place(loader) == (0, 24)


def test_weights_that_are_fractions_are_whole_numbers_of_the_same_ratio():
    assert _sources.whole([0.7, 0.3], 2) == [7, 3]
    assert _sources.whole([1, 3], 2) == [1, 3]
    assert _sources.whole([0.5, 1.5, 0], 3) == [1, 3, 0]
    assert _sources.whole(np.array([0.1, 0.2], "f4"), 2) == [1, 2]
    assert _sources.whole([1e-300, 1.0], 2) == [1, 2**53 - 1]
    for wrong in ([0, 0], [-1, 2], [1], [float("nan"), 1], [float("inf"), 1], [0.0, 0.0], ["a", 1], [2**62, 1]):
        with pytest.raises(ValueError, match="weights"):
            _sources.whole(wrong, 2)


def counted(loader, batches=None):
    """How many rows of each table some batches had."""
    counts = np.zeros(3, int)
    for number, batch in enumerate(loader, start=1):
        assert np.array_equal(batch[:, 0], loader.tables) and np.array_equal(batch[:, 1], loader.rows)
        counts += np.bincount(loader.tables, minlength=3)
        if number == batches:
            break
    return counts.tolist()


def test_without_weights_every_row_of_every_table_comes_once(tables):
    loader = rds.Loader(tables, batch_size=10)
    assert len(loader) == 8 and counted(loader) == [50, 20, 5]


def test_weights_say_how_often_rows_of_each_table_come(tables):
    loader = rds.Loader(tables, batch_size=10, weights=[0.5, 0.3, 0.2], epoch_rows=100)
    assert counted(loader, 1) == [5, 3, 2]
    assert counted(loader) == [45, 27, 18]
    changed = rds.Loader(tables, batch_size=10, weights=[(0, 0, [1, 0, 0]), (0, 20, [0, 1, 1])], epoch_rows=40)
    assert counted(changed, 2) == [20, 0, 0] and counted(changed) == [0, 10, 10]
    assert counted(changed) == [0, 20, 20]


def test_subsets_of_several_tables(tables):
    loader = rds.Loader(tables, batch_size=10, rows=[slice(10), [3, 3], None])
    assert counted(loader) == [10, 2, 5]
    for wrong in ([None], slice(10)):
        with pytest.raises(ValueError, match="3 datasets"):
            rds.Loader(tables, batch_size=10, rows=wrong)


def test_weights_change_from_the_position_on_and_a_state_tells_them(tables):
    loader = rds.Loader(tables, batch_size=10, epoch_rows=60, weights=[1, 1, 0])
    assert counted(loader, 2) == [10, 10, 0]
    early = loader.state_dict()
    loader.set_weights([0, 0, 1])
    assert place(loader) == (0, 20)
    assert counted(loader, 1) == [0, 0, 10]
    state = loader.state_dict()
    # As it comes back from where it was stored.
    state["weights"] = json.loads(json.dumps(state["weights"]))
    rest = rows_of(loader)
    other = rds.Loader(tables, batch_size=10, epoch_rows=60, weights=[1, 1, 0])
    with pytest.raises(ValueError, match="weights"):
        other.load_state_dict({"rds": state["rds"]})
    other.load_state_dict(state)
    assert rows_of(other) == rest
    assert other.state_dict() == loader.state_dict()
    # What was changed behind the position is no part of a state.
    loader.load_state_dict(early)
    assert counted(loader, 1) == [5, 5, 0]
    # Weights that were to hold from a later position on are forgotten.
    loader.seek(0, 10)
    loader.set_weights([0, 1, 0])
    assert counted(loader) == [0, 50, 0]


@pytest.mark.parametrize("wrong", [[1, 1], [0, 0, 0], [1, 1, -1]], ids=str)
def test_weights_that_are_refused_leave_the_loader_as_it_was(tables, wrong):
    loader = rds.Loader(tables, batch_size=10)
    counted(loader, 1)
    with pytest.raises(ValueError, match="weights"):
        loader.set_weights(wrong)
    rest = counted(loader)
    assert sum(rest) == 65


def test_weights_that_librds_refuses_leave_those_that_were(tables):
    loader = rds.Loader(tables, batch_size=10, rows=[None, None, []], weights=[1, 1, 0])
    with pytest.raises(ValueError, match="table 2 has no rows"):
        loader.set_weights([1, 1, 1])
    assert counted(copy.copy(loader), 2) == counted(loader, 2) == [10, 10, 0]


def test_tables_of_other_columns_are_refused(tables, dataset):
    with pytest.raises(ValueError, match="data"):
        rds.Loader([tables[0], dataset], batch_size=4)


def test_a_state_of_before_other_weights_has_those_of_before(tmp_path):
    with rds.ResultDatasetWriter(tmp_path) as writer:
        writer.write_batch(np.arange(40), np.arange(40.0)[:, None])
    dataset = rds.ResultDataset({}, tmp_path)

    def make():
        return rds.Loader([dataset, dataset], batch_size=4, columns=[], weights=[1, 1])

    def rest(loader):
        return [(loader.tables.tolist(), loader.rows.tolist()) for _ in loader]

    loader = make()
    next(iter(loader))
    state = loader.state_dict()
    loader.set_weights([1, 7])
    changed = loader.state_dict()
    with_changed = rest(loader)
    loader.load_state_dict(state)
    again = make()
    again.load_state_dict(state)
    assert rest(loader) == rest(again) != with_changed
    again.load_state_dict(changed)
    assert rest(again) == with_changed


def test_weights_that_change_in_each_epoch_do_not_add_up(tmp_path):
    with rds.ResultDatasetWriter(tmp_path) as writer:
        writer.write_batch(np.arange(4), np.arange(4.0)[:, None])
    dataset = rds.ResultDataset({}, tmp_path)
    loader = rds.Loader([dataset, dataset], batch_size=2, columns=[])
    for epoch in range(20):
        loader.set_epoch(epoch)
        loader.set_weights([1, epoch])
        assert len(list(loader)) == 4
    assert len(loader.state_dict()["weights"]) == 2
