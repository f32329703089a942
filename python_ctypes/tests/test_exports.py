"""Results as arrays of others: `__array__`, DLPack, and `take` into memory of the caller."""

import gc
import shutil

import numpy as np
import pytest
from samples import BFLOAT16, DTYPES, assert_same_bits, dtype_name, numbered_ids, random_array
from samples import store, to_arrow, write

import rds
from rds._library import library

ROWS = 300
DATA = random_array("f4", (ROWS, 2, 3))
IDS = numbered_ids(ROWS)
IN_DLPACK = [d for d in DTYPES if d.kind not in "mM" and d != BFLOAT16]


@pytest.fixture
def dataset(make_dataset):
    return make_dataset(IDS, DATA)


@pytest.fixture
def in_pieces(result_dir):
    """A dataset whose rows lie in several files."""
    for start in range(0, ROWS, 100):
        part = slice(start, start + 100)
        write(result_dir, IDS[part], DATA[part], mode="append" if start else "create")
    return rds.ResultDataset({}, result_dir)


@pytest.fixture
def unmapped(result_dir):
    """A dataset that is read through Lance: narrow rows of pylance are compressed."""
    data = np.arange(2 * ROWS, dtype="i4").reshape(ROWS, 2)
    store(result_dir, to_arrow(IDS, data))
    return rds.ResultDataset({}, result_dir), data


@pytest.mark.parametrize("shape", [(), (6,), (2, 3)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=dtype_name)
def test_numpy_has_the_memory_of_the_file(make_dataset, dtype, shape):
    data = random_array(dtype, (ROWS, *shape))
    dataset = make_dataset(IDS, data)
    array = np.asarray(dataset)
    assert_same_bits(array, data)
    assert not array.flags.writeable
    if dtype != np.bool_:
        assert_same_bits(np.asarray(dataset, copy=False), data)
        assert np.shares_memory(array, dataset[7])


def test_an_array_without_a_copy_outlives_dataset_and_files(dataset, result_dir):
    array = np.asarray(dataset, copy=False)
    dataset.close()
    del dataset
    gc.collect()
    shutil.rmtree(result_dir)
    assert_same_bits(array, DATA)


@pytest.mark.parametrize("copy", [None, True, False])
def test_another_dtype_is_converted_or_refused(dataset, copy):
    with np.errstate(invalid="ignore"):
        if copy is False:
            with pytest.raises(ValueError, match="without a copy"):
                dataset.__array__(np.float64, copy=copy)
            return
        array = dataset.__array__(np.float64, copy=copy)
        assert_same_bits(array, DATA.astype(np.float64))
    assert_same_bits(dataset.__array__("f4", copy=copy), DATA)


def test_rows_that_are_not_mapped_are_an_array_only_as_a_copy(unmapped):
    dataset, data = unmapped
    assert_same_bits(np.asarray(dataset), data)
    with pytest.raises(ValueError, match="one mapped file"):
        np.asarray(dataset, copy=False)


def test_fragments_are_joined_by_a_copy(in_pieces):
    assert_same_bits(np.asarray(in_pieces), DATA)
    assert not np.shares_memory(np.asarray(in_pieces), in_pieces[0])
    with pytest.raises(ValueError, match="one mapped file"):
        np.asarray(in_pieces, copy=False)


def test_a_copy_may_be_written(dataset):
    for array in (np.array(dataset), dataset.__array__(copy=True), dataset.__array__("f4", copy=True)):
        assert array.flags.writeable
        assert not np.shares_memory(array, dataset[0])


def test_an_empty_table_is_an_empty_array(result_dir):
    write(result_dir, IDS, DATA)
    rds.ResultDataset({}, result_dir).lance_dataset.delete("true")
    dataset = rds.ResultDataset({}, result_dir)
    assert len(dataset) == 0 and dataset.ids() == [] and list(dataset) == []
    assert_same_bits(np.asarray(dataset), DATA[:0])
    assert_same_bits(dataset.take([]), DATA[:0])
    assert_same_bits(np.from_dlpack(dataset), DATA[:0])
    assert list(dataset.stream()) == []


@pytest.mark.parametrize("shape", [(), (6,), (2, 3)], ids=str)
@pytest.mark.parametrize("dtype", IN_DLPACK, ids=dtype_name)
def test_dlpack_has_the_memory_of_the_file(make_dataset, dtype, shape):
    data = random_array(dtype, (ROWS, *shape))
    dataset = make_dataset(IDS, data)
    assert dataset.__dlpack_device__() == (1, 0)
    array = np.from_dlpack(dataset)
    assert_same_bits(array, data)
    if dtype != np.bool_:
        assert not array.flags.writeable
        assert np.shares_memory(array, dataset[7])


def test_a_dlpack_tensor_outlives_dataset_and_files(dataset, result_dir):
    array = np.from_dlpack(dataset)
    dataset.close()
    del dataset
    gc.collect()
    shutil.rmtree(result_dir)
    assert_same_bits(array, DATA)


class Consumer:
    """Hands out a capsule as it was made."""

    def __init__(self, capsule):
        self.capsule = capsule

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, **_):
        return self.capsule


