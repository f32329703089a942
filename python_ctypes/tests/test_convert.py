"""`rds.convert`: batches of the earlier format become a table, whole and compared, or nothing at all."""

import os
import shutil
import subprocess
import sys

import lance
import numpy as np
import pytest
from legacy_batches import contents, write_batch, write_batches, write_index
from samples import BFLOAT16, DTYPES, assert_same_bits, numbered_ids, random_array

import rds
from rds import _batches, _convert, _verify
from rds.writer import ResultDatasetWriter


@pytest.fixture
def legacy(tmp_path):
    """Eleven rows in batches of four, the last of three."""
    return write_batches(tmp_path / "legacy", numbered_ids(11), random_array("f4", (11, 2, 3)))


def nothing_is_left(directory):
    return not directory.exists()


def test_every_row_is_in_the_table_in_the_order_of_the_batches(tmp_path, result_dir):
    ids = numbered_ids(50)[::-1]
    tensors = random_array("f4", (50, 3))
    # Twelve batches and a half: batch_10 comes after batch_9.
    done = rds.convert(write_batches(tmp_path / "legacy", ids, tensors), result_dir)
    with rds.ResultDataset({}, result_dir) as dataset:
        assert dataset.ids() == ids
        assert_same_bits(dataset[:], tensors)
    assert (done.rows, done.batches) == (50, 13)
    assert (done.tensor_dtype, done.tensor_shape) == (np.dtype("f4"), [3])


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype != BFLOAT16], ids=str)
@pytest.mark.parametrize("shape", [(), (3,), (2, 2)], ids=str)
def test_values_survive_bit_for_bit(tmp_path, result_dir, dtype, shape):
    tensors = random_array(dtype, (9, *shape))
    rds.convert(write_batches(tmp_path / "legacy", numbered_ids(9), tensors), result_dir)
    assert_same_bits(rds.ResultDataset({}, result_dir)[:], tensors)


@pytest.mark.parametrize("dtype", [">f4", ">i2", ">c16", ">M8[ns]"])
def test_the_other_byte_order_is_stored_native(tmp_path, result_dir, dtype):
    native = random_array(np.dtype(dtype).newbyteorder("="), (9, 3))
    swapped = native.byteswap().view(dtype)
    rds.convert(write_batches(tmp_path / "legacy", numbered_ids(9), swapped), result_dir)
    assert_same_bits(rds.ResultDataset({}, result_dir)[:], native)


@pytest.mark.parametrize(
    "ids",
    [
        np.arange(9) * 10**12,
        np.arange(9, dtype=np.uint8),
        np.array([f"ünïcode-{n}-星" for n in range(9)]),
        np.array(numbered_ids(9), "S"),
        np.array(["", "a", "", "b", "b", "c", "d", "e", ""]),
        np.array(numbered_ids(9)).astype(">U12"),
    ],
    ids=["int64", "uint8", "not ASCII", "bytes", "empty and repeated", "big-endian"],
)
def test_ids_of_every_kind(tmp_path, result_dir, ids):
    rds.convert(write_batches(tmp_path / "legacy", ids, np.arange(9.0)), result_dir)
    expected = [name.decode() if isinstance(name, bytes) else str(name) for name in ids.tolist()]
    assert rds.ResultDataset({}, result_dir).ids() == expected


def test_batches_may_have_ids_of_different_widths(tmp_path, result_dir):
    directory = write_batches(tmp_path / "legacy", numbered_ids(8), np.arange(8.0))
    write_batch(directory, 1, np.array(["a", "bc", "def", "a much longer one than before"]), np.arange(4.0))
    rds.convert(directory, result_dir)
    assert rds.ResultDataset({}, result_dir).ids()[4:] == ["a", "bc", "def", "a much longer one than before"]


def test_stock_lance_reads_the_table(legacy, result_dir):
    rds.convert(legacy, result_dir)
    table = lance.dataset(str(result_dir / "lance_db" / "results.lance")).to_table()
    assert table["object_id"].to_pylist() == numbered_ids(11)
    assert table.schema.metadata[b"tensor_shape"] == b"[2, 3]"


