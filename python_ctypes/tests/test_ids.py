"""Object ids: every form arrives as the same text."""

import numpy as np
import pytest

import rds

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
