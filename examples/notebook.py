"""What a notebook of a Hyrax user does: infer, store, reduce, look up, plot.

    python examples/notebook.py [OUTPUT_DIRECTORY]

Needs scikit-learn and matplotlib. In an editor that knows `# %%` each part is a cell.
"""

# %% Data and model: handwritten digits, and a small network that knows half of them
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.neighbors import KDTree
from sklearn.neural_network import MLPClassifier

import rds

output = Path(sys.argv[1] if len(sys.argv) > 1 else "notebook_output")
config = {"data_loader": {"batch_size": 64}}

images, labels = load_digits(return_X_y=True)
images = (images / 16).astype(np.float32)
object_ids = np.array([f"digit-{number:04d}" for number in range(len(images))])

model = MLPClassifier(hidden_layer_sizes=(32,), max_iter=500, tol=1e-3, random_state=0)
model.fit(images[::2], labels[::2])
print(f"The model knows {model.score(images[1::2], labels[1::2]):.0%} of the digits it has not seen.")


def infer(batch: np.ndarray) -> dict[str, np.ndarray]:
    """The activations of the hidden layer, and how probable each digit is."""
    latent = np.maximum(batch @ model.coefs_[0] + model.intercepts_[0], 0)
    return {"latent": latent.astype(np.float32), "probability": model.predict_proba(batch).astype(np.float32)}


# %% Infer: one batch after the other, stored as it comes
writer = rds.create_results_writer(output / "infer")
batch_size = config["data_loader"]["batch_size"]
for start in range(0, len(images), batch_size):
    part = slice(start, start + batch_size)
    writer.write_batch(object_ids[part], infer(images[part]))
writer.commit()
writer.close()

# %% Open the results: a dataset, whose rows are where they are on disk
results = rds.load_results_dataset(config, output / "infer")
print(results)
begin = time.perf_counter()
rows = [results[row] for row in range(len(results))]
print(f"A row takes {1e6 * (time.perf_counter() - begin) / len(rows):.1f} µs.")

# %% Reduce: two dimensions, as the verb `umap` would, by principal components
reduced = PCA(2, random_state=0).fit_transform(np.asarray(results["latent"])).astype(np.float32)
probability = np.asarray(results["probability"])
with rds.create_results_writer(output / "reduce") as writer:
    writer.write_batch(results.ids(), {"point": reduced, "probability": probability})
points = rds.load_results_dataset(config, output / "reduce")

# %% Look up: an object by its id, and those that the model finds most like it
wanted = "digit-0042"
row = results.index_of(wanted)
latent = results["latent"]
_, nearest = KDTree(latent).query(latent[[row]], k=6)
alike = [results.get_object_id(number) for number in nearest[0]]
print(f"{wanted} is a {labels[row]}, at {points['point'][row].round(2)}, by the model a {probability[row].argmax()}.")
print("Most like it are", ", ".join(f"{name} (a {labels[results.index_of(name)]})" for name in alike[1:]))

# %% Plot: in a notebook `!rds plot ...`, coloured by what the model sees; the page can be moved and zoomed
for name in ("reduce.png", "reduce.html"):
    command = [sys.executable, "-m", "rds", "plot", output / "reduce", output / name, "--force"]
    subprocess.run([*command, "--colour", "probability:argmax", "--title", "Digits"], check=True)
