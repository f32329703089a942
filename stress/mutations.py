"""Small tables of all kinds are damaged at random, before they are opened or while they are open, and read in every
way: what comes is an error, or what was there, within ten seconds and 4 GiB of address space.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import _library
import common
import rds
from common import expect

ROWS = 40
ADDRESS_SPACE = 4 << 30
SECONDS = 10
# A child makes so many, so that starting it costs little.
AT_ONCE = 200
DTYPES = "bool uint8 int16 int32 int64 float16 float32 float64 complex64".split()
# Errors that a damaged table may give; others say that librds took the damage for something else.
ALLOWED = {
    "CorruptError", "NotSupportedError", "SchemaMismatchError", "NotResultsError", "NotFoundError", "OutOfRangeError",
    "StorageError",
}


# Tables ------------------------------------------------------------------------------------------------------


def make_tables(place: Path) -> list[Path]:
    tables = []

    def new(name: str) -> Path:
        tables.append(place / f"{name}.lance")
        return tables[-1]

    ids = [f"id-{i}" for i in range(ROWS)]
    for dtype in DTYPES:
        values = (np.arange(ROWS * 6).reshape(ROWS, 2, 3) % 2).astype(dtype)
        with rds.ResultDatasetWriter(new(f"rds_{dtype}")) as writer:
            writer.write_batch(ids, values)
    with rds.ResultDatasetWriter(new("rds_scalars"), durability="batch") as writer:
        for i in range(4):
            writer.write_batch([f"s-{i}-{j}" for j in range(10)], np.arange(10.0) + i)
            writer.flush()
    tables += make_lance_tables(place)
    return tables


def make_lance_tables(place: Path) -> list[Path]:
    import lance
    import pyarrow as pa

    tables = []
    metadata = {"tensor_shape": "[4]", "tensor_dtype": "float32"}
    for version in ("2.0", "2.1", "2.2"):
        for deleted in (0, 3, ROWS * 60):
            rows = ROWS if deleted <= 3 else ROWS * 100
            ids = pa.array([f"object {i}" for i in range(rows)])
            values = pa.array(np.arange(rows * 4, dtype=np.float32))
            columns = {"object_id": ids, "data": pa.FixedSizeListArray.from_arrays(values, 4)}
            rows = pa.table(columns).replace_schema_metadata(metadata)
            path = place / f"lance_{version}_{deleted}.lance"
            dataset = lance.write_dataset(rows, path, data_storage_version=version, max_rows_per_file=len(ids) // 2)
            if deleted:
                names = ", ".join(f"'object {7 * i % len(ids)}'" for i in range(deleted))
                dataset.delete(f"object_id in ({names})")
            tables.append(path)
    return tables


def read(path: Path, access: str, between=lambda: None) -> list[bytes]:
    """All of a table, in every way that there is."""
    dataset = rds.ResultDataset({}, path, access=access)
    between()
    seen, count = [], min(len(dataset), 5000)
    ways = [
        lambda: np.ascontiguousarray(dataset[0:count]).tobytes(),
        lambda: np.ascontiguousarray(dataset[[0, count - 1, count // 2, 0]]).tobytes(),
        lambda: np.ascontiguousarray(dataset[count - 1]).tobytes(),
        lambda: "\n".join(dataset.ids()[:count]).encode(),
        lambda: np.asarray(dataset.find(["id-3", "object 9", "s-1-2", "none"])).tobytes(),
        lambda: _stream(dataset, count),
        lambda: str(dataset.refresh()).encode() and b"",
    ]
    for way in ways:
        try:
            seen.append(way())
        except rds.RdsError as error:
            name = type(error).__name__
            expect(name in ALLOWED, f"{name}: {error}")
            seen.append(b"")
    return seen


def _stream(dataset, count: int) -> bytes:
    import pyarrow as pa

    try:
        total = pa.RecordBatchReader.from_stream(dataset.stream(batch_size=17)).read_all()
    except (OSError, pa.ArrowException) as error:
        expect("defect" not in str(error), str(error))
        return b""
    if "object_id" not in total.column_names:
        # Its name was damaged: a table without ids.
        return b""
    return "\n".join(map(str, total["object_id"].to_pylist()[:count])).encode()


# Damage ------------------------------------------------------------------------------------------------------


def damage(path: Path, chance: random.Random) -> tuple[str, bool]:
    """What was done, and whether everything that was touched is checked by somebody."""
    files = sorted(file for file in path.rglob("*") if file.is_file() and "_transactions" not in file.parts)
    file = chance.choice(files)
    data = bytearray(file.read_bytes())
    kind = chance.choice(["bit", "byte", "bytes", "cut", "zeros", "more", "swap", "number", "number", "name", "gone"])
    at = _place(data, file, chance)
    if kind == "name":
        file.rename(file.with_name(chance.choice(["x" + file.name, file.name[:-1], file.name.replace("1", "2", 1)])))
    elif kind == "gone":
        file.unlink()
    else:
        _change(data, kind, at, chance)
        if chance.random() < 0.5:
            file.write_bytes(data)
        else:
            file.with_suffix(".new").write_bytes(data)
            file.with_suffix(".new").replace(file)
    # Values and names of objects are not checked, and the manifest that is left or renamed is another version.
    checked = kind in ("gone", "cut", "name") and "_versions" not in file.parts
    return f"{kind} at {at} of {len(data)} in {file.relative_to(path)}", checked


def _place(data: bytearray, file: Path, chance: random.Random) -> int:
    """Mostly where a file says what it is."""
    if not data:
        return 0
    tail = min(len(data), 1500)
    return len(data) - 1 - chance.randrange(tail) if chance.random() < 0.8 else chance.randrange(len(data))


def _change(data: bytearray, kind: str, at: int, chance: random.Random) -> None:
    if kind == "cut" or not data:
        del data[at:]
    elif kind == "bit":
        data[at] ^= 1 << chance.randrange(8)
    elif kind == "byte":
        data[at] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
    elif kind == "bytes":
        data[at : at + 8] = chance.randbytes(8)
    elif kind == "zeros":
        data[at : at + chance.randrange(1, 64)] = b""
        data.extend(b"\0" * 8)
    elif kind == "more":
        data[at:at] = chance.randbytes(chance.randrange(1, 9))
    elif kind == "swap":
        other = chance.randrange(len(data))
        data[at], data[other] = data[other], data[at]
    elif kind == "number":
        width = chance.choice([2, 4, 8])
        number = chance.choice([0, 1, 2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1, len(data), len(data) + 1])
        data[at : at + width] = (number % (1 << 8 * width)).to_bytes(width, "little")


# A child -----------------------------------------------------------------------------------------------------


def child(tables: Path, work: Path, first: int, count: int, seed: int) -> None:
    """Damages and reads, and says before each which it is."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    originals = sorted(tables.glob("*.lance"))
    truth = {(table, access): read(table, access) for table in originals for access in ("auto", "lance")}
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    for number in range(first, first + count):
        chance = random.Random(seed + number)
        table, access = chance.choice(originals), chance.choice(["auto", "auto", "lance"])
        print(number, table.name, access, flush=True)
        signal.alarm(SECONDS)
        copy = work / "t.lance"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(table, copy)
        said = one(copy, access, chance, truth[table, access])
        signal.alarm(0)
        if said:
            print(f"FAIL {said}", flush=True)
            sys.exit(3)
    print("done", flush=True)


