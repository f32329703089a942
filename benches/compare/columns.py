"""Several named tensors in a row: rds beside NumPy's memmaps of the same arrays and beside a table of one tensor.

    .venv/bin/python benches/compare/columns.py [one] [several] [write] [whole] [refresh]    all, if none is named

`one` reads one column of a table of four (2, 10, 64 and 512 wide) and the same of a table that has it alone. `write`
has a million rows of 64, 10 and 2 float32 from open to end of commit, beside np.save and fsync of the three arrays,
and beside the writer of Hyrax 0.13 for a twentieth of the rows, if that is installed.
"""

import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import rds
from _common import BATCH, Measure, duration, judged, medians, seconds

ROWS = 200_000
WIDTHS = (2, 10, 64, 512)
GATHER = 512
AGAIN = 50
WRITTEN = 1_000_000
SHAPES = {"embedding": 64, "logits": 10, "position": 2}


def arrays(rows: int, shapes: dict[str, int]) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {name: generator.random((rows, width), dtype=np.float32) for name, width in shapes.items()}


def write(directory: Path, columns: dict[str, np.ndarray]) -> None:
    rows = len(next(iter(columns.values())))
    with rds.ResultDatasetWriter(directory) as writer:
        for start in range(0, rows, BATCH):
            part = slice(start, min(start + BATCH, rows))
            batch = {name: values[part] for name, values in columns.items()}
            writer.write_batch(np.arange(part.start, part.stop), batch)
        writer.commit()


