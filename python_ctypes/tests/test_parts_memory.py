"""Which pages of files stay in the memory of the machine that packs parts."""

import ctypes
import mmap
import os
from pathlib import Path

import numpy as np
import pytest

import rds
from rds import parts

LIBC = ctypes.CDLL(None, use_errno=True)
MIB = 1 << 20


def in_memory(path):
    """How many bytes of a file are in the page cache."""
    size = path.stat().st_size
    with open(path, "rb") as file, mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE) as mapped:
        pages = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
        start = ctypes.c_char.from_buffer(mapped)
        status = LIBC.mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(size), pages)
        del start
        assert status == 0, os.strerror(ctypes.get_errno())
    return sum(page & 1 for page in pages) * mmap.PAGESIZE


@pytest.fixture(autouse=True)
def on_a_disk(result_dir):
    """A file system in memory keeps what it has."""
    result_dir.mkdir(exist_ok=True)
    file = result_dir / "pages"
    with open(file, "wb") as made:
        made.write(b"1" * MIB)
        os.fsync(made.fileno())
        os.posix_fadvise(made.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    kept = in_memory(file)
    file.unlink()
    if kept:
        pytest.skip(f"{result_dir} is on a file system that keeps pages whatever it is told")


def data_files(path):
    return sorted((Path(path) / "lance_db" / "results.lance" / "data").iterdir())


def test_rows_that_are_on_disk_leave_the_memory_of_the_machine_that_packs_them(result_dir):
    rows = np.ones((1000, 4096), "f4")
    tokens = [parts.write_part(result_dir, "j", number, [(np.arange(1000), rows)]) for number in range(12)]
    # Begun by one, ended by another.
    parts.pack_parts(result_dir, "j", tokens[:7], more=True)
    commit = parts.commit_parts(result_dir, "j", tokens)
    (file,) = data_files(result_dir)
    assert commit.rows == 12_000 and file.stat().st_size > 187 * MIB
    assert in_memory(file) < 64 * MIB
    assert (np.asarray(rds.ResultDataset({}, result_dir)) == 1).all()


def test_small_files_stay(result_dir):
    rows = np.ones((1000, 1024), "f4")
    tokens = [parts.write_part(result_dir, "j", number, [(np.arange(1000), rows)]) for number in range(3)]
    parts.commit_parts(result_dir, "j", tokens)
    (file,) = data_files(result_dir)
    assert in_memory(file) >= 11 * MIB


def test_rows_that_are_encoded_are_not_read_from_the_disk_again(result_dir):
    # Bits that fill no byte: they are written anew when the file ends.
    rows = np.ones((10_000, 2_001), "?")
    tokens = [parts.write_part(result_dir, "j", number, [(np.arange(10_000), rows)]) for number in range(5)]
    before = read_from_disk()
    parts.commit_parts(result_dir, "j", tokens)
    assert read_from_disk() - before < 16 * MIB
    assert np.asarray(rds.ResultDataset({}, result_dir)).all()


def read_from_disk():
    rows = Path("/proc/self/io").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("read_bytes"))
