"""`refresh` moves a dataset to the newest version, whole or not at all."""

import contextlib
import gc
import shutil
import threading

import numpy as np
import pytest
from samples import assert_same_bits, mapped_rows, numbered_ids, random_array, store, to_arrow, write

import rds
from rds import _snapshot

DATA = random_array("f4", (40, 6))
IDS = numbered_ids(40)


@pytest.fixture
def dataset(result_dir):
    """The first ten rows."""
    write(result_dir, IDS[:10], DATA[:10])
    return rds.ResultDataset({}, result_dir)


def append(result_dir, begin, end):
    write(result_dir, IDS[begin:end], DATA[begin:end], mode="append")


def check(dataset, rows):
    assert len(dataset) == rows
    assert_same_bits(dataset.__get_all__(), DATA[:rows])
    assert_same_bits(np.stack(list(dataset)), DATA[:rows])
    assert_same_bits(dataset[[rows - 1, 0]], DATA[[rows - 1, 0]])
    assert_same_bits(dataset[rows - 1], DATA[rows - 1])
    assert dataset.ids() == IDS[:rows]
    assert dataset.get_object_id(rows - 1) == IDS[rows - 1]
    assert dataset.index_of(IDS[rows - 1]) == rows - 1
    assert dataset.find(IDS[rows : rows + 1]).tolist() == [-1] * len(IDS[rows : rows + 1])
    with pytest.raises(IndexError, match=f"the table has {rows} rows"):
        dataset[rows]


def test_rows_appended_are_seen_after_a_refresh_and_not_before(dataset, result_dir):
    check(dataset, 10)
    for end in (11, 25, 40):
        append(result_dir, len(dataset), end)
        check(dataset, len(dataset))
        assert dataset.refresh() is True
        check(dataset, end)


def test_without_a_newer_version_nothing_changes(dataset):
    before = dataset._snapshot
    for _ in range(3):
        assert dataset.refresh() is False
    assert dataset._snapshot is before
    check(dataset, 10)


def test_a_first_refresh_of_a_dataset_never_read(dataset, result_dir):
    append(result_dir, 10, 40)
    assert dataset.refresh() is True
    check(dataset, 40)


def test_views_and_arrays_stay_what_they_are(dataset, result_dir):
    view, gathered = dataset[3], dataset[[4, 5]]
    write(result_dir, IDS[:10], -DATA[:10])
    assert dataset.refresh() is True
    gc.collect()
    assert_same_bits(view, DATA[3])
    assert_same_bits(gathered, DATA[4:6])
    assert_same_bits(dataset[3], -DATA[3])


def test_an_iteration_goes_on_in_the_version_it_began_with(dataset, result_dir):
    iteration = iter(dataset)
    first = next(iteration)
    write(result_dir, IDS[:2], -DATA[:2])
    assert dataset.refresh() is True
    assert_same_bits(np.stack([first, *iteration]), DATA[:10])
    assert len(dataset) == 2


def test_a_table_with_fewer_rows_is_seen_whole(dataset, result_dir):
    write(result_dir, IDS[:3], DATA[:3])
    assert dataset.refresh() is True
    check(dataset, 3)


def test_a_table_made_anew_with_the_same_version_and_rows_is_another_one(dataset, result_dir):
    version = dataset._snapshot.info.version
    shutil.rmtree(result_dir / "lance_db")
    write(result_dir, IDS[10:20], DATA[10:20], mode="create")
    assert dataset.refresh() is True
    assert dataset._snapshot.info.version == version
    assert_same_bits(dataset.__get_all__(), DATA[10:20])
    assert dataset.ids() == IDS[10:20]


def test_deleted_rows_are_gone_after_a_refresh(dataset):
    dataset.lance_dataset.delete("object_id = 'object-00000'")
    assert dataset.refresh() is True
    assert dataset.ids() == IDS[1:10]
    assert_same_bits(dataset[0], DATA[1])


