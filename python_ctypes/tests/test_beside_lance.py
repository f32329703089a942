"""Runs of librds beside what pylance and lancedb do to the same table: no row vanishes without an error."""

import datetime
import json
import multiprocessing
import threading
import time
from pathlib import Path

import lance
import lancedb
import numpy as np
import pyarrow as pa
import pytest
from killed import ids_of, put, show, table_path

import rds


def arrow_rows(ids, **columns):
    """Rows of the kind that `put` writes, of zeros."""
    values = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(64 * len(ids), "f4")), 64)
    metadata = {"tensor_shape": "[64]", "tensor_dtype": "float32"}
    table = pa.table({"object_id": pa.array(ids, pa.string()), **columns, "data": values})
    return table.replace_schema_metadata(metadata)


def names_of(where):
    """Ids as pylance reads them, sorted."""
    return sorted(lance.dataset(table_path(where)).to_table()["object_id"].to_pylist())


def numbers(*parts):
    return sorted(str(number) for part in parts for number in part)


@pytest.mark.parametrize("how", ["made empty", "all deleted"])
def test_a_table_without_rows_is_not_taken_for_a_replaced_one(result_dir, how):
    if how == "made empty":
        lance.write_dataset(arrow_rows([]), table_path(result_dir))
    else:
        with rds.ResultDatasetWriter(result_dir) as writer:
            put(writer, 999, 1)
        lance.dataset(table_path(result_dir)).delete("true")
    late = rds.ResultDatasetWriter(result_dir, mode="append")
    with rds.ResultDatasetWriter(result_dir, mode="append", durability="batch") as early:
        for number in range(12):
            show(early, number, 1)
    put(late, 12, 1)
    late.close()
    assert names_of(result_dir) == numbers(range(13))


def test_a_second_appender_lands_behind_a_first_one_that_merged(result_dir):
    first = rds.ResultDatasetWriter(result_dir, mode="create", durability="batch")
    for number in range(3):
        show(first, 10 * number, 10)
    second = rds.ResultDatasetWriter(result_dir, mode="append", durability="batch")
    for number in range(3, 20):
        show(first, 10 * number, 10)
    first.commit()
    put(first, 200, 10)
    first.commit()
    put(second, 1000, 5)
    second.commit()
    second.close()
    first.close()
    assert names_of(result_dir) == numbers(range(210), range(1000, 1005))


def maintain(where):
    dataset = lance.dataset(table_path(where))
    dataset.optimize.compact_files()
    dataset.cleanup_old_versions(older_than=datetime.timedelta(milliseconds=500))


@pytest.mark.parametrize("when", ["before the first batch", "between two batches", "all the time"])
def test_a_run_goes_on_beside_compactions_and_clean_ups(result_dir, when):
    for number in range(5):
        with rds.ResultDatasetWriter(result_dir, mode="append" if number else "create") as writer:
            put(writer, number, 1)
    writer = rds.ResultDatasetWriter(result_dir, mode="append", durability="batch")
    batches = iter(range(5, 100))
    if when == "between two batches":
        show(writer, next(batches), 1)
        show(writer, next(batches), 1)
    if when == "all the time":
        stop = threading.Event()

        def keep_on():
            while not stop.wait(0.05):
                try:
                    maintain(result_dir)
                except Exception:
                    pass  # Conflicts of its own are its own matter.

        thread = threading.Thread(target=keep_on)
        thread.start()
        try:
            for _ in range(20):
                show(writer, next(batches), 1)
                time.sleep(0.03)
        finally:
            stop.set()
            thread.join()
    else:
        time.sleep(0.6)
        maintain(result_dir)
    put(writer, next(batches), 1)
    writer.close()
    assert names_of(result_dir) == numbers(range(next(batches)))


