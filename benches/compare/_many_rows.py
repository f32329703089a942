"""Rows for workers, which cost nothing to make: what is measured is where they go."""

import functools

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa

import rds
import rds.dask

WIDTH = 512
# More than partitions of any of these catalogues.
ORDER, PIXELS = 3, 768


@functools.cache
def block(rows):
    """What partitions of so many rows are cut out of, once in each process."""
    return np.random.default_rng(0).random((rows + PIXELS, WIDTH), dtype=np.float32)


def embeddings(first, rows):
    """Of rows from this number on, without a copy. Each partition begins a row further than the one before it, so that
    none is as another one."""
    begin = first // rows % PIXELS
    return block(rows)[begin : begin + rows]


def lists(array):
    made = pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array.shape[1])
    return pd.arrays.ArrowExtensionArray(pa.chunked_array([made]))


def frame(first, rows):
    return pd.DataFrame({"id": np.arange(first, first + rows), "embedding": lists(embeddings(first, rows))})


# LSDB is loaded where it is needed only: it takes 100 MB of the memory of a worker.


def of_pixel(pixel, rows):
    from nested_pandas import NestedFrame

    made = frame(pixel.pixel * rows, rows)
    made.index = pd.Index(np.arange(rows, dtype=np.int64), name="_healpix_29")
    return NestedFrame(made)


def catalogue(partitions, rows):
    """One of LSDB, whose partitions are made when they are asked for."""
    import lsdb
    from hats.pixel_math import HealpixPixel
    from lsdb.catalog.catalog import Catalog
    from lsdb.operations.lsdb_ops import FromHealpixMap

    places = pd.DataFrame({"id": [0], "ra": [10.0], "dec": [10.0]})
    structure = lsdb.from_dataframe(places, margin_threshold=None).hc_structure
    pixels = [HealpixPixel(ORDER, number) for number in range(partitions)]
    meta = of_pixel(pixels[0], rows).iloc[:0]
    made = FromHealpixMap(functools.partial(of_pixel, rows=rows), pixels, meta=meta, verify_meta=False)
    return Catalog(made, structure)


def collection(partitions, rows):
    """The same rows as a DataFrame of Dask."""
    firsts = range(0, partitions * rows, rows)
    return dd.from_map(functools.partial(frame, rows=rows), firsts, meta=frame(0, 1).iloc[:0])


BANDS = list("ugrizy")[:5]


@functools.cache
def columns(rows):
    random = np.random.default_rng(0)
    places = {name: random.random(rows) for name in ("ra", "dec")}
    return {**places, **{band: random.random(rows, dtype=np.float32) for band in BANDS}}


@functools.cache
def names(first, rows):
    return pd.array([f"object-{number:09d}" for number in range(first, first + rows)], "string[pyarrow]")


def observation(first, rows):
    # The same names come again: what they cost to make is not measured.
    return pd.DataFrame({"id": names(first % (4 * rows), rows), **columns(rows)})


def observations(partitions, rows):
    """What a catalogue has of its objects: names, places, magnitudes."""
    firsts = range(0, partitions * rows, rows)
    return dd.from_map(functools.partial(observation, rows=rows), firsts, meta=observation(0, 1).iloc[:0])


SUMS = pd.Series([], dtype="f8", name="sum")


def sums(part):
    """Of each partition, not of each row: one number."""
    return pd.Series([rds.dask.tensors(part["embedding"]).sum(dtype="f8")], name="sum")
