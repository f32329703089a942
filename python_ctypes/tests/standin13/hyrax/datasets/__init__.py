from hyrax import _EARLIER

__path__.append(str(_EARLIER / "datasets"))

from .dataset_registry import HyraxDataset
from .inference_dataset import InferenceDataset
from .result_dataset import ResultDataset, ResultDatasetWriter
from .result_factories import create_results_writer, load_results_dataset
