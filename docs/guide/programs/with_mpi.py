"""Each rank of MPI writes its parts of a job; one of them gathers the tokens and commits."""

import sys

import numpy as np
from mpi4py import MPI

import rds.parts

RESULTS, PARTS, ROWS = "results", 8, 1000


def infer(part):
    """Ids and tensors of the rows of a part."""
    numbers = np.arange(part * ROWS, (part + 1) * ROWS)
    return [f"object-{number}" for number in numbers], {"square": numbers.astype(np.float64) ** 2}


if __name__ == "__main__":
    job, world = sys.argv[1], MPI.COMM_WORLD
    tokens = []
    for part in range(world.rank, PARTS, world.size):
        # What an earlier run of the job has written, if it died, is not computed again.
        token = rds.parts.token(RESULTS, job, part)
        tokens.append(token or rds.parts.write_part(RESULTS, job, part, [infer(part)]))
    gathered = world.gather(tokens, root=0)
    if world.rank == 0:
        done = rds.parts.commit_parts(RESULTS, job, [token for some in gathered for token in some])
        print(done.rows, "rows in version", done.version)
