"""What `write_batch` is given: ids, and one array of tensors or several by name."""

from __future__ import annotations

from collections.abc import KeysView, Mapping, Set, ValuesView
from ctypes import c_int64, sizeof

import numpy as np

from . import _dtypes, _options, _tensors
from . import _structs as c
from ._errors import InvalidArgumentError, InvalidTypeError
from ._tensors import Spec


def stacks(object_ids, data, specs: dict[str, Spec]) -> dict[str, np.ndarray]:
    """The tensors of each column as one array, as many as there are ids; empty if there is nothing to write.

    `specs` are dtypes and shapes of earlier batches.
    """
    if not is_mapping(data):
        data = sized("data", data)
        if len(object_ids) != len(data):
            raise InvalidArgumentError("Length of object_ids must match length of data")
        stacked = _tensors.stack("data", data, specs.get("data"))
        return {"data": stacked} if len(stacked) else {}
    columns = {_name(name): values for name, values in data.items()}
    if len(object_ids) and not columns:
        raise InvalidArgumentError(f"data is empty, and there are {len(object_ids)} ids")
    made = {}
    for name, values in columns.items():
        values = _values(name, values)
        if len(values) != len(object_ids):
            raise InvalidArgumentError(
                f"column {name!r} has {len(values)} rows, and there are {len(object_ids)} ids"
            )
        made[name] = _tensors.stack(name, values, specs.get(name))
    return made if len(object_ids) else {}


def is_mapping(data) -> bool:
    """Whether this is columns by name: a mapping, or a table with its columns as items."""
    if isinstance(data, (np.ndarray, list)):
        return False
    # A series has items too: its rows.
    return isinstance(data, Mapping) or hasattr(data, "items") and getattr(data, "ndim", 2) != 1


def _name(name) -> str:
    if not isinstance(name, str):
        raise InvalidTypeError(f"the name of a column is {name!r}; a str is expected")
    return str(name)


def _values(name: str, values):
    """What a column is given as: a sequence, with a dimension over rows."""
    sequence = hasattr(values, "__len__") or hasattr(values, "__iter__")
    if isinstance(values, (Mapping, str, bytes)) or not sequence or getattr(values, "ndim", 1) == 0:
        raise InvalidArgumentError(f"column {name!r} is {values!r}; a tensor for each id is expected")
    return sized(f"column {name!r}", values)


def sized(name: str, values):
    """What has a length, made of what can be iterated."""
    if isinstance(values, (KeysView, ValuesView)):
        # Those of a dict: in order, and of keys each once.
        return list(values)
    if isinstance(values, (Mapping, Set)):
        raise InvalidTypeError(f"{name} is a {type(values).__name__}; a sequence is expected")
    try:
        len(values)
        return values
    except TypeError:
        pass
    try:
        return list(values)
    except TypeError as error:
        raise InvalidTypeError(f"{name} is {values!r}; a sequence is expected") from error


def declared(columns: Mapping | None) -> dict[str, Spec] | None:
    """Dtypes and shapes as somebody declares them: `{name: (dtype, shape)}`."""
    if columns is None:
        return None
    if not columns:
        raise InvalidArgumentError("columns is empty; at least one column is expected")
    specs = {}
    for name, spec in columns.items():
        try:
            dtype, shape = spec
            shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(map(int, shape))
            specs[_name(name)] = _dtypes.declared(dtype), shape
        except (TypeError, ValueError) as error:
            if isinstance(error, InvalidTypeError):
                raise
            raise InvalidArgumentError(
                f"columns: {name!r} is {spec!r}; a dtype and a shape are expected: {error}"
            ) from error
    return specs


def to_structs(specs: dict[str, Spec]):
    """An rds_column_spec for each column."""
    structs = (c.ColumnSpec * len(specs))()
    for struct, (name, (dtype, shape)) in zip(structs, specs.items()):
        struct.struct_size = sizeof(struct)
        struct.name = _options.text("the name of a column", name)
        struct.dtype, _ = _dtypes.number_and_flags(dtype, name)
        struct.ndim = len(shape)
        struct.shape = (c_int64 * len(shape))(*shape)
    return structs


def metadata(said: Mapping[str, str] | None):
    """What a run says of itself as rds_metadata, and how many."""
    if said is None:
        return None, 0
    texts = []
    for key, value in said.items():
        for name, text in (("a key", key), (f"the value of {key!r}", value)):
            if not isinstance(text, str):
                raise InvalidTypeError(f"metadata: {name} is {type(text).__name__}; str is expected")
            if "\0" in text:
                raise InvalidArgumentError(f"metadata: {name} has a NUL character")
        texts.append(c.Metadata(key.encode(), value.encode()))
    return (c.Metadata * len(texts))(*texts), len(texts)
