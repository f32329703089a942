"""A DataFrame of Spark 3.3 or later becomes a table: a task writes its partition, and gives the token as its row."""

import os
import uuid

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import SparkSession

import rds.parts

PARTS, ROWS = 8, 1000


def save(frame, path, mode="create"):
    """Writes the columns `id` and `embedding`."""
    job = f"spark-{uuid.uuid4().hex}"

    def tensors(batches):
        for batch in batches:
            if batch.num_rows:
                # Lists of Spark have no fixed length.
                embedding = batch.column("embedding").flatten().to_numpy().reshape(batch.num_rows, -1)
                yield batch.column("id").to_pylist(), {"embedding": embedding}

    def write(batches):
        token = rds.parts.write_part(path, job, TaskContext.get().partitionId(), tensors(batches))
        yield pa.record_batch({"token": pa.array([token], pa.binary())})

    tokens = [bytes(row.token) for row in frame.mapInArrow(write, "token binary").collect()]
    return rds.parts.commit_parts(path, job, tokens, mode)


if __name__ == "__main__":
    spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    frame = spark.range(0, PARTS * ROWS, numPartitions=PARTS).selectExpr(
        "concat('object-', id) AS id", "array(float(id), float(id) / 2) AS embedding"
    )
    done = save(frame, os.path.abspath("results"))
    print(done.rows, "rows in version", done.version)
    spark.stop()