def save(directory: Path, columns: dict[str, np.ndarray]) -> None:
    for name, values in columns.items():
        with open(directory / f"{name}.npy", "wb") as file:
            np.save(file, values)
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def tables():
    """A table of four columns, memmaps of the same, and a table for each column."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        columns = arrays(ROWS, {f"w{width}": width for width in WIDTHS})
        write(place / "all", columns)
        for name, values in columns.items():
            write(place / name, {"data": values})
        save(place, columns)
        memmaps = {name: np.load(place / f"{name}.npy", mmap_mode="r") for name in columns}
        alone = {name: rds.ResultDataset({}, place / name) for name in columns}
        yield rds.ResultDataset({}, place / "all"), alone, memmaps


def again(call):
    def run(wanted):
        for one in wanted:
            call(one)

    return run


def chosen(count: int):
    """Rows for the calls of a round, chosen anew."""
    return lambda: list(np.random.default_rng().integers(0, ROWS, (AGAIN, count)))


def one() -> None:
    measures = {
        "[i]": Measure("one row of one column of four, ds[name][i]", slow="alone", target=0.9),
        "[rows]": Measure(f"{GATHER} rows of one column of four, ds[name][rows]", slow="alone", target=0.9),
        "out": Measure(f"{GATHER} rows, take(rows, out=)", slow="alone", target=0.9),
    }
    with tables() as (results, alone, memmaps):
        for name, values in memmaps.items():
            column, single = results[name], alone[name]
            single = single["data"]
            rows = lambda: np.random.default_rng().integers(0, ROWS, AGAIN).tolist()
            calls = {"rds": again(lambda row: column[row]), "alone": again(lambda row: single[row])}
            measures["[i]"].add(name, medians(calls, 300, rows), AGAIN)
            calls = {
                "rds": again(lambda rows: column[rows]),
                "alone": again(lambda rows: single[rows]),
                "memmap": again(lambda rows: values[rows]),
            }
            measures["[rows]"].add(name, medians(calls, 100, chosen(GATHER)), AGAIN)
            out = np.empty((GATHER, *values.shape[1:]), values.dtype)
            calls = {
                "rds": again(lambda rows: column.take(rows, out=out)),
                "alone": again(lambda rows: single.take(rows, out=out)),
            }
            measures["out"].add(name, medians(calls, 100, chosen(GATHER)), AGAIN)
    for measure in measures.values():
        measure.show()


def several() -> None:
    measure = Measure("rows of all four columns, as a dict", slow="memmaps", target=1)
    with tables() as (results, _, memmaps):
        for count in (1, 64, GATHER):
            calls = {
                "rds": again(lambda rows: results[rows]),
                "memmaps": again(lambda rows: {name: values[rows] for name, values in memmaps.items()}),
            }
            measure.add(f"ds[{count} rows]", medians(calls, 100, chosen(count)), AGAIN)
        rows = lambda: np.random.default_rng().integers(0, ROWS, AGAIN).tolist()
        calls = {
            "rds": again(lambda row: results[row]),
            "memmaps": again(lambda row: {name: values[row] for name, values in memmaps.items()}),
        }
        measure.add("ds[i]", medians(calls, 300, rows), AGAIN)
        calls = {
            "rds": again(lambda rows: results["w64"][rows]),
            "memmaps": again(lambda rows: memmaps["w64"][rows]),
        }
        measure.add(f'ds["w64"][{GATHER} rows]', medians(calls, 100, chosen(GATHER)), AGAIN)
    measure.show()


def run_in(call, columns) -> float:
    with tempfile.TemporaryDirectory() as name:
        os.sync()
        return seconds(call, Path(name), columns)


def write_by_hyrax(directory: Path, columns) -> None:
    from hyrax.datasets.result_dataset import ResultDatasetWriter

    writer = ResultDatasetWriter(directory)
    rows = len(next(iter(columns.values())))
    for start in range(0, rows, BATCH):
        part = slice(start, min(start + BATCH, rows))
        ids = np.arange(part.start, part.stop).astype(str)
        writer.write_batch(ids, {name: values[part] for name, values in columns.items()})
    writer.commit()


def writing() -> None:
    columns = arrays(WRITTEN, SHAPES)
    calls = {"rds": lambda: run_in(write, columns), "np.save": lambda: run_in(save, columns)}
    times = {name: [] for name in calls}
    for number in range(9):
        for name in list(calls) if number % 2 else list(calls)[::-1]:
            times[name].append(calls[name]())
    median = {name: float(np.median(taken)) for name, taken in times.items()}
    measure = Measure(f"{WRITTEN:,} rows of {SHAPES} float32", slow="np.save", target=0.8)
    measure.add("open to end of commit", median)
    measure.show()
    try:
        import hyrax.datasets.result_dataset  # noqa: F401
    except ImportError:
        print("Hyrax is not installed; its writer was not measured")
        return
    part = 20
    few = {name: values[: WRITTEN // part] for name, values in columns.items()}
    measure = Measure("the same by Hyrax's own writer, a twentieth of the rows, multiplied", slow="Hyrax", target=20)
    measure.add("open to end of commit", {"rds": median["rds"], "Hyrax": run_in(write_by_hyrax, few) * part})
    measure.show()


def whole() -> None:
    with tables() as (results, _, memmaps):
        for name, values in memmaps.items():
            array = np.asarray(results[name])
            row = results[name][0]
            same = array.__array_interface__["data"][0] == row.__array_interface__["data"][0]
            expected = np.array_equal(array, values)
            print(f"np.asarray(ds[{name!r}]): {judged(same and expected)}, the pointer is the map's")


def refresh() -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write(place, arrays(WRITTEN, {"embedding": 16, "position": 2}))
        results = rds.ResultDataset({}, place)
        results.get_object_id(5)
        results.find(["7"])
        times = []
        for number in range(9):
            with rds.ResultDatasetWriter(place, mode="append") as writer:
                writer.write_batch([f"new-{number}"], {k: np.ones((1, w), "f4") for k, w in (("embedding", 16), ("position", 2))})

            def follow(number=number):
                assert results.refresh()
                assert results.get_object_id(WRITTEN + number) == f"new-{number}"
                assert results.find([f"new-{number}"])[0] == WRITTEN + number

            times.append(seconds(follow))
        median = float(np.median(times))
        print(f"\nrefresh after a row more on {WRITTEN:,}, an id and a find: {duration(median)}, {judged(median < 5e-3)} (5 ms)")


ALL = {"one": one, "several": several, "write": writing, "whole": whole, "refresh": refresh}

if __name__ == "__main__":
    for chosen_name in sys.argv[1:] or ALL:
        ALL[chosen_name]()