def one(copy: Path, access: str, chance: random.Random, truth: list[bytes]) -> str | None:
    after, told = chance.random() < 0.25, []

    def spoil():
        told.append(damage(copy, chance))

    try:
        if not after:
            spoil()
        seen = read(copy, access, spoil if after else lambda: None)
    except rds.RdsError as error:
        name = type(error).__name__
        return None if name in ALLOWED else f"{told}: {name}: {error}"
    except common.Failure as failure:
        return f"{told}: {failure}"
    # What was opened before is a snapshot; a file that vanished or was renamed changes nothing that is read.
    # A mapped file that is cut short in its place gives zeros up to the end of a page, and no more of it.
    if told and told[0][1] and not (after and told[0][0].startswith("cut")):
        for was, now in zip(truth, seen):
            if now and now != was:
                return f"{told}: other values than there were"
    return None


def run(chosen, place, counts) -> None:
    tables = place / "tables"
    tables.mkdir()
    make_tables(tables)
    first = 0
    while first < chosen.count:
        count = min(AT_ONCE, chosen.count - first)
        arguments = ["--child", tables, place, first, count, chosen.seed]
        ended = subprocess.run([sys.executable, __file__, *map(str, arguments)], capture_output=True, text=True)
        lines = ended.stdout.splitlines()
        where = lines[-2:] if lines else ["it did not begin"]
        how = signal.Signals(-ended.returncode).name if ended.returncode < 0 else f"exit {ended.returncode}"
        right = ended.returncode == 0 and lines and lines[-1] == "done"
        expect(right, f"{how} at {where}: {ended.stderr[-600:].strip()}")
        counts["damaged"] += count
        first += count


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), Path(sys.argv[3]), *map(int, sys.argv[4:]))
    else:
        common.program(run, common.options(__doc__.splitlines()[0], count=400), "damaged")