@pytest.mark.parametrize("options", [{}, {"max_version": None}, {"max_version": (0, 8)}, {"copy": True},
                                     {"max_version": (1, 0), "copy": True}], ids=str)
def test_an_older_consumer_gets_a_copy_that_may_be_written(dataset, options):
    capsule = dataset.__dlpack__(**options)
    assert '"dltensor"' in repr(capsule)
    array = np.from_dlpack(Consumer(capsule))
    assert_same_bits(array, DATA)
    assert not np.shares_memory(array, dataset[0])


@pytest.mark.parametrize("max_version", [(1, 0), (1, 3), (2, 0)], ids=str)
def test_a_newer_consumer_gets_a_tensor_of_dlpack_1(dataset, max_version):
    assert '"dltensor_versioned"' in repr(dataset.__dlpack__(max_version=max_version))


def is_mapped(result_dir):
    return str(result_dir) in open("/proc/self/maps").read()


@pytest.mark.parametrize("consumed", [False, True])
def test_a_tensor_is_deleted_once_by_whoever_has_it_last(dataset, result_dir, consumed):
    capsule = dataset.__dlpack__(max_version=(1, 0))
    dataset.close()
    assert is_mapped(result_dir)
    if consumed:
        array = np.from_dlpack(Consumer(capsule))
        del capsule
        gc.collect()
        assert_same_bits(array, DATA)
        del array
    else:
        del capsule
    gc.collect()
    assert not is_mapped(result_dir)


def test_many_tensors_leak_nothing(dataset, result_dir):
    for _ in range(500):
        dataset.__dlpack__(max_version=(1, 0))
        np.from_dlpack(dataset)
    dataset.close()
    gc.collect()
    assert not is_mapped(result_dir)


REFUSED = [
    ({"stream": 1}, ValueError, "stream"),
    ({"dl_device": (2, 0)}, BufferError, "device"),
    ({"copy": False}, BufferError, "1.0"),
    ({"copy": False, "max_version": (0, 8)}, BufferError, "1.0"),
]


@pytest.mark.parametrize(("options", "error", "text"), REFUSED, ids=str)
def test_what_dlpack_cannot_have_is_refused(dataset, options, error, text):
    with pytest.raises(error, match=text) as caught:
        dataset.__dlpack__(**options)
    assert isinstance(caught.value, rds.RdsError)


def test_dlpack_without_a_copy_is_the_file_or_nothing(dataset):
    assert np.shares_memory(np.from_dlpack(dataset, copy=False), dataset[0])


@pytest.mark.parametrize("which", ["in_pieces", "unmapped"])
def test_rows_that_do_not_lie_in_one_file_are_copied_for_dlpack(request, which):
    dataset = request.getfixturevalue(which)
    dataset, data = dataset if which == "unmapped" else (dataset, DATA)
    assert_same_bits(np.from_dlpack(dataset), data)
    with pytest.raises(BufferError, match="one mapped file"):
        np.from_dlpack(dataset, copy=False)


