"""Collections of Dask that tests write, and tables that they compare with."""

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd

import rds

ROWS = 90


def numbers(rows=ROWS, first=0):
    return np.arange(first, first + rows)


def frame(rows=ROWS, first=0):
    """Ids, two numbers and an embedding, each of which tells the row."""
    every = numbers(rows, first)
    return pd.DataFrame(
        {
            "id": [f"object-{number:04d}" for number in every],
            "x": every.astype("f4"),
            "y": every * 2.0,
            "embedding": pd.Series(list(np.repeat(every[:, None], 3, axis=1).astype("f4")), dtype=object),
        }
    )


def objects():
    """So that Dask makes no strings of objects."""
    return dask.config.set({"dataframe.convert-string": False})


def of_parts(make, counts, meta=None):
    """A DataFrame whose partitions are `make(rows, first)`, with these numbers of rows."""
    firsts = np.cumsum([0, *counts[:-1]]).tolist()
    with objects():
        return dd.from_map(make, counts, firsts, meta=make(1, 0).iloc[:0] if meta is None else meta)


def of_column(values, ids=None):
    """Two partitions: one row that tells nothing of the others, and then rows of a column."""
    whole = pd.DataFrame({"id": numbers(len(values)) if ids is None else ids, "v": values})
    with objects():
        return dd.from_map(_part_of, [(whole, 0, 1), (whole, 1, len(whole))], meta=whole.iloc[:0])


def _part_of(part):
    whole, first, stop = part
    return whole.iloc[first:stop]


def opened(path):
    return rds.ResultDataset({}, path)


def files(path):
    """The names of the data files of a table; nothing but what Lance has itself is in its directory beside them."""
    table = opened(path).lance_dir / "results.lance"
    assert {entry.name for entry in table.iterdir()} <= {"_transactions", "_versions", "data"}
    return sorted(file.name for file in (table / "data").iterdir())


def check(path, order=None, names=("x", "y", "embedding"), versions=1):
    """Whether a table has the rows of `frame`, once and in order, in one version and one file for each column."""
    order = numbers() if order is None else np.asarray(order)
    dataset = opened(path)
    assert dataset.columns == tuple(names)
    assert dataset.ids() == [f"object-{number:04d}" for number in order]
    expected = {"x": order.astype("f4"), "y": order * 2.0, "embedding": np.repeat(order[:, None], 3, 1).astype("f4")}
    for name in names:
        got = np.asarray(dataset[name])
        assert got.dtype == expected[name].dtype
        np.testing.assert_array_equal(got, expected[name])
    assert len(dataset.versions()) == versions
    assert len(files(path)) == versions * len(names)