def test_a_clean_up_that_removes_all_unnamed_files_takes_none_of_a_run(result_dir):
    """`delete_unverified` does not ask how young a file is."""
    with rds.ResultDatasetWriter(result_dir) as writer:
        put(writer, 100, 1)
    writer = rds.ResultDatasetWriter(result_dir, mode="append", durability="batch")
    for number in range(5):
        put(writer, 1000 * number, 1000)
        dataset = lance.dataset(table_path(result_dir))
        dataset.cleanup_old_versions(older_than=datetime.timedelta(0), delete_unverified=True)
    writer.close()
    assert ids_of(result_dir) == [100, *range(5000)]


@pytest.mark.parametrize("change", ["delete", "update"])
def test_a_change_through_an_old_handle_is_refused_or_kept(result_dir, change):
    writer = rds.ResultDatasetWriter(result_dir, mode="create")
    show(writer, 0, 10)
    handle = lance.dataset(table_path(result_dir))
    for number in range(1, 30):
        show(writer, 10 * number, 10)
    writer.commit()
    want = set(numbers(range(300)))
    try:
        if change == "delete":
            handle.delete("object_id = '3'")
            want -= {"3"}
        else:
            handle.update({"object_id": "'five'"}, where="object_id = '5'")
            want = want - {"5"} | {"five"}
    except Exception as error:
        assert "conflict" in str(error).lower() or "concurrent" in str(error).lower(), error
    assert names_of(result_dir) == sorted(want)
    put(writer, 300, 10)
    writer.commit()
    writer.close()
    assert names_of(result_dir) == sorted(want | set(numbers(range(300, 310))))


@pytest.mark.parametrize("file_version", ["2.2", "2.1", "2.0"])
def test_metadata_that_changes_beside_a_gap_of_field_ids_makes_no_nulls(result_dir, file_version):
    made = arrow_rows(["x", "y"], extra=pa.array([1, 2]))
    lance.write_dataset(made, table_path(result_dir), data_storage_version=file_version).drop_columns(["extra"])
    writer = rds.ResultDatasetWriter(result_dir, mode="append", durability="batch")
    show(writer, 100, 5)
    lance.dataset(table_path(result_dir)).update_schema_metadata({"note": "by another tool"})
    want = [*range(100, 105)]
    try:
        for first in (200, 300):
            show(writer, first, 5)
            want += range(first, first + 5)
        writer.close()
    except rds.RdsError as error:
        assert error.status in (6, 9), error
    read = lance.dataset(table_path(result_dir)).to_table().slice(2)
    assert read["object_id"].to_pylist() == [str(number) for number in want]
    assert read["data"].to_pylist() == [[float(number)] * 64 for number in want]


@pytest.mark.parametrize("kind", ["another order", "large_string ids"])
def test_tokens_that_meet_another_table_are_refused_or_read_as_they_were_written(result_dir, kind):
    with rds.ResultDatasetWriter(result_dir, mode="staged") as writer:
        put(writer, 0, 10)
        token = writer.stage()
    made = arrow_rows(["x"])
    if kind == "another order":
        made = made.select(["data", "object_id"])
    else:
        made = made.set_column(0, "object_id", made["object_id"].cast(pa.large_string()))
    lance.write_dataset(made, table_path(result_dir), data_storage_version="2.2")
    try:
        rds.commit_staged(result_dir, [token], mode="append")
    except rds.RdsError as error:
        assert error.status == 6
        assert lance.dataset(table_path(result_dir)).count_rows() == 1
        return
    read = lance.dataset(table_path(result_dir)).to_table()
    assert read["object_id"].to_pylist() == ["x", *map(str, range(10))]
    assert read["data"].to_pylist()[1:] == [[float(number)] * 64 for number in range(10)]
    dataset = rds.ResultDataset({}, result_dir)
    assert dataset.ids()[1:] == [str(number) for number in range(10)]
    assert dataset[10].tolist() == [9.0] * 64


