"""The base class of datasets, which registers those that derive from it."""

from hyrax.plugin_utils import get_or_load_class, update_registry

DATASET_REGISTRY = {}


class HyraxDataset:
    def __init__(self, config, metadata_table=None, object_id_column_name=None):
        self._config = config
        self._metadata_table = metadata_table

    def __init_subclass__(cls):
        update_registry(DATASET_REGISTRY, cls.__name__, cls)

    @property
    def config(self):
        return self._config

    def metadata_fields(self):
        return [] if self._metadata_table is None else list(self._metadata_table.colnames)

    def metadata(self, idxs, fields):
        return self._metadata_table[idxs][fields]

    def augment_cache_key(self, idx, rng_seed):
        return None

    def on_epoch_start(self, verb):
        pass


def fetch_dataset_class(class_name):
    return get_or_load_class(class_name, DATASET_REGISTRY)
