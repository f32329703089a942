"""An inference run stores embeddings and labels, and several processes train a classifier on them. They are killed in
the middle of an epoch; another number of processes goes on from the last checkpoint, and each row of the epoch came once.

    python examples/train.py [OUTPUT_DIRECTORY]

What an earlier run left in the output directory (default ./train_output) is replaced. It needs NumPy only: the processes
average their gradients through pipes, where others would use a library for that. The exit code is 1 if a row was lost or
came twice, or if the model is not that of a run that nobody killed.
"""

import os
import shutil
import sys
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import rds

OBJECTS, WIDTH, CLASSES = 20_000, 16, 10
# Rows of a step over all processes: however many these are, a step has the same rows.
BATCH = 512
EPOCHS = 3
STEPS_OF_EPOCH = -(-OBJECTS // BATCH)
STEPS_PER_CHECKPOINT = 10
RATE = 0.5


# The inference run --------------------------------------------------------------------------------


def infer(results):
    """Stores what a model made of each object, batch by batch: its embedding, and the class that it sees."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(CLASSES, WIDTH))
    with rds.create_results_writer(results) as writer:
        for first in range(0, OBJECTS, BATCH):
            numbers = np.arange(first, min(first + BATCH, OBJECTS))
            labels = random.integers(0, CLASSES, len(numbers))
            embeddings = centres[labels] + random.normal(scale=0.8, size=(len(numbers), WIDTH))
            ids = np.array([f"object-{number:05d}" for number in numbers])
            writer.write_batch(ids, {"embedding": embeddings.astype(np.float32), "label": labels})


# The model: a softmax classifier ------------------------------------------------------------------


def probabilities(weights, embeddings):
    """How probable each class is; the last row of the weights is the bias."""
    scores = embeddings.astype(np.float64) @ weights[:-1] + weights[-1]
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def gradient(weights, embeddings, labels):
    """The sum over the rows of a batch, which may be none."""
    wrong = probabilities(weights, embeddings)
    wrong[np.arange(len(labels)), labels] -= 1
    return np.vstack([embeddings.T @ wrong, wrong.sum(axis=0)])


# The training run ---------------------------------------------------------------------------------


def save(checkpoint, weights, loader):
    """The model and the position belong together: one file, which is there whole or not at all."""
    state = np.frombuffer(loader.state_dict()["rds"], np.uint8)
    temporary = checkpoint.with_suffix(".new.npz")
    np.savez(temporary, weights=weights, state=state)
    os.replace(temporary, checkpoint)


def load(checkpoint, loader):
    """The model of a checkpoint, whose position the loader takes; a new model if there is none."""
    if not checkpoint.exists():
        return np.zeros((WIDTH + 1, CLASSES))
    with np.load(checkpoint) as saved:
        loader.load_state_dict({"rds": saved["state"].tobytes()})
        return saved["weights"]


def train_rank(results, checkpoint, rank, world_size, link):
    """What one of the processes does: its share of each step. The pipe says what all of them have found."""
    dataset = rds.load_results_dataset({}, results)
    loader = rds.Loader(dataset, global_batch_size=BATCH, seed=1, rank=rank, world_size=world_size)
    weights = load(checkpoint, loader)
    for epoch in range(loader.epoch, EPOCHS):
        loader.set_epoch(epoch)  # does nothing in the epoch of the checkpoint
        for batch in loader:
            own = gradient(weights, batch["embedding"], batch["label"])
            link.send((epoch, loader.consumed, loader.rows, own))
            weights = weights - RATE * link.recv()
            if rank == 0 and loader.consumed % (STEPS_PER_CHECKPOINT * BATCH) == 0:
                save(checkpoint, weights, loader)
    link.send(weights)


def train(results, checkpoint, world_size, steps=None):
    """Runs the processes, and kills them while they do the step behind `steps`, if it is given.

    Returns the rows of each step that was done, by epoch and by how many rows were consumed after it; and the weights at
    the end.
    """
    context = get_context("spawn")
    links, processes = [], []
    for rank in range(world_size):
        ours, theirs = context.Pipe()
        process = context.Process(target=train_rank, args=(results, checkpoint, rank, world_size, theirs))
        process.start()
        theirs.close()
        links.append(ours)
        processes.append(process)
    done, weights = {}, None
    while weights is None and len(done) != steps:
        told = [link.recv() for link in links]
        if isinstance(told[0], np.ndarray):
            weights = told[0]
            continue
        epochs, consumed, rows, gradients = zip(*told)
        done[epochs[0], consumed[0]] = np.concatenate(rows)
        average = sum(gradients) / sum(map(len, rows))
        for link in links:
            link.send(average)
    for process in processes:
        if weights is None:
            process.kill()  # SIGKILL: nothing is put in order
        process.join()
    return done, weights


# What is shown ------------------------------------------------------------------------------------


def check(what, holds):
    print("ok:" if holds else "FAILED:", what)
    return holds


def main():
    output = Path(sys.argv[1] if len(sys.argv) > 1 else "train_output")
    shutil.rmtree(output / "results", ignore_errors=True)
    output.mkdir(exist_ok=True)
    checkpoints = output / "killed.npz", output / "straight.npz"
    for file in checkpoints:
        file.unlink(missing_ok=True)
    infer(output / "results")
    dataset = rds.load_results_dataset({}, output / "results")
    print(dataset)

    # In the middle of the second epoch, and some steps behind the last checkpoint.
    before, _ = train(output / "results", checkpoints[0], 3, STEPS_OF_EPOCH + STEPS_OF_EPOCH // 2 - 3)
    epoch, killed = max(before)
    print(f"3 processes were killed in epoch {epoch}, when {killed:,} of its {OBJECTS:,} rows were done.")
    after, weights = train(output / "results", checkpoints[0], 2)
    epoch, first = min(after)
    print(f"2 processes went on, and did {len(after)} steps, the first up to row {first:,} of epoch {epoch}.")

    again = before.keys() & after.keys()
    kept = [rows for place, rows in before.items() if place[0] == epoch and place not in again]
    rows = [rows for place, rows in after.items() if place[0] == epoch]
    counts = [sum(map(len, part)) for part in (kept, rows)]
    every = np.arange(OBJECTS)
    met = check(
        f"{counts[0]:,} rows before the checkpoint and {counts[1]:,} after it are each row of the epoch, once",
        np.array_equal(np.sort(np.concatenate(kept + rows)), every),
    )
    met &= check(
        f"{len(again)} steps that were done after the checkpoint were done again, with the same rows",
        len(again) > 0 and all(np.array_equal(before[place], after[place]) for place in again),
    )
    straight, expected = train(output / "results", checkpoints[1], 1)
    difference = np.abs(weights - expected).max()
    met &= check("a process that nobody kills comes to the same model", difference < 1e-9)
    orders = [np.concatenate([rows for place, rows in straight.items() if place[0] == e]) for e in range(EPOCHS)]
    met &= check(
        f"each of the {EPOCHS} epochs has every row once, in an order of its own",
        all(np.array_equal(np.sort(order), every) for order in orders) and not np.array_equal(orders[0], orders[1]),
    )
    right = probabilities(weights, np.asarray(dataset["embedding"])).argmax(axis=1) == np.asarray(dataset["label"])
    print(f"The model sees {right.mean():.1%} of the labels.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