@pytest.mark.parametrize(
    "data", [DATA.astype("f8"), DATA[:, :3], DATA.reshape(40, 2, 3)], ids=["dtype", "length", "rank"]
)
def test_other_tensors_are_refused_and_the_dataset_stays(dataset, result_dir, data):
    view = dataset[3]
    write(result_dir, IDS, data)
    for _ in range(2):
        with pytest.raises(ValueError, match="open another reader") as caught:
            dataset.refresh()
        assert isinstance(caught.value, rds._errors.SchemaMismatchError)
        check(dataset, 10)
    assert_same_bits(view, DATA[3])
    assert dataset.tensor_dtype == np.float32 and dataset.tensor_shape == [6]


def test_a_table_that_is_none_of_results_is_refused_and_the_dataset_stays(dataset, result_dir):
    store(result_dir, to_arrow(IDS, DATA).select(["object_id"]).replace_schema_metadata(None), mode="overwrite")
    with pytest.raises(rds._errors.SchemaMismatchError, match="no tensors"):
        dataset.refresh()
    check(dataset, 10)


def test_one_id_after_a_refresh_does_not_load_all(dataset, result_dir, monkeypatch):
    dataset.ids()
    append(result_dir, 10, 40)
    assert dataset.refresh() is True

    def strings(_array):
        raise AssertionError("the ids of all rows were exported")

    monkeypatch.setattr(_snapshot, "Strings", strings)
    for row in (39, 3, 10):
        assert dataset.get_object_id(row) == IDS[row]
    monkeypatch.undo()
    for _ in range(3):
        assert [dataset.get_object_id(row) for row in range(40)] == IDS[:40]
    assert dataset._snapshot._ids is not None


def test_what_was_mapped_and_loaded_is_kept(dataset, result_dir):
    view, handle = dataset[3], dataset._snapshot.handle
    assert dataset.index_of(IDS[3]) == 3
    append(result_dir, 10, 40)
    assert dataset.refresh() is True
    assert dataset._snapshot.handle.value != handle.value
    assert dataset[3].ctypes.data == view.ctypes.data
    assert dataset.index_of(IDS[30]) == 30 and dataset.find_all(IDS[3]).tolist() == [3]


def test_a_table_that_lost_its_metadata_shows_the_same_tensors(dataset, result_dir):
    store(result_dir, to_arrow(IDS, DATA).replace_schema_metadata(None), mode="overwrite")
    assert dataset.refresh() is True
    check(dataset, 40)


def test_a_table_that_is_gone_is_an_error_and_mapped_rows_stay(dataset, result_dir):
    check(dataset, 10)
    shutil.rmtree(result_dir)
    with pytest.raises(FileNotFoundError, match="lance_db"):
        dataset.refresh()
    check(dataset, 10)


def test_options_hold_for_the_newest_version_too(result_dir):
    write(result_dir, IDS[:10], DATA[:10])
    through_lance = rds.ResultDataset({}, result_dir, access="lance")
    mapped = rds.ResultDataset({}, result_dir, access="mapped")
    append(result_dir, 10, 40)
    assert through_lance.refresh() and mapped.refresh()
    assert (mapped_rows(through_lance), mapped_rows(mapped)) == (0, 40)
    mapped.lance_dataset.delete("object_id = 'object-00000'")
    with pytest.raises(NotImplementedError, match="rows can be mapped"):
        mapped.refresh()
    check(mapped, 40)


def test_a_dataset_of_an_older_version_moves_to_the_newest(dataset, result_dir):
    version = dataset.lance_dataset.version
    append(result_dir, 10, 20)
    append(result_dir, 20, 40)
    older = rds.ResultDataset({}, result_dir, version=version)
    check(older, 10)
    assert older.lance_dataset.count_rows() == 10
    assert older.refresh() is True
    check(older, 40)
    assert older.lance_dataset.count_rows() == older.table.count_rows() == 40


def test_pylance_and_lancedb_follow(dataset, result_dir):
    assert dataset.lance_dataset.count_rows() == dataset.table.count_rows() == 10
    append(result_dir, 10, 40)
    dataset.refresh()
    assert dataset.lance_dataset.count_rows() == dataset.table.count_rows() == 40


def test_a_closed_dataset_is_not_opened_again(dataset, result_dir):
    dataset.close()
    append(result_dir, 10, 40)
    with pytest.raises(ValueError, match="closed"):
        dataset.refresh()
    with pytest.raises(ValueError):
        dataset[0]
    assert len(dataset) == 10


