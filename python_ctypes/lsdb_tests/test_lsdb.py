"""Catalogues of LSDB as tables."""

import lsdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from collections_of_dask import files, opened
from dask.distributed import Client, LocalCluster
from lsdb.catalog.catalog import Catalog
from lsdb.operations.lsdb_ops import FromHealpixMap
from nested_pandas import NestedFrame
from samples import assert_same_bits

import rds
import rds.dask

ROWS = 600
NESTED = 4


def embeddings(numbers):
    return np.repeat(numbers[:, None], 3, axis=1).astype("f4")


@pytest.fixture(scope="module")
def catalogue():
    """Objects all over the sky, most of them in one place, so that pixels are of several orders."""
    random = np.random.default_rng(0)
    numbers = np.arange(ROWS)
    flat = pa.array(embeddings(numbers).reshape(-1))
    frame = pd.DataFrame(
        {
            "id": numbers,
            "ra": np.concatenate([random.uniform(0, 360, 100), random.uniform(40, 50, ROWS - 100)]),
            "dec": np.concatenate([random.uniform(-80, 80, 100), random.uniform(0, 10, ROWS - 100)]),
            "mag": random.random(ROWS, dtype="f4"),
            "embedding": pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.FixedSizeListArray.from_arrays(flat, 3)])),
        }
    )
    made = lsdb.from_dataframe(frame, partition_rows=60, margin_threshold=60)
    assert len(made.margin) > 0 and len({pixel.order for pixel in made.get_healpix_pixels()}) > 3
    return made


@pytest.fixture(scope="module")
def nested():
    return lsdb.generate_catalog(200, NESTED, seed=1, lowest_order=1)


def rows_of(catalogue):
    return catalogue.compute(progress_bar=False)


def test_a_catalogue_is_a_table_in_the_order_of_the_sky_and_without_its_margin(catalogue, result_dir):
    tensors = {"embedding": "embedding", "place": ["ra", "dec"], "mag": "mag"}
    done = rds.dask.write(catalogue, result_dir, tensors=tensors)
    assert (done.rows, done.version, done.data_files) == (ROWS, 1, 3)
    expected, dataset = rows_of(catalogue), opened(result_dir)
    assert dataset.ids() == list(map(str, expected["id"]))
    assert_same_bits(dataset["embedding"], embeddings(expected["id"].to_numpy()))
    assert_same_bits(dataset["place"], expected[["ra", "dec"]].to_numpy("f8"))
    assert_same_bits(dataset["mag"], expected["mag"].to_numpy("f4"))
    assert len(files(result_dir)) == 3


def part_of(pixel):
    """The only object of a pixel, which has its number."""
    values = {"id": pd.array([pixel.pixel], "int64[pyarrow]"), "a": pd.array([0.5], "double[pyarrow]")}
    return NestedFrame(pd.DataFrame(values, index=pd.Index([pixel.pixel], name="_healpix_29")))


def of_pixels(catalogue, pixels):
    meta = rows_of(catalogue)[["id", "a"]].iloc[:0]
    return Catalog(FromHealpixMap(part_of, pixels, meta=meta, verify_meta=False), catalogue.hc_structure)


@pytest.mark.parametrize(("order", "backwards"), [(None, False), ("pixel", False), ("partition", True)])
def test_partitions_come_in_the_order_that_is_asked_for(nested, result_dir, order, backwards):
    pixels = list(nested.get_ordered_healpix_pixels())
    rds.dask.write(of_pixels(nested, pixels[::-1]), result_dir, order=order)
    expected = [str(pixel.pixel) for pixel in (pixels[::-1] if backwards else pixels)]
    assert opened(result_dir).ids() == expected


def test_fields_of_nested_columns_of_equal_length_are_tensors(nested, result_dir):
    rds.dask.write(nested, result_dir, tensors={"flux": "nested.flux", "both": ["nested.t", "nested.flux"], "a": "a"})
    expected, dataset = rows_of(nested), opened(result_dir)
    flux, time = (expected[f"nested.{name}"].to_numpy().reshape(-1, NESTED) for name in ("flux", "t"))
    assert_same_bits(dataset["flux"], flux)
    assert_same_bits(dataset["both"], np.stack([time, flux], axis=1))
    assert_same_bits(dataset["a"], expected["a"].to_numpy("f8"))


def test_fields_of_unequal_length_or_of_text_are_refused(nested, result_dir):
    with pytest.raises(TypeError, match="column 'nested' is nested.*, which is no tensor"):
        rds.dask.write(nested, result_dir)
    with pytest.raises(TypeError, match="column 'nested.band' is"):
        rds.dask.write(nested, result_dir, tensors=["nested.band"])
    with pytest.raises(KeyError, match="no column 'nested.none'"):
        rds.dask.write(nested, result_dir, tensors=["nested.none"])
    bright = nested.query("nested.flux > 50")
    with pytest.raises(ValueError, match=r"partition \d+: column 'nested.flux', row \d+ is of shape \(\d"):
        rds.dask.write(bright, result_dir, tensors=["nested.flux"])


def test_a_model_is_given_the_frames_of_a_catalogue(nested, result_dir):
    seen = []

    def model(part):
        seen.append(type(part).__name__)
        return {"mean": part["nested.flux"].to_numpy().reshape(-1, NESTED).mean(axis=1)}

    rds.dask.infer(nested, model, result_dir, compute_kwargs={"scheduler": "synchronous"})
    expected = rows_of(nested)
    assert set(seen) == {"NestedFrame"}
    assert_same_bits(opened(result_dir)["mean"], expected["nested.flux"].to_numpy().reshape(-1, NESTED).mean(axis=1))


def test_inputs_of_a_catalogue_are_arrays(catalogue, result_dir):
    rds.dask.infer(catalogue, lambda rows: rows.sum(axis=1), result_dir, inputs="embedding", batch_size=8)
    assert_same_bits(opened(result_dir), rows_of(catalogue)["id"].to_numpy().astype("f4") * 3)


def test_the_index_of_a_catalogue_may_be_the_ids(catalogue, result_dir):
    rds.dask.write(catalogue, result_dir, ids="_healpix_29", tensors=["mag"])
    assert opened(result_dir).ids() == list(map(str, rows_of(catalogue).index))


def test_a_catalogue_is_written_by_workers(catalogue, result_dir):
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster):
        rds.dask.write(catalogue, result_dir, tensors=["embedding"])
    assert_same_bits(opened(result_dir), embeddings(rows_of(catalogue)["id"].to_numpy()))


def test_a_job_of_a_catalogue_is_told_by_what_it_is(catalogue, result_dir):
    calls = []

    def model(rows):
        calls.append(len(rows))
        if len(calls) == 5:
            raise ConnectionError("once")
        return rows

    options = {"inputs": "mag", "resume": True, "job": "sky", "compute_kwargs": {"scheduler": "synchronous"}}
    with pytest.raises(ConnectionError):
        rds.dask.infer(catalogue, model, result_dir, **options)
    assert rds.dask.infer(catalogue, model, result_dir, **options).rows == ROWS
    assert len(calls) == len(catalogue.get_healpix_pixels()) + 1
    assert_same_bits(opened(result_dir), rows_of(catalogue)["mag"].to_numpy("f4"))


@pytest.mark.parametrize("order", ["pixel", "partition"])
def test_a_catalogue_without_partitions_is_refused(nested, result_dir, order):
    with pytest.raises(ValueError, match="the collection has no partitions"):
        rds.dask.write(of_pixels(nested, []), result_dir, order=order)
