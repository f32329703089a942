"""Columns are added, cast, dropped and made anew with pylance while a run writes, and between its death and its
recovery: our rows are right, or they are refused and wait; there is no null that nobody wrote.
"""

from __future__ import annotations

import random
import time

import _library
import common
import lance
import numpy as np
import pyarrow as pa
import rds
from common import Child, Told, expect

# What a run may be told when the columns are others.
REFUSED = (_library.SCHEMA_MISMATCH, _library.CONFLICT)


def add(dataset) -> None:
    dataset.add_columns({"more": "cast(1 as int)"})


def add_and_drop(dataset) -> None:
    dataset.add_columns({"more": "cast(1 as int)"})
    lance.dataset(dataset.uri).drop_columns(["more"])


def add_null(dataset) -> None:
    dataset.add_columns(pa.field("empty", pa.int32()))


def cast_ids(dataset) -> None:
    dataset.alter_columns({"path": "object_id", "data_type": pa.large_string()})


def cast_back(dataset) -> None:
    before = dataset.schema.field("object_id").type
    cast_ids(dataset)
    lance.dataset(dataset.uri).alter_columns({"path": "object_id", "data_type": before})


def rename(dataset) -> None:
    dataset.alter_columns({"path": "object_id", "name": "name"})


def rename_back(dataset) -> None:
    rename(dataset)
    lance.dataset(dataset.uri).alter_columns({"path": "name", "name": "object_id"})


def drop_data(dataset) -> None:
    dataset.drop_columns(["data"])


def again(dataset, make_anew) -> None:
    """A column of the same name under another id, or under one that was used before."""
    kept = dataset.to_table(columns=["object_id", "data"])
    dataset.drop_columns(["data"])
    lance.dataset(dataset.uri).optimize.compact_files()
    lance.dataset(dataset.uri).add_columns(make_anew(kept))


def drop_and_add(dataset) -> None:
    again(dataset, lambda kept: kept.select(["data"]).to_reader())


def drop_and_add_other(dataset) -> None:
    """Tensors of as many bytes and of another kind."""

    def other(kept):
        floats = np.ones(len(kept) * common.WIDTH, np.float32)
        column = pa.FixedSizeListArray.from_arrays(pa.array(floats), common.WIDTH)
        return pa.table({"data": column}).to_reader()

    again(dataset, other)


def metadata(dataset) -> None:
    dataset.update_metadata({"who": "somebody"})
    lance.dataset(dataset.uri).update_schema_metadata({"what": "something"})


def other_shape(dataset) -> None:
    """The same bytes, as tensors of another shape."""
    dataset.update_schema_metadata({"tensor_shape": f"[2, {common.WIDTH // 2}]"})


# Changes, and whether rows of ours still fit: all of them, none, or as librds finds.
CHANGES = {
    add: False, add_and_drop: True, add_null: False, cast_ids: None, cast_back: None, rename: False, rename_back: True,
    drop_data: False, drop_and_add: None, drop_and_add_other: False, metadata: True, other_shape: False,
}


def rows_of(table) -> dict[str, list[int]]:
    """Rows whose ids and tensors are right; the names and types of columns are whatever they are."""
    found = lance.dataset(str(table)).to_table()
    names = found.schema.names
    by = "object_id" if "object_id" in names else "name"
    ids = found[by].to_pylist()
    expect(None not in ids, "an id that is null")
    if "more" in names:
        expect(found["more"].null_count == 0, "a null that nobody wrote")
    if "data" not in names:
        return common.sequences([(row.rpartition(":")[0], int(row.rpartition(":")[2])) for row in ids])
    data = found["data"].combine_chunks()
    flat = data.flatten()
    expect(data.null_count == 0 and flat.null_count == 0, "a tensor that is null")
    values = np.asarray(flat).reshape(-1, common.WIDTH)
    if values.dtype != np.int32:
        expect((values == 1).all(), "tensors that nobody wrote")
        return common.sequences([(row.rpartition(":")[0], int(row.rpartition(":")[2])) for row in ids])
    return common.sequences(common.check_rows(ids, values))