def test_a_version_that_is_left_is_unmapped(dataset, result_dir):
    dataset[0]
    write(result_dir, IDS, DATA)
    (left,) = {
        line.split("/data/")[1].strip()
        for line in open("/proc/self/maps")
        if str(result_dir) in line and "/data/" in line
    }
    dataset.refresh()
    assert left not in open("/proc/self/maps").read()


class Readers:
    """Threads that read until the block ends; what one of them raised is raised then."""

    def __init__(self, *reads):
        self.raised = []
        self.over = threading.Event()
        self.done = [0] * len(reads)
        self.threads = [
            threading.Thread(target=self.run, args=(number, read)) for number, read in enumerate(reads)
        ]

    def run(self, number, read):
        try:
            while not self.over.is_set():
                read()
                self.done[number] += 1
        except BaseException as error:
            self.raised.append(error)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        if self.raised:
            raise self.raised[0]
        assert all(self.done)


def test_threads_read_while_others_refresh(dataset, result_dir):
    """Two tables take turns whose rows tell which one they are of."""
    count = 50
    first = np.arange(count, dtype=np.float32)[:, None].repeat(6, axis=1)
    tables = [(f"{side}-", first + 1000 * number) for number, side in enumerate("ab")]

    def overwrite(number):
        prefix, data = tables[number % 2]
        rows = count + number % 2
        write(result_dir, [f"{prefix}{row}" for row in range(rows)], np.resize(data, (rows, 6)))

    overwrite(0)
    dataset.refresh()

    def one_id():
        for row in range(count):
            assert dataset.get_object_id(row) in (f"a-{row}", f"b-{row}")

    def one_row():
        for row in range(count):
            assert dataset[row][0] in (row, row + 1000)

    def all_rows():
        data = dataset.__get_all__()
        assert len(data) == count + (data[0, 0] == 1000)
        assert len({value // 1000 for value in data[:count, 0]}) == 1

    def all_ids():
        ids = dataset.ids()
        assert len(ids) == count + (ids[0] == "b-0")
        assert len({name[0] for name in ids}) == 1

    def rows_of_ids():
        assert sorted(dataset.find(["a-7", "b-7"]).tolist()) == [-1, 7]

    with Readers(one_id, one_row, all_rows, all_ids, rows_of_ids, dataset.refresh):
        for number in range(1, 16):
            overwrite(number)
            dataset.refresh()
    dataset.refresh()
    assert dataset.ids()[0] == "b-0" and len(dataset) == count + 1


def test_of_refreshing_threads_none_goes_back(dataset, result_dir):
    seen = []

    def look():
        seen.append(dataset._snapshot.info.version)

    with Readers(look, *4 * [dataset.refresh]):
        for row in range(10, 25):
            append(result_dir, row, row + 1)
    dataset.refresh()
    assert seen == sorted(seen)
    check(dataset, 25)


def test_a_refresh_that_takes_long_does_not_undo_a_later_one(dataset, result_dir, monkeypatch):
    append(result_dir, 10, 20)
    found, over, newest = threading.Event(), threading.Event(), _snapshot.Snapshot.newest

    def slow(snapshot):
        newer = newest(snapshot)
        if not found.is_set():
            found.set()
            over.wait(0.3)
        return newer

    monkeypatch.setattr(_snapshot.Snapshot, "newest", slow)
    first = threading.Thread(target=dataset.refresh)
    first.start()
    found.wait()
    append(result_dir, 20, 30)
    dataset.refresh()
    over.set()
    first.join()
    check(dataset, 30)


def refresh_or_closed(dataset):
    with contextlib.suppress(rds._errors.InvalidHandleError):
        dataset.refresh()


def test_closing_during_a_refresh_closes(dataset, result_dir):
    for row in range(10, 20):
        append(result_dir, row, row + 1)
        one = rds.ResultDataset({}, result_dir, version=dataset._snapshot.info.version)
        refreshing = threading.Thread(target=refresh_or_closed, args=(one,))
        refreshing.start()
        one.close()
        refreshing.join()
        with pytest.raises(ValueError):
            one[0]