def test_a_restore_beside_a_run_leaves_a_table_that_can_be_read(result_dir):
    writer = rds.ResultDatasetWriter(result_dir, mode="create", durability="batch")
    for number in range(9):
        show(writer, 10 * number, 10)
    lance.dataset(table_path(result_dir), version=6).restore()
    assert names_of(result_dir) == numbers(range(60))
    try:
        writer.commit()
        put(writer, 1000, 10)
        writer.commit()
        want = numbers(range(60), range(1000, 1010))
    except rds.RdsError as error:
        assert error.status == 9
        want = numbers(range(60))
    assert names_of(result_dir) == want
    assert ids_of(result_dir)


@pytest.mark.parametrize("tool", ["pylance", "lancedb"])
def test_versions_and_their_hint_never_go_back(result_dir, tool):
    table = table_path(result_dir)

    def newest():
        hint = Path(table, "_versions", "latest_version_hint.json")
        return json.loads(hint.read_text())["version"] if hint.exists() else 0, lance.dataset(table).version

    first = rds.ResultDatasetWriter(result_dir, mode="create", durability="batch")
    for number in range(3):
        show(first, 10 * number, 10)
    second = rds.ResultDatasetWriter(result_dir, mode="append", durability="batch")
    show(second, 1000, 10)
    first.commit()
    seen = [newest()]
    if tool == "pylance":
        insert = lance.dataset(table).insert
    else:
        insert = lancedb.connect(f"{result_dir}/lance_db").open_table("results").add
    for number in range(1, 4):
        show(second, 1000 + 10 * number, 10)
    for commit in (second.commit, first.commit):
        commit()
        seen.append(newest())
    insert(arrow_rows(["mine"]).cast(lance.dataset(table).schema))
    seen.append(newest())
    assert seen == sorted(seen) and sorted(pair[0] for pair in seen) == [pair[0] for pair in seen]
    assert names_of(result_dir) == sorted([*numbers(range(30), range(1000, 1040)), "mine"])
    first.close()
    second.close()


def append_with_pylance(where, name, seconds, told):
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        try:
            lance.write_dataset(arrow_rows([f"{name}-{count}"]), table_path(where), mode="append")
            count += 1
        except Exception:
            pass  # Contention of pylance is its own matter.
    told.put([f"{name}-{number}" for number in range(count)])


def test_appends_of_pylance_beside_commits_lose_no_row(result_dir):
    seconds = 2
    with rds.ResultDatasetWriter(result_dir, mode="create") as writer:
        put(writer, 10**6, 1)
    spawn = multiprocessing.get_context("spawn")
    told = spawn.Queue()
    others = [spawn.Process(target=append_with_pylance, args=(result_dir, f"p{n}", seconds, told)) for n in range(2)]
    for process in others:
        process.start()
    want, end, count = ["1000000"], time.monotonic() + seconds, 0
    with rds.ResultDatasetWriter(result_dir, mode="append", durability="batch") as writer:
        while time.monotonic() < end:
            put(writer, count)
            count += 3
            if count % 9 == 0:
                writer.commit()
    for process in others:
        want += told.get(timeout=60)
        process.join()
    assert names_of(result_dir) == sorted(want + numbers(range(count)))


def test_ids_of_fragments_that_are_nearly_used_up_are_not_wasted(result_dir):
    table = table_path(result_dir)
    lance.write_dataset(arrow_rows(["a"]), table, data_storage_version="2.2")
    written = lance.fragment.write_fragments(arrow_rows(["b"]), table, data_storage_version="2.2")[0].to_json()
    described = json.loads(written) if isinstance(written, str) else written
    fragment = lance.fragment.FragmentMetadata.from_json(json.dumps({**described, "id": 2**32 - 9}))
    lance.LanceDataset.commit(table, lance.LanceOperation.Append([fragment]), read_version=1)
    want = ["a", "b"]
    try:
        with rds.ResultDatasetWriter(result_dir, mode="append") as writer:
            put(writer, 0)
        want += ["0", "1", "2"]
    except rds.RdsError as error:
        assert "fragment" in str(error)
    assert names_of(result_dir) == sorted(want)
    lance.write_dataset(arrow_rows(["c"]), table, mode="append")
    assert names_of(result_dir) == sorted([*want, "c"])
