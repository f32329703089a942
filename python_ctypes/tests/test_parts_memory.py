"""Which pages of files stay in the memory of the machine that packs parts."""

import ctypes
import mmap
import os
import tempfile
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


def keeps_pages(directory):
    """Whether it is on a file system in memory, which keeps what it has."""
    file = directory / "pages"
    with open(file, "wb") as made:
        made.write(b"1" * MIB)
        os.fsync(made.fileno())
        os.posix_fadvise(made.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    kept = in_memory(file)
    file.unlink()
    return kept > 0


@pytest.fixture(name="on_disk")
def _on_disk(tmp_path):
    """An empty directory on a disk: where temporary files are, or else beside these tests."""
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as beside:
        places = [place for place in (tmp_path, Path(beside)) if not keeps_pages(place)]
        if not places:
            pytest.skip("neither temporary files nor this checkout are on a disk")
        yield places[0]


def data_files(path):
    return sorted((Path(path) / "lance_db" / "results.lance" / "data").iterdir())


def test_rows_that_are_on_disk_leave_the_memory_of_the_machine_that_packs_them(on_disk):
    rows = np.ones((1000, 4096), "f4")
    tokens = [parts.write_part(on_disk, "j", number, [(np.arange(1000), rows)]) for number in range(12)]
    # Begun by one, ended by another.
    parts.pack_parts(on_disk, "j", tokens[:7], more=True)
    commit = parts.commit_parts(on_disk, "j", tokens)
    (file,) = data_files(on_disk)
    assert commit.rows == 12_000 and file.stat().st_size > 187 * MIB
    assert in_memory(file) < 64 * MIB
    assert (np.asarray(rds.ResultDataset({}, on_disk)) == 1).all()


def test_small_files_stay(on_disk):
    rows = np.ones((1000, 1024), "f4")
    tokens = [parts.write_part(on_disk, "j", number, [(np.arange(1000), rows)]) for number in range(3)]
    parts.commit_parts(on_disk, "j", tokens)
    (file,) = data_files(on_disk)
    assert in_memory(file) >= 11 * MIB


def test_rows_that_are_encoded_are_not_read_from_the_disk_again(on_disk):
    # Bits that fill no byte: they are written anew when the file ends.
    rows = np.ones((10_000, 2_001), "?")
    tokens = [parts.write_part(on_disk, "j", number, [(np.arange(10_000), rows)]) for number in range(5)]
    before = read_from_disk()
    parts.commit_parts(on_disk, "j", tokens)
    assert read_from_disk() - before < 16 * MIB
    assert np.asarray(rds.ResultDataset({}, on_disk)).all()


def read_from_disk():
    rows = Path("/proc/self/io").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("read_bytes"))
