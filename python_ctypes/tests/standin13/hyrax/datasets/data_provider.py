"""Fields by the names in `dir` of an instance, public callables lifted, values that a cache can hold."""

from numbers import Number

import numpy as np

from .dataset_registry import fetch_dataset_class


class DataProvider:
    def __init__(self, config, data_request):
        self.datasets, self.fields, self.getters = {}, {}, {}
        for name, request in data_request.items():
            dataset_class = fetch_dataset_class(request["dataset_class"])
            dataset = dataset_class(config=config, data_location=request["data_location"])
            self.datasets[name] = dataset
            names = sorted(one[4:] for one in dir(dataset) if one.startswith("get_"))
            self.fields[name] = request.get("fields", names)
            self.getters[name] = {field: getattr(dataset, f"get_{field}") for field in self.fields[name]}
            assert not hasattr(dataset, "collate")
            for one in dir(dataset):
                if not one.startswith(("_", "get_")) and one not in ("db", "table", "lance_dataset"):
                    value = getattr(dataset, one, None)
                    if callable(value) and not hasattr(self, one):
                        setattr(self, one, value)

    def __getitem__(self, row):
        found = {
            name: {field: getter(row) for field, getter in getters.items()}
            for name, getters in self.getters.items()
        }
        for values in found.values():
            for value in values.values():
                if not isinstance(value, (np.ndarray, np.number, Number, np.bool_, str, type(None))):
                    raise RuntimeError(f"Unsupported type for cache: {type(value)}")
        return found

    def scalar_fields(self, name):
        kinds = (int, float, str, bool, np.integer, np.floating)
        return [field for field, value in self[0][name].items() if isinstance(value, kinds)]

    def collate(self, name, rows):
        columns = {}
        for field in self.fields[name]:
            values = [self.getters[name][field](row) for row in rows]
            arrays = all(isinstance(value, np.ndarray) for value in values)
            columns[field] = np.stack(values) if arrays else np.array(values)
        return columns
