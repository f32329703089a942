"""What goes wrong is an exception that says what and why; the writer goes on."""

import numpy as np

import rds


def attempt(what):
    try:
        what()
    except rds.RdsError as error:
        kinds = (KeyError, IndexError, ValueError, FileNotFoundError)
        (name,) = (kind.__name__ for kind in kinds if isinstance(error, kind))
        print(f"{name}, status {error.status}:\n    {error}")


vectors = np.zeros((2, 3), np.float32)
with rds.ResultDatasetWriter("results") as writer:
    writer.write_batch(["a", "b"], {"vector": vectors})
    attempt(lambda: writer.write_batch(["c", "d"], {"vector": vectors.astype(np.float64)}))
    attempt(lambda: writer.write_batch(["c", "d"], {"victor": vectors}))
    writer.write_batch(["c", "d"], {"vector": vectors})

dataset = rds.ResultDataset({}, "results")
print(len(dataset), "rows")
attempt(lambda: dataset[4])
attempt(lambda: dataset["victor"])
attempt(lambda: dataset.index_of("z"))
attempt(lambda: rds.ResultDataset({}, "elsewhere"))
