"""Any columns, in batches of any size and order, are what NumPy says."""

import tempfile

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import DTYPES, assert_same_bits, random_array

import rds

NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters=".`"), min_size=1, max_size=12
).filter(lambda name: name != "object_id" and not name.lower().startswith("_row"))
SHAPES = st.lists(st.integers(1, 4), max_size=3).map(tuple)
SPECS = st.dictionaries(NAMES, st.tuples(st.sampled_from(DTYPES), SHAPES), min_size=1, max_size=5)


@st.composite
def tables(draw):
    """Arrays by name, where batches end, the order of columns in each, and whether it is flushed."""
    specs = draw(SPECS)
    rows = draw(st.integers(1, 40))
    arrays = {
        name: random_array(dtype, (rows, *shape), seed)
        for seed, (name, (dtype, shape)) in enumerate(specs.items())
    }
    ends = sorted(draw(st.sets(st.integers(1, rows), max_size=4)) | {rows})
    orders = [list(arrays), *(draw(st.permutations(list(arrays))) for _ in ends[1:])]
    flushes = draw(st.lists(st.booleans(), min_size=len(ends), max_size=len(ends)))
    wanted = draw(st.lists(st.integers(0, rows - 1), max_size=10))
    return arrays, list(zip([0, *ends], ends, orders, flushes)), wanted


def same(dataset, arrays, wanted):
    assert dataset.columns == tuple(arrays)
    stacked, taken = dataset[wanted], dataset.take(wanted, list(arrays))
    lone = list(arrays) == ["data"]
    table = pa.table(dataset.stream(batch_size=7))
    assert table.schema.names == ["object_id", *arrays]
    for name, array in arrays.items():
        assert_same_bits(np.asarray(dataset[name]), array)
        assert_same_bits(stacked if lone else stacked[name], array[wanted])
        assert_same_bits(taken[name], array[wanted])
        assert_same_bits(dataset[name][len(array) // 2], array[len(array) // 2])
        assert_same_bits(np.concatenate([batch[name] for batch in dataset.stream(batch_size=7)]), array)
    row = dataset[len(array) - 1]
    for name, array in arrays.items():
        assert_same_bits(row if lone else row[name], array[-1])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables(), st.sampled_from(["auto", "lance"]))
def test_what_is_written_by_name_is_read(table, access):
    arrays, batches, wanted = table
    rows = len(next(iter(arrays.values())))
    ids = [f"id-{row}" for row in range(rows)]
    with tempfile.TemporaryDirectory() as directory:
        with rds.ResultDatasetWriter(directory) as writer:
            for start, end, order, flush in batches:
                writer.write_batch(ids[start:end], {name: arrays[name][start:end] for name in order})
                if flush:
                    writer.flush()
        with rds.ResultDataset({}, directory, access=access) as dataset:
            same(dataset, arrays, wanted)
            assert dataset.ids() == ids
