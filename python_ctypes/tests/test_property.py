"""Any dtype, shape and split into batches: what NumPy has is what a table gives."""

import tempfile

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import DTYPES, assert_same_bits, random_array

import rds

IDS = st.text(st.characters(codec="utf-8"), max_size=8)


@st.composite
def runs(draw):
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(1, 5), max_size=3))
    sizes = draw(st.lists(st.integers(0, 40), min_size=1, max_size=6))
    count = sum(sizes)
    ids = draw(st.lists(IDS, min_size=count, max_size=count))
    data = random_array(dtype, (count, *shape), seed=draw(st.integers(0, 2**32)))
    return ids, data, sizes, draw(st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes)))


def write(path, run, **options):
    ids, data, sizes, flushes = run
    with rds.ResultDatasetWriter(path, **options) as writer:
        start = 0
        for size, flush in zip(sizes, flushes):
            part = slice(start, start + size)
            writer.write_batch(ids[part], data[part])
            start += size
            if flush:
                writer.flush()


@settings(max_examples=60, deadline=None)
@given(run=runs(), draw=st.data())
def test_what_was_written_is_what_is_read(run, draw):
    ids, data = run[:2]
    with tempfile.TemporaryDirectory() as path:
        write(path, run)
        if not ids:
            return
        dataset = rds.ResultDataset({}, path)
        assert dataset.ids() == ids
        assert_same_bits(dataset.__get_all__(), data)
        rows = draw.draw(st.lists(st.integers(0, len(ids) - 1), max_size=50))
        assert_same_bits(dataset[rows], data[np.array(rows, int)])
        part = draw.draw(st.slices(len(ids)))
        assert_same_bits(dataset[part], data[part])
        wanted = [ids[row] for row in rows]
        assert dataset.find(wanted).tolist() == [ids.index(one) for one in wanted]


@settings(max_examples=25, deadline=None)
@given(run=runs(), order=st.permutations(range(4)))
def test_memory_layout_does_not_matter(run, order):
    ids, data = run[:2]
    axes = [axis for axis in order if axis < data.ndim]
    strided = np.ascontiguousarray(data.transpose(axes)).transpose(np.argsort(axes))
    if not ids:
        return
    with tempfile.TemporaryDirectory() as path:
        with rds.ResultDatasetWriter(path) as writer:
            writer.write_batch(ids, strided)
        assert_same_bits(rds.ResultDataset({}, path).__get_all__(), data)
