"""Any dtype, shape and split into batches: what NumPy has is what a table gives."""

import tempfile

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import DTYPES, assert_same_bits, column_bytes, random_array, to_arrow

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


@st.composite
def ids_and_rows(draw):
    """A run with at least one row, and a selection of its rows."""
    run = draw(runs().filter(lambda run: run[0]))
    count = len(run[0])
    rows = draw(
        st.one_of(
            st.lists(st.integers(0, count - 1), max_size=60),
            st.lists(st.booleans(), min_size=count, max_size=count),
            st.slices(count),
        )
    )
    return run, rows


@settings(max_examples=40, deadline=None)
@given(drawn=ids_and_rows(), batch_size=st.integers(1, 50))
def test_every_way_out_gives_the_same_rows(drawn, batch_size):
    run, rows = drawn
    ids, data = np.array(run[0], object), run[1]
    chosen = rows if isinstance(rows, slice) else np.array(rows, None if rows else int)
    with tempfile.TemporaryDirectory() as path:
        write(path, run)
        dataset = rds.ResultDataset({}, path)
        expected = data[chosen]
        assert_same_bits(dataset[rows], expected)
        stream = dataset.stream(batch_size=batch_size, rows=rows)
        table = pa.table(stream)
        assert table["object_id"].to_pylist() == ids[chosen].tolist()
        assert column_bytes(table["data"]) == np.ascontiguousarray(expected).tobytes()
        parts = [np.asarray(batch) for batch in stream]
        assert_same_bits(np.concatenate([data[:0], *parts]), expected)
        if not isinstance(rows, slice):
            assert_same_bits(dataset.take(rows), expected)
            assert_same_bits(dataset.batch(rows), expected)
        assert_same_bits(np.asarray(dataset), data)


@settings(max_examples=40, deadline=None)
@given(run=runs())
def test_what_was_written_as_arrow_is_what_is_read(run):
    ids, data, sizes, _ = run
    with tempfile.TemporaryDirectory() as path:
        with rds.ResultDatasetWriter(path) as writer:
            start = 0
            for size in filter(None, sizes):
                part = slice(start, start + size)
                writer.write_batch(to_arrow(ids[part], data[part]))
                start += size
        if not ids:
            return
        dataset = rds.ResultDataset({}, path)
        assert dataset.ids() == ids
        assert_same_bits(dataset.__get_all__(), data)


# NumPy takes a NUL at the end for padding.
NUMPY_IDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@settings(max_examples=60, deadline=None)
@given(ids=st.lists(NUMPY_IDS, min_size=1, max_size=60), order=st.sampled_from("<>"))
def test_ids_in_every_form_are_the_same_text(ids, order):
    forms = [
        ids,
        tuple(ids),
        np.array(ids).astype(f"{order}U"),
        np.array([one.encode() for one in ids]),
        np.array(ids, object),
        [one.encode() for one in ids],
        [one.encode() if number % 2 else one for number, one in enumerate(ids)],
    ]
    with tempfile.TemporaryDirectory() as path:
        with rds.ResultDatasetWriter(path) as writer:
            for form in forms:
                writer.write_batch(form, np.zeros(len(ids), "i1"))
        dataset = rds.ResultDataset({}, path)
        assert dataset.ids() == ids * len(forms)
        assert [dataset.get_object_id(row) for row in range(len(ids))] == ids
        first = [ids.index(one) for one in ids]
        for form in forms:
            assert dataset.find(form).tolist() == dataset.index_of(form).tolist() == first