def kept(table, writer: str, told: Told, fits, counts) -> None:
    """All rows that were acknowledged are visible, or those that are not wait."""
    refused = None
    try:
        rds.recover(table)
    except rds.RdsError as error:
        expect(error.status in REFUSED, f"recover: {error.status} {error}")
        refused = str(error)
    waiting = rds.recover(table, dry_run=True).waiting_rows
    numbers = rows_of(table).get(writer, [])
    visible = common.check_sequence(writer, numbers, 0, told.sent)
    what = f"{visible} rows are visible, {waiting} wait, {told.durable} were acknowledged"
    expect(visible + waiting >= told.durable, what)
    if fits is not None:
        expect(fits == (refused is None), f"{'refused' if refused else 'not refused'}: {refused}")
    counts["refused" if refused else "accepted"] += 1
    counts["rows"] += visible + waiting
    counts["visible"] += visible
    counts["waiting"] += waiting
    if refused:
        expect(waiting, "refused, and nothing waits")
        rds.recover(table, drop=True)
        expect(rows_of(table).get(writer, []) == numbers, "dropping changed what is visible")


def during(table, change, fits, chance, counts, log) -> None:
    """A run writes, and is told at its next version, if its rows do not fit any more."""
    child = Child(
        "write", table, "--durability", chance.choice(["batch", "interval"]), "--writer", "w", "--seed",
        chance.randrange(1 << 30), "--verbs", "flush,commit", "--often", 0.1, "--pause", 0.02, "--visible-ms", 100,
        "--seconds", 1.0, log=log,
    )
    lines = child.wait_for("durable")
    time.sleep(chance.random() * 0.4)
    try:
        change(lance.dataset(str(table)))
    except OSError:
        # Its own conflict with a version of ours.
        counts["conflicts_of_lance"] += 1
        told = Told().add(lines + child.finish())
        kept(table, "w", told, None, counts)
        return
    counts["changes"] += 1
    then = len(rows_of(table).get("w", []))
    told = Told().add(lines + child.finish())
    expect(told.error is None or told.error[0] in REFUSED, f"w: {told.error}")
    counts["told"] += told.error is not None
    now = len(rows_of(table).get("w", []))
    expect(fits is not False or now == then, f"{now - then} rows became visible that do not fit")
    # If it was not told, all was visible before.
    kept(table, "w", told, fits if told.error else None, counts)


def between(table, change, fits, chance, counts, log) -> None:
    """A run dies, the columns change, and it is recovered."""
    child = Child(
        "write", table, "--durability", "batch", "--writer", "w", "--seed", chance.randrange(1 << 30),
        "--verbs", "flush", "--often", 0.1, "--large", 0.2, "--visible-ms", 100000, log=log,
    )
    lines = child.wait_for("durable")
    time.sleep(chance.random() * 0.2)
    told = Told().add(lines + child.kill())
    before = rds.recover(table, dry_run=True).waiting_rows
    change(lance.dataset(str(table)))
    counts["changes"] += 1
    kept(table, "w", told, fits if before else None, counts)


def run(chosen, place, counts) -> None:
    chance = random.Random(chosen.seed)
    for number in range(chosen.rounds):
        for change, fits in CHANGES.items():
            for when in (during, between):
                table = place / f"{number}{change.__name__}{when.__name__}.lance"
                with rds.ResultDatasetWriter(table, mode="create") as writer:
                    writer.write_batch(*common.batch("first", 0, 10))
                try:
                    when(table, change, fits, chance, counts, place / "log")
                except Exception as failure:
                    raise common.Failure(f"{change.__name__} {when.__name__}: {failure}") from failure


if __name__ == "__main__":
    needed = ("changes", "accepted", "refused", "told", "waiting", "visible", "rows")
    common.program(run, common.options(__doc__.splitlines()[0], rounds=1), *needed)
