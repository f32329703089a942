"""What takes a short way for its time, single rows, rows that follow each other and single ids, means what
the long way means."""

import threading

import numpy as np
import pytest
from samples import DTYPES, assert_same_bits, dtype_name, numbered_ids, random_array, store, to_arrow, write

import rds
from rds import _ids
from rds._errors import InvalidHandleError
from rds._library import library

ROWS = 60
DATA = random_array("f4", (ROWS, 2, 3))
IDS = numbered_ids(ROWS)
ACCESSES = ["mapped", "in pieces", "through Lance", "compressed"]


@pytest.fixture
def make(result_dir):
    """A dataset of these tensors whose rows lie as the name says."""

    def make(how, data=DATA):
        ids = numbered_ids(len(data))
        if how == "compressed":
            store(result_dir, to_arrow(ids, data))
        else:
            step = 20 if how == "in pieces" else len(data)
            for start in range(0, len(data), step):
                part = slice(start, start + step)
                write(result_dir, ids[part], data[part], mode="append" if start else "create")
        return rds.ResultDataset({}, result_dir, access="lance" if how == "through Lance" else "auto")

    return make


@pytest.fixture
def dataset(make):
    return make("mapped")


ONE = [[7], (7,), range(7, 8), np.array([7]), np.array([7], ">i2"), np.uint64([7]), [np.int8(7)]]


@pytest.mark.parametrize("how", ACCESSES)
@pytest.mark.parametrize("rows", ONE, ids=repr)
def test_one_row_into_memory_is_that_row_and_no_more(make, how, rows):
    dataset = make(how)
    memory = np.zeros((3, 2, 3), np.float32)
    for _ in range(2):
        out = memory[1:2]
        assert dataset.take(rows, out=out) is out
        assert_same_bits(memory[1], DATA[7])
        assert not memory[[0, 2]].any()
        memory[...] = 0
    assert_same_bits(dataset[rows], DATA[[7]])
    assert_same_bits(dataset.take(rows), DATA[[7]])


@pytest.mark.parametrize("how", ["mapped", "in pieces"])
@pytest.mark.parametrize("shape", [(), (2, 3)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=dtype_name)
def test_every_dtype_and_shape_comes_back_bit_for_bit(make, how, dtype, shape):
    data = random_array(dtype, (ROWS, *shape))
    dataset = make(how, data)
    one, two = np.empty((1, *shape), dtype), np.empty((2, *shape), dtype)
    for row in (0, 19, 20, ROWS - 1):
        assert_same_bits(dataset.take([row], out=one), data[[row]])
        assert_same_bits(dataset.take([row, 3], out=two), data[[row, 3]])
        assert_same_bits(dataset[[row]], data[[row]])
    assert_same_bits(dataset[15:45], data[15:45])


def test_a_mapped_row_makes_no_call(dataset, monkeypatch):
    out = np.empty((1, 2, 3), np.float32)
    dataset.take([0], out=out)

    def called(*_):
        raise AssertionError("librds was called")

    monkeypatch.setattr(dataset._snapshot.lone, "_read", called)
    monkeypatch.setattr(library(), "rds_reader_read_range", called)
    for row in range(ROWS):
        assert_same_bits(dataset.take([row], out=out), DATA[[row]])
        assert_same_bits(dataset[row : row + 2], DATA[row : row + 2])


@pytest.mark.parametrize("how", ACCESSES)
@pytest.mark.parametrize("row", [ROWS, -1, 2**31, 2**32, -(2**63), 2**63 - 1, 2**63, 2**64 - 1, 2**64])
def test_a_row_that_is_not_there_is_an_index_error(make, how, row):
    dataset = make(how)
    out = np.zeros((1, 2, 3), np.float32)
    dataset.take([1], out=out)
    for call in (lambda: dataset.take([row], out=out), lambda: dataset.take([row]), lambda: dataset[[row]]):
        with pytest.raises(IndexError) as caught:
            call()
        assert isinstance(caught.value, rds.RdsError)
    if abs(row) < 2**63:
        with pytest.raises(IndexError, match=f"row {row} is out of range"):
            dataset.take([row], out=out)
        with pytest.raises(IndexError, match=f"row {row} is out of range"):
            dataset.take([1, row])


@pytest.mark.parametrize("rows", [[True], [1.0], ["1"], [None], [[1]], [b"1"], []], ids=repr)
def test_what_is_no_single_row_is_not_taken_for_one(dataset, rows):
    with pytest.raises((IndexError, ValueError)) as caught:
        dataset.take(rows, out=np.zeros((1, 2, 3), np.float32))
    assert isinstance(caught.value, rds.RdsError)


def read_only():
    array = np.zeros((1, 2, 3), np.float32)
    array.setflags(write=False)
    return array


MISFITS = {
    "dtype": np.zeros((1, 2, 3), np.int32),
    "byte order": np.zeros((1, 2, 3), ">f4"),
    "a row": np.zeros((2, 3), np.float32),
    "rows": np.zeros((2, 2, 3), np.float32),
    "broadcast": np.zeros((1, 2, 1), np.float32),
    "Fortran order": np.zeros((1, 2, 3), np.float32, order="F"),
    "strided": np.zeros((1, 2, 6), np.float32)[..., ::2],
    "read-only": read_only(),
}


@pytest.mark.parametrize("rows", [[3], np.array([3])], ids=repr)
@pytest.mark.parametrize("out", MISFITS.values(), ids=MISFITS)
def test_memory_that_does_not_fit_one_row_is_refused_and_left(dataset, rows, out):
    with pytest.raises(ValueError, match="^out is "):
        dataset.take(rows, out=out)
    assert not out.any()


@pytest.mark.parametrize("out", [[[0]], bytearray(24), memoryview(bytearray(24))], ids=["list", "bytes", "view"])
def test_what_is_no_array_is_refused(dataset, out):
    with pytest.raises(TypeError, match="^out is "):
        dataset.take([3], out=out)


class Foreign:
    """What NumPy sees only by protocols."""

    def __init__(self, array):
        self.array = array
        self.__array_interface__ = array.__array_interface__

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)


