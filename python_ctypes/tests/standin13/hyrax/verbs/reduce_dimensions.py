"""A verb whose reducer, with its writer, is pickled for each task while the main thread writes."""

import pickle

import numpy as np

from hyrax.datasets.data_provider import DataProvider
from hyrax.datasets.result_dataset import ResultDataset
from hyrax.datasets.result_factories import create_results_writer, load_results_dataset


class Reducer:
    def __init__(self, result_dir):
        self.writer = create_results_writer(result_dir)

    def reduce(self, values):
        return values[:, :2]


def reduce_dimensions(config, result_dir, data_request, field="data"):
    (results,) = DataProvider(config, data_request).datasets.values()
    if not isinstance(results, ResultDataset):
        raise RuntimeError("the data request must be a ResultDataset")
    reducer = Reducer(result_dir)
    indices = np.arange(len(results))
    ids = np.array(results.ids())
    for chosen in np.array_split(indices, 4):
        copy = pickle.loads(pickle.dumps(reducer))
        get = getattr(results, f"get_{field}")
        values = np.asarray([get(index) for index in chosen]).reshape(len(chosen), -1)
        reducer.writer.write_batch(ids[chosen], copy.reduce(values))
    reducer.writer.commit()
    return load_results_dataset(config, result_dir)


def lookup(results, row):
    return np.asarray(results[np.array([row])])


def save_to_database(results):
    if not hasattr(results, "get_data"):
        raise NotImplementedError("the inference dataset must implement a get_data method")
    rows = map(np.int64, range(len(results)))
    return [(results.get_object_id(row), results.get_data(row).flatten()) for row in rows]
