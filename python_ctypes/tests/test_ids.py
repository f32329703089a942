"""Object ids: every form arrives as the same text."""

import ctypes
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import rds
from rds import _arrow, _strings
from rds._library import library

UNICODE = ["ngc-1", "", "β Lyrae", "星", "👾👾", "a\0b", "x" * 300]


def write(result_dir, ids):
    writer = rds.ResultDatasetWriter(result_dir)
    writer.write_batch(ids, np.arange(len(ids), dtype=np.float32))
    writer.close()
    return rds.ResultDataset({}, result_dir)


FORMS = {
    "list of str": ["a", "bc"],
    "tuple of str": ("a", "bc"),
    "list of np.str_": [np.str_("a"), np.str_("bc")],
    "list of bytes": [b"a", b"bc"],
    "list of str and bytes": ["a", b"bc"],
    "U array": np.array(["a", "bc"]),
    "S array": np.array([b"a", b"bc"]),
    "big-endian U array": np.array(["a", "bc"]).astype(">U2"),
    "wide U array": np.array(["a", "bc"]).astype("U50"),
    "strided U array": np.array(["a", "-", "bc", "-"])[::2],
    "strided S array": np.array([b"bc", b"a"])[::-1],
    "object array of str": np.array(["a", "bc"], dtype=object),
    "StringDType array": np.array(["a", "bc"], dtype=np.dtypes.StringDType()),
    "list of U arrays without dimensions": [np.array("a"), np.array("bc")],
}


@pytest.mark.parametrize("ids", FORMS.values(), ids=FORMS)
def test_every_form_of_strings_gives_the_same_ids(result_dir, ids):
    dataset = write(result_dir, ids)
    assert dataset.ids() == ["a", "bc"]
    assert [dataset.get_object_id(row) for row in range(2)] == ["a", "bc"]
    assert dataset.find(ids).tolist() == [0, 1]


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i8", ">u4"])
def test_integers_become_decimal(result_dir, dtype):
    ids = np.array([7, 0, 120], dtype=dtype)
    assert write(result_dir, ids).ids() == ["7", "0", "120"]


def test_extreme_integers_keep_every_digit(result_dir):
    ids = np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max])
    assert write(result_dir, ids).ids() == [str(number) for number in ids]


def test_extreme_unsigned_integers_keep_every_digit(result_dir):
    assert write(result_dir, np.array([2**64 - 1], np.uint64)).ids() == [str(2**64 - 1)]


@pytest.mark.parametrize(
    "ids",
    [[1, 2], [np.int32(1), 2], [-1, 2**63], [2**70, 1], ["a", 1]],
    ids=["int", "np.int32", "beyond int64", "beyond uint64", "str and int"],
)
def test_lists_of_integers_become_their_text(result_dir, ids):
    assert write(result_dir, ids).ids() == [str(number) for number in ids]


@pytest.mark.parametrize("form", [list, np.array], ids=["list", "U array"])
def test_unicode_survives(result_dir, form):
    dataset = write(result_dir, form(UNICODE))
    assert dataset.ids() == UNICODE
    assert [dataset.get_object_id(row) for row in range(len(UNICODE))] == UNICODE


def test_bytes_are_decoded_as_utf8(result_dir):
    ids = np.array([text.encode() for text in UNICODE])
    assert write(result_dir, ids).ids() == UNICODE


def test_a_nul_at_the_end_of_a_listed_id_survives(result_dir):
    assert write(result_dir, ["a\0", "a"]).ids() == ["a\0", "a"]


def test_empty_ids_are_ids(result_dir):
    dataset = write(result_dir, np.array(["", ""]))
    assert dataset.ids() == ["", ""]
    assert dataset.get_object_id(1) == ""
    assert dataset.index_of("") == 0


ODD = [*UNICODE, "a", "a\0", "\0", "\0a", "é" * 200, "-1", " a"]


