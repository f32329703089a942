"""Random loaders, and what docs/order.py says that they give."""

import random
import sys
import tempfile
from itertools import islice
from pathlib import Path

import numpy as np

import rds

sys.path.append(str(Path(__file__).parents[2] / "docs"))
import order  # noqa: E402  (what the page on the order of rows shows)

# Tables of a mixture.
SIZES = (1, 7, 40)


def expected(case, size, row_at):
    """The batches of a rank from a position to the end of the epoch, and how many rows of the last one fill it up."""
    batches, consumed, padded = [], case["consumed"], 0
    while positions := order.step(size, consumed, case["global_batch_size"], case["tail"]):
        own = order.share(positions, case["rank"], case["world_size"])
        batches.append([row_at(p % size) for p in own])
        padded = sum(p >= size for p in own)
        consumed = min(consumed + case["global_batch_size"], size)
    return batches, padded


def placed(case, size, p, table=0, pass_=0):
    """What is at a position of a table."""
    if case["order"] == "in_order":
        return p
    return order.shuffled(size, order.digest(case["seed"], case["epoch"], table, pass_), p, case["clump"])


def random_case(choose, size):
    """Options of a loader over so many rows, and the epoch; where it begins there is added."""
    world_size = choose.randint(1, 4)
    in_order = choose.random() < 0.25
    step_size = choose.randint(world_size, 40)
    return {
        "global_batch_size": step_size,
        "rank": choose.randrange(world_size),
        "world_size": world_size,
        "tail": choose.choice(["short", "pad"] + ["drop"] * (step_size <= size)),
        "seed": choose.getrandbits(64),
        "order": "in_order" if in_order else "shuffled",
        "clump": 1 if in_order else choose.choice([1, 1, 2, 3, 10]),
        "epoch": choose.choice([0, 1, choose.getrandbits(63)]),
    }


def options(case):
    return {name: value for name, value in case.items() if name not in ("epoch", "consumed")}


def of_sampler(choose, _tables):
    """Numbers of rows, all or a list of them. Another rank alone comes first, in steps of another size."""
    size = choose.choice([1, 2, 3, choose.randint(4, 200)])
    case = random_case(choose, size)
    rows = choose.choice([None, choose.choices(range(1000), k=size)])
    table = {"rows": rows} if rows else {}
    sampler = rds.BatchSampler(1000 if rows else size, None, **options(case), **table)
    alone = options(case) | {"global_batch_size": 7, "rank": 0, "world_size": 1, "tail": "short"}
    first = rds.BatchSampler(1000 if rows else size, None, **alone, **table)
    first.set_epoch(case["epoch"])
    steps = choose.randrange(-(-size // 7))
    for _ in islice(first, steps):
        pass
    sampler.load_state_dict(first.state_dict())
    case["consumed"] = 7 * steps
    chosen = rows or range(size)
    given = list(sampler)
    batches, padded = expected(case, size, lambda p: chosen[placed(case, size, p)])
    # A DataLoader has no use for a batch without rows: a rank that has no share of a short step is given none.
    return (given, sampler.padded), ([batch for batch in batches if batch], padded)


def of_mixture(choose, tables):
    """Tables and rows of a mixture, whose weights change."""
    size = choose.randint(1, 150)
    case = random_case(choose, size)
    places = sorted(choose.randrange(size) for _ in range(choose.randrange(4)))
    segments = [(at, [choose.randrange(5), 1 + choose.randrange(5), choose.randrange(5)]) for at in (0, *places)]
    weights = [(case["epoch"], *segment) for segment in segments]
    loader = rds.Loader(tables, columns=(), weights=weights, epoch_rows=size, **options(case))
    case["consumed"] = choose.randrange(size)
    loader.seek(case["epoch"], case["consumed"])
    given = [list(zip(loader.tables.tolist(), rows.tolist())) for rows in loader]

    def row_at(p):
        table, pass_, index = order.mixed(SIZES, segments, p)
        return table, placed(case, SIZES[table], index, table, pass_)

    return (given, loader.padded), expected(case, size, row_at)


def compare_cases(count):
    """How many of so many random loaders give something else than is expected of them."""
    choose = random.Random(0)
    with tempfile.TemporaryDirectory() as directory:
        tables = []
        for size in SIZES:
            with rds.ResultDatasetWriter(Path(directory, str(size))) as writer:
                writer.write_batch(np.arange(size), np.zeros((size, 1)))
            tables.append(rds.ResultDataset({}, Path(directory, str(size))))
        kinds = choose.choices([of_sampler, of_mixture], [3, 1], k=count)
        return sum(given != wanted for given, wanted in (kind(choose, tables) for kind in kinds))
