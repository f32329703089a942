"""A verb that has taken its names before it runs."""

import numpy as np

from hyrax.datasets.data_provider import DataProvider
from hyrax.datasets.result_dataset import ResultDataset
from hyrax.datasets.result_factories import create_results_writer, load_results_dataset


def reduce_dimensions(config, result_dir, data_request):
    (results,) = DataProvider(config, data_request).datasets.values()
    if not isinstance(results, ResultDataset):
        raise RuntimeError("the data request must be a ResultDataset")
    indices = np.arange(len(results))
    values = np.asarray([results.get_data(index) for index in indices]).reshape(len(indices), -1)
    writer = create_results_writer(result_dir)
    writer.write_batch(np.array(results.ids()), values[:, :2])
    writer.commit()
    return load_results_dataset(config, result_dir)