@pytest.mark.parametrize("as_one", [True, False], ids=["one", "batch"])
def test_every_id_is_found_whatever_it_is_made_of(result_dir, as_one):
    dataset = write(result_dir, ODD)
    if as_one:
        assert [dataset.index_of(text) for text in ODD] == list(range(len(ODD)))
        assert [dataset.find([text]).tolist() for text in ODD] == [[row] for row in range(len(ODD))]
    else:
        assert dataset.find(ODD[::-1]).tolist() == list(range(len(ODD)))[::-1]
    for absent in ("a\0\0", "ngc-", "ngc-1\0", "β", "x" * 299, "👾"):
        assert dataset.find([absent] if as_one else [absent, "a"]).tolist()[0] == -1
        with pytest.raises(KeyError):
            dataset.index_of(absent)


def test_arrays_of_numpy_find_what_numpy_can_say(result_dir):
    dataset = write(result_dir, ODD)
    # NumPy takes a NUL at the end for padding.
    said = [row for row, text in enumerate(ODD) if not text.endswith("\0")]
    assert dataset.find(np.array([ODD[row] for row in said])).tolist() == said
    assert dataset.find(np.array([ODD[row].encode() for row in said])).tolist() == said


@pytest.mark.parametrize("one", ["a", np.str_("a"), b"a", np.bytes_(b"a")], ids=repr)
def test_one_id_may_be_text_or_bytes(result_dir, one):
    dataset = write(result_dir, ["b", "a", "a"])
    assert dataset.index_of(one) == 1
    found = dataset.find([one])
    assert found.dtype == np.int64 and found.tolist() == [1]


def test_of_duplicates_the_first_row_is_found_alone_and_in_a_batch(result_dir):
    ids = [f"id-{number % 100}" for number in range(1000)]
    dataset = write(result_dir, ids)
    assert dataset.find(ids).tolist() == [number % 100 for number in range(1000)]
    assert [dataset.index_of(one) for one in ids[500:600]] == list(range(100))


@pytest.mark.parametrize("one", ["\ud800", None, 1.5], ids=repr)
def test_what_is_no_id_is_not_searched_for(result_dir, one):
    dataset = write(result_dir, ["a", "b"])
    with pytest.raises((ValueError, TypeError)):
        dataset.index_of(one)
    with pytest.raises((ValueError, TypeError)):
        dataset.find([one])
    with pytest.raises(TypeError, match="single id 'a'"):
        dataset.find("a")


def test_the_rows_of_many_ids_are_found_at_once(result_dir):
    dataset = write(result_dir, ["a", "b", "c", "7"])
    for ids in (["c", "a", "c"], ("c", "a", "c"), np.array(["c", "a", "c"]), np.array([b"c", b"a", b"c"])):
        rows = dataset.index_of(ids)
        assert rows.dtype == np.int64 and rows.tolist() == [2, 0, 2]
    assert dataset.index_of([7]).tolist() == [3] and dataset.index_of(np.array([7])).tolist() == [3]
    assert dataset.index_of([]).tolist() == []
    for one in (7, np.int64(7), np.array("7"), "7", b"7", np.str_("7")):
        assert dataset.index_of(one) == 3 and type(dataset.index_of(one)) is int


def test_absent_ids_are_a_key_error_that_names_the_first_and_counts(result_dir):
    dataset = write(result_dir, ["a", "b"])
    with pytest.raises(KeyError) as caught:
        dataset.index_of(["a", "x", "b", "y"])
    assert str(caught.value) == "no row carries the id 'x': 2 of 4 ids are absent"
    assert isinstance(caught.value, rds.RdsError)
    with pytest.raises(KeyError) as caught:
        dataset.index_of("nobody")
    assert str(caught.value) == "no row carries the id 'nobody'"


def test_long_lists_of_any_text_keep_every_id(result_dir):
    alphabet = ["a", "ß", "星", "👾", "\0", ""]
    rng = np.random.default_rng(0)
    ids = ["".join(alphabet[pick] for pick in rng.integers(0, 6, 5)) + str(row) for row in range(20_000)]
    dataset = write(result_dir, ids)
    assert dataset.ids() == ids
    assert dataset.find(ids).tolist() == list(range(20_000))


