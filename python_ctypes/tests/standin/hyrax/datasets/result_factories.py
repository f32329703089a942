"""What the verbs call."""


def create_results_writer(result_dir):
    from hyrax.datasets.result_dataset import ResultDatasetWriter

    return ResultDatasetWriter(result_dir)


def load_results_dataset(config, results_dir=None, verb=None):
    from hyrax.config_utils import resolve_results_dir
    from hyrax.datasets.inference_dataset import InferenceDataset
    from hyrax.datasets.result_dataset import ResultDataset

    directory = resolve_results_dir(config, results_dir, verb)
    if (directory / "lance_db").exists():
        return ResultDataset(config, directory)
    return InferenceDataset(config, directory, verb)
