"""Memory of its own that an open reader takes: next to none, whatever the table's size."""

import json
import subprocess
import sys

import numpy as np
import pytest
from samples import numbered_ids, write

ROWS, WIDTH = 60_000, 1024
MEGABYTE = 1 << 20

READ = """
import json, sys
import numpy as np
import rds

def private():
    fields = dict(line.split(":") for line in open("/proc/self/smaps_rollup").readlines()[1:])
    return int(fields["Anonymous"].split()[0]) << 10

path, access = sys.argv[1:]
rds.ResultDataset({}, path)[[0]]  # the library, its threads, and their stacks
before = private()
ds = rds.ResultDataset({}, path, access=access)
opened = private()
rows = np.random.default_rng(0).integers(0, len(ds), (60, 512))
for some in rows if access == "mapped" else rows[:10]:
    ds[some].sum()
if access == "mapped":
    for row in range(0, len(ds), 7):
        ds[row].sum()
read = private()
ds.index_of("object-00005")
found = private()
print(json.dumps([x - before for x in (opened, read, found)]))
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """240 MB of tensors."""
    path = tmp_path_factory.mktemp("large")
    ids = numbered_ids(ROWS)
    data = np.ones((ROWS, WIDTH), np.float32)
    write(path, ids, data)
    return path


@pytest.mark.parametrize("access", ["mapped", "lance"])
def test_a_reader_owns_less_than_20_megabytes_besides_its_ids(large, access):
    run = subprocess.run(
        [sys.executable, "-c", READ, str(large), access], capture_output=True, text=True, check=True
    )
    opened, read, found = json.loads(run.stdout)
    assert opened < 5 * MEGABYTE
    assert read < 20 * MEGABYTE
    # 60,000 ids of 12 bytes, their offsets, 12 bytes of index for each, and what loading them leaves.
    assert found - read < 12 * MEGABYTE