@pytest.mark.parametrize("rows", [[5], [5, 6]], ids=str)
def test_memory_of_any_array_is_filled(dataset, tmp_path, rows):
    shape = (len(rows), 2, 3)
    raw = np.zeros(1 + 24 * len(rows), np.uint8)
    unaligned = raw[1:].view(np.float32).reshape(shape)
    foreign = Foreign(np.zeros(shape, np.float32))
    file = np.lib.format.open_memmap(tmp_path / "some.npy", "w+", np.float32, shape)
    for out, array in ((unaligned, unaligned), (foreign, foreign.array), (file, file)):
        assert dataset.take(rows, out=out) is out
        assert_same_bits(array, DATA[rows])


def forms(rows):
    """The same rows in every form of an array."""
    for dtype in map(np.dtype, "b h i l q B H I L Q".split()):
        yield rows.astype(dtype)
        yield rows.astype(dtype.newbyteorder())
    yield rows.repeat(2)[::2]
    yield rows[::-1].copy()[::-1]
    yield np.frombuffer(rows.tobytes(), np.int64)
    yield np.frombuffer(b"\0" + rows.tobytes(), np.uint8)[1:].view(np.int64)
    yield np.broadcast_to(rows[:1], 1)
    yield rows.view(np.matrix).A1


@pytest.mark.parametrize("count", [1, 2, 33, 300])
def test_rows_of_any_integer_type_and_layout_are_the_same_rows(dataset, count):
    rows = np.random.default_rng(count).integers(0, ROWS, count)
    out = np.empty((count, 2, 3), np.float32)
    for form in forms(rows):
        before = form.copy()
        assert_same_bits(dataset[form], DATA[form])
        if len(form) == count:
            assert_same_bits(dataset.take(form, out=out), DATA[rows])
        assert_same_bits(form, before)


@pytest.mark.parametrize("how", ACCESSES)
@pytest.mark.parametrize("part", [slice(3, 9), slice(15, 45), slice(None), slice(-5, None), slice(50, 99), slice(9, 3),
                                  slice(4, 30, 3), slice(30, 4, -1)], ids=str)
