"""`rds.hyrax`, against a stand-in for Hyrax: its registry, its factories, its verbs."""

import importlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
import standins
from samples import assert_same_bits, numbered_ids, random_array, write

import rds

IDS = numbered_ids(20)
DATA = random_array("f4", (20, 2, 3))
CONFIG = {"results": {"inference_dir": False}, "most_recent": {}}
NAMES = ["ResultDataset", "ResultDatasetWriter", "create_results_writer", "load_results_dataset"]


@pytest.fixture
def hyrax(monkeypatch):
    with standins.imported("standin", monkeypatch) as datasets:
        yield datasets


@pytest.fixture
def enabled(hyrax):
    rds.hyrax.enable()
    return hyrax


def module(name):
    return importlib.import_module(f"hyrax.{name}")


def batches():
    for start in range(0, 20, 5):
        yield np.array(IDS[start : start + 5]), list(DATA[start : start + 5])


def check(dataset):
    assert_same_bits(np.asarray(dataset), DATA)
    assert dataset.ids() == IDS
    assert_same_bits(dataset.get_data(np.int64(7)), DATA[7])
    assert dataset.get_object_id(np.int64(7)) == IDS[7]


def test_a_verb_writes_and_reads_through_librds(enabled, result_dir):
    dataset = module("verbs.infer").infer(CONFIG, result_dir, batches())
    check(dataset)
    assert isinstance(dataset, rds.ResultDataset)
    assert isinstance(dataset, module("datasets.result_dataset").ResultDataset)
    assert isinstance(dataset, enabled.HyraxDataset)
    assert dataset.config is CONFIG and dataset.data_location == result_dir


@pytest.mark.parametrize("loaded", ["before", "after"])
def test_verbs_that_took_their_names_are_exchanged_too(hyrax, tmp_path, loaded):
    if loaded == "before":
        module("verbs.reduce_dimensions")
    rds.hyrax.enable()
    write(tmp_path / "infer", IDS, DATA)
    reduce = module("verbs.reduce_dimensions").reduce_dimensions
    for name in ("ResultDataset", "rds.ResultDataset", "rds.hyrax.ResultDataset"):
        request = {"data": {"dataset_class": name, "data_location": str(tmp_path / "infer")}}
        reduced = reduce(CONFIG, tmp_path / name, request)
        assert_same_bits(np.asarray(reduced), DATA.reshape(20, 6)[:, :2])
        assert reduced.ids() == IDS


@pytest.mark.parametrize("on", [False, True], ids=["off", "on"])
@pytest.mark.parametrize("name", ["rds.ResultDataset", "rds.hyrax.ResultDataset"])
def test_a_data_request_by_import_path_needs_no_switch(hyrax, result_dir, name, on):
    if on:
        rds.hyrax.enable()
    write(result_dir, IDS, DATA)
    request = {"data": {"dataset_class": name, "data_location": str(result_dir)}}
    provider = module("datasets.data_provider").DataProvider(CONFIG, request)
    assert provider.fields["data"] == ["data", "object_id"]
    dataset = provider.datasets["data"]
    assert isinstance(dataset, hyrax.HyraxDataset)
    assert dataset.metadata_fields() == []
    check(dataset)


def test_the_registry_has_the_class_while_the_switch_is_on(hyrax):
    registry = module("datasets.dataset_registry").DATASET_REGISTRY
    theirs = registry["ResultDataset"]
    rds.hyrax.dataset_class()
    assert registry["ResultDataset"] is theirs is hyrax.ResultDataset
    rds.hyrax.enable()
    assert registry["ResultDataset"] is rds.hyrax.ResultDataset
    rds.hyrax.disable()
    assert registry["ResultDataset"] is theirs


def test_the_class_is_one_of_hyrax_and_one_of_rds(enabled):
    ours = rds.hyrax.ResultDataset
    assert issubclass(ours, rds.ResultDataset) and issubclass(ours, enabled.HyraxDataset)
    assert enabled.ResultDataset is module("datasets.result_dataset").ResultDataset is ours
    assert enabled.ResultDatasetWriter is rds.ResultDatasetWriter
    assert ours.__doc__ == rds.ResultDataset.__doc__