@pytest.mark.parametrize("dtype", ["M8[ns]", "m8[s]"])
def test_dates_are_no_tensors(make_dataset, dtype):
    dataset = make_dataset(IDS[:3], np.zeros((3, 2), dtype))
    with pytest.raises(BufferError, match=f"DLPack has no {np.dtype(dtype).name[:8]}"):
        np.from_dlpack(dataset)


def test_bfloat16_is_a_tensor(make_dataset):
    """NumPy has no such dtype; the capsule is there for who has."""
    dataset = make_dataset(IDS[:3], random_array(BFLOAT16, (3, 2)))
    assert '"dltensor_versioned"' in repr(dataset.__dlpack__(max_version=(1, 0)))
    with pytest.raises(BufferError, match="bfloat16.*max_version"):
        dataset.__dlpack__()


ROW_FORMS = [[3, 299, 3], (0, 1), np.array([7, 2], np.uint16), np.arange(ROWS) % 5 == 0, [], range(5)]


@pytest.mark.parametrize("rows", ROW_FORMS, ids=str)
def test_take_gives_what_numpy_gives_and_may_be_written(dataset, rows):
    taken = dataset.take(rows)
    assert_same_bits(taken, DATA[np.asarray(rows, None if len(rows) else int)])
    assert taken.flags.writeable
    taken[...] = 0


def test_take_puts_rows_where_one_wants_them(dataset):
    memory = np.zeros((10, 2, 3), np.float32)
    out = memory[4:7]
    assert dataset.take([5, 5, 0], out=out) is out
    assert_same_bits(memory[4:7], DATA[[5, 5, 0]])
    assert not memory[:4].any() and not memory[7:].any()


def test_take_fills_a_file(dataset, tmp_path):
    file = np.lib.format.open_memmap(tmp_path / "some.npy", "w+", np.float32, (3, 2, 3))
    dataset.take([5, 6, 7], out=file)
    file.flush()
    assert_same_bits(np.load(tmp_path / "some.npy"), DATA[5:8])


@pytest.mark.parametrize("dtype", DTYPES, ids=dtype_name)
def test_take_of_every_dtype(make_dataset, dtype):
    data = random_array(dtype, (20, 3))
    dataset = make_dataset(numbered_ids(20), data)
    assert_same_bits(dataset.take([3, 19]), data[[3, 19]])
    assert_same_bits(dataset.take([3, 19], out=np.empty((2, 3), dtype)), data[[3, 19]])


def read_only():
    array = np.empty((2, 2, 3), np.float32)
    array.flags.writeable = False
    return array


MISFITS = {
    "dtype": np.empty((2, 2, 3), np.float64),
    "byte order": np.empty((2, 2, 3), ">f4"),
    "rows": np.empty((3, 2, 3), np.float32),
    "shape": np.empty((2, 6), np.float32),
    "Fortran order": np.empty((2, 2, 3), np.float32, order="F"),
    "strided": np.empty((4, 2, 3), np.float32)[::2],
    "read-only": read_only(),
}


@pytest.mark.parametrize("out", MISFITS.values(), ids=MISFITS)
def test_take_refuses_memory_that_does_not_fit(dataset, out):
    with pytest.raises(ValueError, match="^out is "):
        dataset.take([0, 1], out=out)


def test_take_refuses_what_is_no_memory(dataset):
    with pytest.raises(TypeError, match="out is list"):
        dataset.take([0, 1], out=[[0]])


@pytest.mark.parametrize("rows", [[ROWS], [-1], [[1]], 3, [1.0], [True]], ids=str)
def test_take_refuses_what_are_no_rows(dataset, rows):
    with pytest.raises(IndexError) as caught:
        dataset.take(rows)
    assert isinstance(caught.value, rds.RdsError)


def test_a_row_by_number_makes_no_call(dataset, monkeypatch):
    first = dataset[0]
    calls = []
    for name in ("rds_reader_get", "rds_reader_read", "rds_reader_span", "rds_reader_stream"):
        monkeypatch.setattr(library(), name, lambda *_, name=name: calls.append(name))
    for row in range(ROWS):
        assert_same_bits(dataset[row], DATA[row])
        assert_same_bits(dataset[np.int64(row)], DATA[row])
    assert not calls and np.shares_memory(first, dataset[0])
