"""Hyrax itself, its verbs writing and reading through librds.

Run by `make test-hyrax`, where Hyrax is installed: it is large, and `tests/test_hyrax.py` has a stand-in.
"""

import numpy as np
import pytest

import rds
from hyrax import Hyrax

ROWS = 40
SHAPE = (2, 5, 5)


def request(dataset_class, location, field):
    return {
        "data": {
            "dataset_class": dataset_class,
            "data_location": str(location),
            "fields": [field, "object_id"],
            "primary_id_field": "object_id",
        }
    }


@pytest.fixture
def hyrax(tmp_path, monkeypatch):
    """Hyrax in a directory of its own, with a model that returns what it is given."""
    monkeypatch.chdir(tmp_path)
    rds.hyrax.enable()
    h = Hyrax()
    h.config["general"]["results_dir"] = str(tmp_path / "results")
    h.config["general"]["dev_mode"] = True
    h.config["model"]["name"] = "HyraxLoopback"
    h.config["data_loader"]["num_workers"] = 0
    h.config["data_loader"]["batch_size"] = 8
    h.config["data_set"]["HyraxRandomDataset"]["size"] = ROWS
    h.config["data_set"]["HyraxRandomDataset"]["shape"] = list(SHAPE)
    h.config["data_request"] = {
        name: request("HyraxRandomDataset", tmp_path / name, "image") for name in ("train", "infer", "test")
    }
    weights = tmp_path / "weights.pth"
    weights.touch()
    h.config["infer"]["model_weights_file"] = str(weights)
    h.config["test"]["model_weights_file"] = str(weights)
    yield h
    rds.hyrax.disable()


@pytest.fixture
def expected(hyrax):
    """The images and ids of Hyrax's random dataset."""
    data = hyrax.prepare()["infer"].prepped_datasets["data"]
    images = np.stack([data.get_image(row) for row in range(len(data))])
    return [str(data.get_object_id(row)) for row in range(len(data))], images


def check(results, ids, images):
    from hyrax.datasets import HyraxDataset
    from hyrax.datasets.result_dataset import ResultDataset

    assert isinstance(results, rds.ResultDataset)
    assert isinstance(results, ResultDataset) and isinstance(results, HyraxDataset)
    # Some verbs shuffle.
    assert sorted(results.ids()) == sorted(ids)
    got = results["data"][results.index_of(ids)]
    assert np.array_equal(got.reshape(images.shape), images, equal_nan=True)
    # Since 0.13 a row is a dict.
    assert isinstance(results[0], dict) == hasattr(results, "keys")


def looked_up(found):
    """The tensor that the verb `lookup` gives: since 0.13 in a dict, in an array of objects."""
    return found[0]["data"] if found.dtype == object else found


def tables(tmp_path):
    return sorted(tmp_path.glob("results/*/lance_db/results.lance"))


def test_infer_and_what_follows(hyrax, expected, tmp_path):
    ids, images = expected
    results = hyrax.infer()
    check(results, ids, images)
    assert len(tables(tmp_path)) == 1
    assert np.array_equal(looked_up(hyrax.lookup(ids[7])).reshape(SHAPE), images[7])
    assert hyrax.lookup("nobody") is None
    for algorithm in ("pca", "umap"):
        reduced = hyrax.reduce_dimensions(algorithm)
        assert isinstance(reduced, rds.ResultDataset)
        assert reduced.ids() == ids
        assert np.asarray(reduced).shape == (ROWS, 2)
    assert len(tables(tmp_path)) == 3


def test_the_verb_test(hyrax, expected):
    ids, images = expected
    check(hyrax.test(), ids, images)


@pytest.mark.parametrize("name", ["ResultDataset", "rds.ResultDataset", "rds.hyrax.ResultDataset"])
def test_results_are_reduced_by_a_data_request(hyrax, expected, name):
    results = hyrax.infer()
    reducing = request(name, results.data_location, "data")
    reducing["data"]["fields"] = ["data"]
    hyrax.config["data_request"] = {"reduce_dimensions": reducing}
    reduced = hyrax.reduce_dimensions("pca")
    assert reduced.ids() == expected[0]
    assert np.asarray(reduced).shape == (ROWS, 2)


@pytest.mark.parametrize("name", ["ResultDataset", "rds.ResultDataset", "rds.hyrax.ResultDataset"])
def test_results_are_loaded_by_hyrax(hyrax, expected, name):
    from hyrax.pytorch_ignite import dist_data_loader

    ids, images = expected
    results = hyrax.infer()
    hyrax.config["data_request"] = {"infer": request(name, results.data_location, "data")}
    hyrax.config["data_loader"]["num_workers"] = 2
    provider = hyrax.prepare()["infer"]
    assert isinstance(provider.prepped_datasets["data"], rds.ResultDataset)
    batches = list(dist_data_loader(provider, hyrax.config))
    assert np.concatenate([batch["object_id"] for batch in batches]).tolist() == ids
    assert np.array_equal(np.concatenate([batch["data"]["data"] for batch in batches]), images)


def test_save_to_database(hyrax, expected, tmp_path):
    results = hyrax.infer()
    directory = tmp_path / "database"
    directory.mkdir()
    hyrax.save_to_database(input_dir=str(results.data_location), output_dir=directory)
    connection = hyrax.database_connection(database_dir=directory)
    nearest = connection.search_by_id(expected[0][3], k=1)
    assert [str(one) for one in nearest[expected[0][3]]] == [expected[0][3]]


def test_the_engine(hyrax):
    hyrax.config["model"]["name"] = "HyraxAutoencoder"
    hyrax.config["data_set"]["HyraxRandomDataset"]["shape"] = [1, 32, 32]
    hyrax.train()
    hyrax.to_onnx()
    hyrax.engine()
    results = rds.load_results_dataset(hyrax.config, verb="engine")
    data = hyrax.prepare()["infer"].prepped_datasets["data"]
    assert results.ids() == [str(data.get_object_id(row)) for row in range(ROWS)]


def test_disabled_hyrax_is_itself_again(hyrax, expected):
    rds.hyrax.disable()
    results = hyrax.infer()
    assert not isinstance(results, rds.ResultDataset)
    assert results.ids() == expected[0]
    rds.hyrax.enable()
    check(rds.ResultDataset(hyrax.config, results.data_location), *expected)
