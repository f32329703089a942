"""A part of a job in each task of a Slurm job array, and one commit behind it. slurm_array.sh submits both."""

import os
import sys

import numpy as np

import rds.parts

RESULTS, PARTS, ROWS = "results", 8, 1000


def infer(part):
    """Ids and tensors of the rows of a part."""
    numbers = np.arange(part * ROWS, (part + 1) * ROWS)
    return [f"object-{number}" for number in numbers], {"square": numbers.astype(np.float64) ** 2}


def missing(job):
    """The parts that no task has written yet."""
    if job in rds.parts.finished(RESULTS):
        return []
    return sorted(set(range(PARTS)) - set(rds.parts.unfinished(RESULTS).get(job, ())))


if __name__ == "__main__":
    what, job = sys.argv[1:]
    if what == "missing":
        print(",".join(map(str, missing(job))))
    elif what == "write":
        part = int(os.environ["SLURM_ARRAY_TASK_ID"])
        if not rds.parts.token(RESULTS, job, part):
            rds.parts.write_part(RESULTS, job, part, [infer(part)])
    elif what == "commit":
        if missing(job):
            sys.exit(f"parts {missing(job)} of the job {job} are missing")
        tokens = rds.parts.unfinished(RESULTS).get(job, {})
        if tokens:
            done = rds.parts.commit_parts(RESULTS, job, list(tokens.values()))
            print(done.rows, "rows in version", done.version)
