"""Datasets of a request, and the fields that their names tell."""

from .dataset_registry import fetch_dataset_class


class DataProvider:
    def __init__(self, config, data_request):
        self.datasets, self.fields = {}, {}
        for name, request in data_request.items():
            dataset_class = fetch_dataset_class(request["dataset_class"])
            dataset = dataset_class(config=config, data_location=request["data_location"])
            self.datasets[name] = dataset
            self.fields[name] = [name[4:] for name in dir(dataset) if name.startswith("get_")]
            assert not hasattr(dataset, "collate")
            if dataset._metadata_table:
                self.fields[name] += list(dataset._metadata_table.colnames)
            dataset.on_epoch_start("infer")
            dataset.augment_cache_key(0, 0)
