"""A DataFrame of Daft becomes a table: its sink writes a part for each piece that Daft hands to it."""

import os
import uuid

import daft
import numpy as np
from daft.functions import monotonically_increasing_id
from daft.io.sink import DataSink, WriteResult
from daft.recordbatch import MicroPartition

import rds.parts

ROWS = 8000


class Results(DataSink):
    def __init__(self, path, mode="create"):
        self.path, self.mode, self.job = os.path.abspath(path), mode, f"daft-{uuid.uuid4().hex}"

    def schema(self):
        return daft.Schema.from_pydict({"rows": daft.DataType.int64()})

    def write(self, micropartitions):
        for some in micropartitions:
            table = some.to_arrow()
            if table.num_rows:
                # Daft does not number what it hands out: the number of its first row tells the order.
                part = table["row"][0].as_py()
                rows = table.select(["id", "embedding"]).rename_columns(["object_id", "embedding"])
                yield WriteResult(rds.parts.write_part(self.path, self.job, part, rows), table.nbytes, table.num_rows)

    def finalize(self, write_results):
        done = rds.parts.commit_parts(self.path, self.job, [one.result for one in write_results], self.mode)
        return MicroPartition.from_pydict({"rows": [done.rows]})


if __name__ == "__main__":
    numbers = np.arange(ROWS)
    embedding = np.stack([numbers, numbers / 2], axis=1).astype(np.float32)
    frame = daft.from_pydict({"id": [f"object-{number}" for number in numbers], "embedding": list(embedding)})
    vectors = frame["embedding"].cast(daft.DataType.fixed_size_list(daft.DataType.float32(), 2))
    numbered = frame.with_columns({"embedding": vectors, "row": monotonically_increasing_id()})
    numbered.into_batches(1000).write_sink(Results("results"))

    results = rds.ResultDataset({}, "results")
    print(len(results), "rows; row 2500 is", results.get_object_id(2500), "with", results["embedding"][2500])
