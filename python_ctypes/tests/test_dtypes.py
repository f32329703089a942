"""Values come back bit for bit, whatever the dtype and the shape."""

import numpy as np
import pytest
from samples import BFLOAT16, DTYPES, assert_same_bits, dtype_name, numbered_ids, random_array

import rds

SHAPES = [(), (1,), (7,), (8,), (2, 3), (2, 1, 4)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=dtype_name)
def test_every_dtype_and_shape_survives_bit_for_bit(make_dataset, dtype, shape):
    data = random_array(dtype, (13, *shape))
    dataset = make_dataset(numbered_ids(13), data)
    assert dataset.tensor_dtype == dtype
    assert dataset.tensor_shape == list(shape)
    assert_same_bits(dataset.__get_all__(), data)
    assert_same_bits(dataset[[12, 0, 5, 5]], data[[12, 0, 5, 5]])
    for row in (0, 6, 12):
        assert_same_bits(dataset[row], data[row])


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.itemsize > 1 and d != BFLOAT16], ids=dtype_name)
def test_swapped_bytes_are_stored_native(make_dataset, dtype):
    data = random_array(dtype, (5, 3))
    dataset = make_dataset(numbered_ids(5), data.astype(dtype.newbyteorder()))
    assert dataset.tensor_dtype == dtype
    assert dataset.tensor_dtype.isnative
    assert_same_bits(dataset.__get_all__(), data)


SPECIAL_FLOATS = {
    "float16": (np.uint16, [0x8000, 0x7C00, 0xFC00, 0x7E01, 0x7C01, 0xFFFF, 0x0001, 0x83FF]),
    "float32": (
        np.uint32,
        [0x80000000, 0x7F800000, 0xFF800000, 0x7FC12345, 0x7F812345, 0xFFFFFFFF, 1, 0x807FFFFF],
    ),
    "float64": (
        np.uint64,
        [1 << 63, 0x7FF << 52, 0xFFF << 52, 0x7FF8 << 48 | 5, 0x7FF << 52 | 5, 2**64 - 1, 1, 1 << 63 | 1],
    ),
}


@pytest.mark.parametrize("name", SPECIAL_FLOATS)
@pytest.mark.parametrize("swapped", [False, True], ids=["native", "swapped"])
def test_special_floats_survive_bit_for_bit(make_dataset, name, swapped):
    bits_type, bits = SPECIAL_FLOATS[name]
    data = np.array(bits, bits_type).reshape(4, 2).view(name)
    given = data.byteswap().view(data.dtype.newbyteorder()) if swapped else data
    assert_same_bits(make_dataset(numbered_ids(4), given).__get_all__(), data)


def test_not_a_time_survives(make_dataset):
    data = np.array([["NaT", "2026-08-01T12:00:00.123456789"]], "M8[ns]")
    assert_same_bits(make_dataset(["a"], data)[0], data[0])


def test_constant_rows_survive(make_dataset):
    data = np.zeros((5000, 16), np.float32)
    assert_same_bits(make_dataset(numbered_ids(5000), data).__get_all__(), data)


def test_many_dimensions_survive(make_dataset):
    data = random_array("f4", (2, *[1] * 62, 3))
    assert_same_bits(make_dataset(["a", "b"], data).__get_all__(), data)


def test_wide_rows_survive(make_dataset):
    data = random_array("f4", (3, 512, 512))
    dataset = make_dataset(["a", "b", "c"], data)
    assert_same_bits(dataset[1], data[1])
    assert_same_bits(dataset.__get_all__(), data)


REFUSED = {
    "objects": (np.array([[None, 1]], object), TypeError, "object"),
    "strings": (np.array([["a", "b"]]), TypeError, "string"),
    "bytes": (np.array([[b"a", b"b"]]), TypeError, "string"),
    "structured": (np.zeros((1, 2), [("x", "f4"), ("y", "i4")]), TypeError, "structured"),
    "longdouble": (np.zeros((1, 2), np.longdouble), TypeError, np.dtype(np.longdouble).name),
    "void": (np.zeros((1, 2), "V3"), TypeError, "void"),
    "days": (np.zeros((1, 2), "M8[D]"), TypeError, "units s, ms, us, ns"),
    "unitless": (np.zeros((1, 2), "m8"), TypeError, "units s, ms, us, ns"),
    "multiples of a unit": (np.zeros((1, 2), "M8[10s]"), TypeError, "datetime64[10s]"),
    "no elements": (np.zeros((1, 0), np.float32), ValueError, "[0]"),
    "no elements in a later dimension": (np.zeros((1, 3, 0)), ValueError, "[3, 0]"),
    "list of objects": ([np.array([None])], TypeError, "object"),
    "list of strings": (["abc"], TypeError, "string"),
    "masked": (np.ma.masked_array([[1.0, 2.0]], [[True, False]]), TypeError, "mask"),
}


@pytest.mark.parametrize(("data", "error", "text"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_stored_is_refused_by_name(result_dir, data, error, text):
    with rds.ResultDatasetWriter(result_dir) as writer:
        with pytest.raises(error) as caught:
            writer.write_batch(["a"], data)
        assert text in str(caught.value)
    assert not (result_dir / "lance_db").exists()


def test_bfloat16_is_read_as_bits_without_ml_dtypes(make_dataset, monkeypatch):
    data = random_array(BFLOAT16, (4, 3))
    make_dataset(numbered_ids(4), data)
    monkeypatch.setitem(__import__("sys").modules, "ml_dtypes", None)
    dataset = make_dataset(numbered_ids(4), data)
    assert_same_bits(dataset.__get_all__(), data.view(np.uint16))
