"""Runs a small model over scikit-learn's digits, stores two tensors for each with librds, reads them back.

    python examples/demo.py [OUTPUT_DIRECTORY]

What an earlier run left in the output directory (default ./demo_output) is replaced. Every value
is compared bit for bit with what the model gave, as librds, pylance and lancedb read it; the exit
code is 1 if any differs.
"""

import argparse
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import lance
import lancedb
import matplotlib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPClassifier

import rds

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (after the choice of backend)

BATCH = 64
HIDDEN = 32


class Mismatch(Exception):
    """What was read is not what was written."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", nargs="?", type=Path, default=Path("demo_output"))
    output = parser.parse_args().output
    clear(output)

    print("librds:", ", ".join(f"{name} {version}" for name, version in rds.build_info().items()))
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    ids = [f"digit-{number:04d}" for number in range(len(images))]
    try:
        tensors = infer(train(images, labels), images, ids, output / "inference")
        check_results(output / "inference", ids, tensors)
        points = project(tensors["hidden"], ids, output / "projection")
        check_with_others(output / "inference", ids, tensors)
        check_with_others(output / "projection", ids, {"data": points})
    except Mismatch as mismatch:
        print(f"MISMATCH: {mismatch}")
        return 1
    draw(output / "projection", labels, output / "projection.png")
    print(f"All values agree, bit for bit. The results are in {output}.")
    return 0


def clear(output):
    """Removes what an earlier run made, and nothing else."""
    for name in ("inference", "projection"):
        shutil.rmtree(output / name, ignore_errors=True)
    (output / "projection.png").unlink(missing_ok=True)


def train(images, labels):
    """A classifier trained on every second image."""
    with timed("train a classifier on half of the images"):
        model = MLPClassifier(hidden_layer_sizes=(HIDDEN,), max_iter=500, tol=1e-3, random_state=0)
        model.fit(images[::2], labels[::2])
    print(f"    accuracy on the other half: {model.score(images[1::2], labels[1::2]):.3f}")
    return model


def infer(model, images, ids, result_dir):
    """Runs inference in batches and stores the activations of the hidden layer, and how probable each digit is, as
    they come."""
    batches = []
    with timed(f"store {len(images)} vectors of {HIDDEN} float32 and as many of 10 in batches of {BATCH}"):
        writer = rds.create_results_writer(result_dir)
        for start in range(0, len(images), BATCH):
            part = slice(start, start + BATCH)
            hidden = np.maximum(images[part] @ model.coefs_[0] + model.intercepts_[0], 0).astype(np.float32)
            probability = model.predict_proba(images[part]).astype(np.float32)
            batches.append({"hidden": hidden, "probability": probability})
            writer.write_batch(np.array(ids[part]), batches[-1])
        writer.commit()
        writer.close()
    tensors = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    report_size(result_dir, *tensors.values())
    return tensors


def check_results(result_dir, ids, tensors):
    """Opens the results and reads them in every way: row by row, gathered, all, by id."""
    with timed("open the results"):
        dataset = rds.ResultDataset({}, result_dir)
    print(f"    {dataset}")
    expect("number of rows", len(dataset) == len(ids))
    expect("columns", dataset.columns == tuple(tensors))

    with timed(f"read {len(ids)} rows one by one"):
        rows = [dataset[row] for row in range(len(ids))]
    for name, expected in tensors.items():
        expect_same(f"{name} one by one", np.stack([row[name] for row in rows]), expected)

    shuffled = np.random.default_rng(0).permutation(len(ids))
    with timed(f"gather {len(ids)} rows in random order"):
        gathered = dataset[shuffled]
    for name, expected in tensors.items():
        expect_same(f"{name} gathered", gathered[name], expected[shuffled])
        expect_same(f"{name} of all rows", np.asarray(dataset[name]), expected)

    with timed(f"read {len(ids)} ids"):
        stored_ids = dataset.ids()
    expect("ids", stored_ids == ids)

    with timed("look up digit-0042"):
        row = dataset.index_of("digit-0042")
    expect("row of digit-0042", row == 42)
    expect("id of row 42", dataset.get_object_id(row) == "digit-0042")
    expect_same("vector of digit-0042", dataset["hidden"][row], tensors["hidden"][42])


def project(vectors, ids, result_dir):
    """Stores the first two principal components as results of their own."""
    with timed("project the vectors to two dimensions and store the points"):
        points = PCA(2, random_state=0).fit_transform(vectors).astype(np.float32)
        with rds.ResultDatasetWriter(result_dir) as writer:
            writer.write_batch(ids, points)
    report_size(result_dir, points)
    expect_same("points", rds.ResultDataset({}, result_dir).__get_all__(), points)
    return points


def check_with_others(result_dir, ids, tensors):
    """Reads the table with pylance and with lancedb."""
    database = result_dir / "lance_db"
    readers = {
        "pylance": lambda: lance.dataset(str(database / "results.lance")).to_table(),
        "lancedb": lambda: lancedb.connect(str(database)).open_table("results").to_arrow(),
    }
    for name, read in readers.items():
        with timed(f"read {result_dir.name} with {name}"):
            table = read()
        expect(f"ids by {name}", table["object_id"].to_pylist() == ids)
        for column, expected in tensors.items():
            values = table[column].combine_chunks().flatten().to_numpy()
            expect_same(f"{column} by {name}", values.reshape(expected.shape), expected)


def draw(result_dir, labels, path):
    """Draws the stored points, coloured by digit."""
    points = rds.ResultDataset({}, result_dir).__get_all__()
    figure, axes = plt.subplots(figsize=(8, 6.5), layout="constrained")
    for digit in range(10):
        of_digit = points[labels == digit]
        axes.scatter(*of_digit.T, s=14, color=f"C{digit}", alpha=0.75, linewidths=0, label=str(digit))
    axes.set_title(f"Hidden-layer vectors of {len(points)} handwritten digits, by two principal components")
    axes.set_xlabel("first principal component")
    axes.set_ylabel("second principal component")
    axes.legend(title="digit", markerscale=2, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=150)
    print(f"drew {path}")


@contextmanager
def timed(what):
    start = time.perf_counter()
    yield
    print(f"{what}: {1000 * (time.perf_counter() - start):.1f} ms")


def report_size(result_dir, *arrays):
    # By inode: for a while a file has a second name in the directory of the run that wrote it.
    files = {path.stat().st_ino: path.stat().st_size for path in result_dir.rglob("*") if path.is_file()}
    on_disk, values = sum(files.values()), sum(array.nbytes for array in arrays)
    print(
        f"    {on_disk:,} bytes on disk in {len(files)} files for {values:,} bytes of values "
        f"({on_disk / values:.2f}x)"
    )


def expect(what, holds):
    if not holds:
        raise Mismatch(what)


def expect_same(what, got, expected):
    """Compares bytes: NaN equals itself, and -0.0 is not 0.0."""
    same = got.dtype == expected.dtype and got.shape == expected.shape
    expect(what, same and got.tobytes() == expected.tobytes())


if __name__ == "__main__":
    sys.exit(main())
