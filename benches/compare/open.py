"""Opening a table of one and of a thousand fragments, and its first rows: rds beside pylance.

    .venv/bin/python benches/compare/open.py [width]

Both open the same table of 200,000 rows of float32, which pylance wrote.
"""

import sys
import tempfile

import lance
import numpy as np
import pyarrow as pa
from _common import ROWS, Measure, medians, seconds

import rds


def write(path: str, width: int, fragments: int) -> None:
    values = np.random.default_rng(0).random(ROWS * width, dtype=np.float32)
    data = pa.FixedSizeListArray.from_arrays(pa.array(values), width)
    table = pa.table({"object_id": [str(row) for row in range(ROWS)], "data": data})
    table = table.replace_schema_metadata({"tensor_shape": f"[{width}]", "tensor_dtype": "float32"})
    rows = ROWS // fragments
    lance.write_dataset(table, path, max_rows_per_file=rows, max_rows_per_group=rows)


def main(width: int) -> None:
    opened = Measure(f"open, {width} wide", "pylance")
    first = Measure("open and read one row", "pylance")
    spread = Measure("ds[i], 1000 rows spread over all")
    for fragments in (1, 1000):
        with tempfile.TemporaryDirectory() as directory:
            path = directory + "/results.lance"
            write(path, width, fragments)
            case = f"fragments: {len(lance.dataset(path).get_fragments())}"
            calls = {"rds": lambda: rds.ResultDataset({}, path), "pylance": lambda: lance.dataset(path)}
            opened.add(case, medians(calls, 30))
            calls = {
                "rds": lambda: rds.ResultDataset({}, path)[ROWS // 2],
                "pylance": lambda: lance.dataset(path).take([ROWS // 2], columns=["data"]),
            }
            first.add(case, medians(calls, 30))
            results = rds.ResultDataset({}, path)

            def read():
                return [results[row] for row in range(0, ROWS, ROWS // 1000)]

            times = {"first time": seconds(read), "again": medians({"": read}, 30)[""]}
            spread.add(case, times, 1000)
    for measure in (opened, first, spread):
        measure.show()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 64)