def test_a_slice_is_a_copy_that_is_read_only(make, how, part):
    dataset = make(how)
    for _ in range(2):
        taken = dataset[part]
        assert_same_bits(taken, DATA[part])
        assert not taken.flags.writeable and taken.flags.c_contiguous
        assert not np.shares_memory(taken, np.asarray(dataset))
        dataset[0]


@pytest.mark.parametrize("used", [True, False], ids=["used before", "never used"])
def test_a_closed_dataset_reads_nothing(dataset, used):
    out = np.zeros((1, 2, 3), np.float32)
    if used:
        dataset.take([1], out=out), dataset[1:3], dataset.index_of(IDS[1])
        out[...] = 0
    dataset.close()
    calls = [lambda: dataset.take([1], out=out), lambda: dataset.take([1]), lambda: dataset[[1]], lambda: dataset[1:3],
             lambda: dataset.take([1, 2]), lambda: dataset.index_of(IDS[1]), lambda: dataset.find([IDS[1]])]
    for call in calls:
        with pytest.raises(InvalidHandleError):
            call()
    assert not out.any()


def test_rows_and_ids_are_whole_beside_refreshes(result_dir):
    write(result_dir, IDS[:20], DATA[:20])
    dataset = rds.ResultDataset({}, result_dir)
    done = threading.Event()
    wrong = []

    def read():
        one, many = np.empty((1, 2, 3), np.float32), np.empty((3, 2, 3), np.float32)
        while not done.is_set():
            for row in range(20):
                rows = [row, 19 - row, row]
                same = np.array_equal(dataset.take([row], out=one), DATA[[row]], equal_nan=True)
                same &= np.array_equal(dataset.take(rows, out=many), DATA[rows], equal_nan=True)
                same &= np.array_equal(dataset[row : row + 1], DATA[[row]], equal_nan=True)
                if not same or dataset.index_of(IDS[row]) != row:
                    wrong.append(row)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for row in range(20, ROWS, 4):
        write(result_dir, IDS[row : row + 4], DATA[row : row + 4], mode="append")
        assert dataset.refresh()
        assert dataset.index_of(IDS[row + 3]) == row + 3
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong


TEXTS = ["a", "", "β", "\0", "a\0", "a\0\0", "x" * 5000, "🙂b", " a"]


def test_single_ids_are_told_apart_whatever_they_are_made_of(result_dir):
    write(result_dir, TEXTS, np.zeros((len(TEXTS), 2), np.float32))
    dataset = rds.ResultDataset({}, result_dir)
    for _ in range(2):
        for row, text in enumerate(TEXTS):
            assert dataset.index_of(text) == row
            assert dataset.find([text]).tolist() == [row]
            assert dataset.find([text]).dtype == np.int64
            assert dataset.index_of(np.str_(text)) == row
        assert dataset.find(["xx"]).tolist() == [-1]
        with pytest.raises(KeyError, match="'xx'"):
            dataset.index_of("xx")
        with pytest.raises(ValueError, match="surrogates"):
            dataset.index_of("\ud800")


def test_a_look_up_that_failed_spoils_none_after_it(dataset, result_dir):
    other = rds.ResultDataset({}, result_dir)
    other.close()
    for row in range(5):
        with pytest.raises(InvalidHandleError):
            other.index_of(IDS[row])
        assert dataset.index_of(IDS[row]) == row
        with pytest.raises(KeyError):
            dataset.index_of("none")


def test_threads_share_no_memory_of_a_look_up(dataset):
    dataset.index_of(IDS[0])
    barrier = threading.Barrier(8)
    found = [[] for _ in range(8)]

    def search(number):
        barrier.wait()
        found[number] = [dataset.index_of(IDS[(row + number) % ROWS]) for row in range(3000)]

    threads = [threading.Thread(target=search, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(8):
        assert found[number] == [(row + number) % ROWS for row in range(3000)]
    # Memory is used again, not made for each look-up.
    assert 1 <= len(_ids._spare) <= 16
