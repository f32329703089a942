"""A DataFrame of Spark 4 becomes a table: `df.write.format("rds")`, with one part for each partition."""

import os
import uuid
from dataclasses import dataclass

from pyspark import TaskContext
from pyspark.sql import SparkSession
from pyspark.sql.datasource import DataSource, DataSourceArrowWriter, WriterCommitMessage

import rds.parts

PARTS, ROWS = 8, 1000


def tensors(batches):
    """Ids and arrays of record batches of Arrow: lists of Spark have no fixed length."""
    for batch in batches:
        if batch.num_rows:
            embedding = batch.column("embedding").flatten().to_numpy().reshape(batch.num_rows, -1)
            yield batch.column("id").to_pylist(), {"embedding": embedding}


@dataclass
class Part(WriterCommitMessage):
    token: bytes


class Writer(DataSourceArrowWriter):
    def __init__(self, path, mode):
        # It is pickled for the tasks, which so have one name for the job.
        self.path, self.mode, self.job = path, mode, f"spark-{uuid.uuid4().hex}"

    def write(self, iterator):
        part = TaskContext.get().partitionId()
        return Part(rds.parts.write_part(self.path, self.job, part, tensors(iterator)))

    def commit(self, messages):
        rds.parts.commit_parts(self.path, self.job, [message.token for message in messages], self.mode)

    def abort(self, messages):
        """Parts of a job that failed lie beside the table until `rds.vacuum` removes them."""


class Results(DataSource):
    @classmethod
    def name(cls):
        return "rds"

    def writer(self, schema, overwrite):
        return Writer(self.options["path"], "overwrite" if overwrite else self.options.get("rds.mode", "create"))


if __name__ == "__main__":
    spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    spark.dataSource.register(Results)
    frame = spark.range(0, PARTS * ROWS, numPartitions=PARTS).selectExpr(
        "concat('object-', id) AS id", "array(float(id), float(id) / 2) AS embedding"
    )
    frame.write.format("rds").mode("append").save(os.path.abspath("results"))
    spark.stop()

    results = rds.ResultDataset({}, "results")
    print(len(results), "rows; row 2500 is", results.get_object_id(2500), "with", results["embedding"][2500])
