"""Arrays and Arrow tables that tests write and compare."""

import lance
import ml_dtypes
import numpy as np
import pyarrow as pa

import rds

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
BFLOAT16_EXTENSION = {"ARROW:extension:name": "lance.bfloat16", "ARROW:extension:metadata": ""}

DTYPES = [
    *map(np.dtype, "? b h i q B H I Q e f d F D".split()),
    BFLOAT16,
    *(np.dtype(f"{kind}8[{unit}]") for kind in "Mm" for unit in ("s", "ms", "us", "ns")),
]


def dtype_name(dtype):
    return np.dtype(dtype).name


def random_array(dtype, shape, seed=0):
    """Random bits: of every dtype this has NaN payloads, infinities, NaT, denormals."""
    dtype = np.dtype(dtype)
    rng = np.random.default_rng(seed)
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(np.bool_)
    count = int(np.prod(shape, dtype=np.int64))
    raw = np.frombuffer(rng.bytes(count * dtype.itemsize), np.uint8)
    return raw.view(dtype).reshape(shape).copy()


def numbered_ids(count, start=0):
    return [f"object-{number:05d}" for number in range(start, start + count)]


def mapped_rows(dataset):
    """How many rows are read without a call into Lance."""
    return min(column.mapped_rows for column in dataset._snapshot.stored.values())


def write(result_dir, ids, data, **options):
    with rds.ResultDatasetWriter(result_dir, **options) as writer:
        writer.write_batch(ids, data)


def store(result_dir, table, **options):
    """Writes an Arrow table with pylance, where rds looks for results."""
    return lance.write_dataset(table, str(result_dir / "lance_db" / "results.lance"), **options)


def assert_same_bits(got, expected):
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    assert got.tobytes() == expected.tobytes()


def item_field(dtype):
    """How a table stores one number of a tensor."""
    if dtype == BFLOAT16:
        return pa.field("item", pa.binary(2), metadata=BFLOAT16_EXTENSION)
    if dtype.kind == "c":
        return pa.field("item", pa.from_numpy_dtype(f"f{dtype.itemsize // 2}"))
    return pa.field("item", pa.from_numpy_dtype(dtype))


def to_arrow(ids, array):
    """The table that librds is to write for these ids and tensors, made by pyarrow alone."""
    dtype, shape = array.dtype, array.shape[1:]
    item = item_field(dtype)
    flat = np.ascontiguousarray(array).reshape(-1)
    if dtype.kind == "c":
        flat = flat.view(f"f{dtype.itemsize // 2}")
    if dtype == np.bool_:
        numbers = pa.array(flat)
    else:
        numbers = pa.Array.from_buffers(item.type, len(flat), [None, pa.py_buffer(flat.tobytes())])
    length = len(flat) // len(array)
    data = pa.FixedSizeListArray.from_arrays(numbers, type=pa.list_(item, length))
    schema = pa.schema(
        [pa.field("object_id", pa.utf8()), pa.field("data", data.type)],
        metadata={"tensor_shape": str(list(shape)), "tensor_dtype": dtype.name},
    )
    return pa.Table.from_arrays([pa.array(ids, pa.utf8()), data], schema=schema)


def list_type(schema):
    """Length, storage and extension of the numbers in `data`, whether or not pyarrow knows the
    extension."""
    data = schema.field("data").type
    item = data.value_field
    if isinstance(item.type, pa.BaseExtensionType):
        return data.list_size, item.type.storage_type, item.type.extension_name
    extension = (item.metadata or {}).get(b"ARROW:extension:name", b"").decode()
    return data.list_size, item.type, extension


def column_bytes(column):
    """The bytes of all numbers of a column of fixed-size lists; a bool is one byte."""
    parts = []
    for chunk in column.chunks:
        numbers = chunk.flatten()
        if isinstance(numbers, pa.ExtensionArray):
            numbers = numbers.storage
        if pa.types.is_boolean(numbers.type):
            parts.append(numbers.to_numpy(zero_copy_only=False).tobytes())
            continue
        width = numbers.type.byte_width
        begin = numbers.offset * width
        parts.append(numbers.buffers()[1].to_pybytes()[begin : begin + len(numbers) * width])
    return b"".join(parts)
