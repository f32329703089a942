"""What docs/order.md promises: rows and states are those of docs/order.py, bit for bit, and so are its vectors."""

import runpy
from itertools import chain
from pathlib import Path

import lance
import numpy as np
import pytest
from killed import table_path

import rds

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "src" / "reader" / "loader" / "order_vectors.txt"
reference = runpy.run_path(str(ROOT / "docs" / "order.py"))
# Rows of the largest table that is written.
MOST_ROWS = 100


def cases():
    """Options of each vector, and the rows at the first positions and at the last."""
    for line in VECTORS.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            given, rows = ([int(number) for number in part.split()] for part in line.split(":"))
            yield *given, rows


OF_ONE_TABLE = [case for case in cases() if case[4:6] == (0, 0)]
OF_A_MIXTURE = [case for case in cases() if case[4] and case[0] <= MOST_ROWS]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Datasets by their number of rows."""

    def written(rows):
        directory = tmp_path_factory.mktemp("table")
        with rds.ResultDatasetWriter(directory) as writer:
            writer.write_batch(np.arange(rows), np.arange(rows, dtype=np.uint8)[:, None])
        return rds.ResultDataset({}, directory)

    return {rows: written(rows) for rows in {case[0] for case in OF_A_MIXTURE} | {50}}


def test_the_vectors_are_those_of_the_reference():
    assert VECTORS.read_text(encoding="utf-8").splitlines() == list(reference["vectors"]())
    assert len(OF_ONE_TABLE) == 39 and len(OF_A_MIXTURE) == 7


def at(position, sampler):
    """The sampler, moved: only how many rows were consumed is changed in its state, and the checksum."""
    state = sampler.state_dict()["rds"]
    state = state[:24] + position.to_bytes(8, "little") + state[32:60]
    sampler.load_state_dict({"rds": state + reference["crc32c"](state).to_bytes(4, "little")})
    return sampler


@pytest.mark.parametrize("n, clump, seed, epoch, table, pass_, rows", OF_ONE_TABLE)
def test_rows_of_one_table_come_in_the_order_of_the_vectors(n, clump, seed, epoch, table, pass_, rows):
    sampler = rds.BatchSampler(n, 8, seed=seed, clump=clump)
    sampler.set_epoch(epoch)
    first = next(iter(sampler))
    assert first + list(chain.from_iterable(at(max(n - 2, 0), sampler))) == rows


@pytest.mark.parametrize("n, clump, seed, epoch, table, pass_, rows", OF_A_MIXTURE)
def test_rows_of_a_mixture_come_in_the_order_of_the_vectors(tables, n, clump, seed, epoch, table, pass_, rows):
    datasets = [tables[50]] * table + [tables[n]]
    weights = [0] * table + [1]
    loader = rds.Loader(
        datasets, batch_size=n, columns=(), seed=seed, clump=clump, weights=weights, epoch_rows=(pass_ + 1) * n
    )
    loader.seek(epoch, pass_ * n)
    drawn = next(iter(loader)).tolist()
    assert drawn[:8] + drawn[max(n - 2, 0) :] == rows
    assert set(loader.tables) == {table}


@pytest.mark.parametrize("order, clump", [("shuffled", 1), ("shuffled", 7), ("in_order", 0)])
@pytest.mark.parametrize("rows", [None, slice(3, 40), [5, 1, 1, 47]])
def test_a_state_of_a_table_is_laid_out_as_the_page_says(tmp_path, rows, order, clump):
    for mode in ("create", "append"):
        with rds.ResultDatasetWriter(tmp_path, mode=mode) as writer:
            writer.write_batch(np.arange(25), {"a": np.zeros((25, 2)), "b": np.zeros(25)})
    table = lance.dataset(table_path(tmp_path))
    table.delete("object_id = '7'")
    dataset = rds.ResultDataset({}, tmp_path)
    size = len(dataset)
    chosen = range(*rows.indices(size)) if isinstance(rows, slice) else rows or range(size)
    loader = rds.Loader(
        dataset, batch_size=2, seed=2**64 - 1, rows=rows, order=order, **({"clump": clump} if clump else {})
    )
    loader.set_epoch(9)
    next(iter(loader))
    expected = reference["state"](2**64 - 1, 9, 2, [chosen], [files_of(table)], clump)
    assert loader.state_dict() == {"rds": expected}


def files_of(table):
    """The version of a table, and the names of its files, in the order of the page."""
    names = []
    for fragment in table.get_fragments():
        names += [file.path for file in fragment.data_files()]
        if deleted := fragment.metadata.deletion_file:
            names.append(f"{deleted.read_version}-{deleted.id}")
    return table.version, names


def test_a_state_of_a_mixture_is_laid_out_as_the_page_says(tables):
    datasets = [tables[9], tables[100]]
    weights = [(0, 0, [1, 2]), (3, 0, [5, 3]), (3, 8, [1, 0]), (3, 12, [1, 1])]
    loader = rds.Loader(datasets, batch_size=4, columns=(), seed=5, weights=weights, epoch_rows=30)
    loader.seek(3, 8)
    next(iter(loader))
    files = [files_of(lance.dataset(table_path(dataset.data_location))) for dataset in datasets]
    segments = [(0, [5, 3]), (8, [1, 0]), (12, [1, 1])]
    expected = reference["state"](5, 3, 12, [range(9), range(100)], files, 1, 30, segments)
    assert loader.state_dict() == {"rds": expected}


def test_a_mixture_is_that_of_the_reference(tables):
    sizes = [1, 9, 100]
    changes = [(2, 0, [5, 0, 2]), (2, 13, [0, 1, 1]), (2, 40, [1, 300, 299])]
    loader = rds.Loader([tables[n] for n in sizes], batch_size=7, columns=(), seed=3, weights=changes, epoch_rows=150)
    loader.seek(2)
    drawn = [place for rows in loader for place in zip(loader.tables.tolist(), rows.tolist())]
    segments = [change[1:] for change in changes]
    for position, place in enumerate(drawn):
        table, pass_, index = reference["mixed"](sizes, segments, position)
        row = reference["shuffled"](sizes[table], reference["digest"](3, 2, table, pass_), index)
        assert place == (table, row)
    assert len(drawn) == 150
