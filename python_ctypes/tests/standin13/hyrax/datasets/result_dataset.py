"""The results layer that is exchanged: that of 0.13 has `keys`."""

from .dataset_registry import HyraxDataset


class ResultDatasetWriter:
    def __init__(self, result_dir):
        raise AssertionError("the writer of Hyrax itself was used")


class ResultDataset(HyraxDataset):
    def __init__(self, config, data_location):
        raise AssertionError("the reader of Hyrax itself was used")

    def keys(self):
        raise AssertionError("the reader of Hyrax itself was used")