def test_the_originals_are_untouched(legacy, result_dir):
    before = contents(legacy)
    rds.convert(legacy, result_dir)
    assert contents(legacy) == before


def test_in_place_the_table_is_beside_the_batches(legacy):
    before = contents(legacy)
    rds.convert(legacy, legacy)
    assert len(rds.ResultDataset({}, legacy)) == 11
    assert {path: data for path, data in contents(legacy).items() if path in before} == before
    assert {path.name for path in legacy.iterdir()} - {path.name for path in before} == {"lance_db"}


def test_strings_and_uris_name_directories_too(legacy, tmp_path):
    rds.convert(str(legacy), f"file://{tmp_path}/by%20uri")
    assert len(rds.ResultDataset({}, tmp_path / "by uri")) == 11


@pytest.mark.parametrize("kind", ["directory", "file", "broken link"])
def test_an_existing_lance_db_is_refused_and_left(legacy, result_dir, kind):
    result_dir.mkdir()
    existing = result_dir / "lance_db"
    if kind == "directory":
        existing.mkdir()
    elif kind == "file":
        existing.write_text("mine")
    else:
        existing.symlink_to("nowhere")
    with pytest.raises(FileExistsError, match="lance_db exists already"):
        rds.convert(legacy, result_dir)
    assert [path.name for path in result_dir.iterdir()] == ["lance_db"]
    assert kind != "file" or existing.read_text() == "mine"


def test_a_lance_db_that_appears_meanwhile_is_left(legacy, result_dir):
    theirs = result_dir / "lance_db" / "theirs"

    def somebody_else(stage, done, total):
        if stage == "verify" and done == total:
            theirs.mkdir(parents=True)

    with pytest.raises(rds.RdsError, match="lance_db exists already"):
        rds.convert(legacy, result_dir, progress=somebody_else)
    assert list(result_dir.rglob("*")) == [result_dir / "lance_db", theirs]


def test_progress_tells_both_stages_to_their_end(legacy, result_dir):
    told = []
    rds.convert(legacy, result_dir, progress=lambda *values: told.append(values))
    assert told[0] == ("write", 0, 11)
    assert ("write", 11, 11) in told and told[-1] == ("verify", 11, 11)
    assert [done for stage, done, _ in told if stage == "write"] == [0, 4, 8, 11]


