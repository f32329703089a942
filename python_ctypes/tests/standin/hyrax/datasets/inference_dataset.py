"""The reader of the earlier format."""

from .dataset_registry import HyraxDataset


class InferenceDataset(HyraxDataset):
    def __init__(self, config, results_dir=None, verb=None):
        super().__init__(config)
        self.results_dir, self.verb = results_dir, verb