def test_threads_search_for_different_ids_at_once(result_dir):
    dataset = write(result_dir, [f"id-{number}" for number in range(1000)])

    def search(number):
        return all(dataset.index_of(f"id-{row}") == row for row in range(number, 1000, 8))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(search, [*range(8)] * 4))


@pytest.mark.parametrize(("first", "count"), [(0, 0), (0, 7), (2, 3), (6, 1), (7, 0)])
def test_ids_of_a_range_of_rows(result_dir, first, count):
    dataset = write(result_dir, UNICODE)
    array = _arrow.OwnedArray()
    library().rds_reader_ids(dataset._snapshot.handle, first, count, None, ctypes.byref(array))
    del dataset
    assert _strings.Strings(array).tolist() == UNICODE[first : first + count]


def test_ids_outlive_a_closed_dataset(result_dir):
    dataset = write(result_dir, UNICODE)
    ids = dataset._snapshot.ids
    dataset.close()
    assert [ids[row] for row in range(len(UNICODE))] == UNICODE
    for call in (dataset.ids, lambda: dataset.get_object_id(0), lambda: dataset.index_of("a")):
        with pytest.raises(ValueError, match="rds_reader_.*NULL"):
            call()


def test_duplicate_ids_are_kept(result_dir):
    assert write(result_dir, ["a", "b", "a"]).ids() == ["a", "b", "a"]


REFUSED = {
    "None": (["a", None], TypeError, "index 1 is None"),
    "None in an object array": (np.array(["a", None], object), TypeError, "index 1 is None"),
    "NaN among strings": (["a", float("nan")], TypeError, "index 1 is nan"),
    "list of floats": ([1.0, 2.0], TypeError, "index 0 is 1.0"),
    "float array": (np.array([1.0, 2.0]), TypeError, "float64"),
    "objects": ([object(), "a"], TypeError, "index 0"),
    "one string": ("ab", TypeError, "single id 'ab'"),
    "two dimensions": (np.array([["a"], ["b"]]), ValueError, "(2, 1)"),
    "bytes that are no UTF-8": (np.array([b"a", b"\xff"]), ValueError, "index 1 is not UTF-8"),
    "listed bytes that are no UTF-8": ([b"a", b"\xff"], ValueError, "index 1 is not UTF-8"),
    "lone surrogate": (["a", "\ud800"], ValueError, "surrogates"),
    "lone surrogate in a U array": (np.array(["a", "\ud800"]), ValueError, "0xd800"),
}


@pytest.mark.parametrize(("ids", "error", "text"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_id_is_refused_and_leaves_the_writer_usable(result_dir, ids, error, text):
    with rds.ResultDatasetWriter(result_dir) as writer:
        with pytest.raises(error) as caught:
            writer.write_batch(ids, np.ones((2, 3)))
        assert text in str(caught.value)
        assert writer.batch_count == 0
        writer.write_batch(["good"], np.ones((1, 3)))
    assert rds.ResultDataset({}, result_dir).ids() == ["good"]


@pytest.mark.parametrize("one", ["a", b"a", np.str_("a"), np.bytes_(b"a")], ids=repr)
def test_all_rows_of_an_id(result_dir, one):
    ids = ["a" if row % 3 == 0 else f"b-{row}" for row in range(200)]
    dataset = write(result_dir, ids)
    rows = dataset.find_all(one)
    assert rows.dtype == np.int64
    assert rows.tolist() == list(range(0, 200, 3))
    assert dataset.find_all("b-7").tolist() == [7]
    assert dataset.find_all("absent").tolist() == []


def test_all_rows_of_a_number(result_dir):
    dataset = write(result_dir, [5, 7, 5])
    assert dataset.find_all(5).tolist() == dataset.find_all(np.int64(5)).tolist() == [0, 2]
    for wrong in (["a"], np.array(["a"]), None, 1.5):
        with pytest.raises(TypeError):
            dataset.find_all(wrong)
    with pytest.raises(ValueError):
        dataset.find_all("\ud800")