@pytest.mark.parametrize("stage", ["write", "verify"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interruption_leaves_nothing(legacy, tmp_path, stage, error):
    def interrupt(now, done, total):
        if now == stage and done == total:
            raise error

    with pytest.raises(error):
        rds.convert(legacy, tmp_path / "new" / "results", progress=interrupt)
    assert nothing_is_left(tmp_path / "new")


def test_a_failure_leaves_a_directory_that_was_there(legacy, result_dir):
    result_dir.mkdir()
    (result_dir / "config.toml").write_text("kept")
    (legacy / "batch_2.npy").write_bytes(b"damaged")
    with pytest.raises(OSError, match="batch_2"):
        rds.convert(legacy, result_dir)
    assert [path.name for path in result_dir.iterdir()] == ["config.toml"]


def test_nothing_is_visible_before_all_is_compared(legacy, result_dir):
    def look(stage, done, total):
        assert not (result_dir / "lance_db").exists()

    rds.convert(legacy, result_dir, progress=look)
    assert (result_dir / "lance_db").exists()


def test_a_killed_conversion_leaves_no_table_and_does_not_hinder_the_next(legacy, result_dir):
    code = (
        "import os, rds, sys\n"
        "def die(stage, done, total):\n"
        "    if stage == 'verify': os.kill(os.getpid(), 9)\n"
        "rds.convert(sys.argv[1], sys.argv[2], progress=die)"
    )
    killed = subprocess.run([sys.executable, "-c", code, legacy, result_dir], check=False)
    assert killed.returncode == -9
    (left,) = result_dir.iterdir()
    assert left.match("lance_db.part-*")
    with pytest.raises(FileNotFoundError):
        rds.ResultDataset({}, result_dir)
    rds.convert(legacy, result_dir)
    assert len(rds.ResultDataset({}, result_dir)) == 11


def spoiled(legacy, number, ids, tensors):
    write_batch(legacy, number, np.array(ids), tensors)
    return legacy


BATCH_IDS = ["a", "b", "c", "d"]

BROKEN = {
    "no batches": (lambda d: shutil.rmtree(d) or d.mkdir(), FileNotFoundError, "no batch_<n>.npy"),
    "no directory": (shutil.rmtree, FileNotFoundError, "legacy is no directory"),
    "no index": (lambda d: (d / "batch_index.npy").unlink(), FileNotFoundError, "batch_index.npy is missing"),
    "a batch is missing": (lambda d: (d / "batch_1.npy").unlink(), OSError, "batch_1.npy is missing"),
    "the last batch is missing": (lambda d: (d / "batch_2.npy").unlink(), OSError, "batch_2.npy is missing"),
    "a batch is too short": (
        lambda d: spoiled(d, 1, BATCH_IDS[:3], random_array("f4", (3, 2, 3))),
        OSError,
        "batch_1.npy has 3 rows, batch_index.npy has 4",
    ),
    "a batch is not in the index": (
        lambda d: spoiled(d, 7, BATCH_IDS, random_array("f4", (4, 2, 3))),
        OSError,
        "batch_7.npy has 4 rows, batch_index.npy has 0",
    ),
    "a batch is cut off": (lambda d: os.truncate(d / "batch_1.npy", 300), OSError, "batch_1.npy"),
    "a batch is empty": (lambda d: os.truncate(d / "batch_1.npy", 0), OSError, "batch_1.npy"),
    "another dtype": (
        lambda d: spoiled(d, 1, BATCH_IDS, random_array("f8", (4, 2, 3))),
        ValueError,
        "batch_1.npy.*float64",
    ),
    "another shape": (
        lambda d: spoiled(d, 1, BATCH_IDS, random_array("f4", (4, 6))),
        ValueError,
        r"batch_1.npy.*\[6\]",
    ),
    "strings as tensors": (
        lambda d: spoiled(d, 0, BATCH_IDS, np.array(BATCH_IDS)),
        TypeError,
        "batch_0.npy.*string",
    ),
    "no fields": (lambda d: np.save(d / "batch_1.npy", np.arange(4)), ValueError, "batch_1.npy.*fields"),
    "an index without numbers": (
        lambda d: np.save(d / "batch_index.npy", np.arange(11)),
        ValueError,
        "batch_index.npy.*batch_num",
    ),
    "pickled objects": (
        lambda d: np.save(d / "batch_1.npy", np.array([{}, 1, 2, 3], object)),
        OSError,
        "batch_1.npy",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_cannot_be_converted_is_named_and_leaves_nothing(legacy, result_dir, what):
    breaking, error, message = BROKEN[what]
    breaking(legacy)
    with pytest.raises(error, match=message) as raised:
        rds.convert(legacy, result_dir)
    assert isinstance(raised.value, rds.RdsError)
    assert nothing_is_left(result_dir)


def test_batches_without_rows_are_refused(tmp_path, result_dir):
    directory = tmp_path / "legacy"
    directory.mkdir()
    write_batch(directory, 0, np.array([], "U3"), np.empty((0, 2)))
    write_index(directory, np.array([], "U3"), np.array([], np.int64))
    with pytest.raises(ValueError, match="no rows"):
        rds.convert(directory, result_dir)
    assert nothing_is_left(result_dir)


@pytest.mark.parametrize(("output", "error"), [("x.lance", ValueError), ("s3://bucket/x", rds.RdsError)])
def test_only_local_result_directories_are_made(legacy, tmp_path, output, error, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error):
        rds.convert(legacy, output)
    assert [path.name for path in tmp_path.iterdir()] == ["legacy"]


def change_what_is_written(monkeypatch, change):
    """Writes something else than what the batches have, as a defect would."""
    original = ResultDatasetWriter.write_batch

    def write_batch(self, ids, tensors):
        return original(self, *change(np.array(ids), np.array(tensors)))

    monkeypatch.setattr(ResultDatasetWriter, "write_batch", write_batch)


def flip_one_bit(ids, tensors):
    if self_is_last(ids):
        tensors.view(np.uint8).reshape(-1)[-1] ^= 1
    return ids, tensors


def change_one_id(ids, tensors):
    if self_is_last(ids):
        ids[-1] = "object-99999"
    return ids, tensors


def shift_a_character_between_two_ids(ids, tensors):
    if self_is_last(ids):
        # All bytes of all ids are the same ones.
        ids = ids.astype("U20")
        ids[0], ids[1] = ids[0] + ids[1][0], ids[1][1:]
    return ids, tensors


def self_is_last(ids):
    return len(ids) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (flip_one_bit, "row 10: the tensor is not the one in .*batch_2.npy"),
        (change_one_id, "row 10: the id is 'object-99999', in the batches it is 'object-00010'"),
        (shift_a_character_between_two_ids, "row 8: the id is 'object-00008o'"),
    ],
)
def test_one_wrong_bit_is_found_and_leaves_nothing(legacy, result_dir, monkeypatch, change, message):
    change_what_is_written(monkeypatch, change)
    with pytest.raises(_verify.MismatchError, match=message):
        rds.convert(legacy, result_dir)
    assert nothing_is_left(result_dir)


def test_rows_that_are_lost_are_noticed(legacy, result_dir, monkeypatch):
    change_what_is_written(monkeypatch, lambda ids, tensors: (ids[:3], tensors[:3]))
    with pytest.raises(_verify.MismatchError, match="9 rows, the batches 11"):
        rds.convert(legacy, result_dir)
    assert nothing_is_left(result_dir)


def test_large_batches_are_taken_in_pieces(tmp_path, result_dir, monkeypatch):
    monkeypatch.setattr(_batches, "PIECE_BYTES", 64)
    ids, tensors = numbered_ids(30), random_array("f4", (30, 3))
    directory = write_batches(tmp_path / "legacy", ids, tensors, rows=30)
    pieces = list(_batches.Batches(directory).pieces())
    assert len(pieces) == 30
    rds.convert(directory, result_dir)
    assert rds.ResultDataset({}, result_dir).ids() == ids
    assert_same_bits(rds.ResultDataset({}, result_dir)[:], tensors)


def test_memory_does_not_grow_with_the_number_of_batches(tmp_path):
    """160 MB of tensors, more than a conversion may hold of them."""
    code = (
        "import rds, sys\n"
        "def peak(): return next(int(l.split()[1]) for l in open('/proc/self/status') if 'VmHWM' in l)\n"
        "rds.convert(sys.argv[1], sys.argv[2])\n"
        "small = peak()\n"
        "rds.convert(sys.argv[3], sys.argv[4])\n"
        "print((peak() - small) // 1024)"
    )
    small, large = tmp_path / "small", tmp_path / "large"
    for directory, count in (small, 512), (large, 160_000):
        write_batches(directory, numbered_ids(count), np.zeros((count, 256), np.float32), rows=512)
    paths = [small, tmp_path / "a", large, tmp_path / "b"]
    ran = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 110


def test_every_new_name_is_on_disk(legacy, result_dir, monkeypatch):
    synced = []
    monkeypatch.setattr(_convert.os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    rds.convert(legacy, result_dir / "new" / "results")
    names = [result_dir / "new" / "results", result_dir / "new", result_dir]
    assert synced == [str(name.parent) for name in names] + [str(names[0])]
