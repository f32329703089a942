"""Storage of machine-learning inference results: one id and one tensor per object, on Lance.

    with rds.ResultDatasetWriter("results") as writer:
        for ids, vectors in batches:
            writer.write_batch(ids, vectors)

    dataset = rds.ResultDataset({}, "results")
    dataset[17], dataset.get_object_id(17), dataset.index_of("ngc-1")
"""

from ._errors import RdsError
from ._library import build_info
from ._version import __version__
from .reader import ResultDataset
from .writer import ResultDatasetWriter, create_results_writer

__all__ = [
    "RdsError",
    "ResultDataset",
    "ResultDatasetWriter",
    "__version__",
    "build_info",
    "create_results_writer",
]
