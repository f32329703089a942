"""A model over a catalogue of LSDB: rows in the order of the sky, without the margin."""

import lsdb
import numpy as np

import rds

POINTS = 5


def model(rows):
    """Of light curves (n, 5) what they are without their mean, and how much they vary."""
    flux = rows["flux"]
    return {"curve": (flux - flux.mean(axis=1, keepdims=True)).astype(np.float32), "spread": flux.std(axis=1)}


if __name__ == "__main__":
    catalogue = lsdb.generate_catalog(1000, POINTS, lowest_order=2, seed=1)
    done = rds.dask.infer(catalogue, model, "results", inputs={"flux": "nested.flux"})
    dataset = rds.ResultDataset({}, "results")
    print(done.rows, "rows in version", done.version, "with", dataset.tensor_shape)

    expected = catalogue.compute(progress_bar=False)
    print("rows are in the order of the catalogue:", dataset.ids() == [str(name) for name in expected["id"]])