def test_disable_gives_everything_back(hyrax):
    places = [module(f"datasets{name}") for name in ("", ".result_dataset", ".result_factories")]
    places.append(module("verbs.reduce_dimensions"))
    before = [{name: vars(place).get(name) for name in NAMES} for place in places]
    rds.hyrax.enable()
    during = [{name: vars(place).get(name) for name in NAMES} for place in places]
    for old, new in zip(before, during):
        assert all((old[name] is None) or (old[name] is not new[name]) for name in NAMES)
    late = module("verbs.infer")
    late.ResultDataset = hyrax.ResultDataset
    rds.hyrax.disable()
    assert [{name: vars(place).get(name) for name in NAMES} for place in places] == before
    assert late.ResultDataset is before[0]["ResultDataset"]


def test_switching_twice_is_switching_once(hyrax, result_dir):
    theirs = hyrax.ResultDataset
    rds.hyrax.disable()
    rds.hyrax.enable()
    rds.hyrax.enable()
    check(module("verbs.infer").infer(CONFIG, result_dir, batches()))
    rds.hyrax.disable()
    assert hyrax.ResultDataset is theirs
    with pytest.raises(AssertionError, match="writer of Hyrax itself"):
        hyrax.create_results_writer(result_dir)


def test_results_of_the_earlier_format_go_on_being_read_by_hyrax(enabled, tmp_path):
    dataset = enabled.load_results_dataset(CONFIG, str(tmp_path), "umap")
    assert type(dataset) is enabled.InferenceDataset
    assert (dataset.results_dir, dataset.verb) == (tmp_path, "umap")


@pytest.mark.parametrize("how", ["configured", "most recent"])
def test_a_missing_directory_is_resolved_as_hyrax_does(enabled, result_dir, how):
    write(result_dir, IDS, DATA)
    config = {
        "configured": {"results": {"inference_dir": str(result_dir)}},
        "most recent": {"results": {"inference_dir": False}, "most_recent": {"umap": str(result_dir)}},
    }[how]
    verb = "umap" if how == "most recent" else None
    for load in (enabled.load_results_dataset, rds.load_results_dataset):
        check(load(config, verb=verb))
    with pytest.raises(RuntimeError, match="does not exist"):
        enabled.load_results_dataset(CONFIG, result_dir / "nowhere")


def test_metadata_is_refused_with_what_to_do(enabled, result_dir):
    write(result_dir, IDS, DATA)
    dataset = enabled.load_results_dataset(CONFIG, result_dir)
    with pytest.raises(NotImplementedError, match="earlier format.*Make that dataset"):
        dataset.metadata([0], ["ra"])
    assert not hasattr(dataset, "original_config")


def test_a_dataset_of_hyrax_is_pickled_as_one(hyrax, result_dir):
    write(result_dir, IDS, DATA)
    dataset = rds.ResultDataset({"a": 1}, result_dir)
    assert type(dataset) is rds.hyrax.ResultDataset
    again = pickle.loads(pickle.dumps(dataset))
    assert type(again) is rds.hyrax.ResultDataset
    check(again)
    assert again.config == {"a": 1} and again._metadata_table is None


def test_without_hyrax_loaded_a_dataset_is_of_rds_alone(result_dir):
    write(result_dir, IDS, DATA)
    assert type(rds.ResultDataset({}, result_dir)) is rds.ResultDataset


@pytest.mark.parametrize("call", ["enable()", "ResultDataset", "dataset_class()"])
def test_without_hyrax_the_switch_is_an_import_error_that_names_it(call):
    code = f"import sys, rds\nsys.modules['hyrax'] = None\ntry: rds.hyrax.{call}\nexcept ImportError as e: print(e)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "rds.hyrax needs Hyrax; install hyrax"


def test_without_hyrax_disable_does_nothing():
    code = "import sys, rds\nrds.hyrax.disable()\nprint('hyrax' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_the_module_has_no_other_names():
    with pytest.raises(AttributeError, match="no attribute 'x'"):
        rds.hyrax.x
    with pytest.raises(AttributeError, match="no attribute 'x'"):
        rds.x
    assert {"convert", "hyrax"} <= set(dir(rds))
