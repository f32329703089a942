"""A process of `readers.py` whose threads open readers again and again, and check all that these read. It tells line
by line what it saw, failures too, and goes on."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import threading
import time
import traceback
from collections import Counter
from pathlib import Path

import common
import moments
import numpy as np
import pyarrow as pa
import rds
from common import WIDTH, expect
from rds._errors import NotFoundError, NotSupportedError, SchemaMismatchError

# How long a table that cannot be opened is tried again, to tell how long that lasts.
PATIENCE = 20.0
# Rows of which some are deleted by pylance: those of these numbers may be missing.
DELETED_OF, DELETED = 7, 3


def tell(*words) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


# What a version shows ----------------------------------------------------------------------------------------


def check_writers(rows) -> None:
    """Of each writer rows that follow each other, each once. The first may be of a table that was replaced: if a
    clean-up has removed the version that did it, the run goes on in the new one."""
    for writer, numbers in common.sequences(rows).items():
        doubled = [number for number, times in Counter(numbers).items() if times > 1]
        expect(not doubled, f"{writer}: {len(doubled)} rows are there twice, the first is {min(doubled, default=0)}")
        gaps = set(range(min(numbers), max(numbers))) - set(numbers)
        gaps = sorted(number for number in gaps if number % DELETED_OF != DELETED)
        expect(not gaps, f"{writer}: {len(gaps)} rows are missing between others, the first is {gaps[:1]}")


def digest(ids, data) -> str:
    of = hashlib.sha1("\n".join(ids).encode())
    of.update(np.ascontiguousarray(data).tobytes())
    return of.hexdigest()[:16]


class Seen:
    """Of each version that anybody saw, its rows: they never change."""

    def __init__(self):
        self.lock, self.versions = threading.Lock(), {}

    def check(self, dataset, found: str) -> None:
        info = dataset._snapshot.info
        version = (info.version, info.committed_at)
        with self.lock:
            known = self.versions.setdefault(version, found)
            if known is found:
                tell("version", *version, found)
        expect(known == found, f"version {version} shows other rows than before")


class Content:
    """All rows of a dataset, read once and checked; then every other way gives the same."""

    def __init__(self, dataset, seen: Seen, chance: random.Random):
        self.dataset, self.chance = dataset, chance
        self.ids, self.data = dataset.ids(), np.asarray(dataset[:])
        expect(len(self.ids) == len(dataset) == len(self.data), f"{len(dataset)} rows, {len(self.ids)} ids")
        check_writers(common.check_rows(self.ids, self.data.reshape(-1, WIDTH)))
        self.digest = digest(self.ids, self.data)
        seen.check(dataset, self.digest)

    WAYS = ("all", "gather", "rows", "slice", "take", "all_ids", "find", "stream", "some")

    def check(self, way: str) -> None:
        getattr(self, way)(self.chance.randrange(len(self.ids)), len(self.ids))

    def same(self, found, rows, what: str) -> None:
        expect(np.array_equal(found, self.data[rows]), f"{what} gives other rows")

    def all(self, row: int, count: int) -> None:
        expect(digest(self.dataset.ids(), self.dataset[:]) == self.digest, "the snapshot changed")

    def gather(self, row: int, count: int) -> None:
        rows = np.array([self.chance.randrange(count) for _ in range(self.chance.choice([1, 5, 200, 3000]))])
        self.same(self.dataset[rows], rows, "a gather")

    def rows(self, row: int, count: int) -> None:
        for row in [row, 0, count - 1]:
            self.same(self.dataset[row], row, "a row")
            expect(self.dataset.get_object_id(row) == self.ids[row], "another id")

    def slice(self, row: int, count: int) -> None:
        end = self.chance.randrange(row, count) + 1
        self.same(self.dataset[row:end], np.arange(row, end), "a range")

    def take(self, row: int, count: int) -> None:
        rows = [row, count - 1, row, 0]
        out = np.empty((4, *self.dataset.tensor_shape), self.dataset.tensor_dtype)
        self.same(self.dataset.take(rows, out=out), rows, "a take")
        batch = pa.record_batch(self.dataset.batch(rows))
        expect(batch["object_id"].to_pylist() == [self.ids[row] for row in rows], "a batch has other ids")
        self.same(np.asarray(batch["data"].flatten()).reshape(out.shape), rows, "a batch")

    def all_ids(self, row: int, count: int) -> None:
        expect(self.dataset.ids() == self.ids, "other ids")

    def find(self, row: int, count: int) -> None:
        rows = [self.chance.randrange(count) for _ in range(50)]
        found = self.dataset.find([self.ids[row] for row in rows] + ["none:1"])
        expect(found.tolist() == [*rows, -1], "rows are not found")

    def stream(self, row: int, count: int) -> None:
        stream = self.dataset.stream(batch_size=self.chance.choice([17, 1000, 8192]))
        total = pa.RecordBatchReader.from_stream(stream).read_all()
        expect(total["object_id"].to_pylist() == self.ids, "a stream has other ids")
        self.same(tensors(total).reshape(self.data.shape), slice(None), "a stream")

    def some(self, row: int, count: int) -> None:
        """A stream of chosen rows."""
        rows = np.array([self.chance.randrange(count) for _ in range(40)])
        total = pa.RecordBatchReader.from_stream(self.dataset.stream(rows=rows, batch_size=13)).read_all()
        self.same(tensors(total).reshape(40, *self.data.shape[1:]), rows, "a stream of chosen rows")


def tensors(table: pa.Table) -> np.ndarray:
    return np.asarray(table["data"].combine_chunks().flatten())


# Readers -----------------------------------------------------------------------------------------------------


class Reader(threading.Thread):
    def __init__(self, place: Path, seconds: float, seed: int, seen: Seen, shared: Shared):
        super().__init__()
        self.now, self.chance = moments.Moments(place), random.Random(seed)
        self.end, self.seen, self.shared = time.monotonic() + seconds, seen, shared
        self.counts: Counter[str] = Counter()
        self.doing = "nothing"

    def run(self) -> None:
        while time.monotonic() < self.end:
            try:
                self.shared.use(self) if self.chance.random() < 0.3 else self.once()
            except Exception as error:  # pylint: disable=broad-exception-caught
                self.fail(error)
        for name, number in self.counts.items():
            tell("count", name, number)

    def fail(self, error: Exception) -> None:
        where = traceback.extract_tb(error.__traceback__)
        lines = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in where]
        text = f"{self.doing}: {type(error).__name__}: {error}"
        tell("failure", json.dumps({"text": text, "where": lines, "at": time.time()}))

    def once(self) -> None:
        """A reader from its opening to its end."""
        access = self.chance.choice(["auto", "auto", "auto", "lance", "lance", "mapped"])
        dataset = self.open(access)
        if dataset is None:
            return
        self.use(dataset, access)
        if self.chance.random() < 0.5:
            self.doing = f"refresh {access}"
            self.refresh(dataset)
        view, row = dataset[0], np.array(dataset[0])
        if self.chance.random() < 0.7:
            dataset.close()
        expect(np.array_equal(view, row), "a row changed when its reader was closed")

    def use(self, dataset, access: str) -> None:
        self.doing = f"read {access}"
        content = Content(dataset, self.seen, self.chance)
        self.counts["rows"] += len(content.ids)
        for way in self.chance.sample(Content.WAYS, 4):
            self.doing = f"{way} {access}"
            content.check(way)
        time.sleep(self.chance.random() ** 3)
        for way in ["all", self.chance.choice(Content.WAYS)]:
            self.doing = f"later {way} {access}"
            content.check(way)
        self.counts[access] += 1

    def open(self, access: str):
        if self.chance.random() < 0.1:
            return self.open_old(access)
        self.doing = f"open {access}"
        life, version = self.now.oldest_allowed()
        try:
            dataset = rds.ResultDataset({}, self.now.table, access=access)
        except NotSupportedError:
            expect(access == "mapped", "what can be read cannot")
            return None
        except NotFoundError as error:
            self.not_there(error, life)
            return None
        self.new_enough(dataset, life, version)
        self.counts["opened"] += 1
        return dataset

    def new_enough(self, dataset, life: int, version: int) -> None:
        shown = dataset._snapshot.info.version
        if self.now.life == life:
            expect(shown >= version, f"version {shown}, although {version} was visible before")

    def open_old(self, access: str):
        """A version that a clean-up may take."""
        with self.now.present():
            version = self.chance.choice(moments.versions(self.now.table))
        self.doing = f"open {access} of version {version}"
        life = self.now.life
        try:
            dataset = rds.ResultDataset({}, self.now.table, access=access, version=version)
        except NotSupportedError:
            expect(access == "mapped", "what can be read cannot")
            return None
        except NotFoundError as error:
            # Whoever removes a version removes its files too, in some order.
            end = time.monotonic() + 2
            while self.there(version, life):
                expect(time.monotonic() < end, f"the version is there: {error}")
                time.sleep(0.01)
            self.counts["gone"] += 1
            return None
        expect(dataset._snapshot.info.version == version or self.now.life != life, "another version")
        self.counts["old"] += 1
        return dataset

    def there(self, version: int, life: int) -> bool:
        try:
            return self.now.life == life and version in moments.versions(self.now.table)
        except FileNotFoundError:
            return False

    def not_there(self, error: NotFoundError, life: int) -> None:
        """Right only if the table was away at some time."""
        if life % 2 or self.now.life != life:
            self.counts["away"] += 1
            return
        begun = time.monotonic()
        while time.monotonic() < begun + PATIENCE:
            try:
                again = rds.ResultDataset({}, self.now.table)
            except NotFoundError:
                time.sleep(0.001)
                continue
            lasted, version = time.monotonic() - begun, again._snapshot.info.version
            how = f"opens after {lasted * 1000:.1f} ms with version {version}"
            raise common.Failure(f"the table is there, and {how}: {error}")
        raise common.Failure(f"the table is there, and does not open for {PATIENCE} s: {error}")

    def refresh(self, dataset) -> bool:
        """Moves on, or shows what it showed."""
        life, version = self.now.oldest_allowed()
        shown = dataset._snapshot
        try:
            changed = dataset.refresh()
        except (SchemaMismatchError, NotSupportedError) as error:
            # Of another shape, or with rows that are not mapped.
            mapped = dataset._options["access"] == "mapped"
            expect("open another" in str(error) or mapped, f"refresh: {error}")
            expect(dataset._snapshot is shown, "a refresh that failed changed something")
            self.counts["refused"] += 1
            return False
        except NotFoundError as error:
            self.not_there(error, life)
            return True
        self.new_enough(dataset, life, version)
        if changed:
            Content(dataset, self.seen, self.chance)
        self.counts["refreshed" if changed else "same"] += 1
        return True


class Shared:
    """A dataset that all threads of a process use and refresh."""

    def __init__(self):
        self.dataset = None

    def use(self, reader: Reader) -> None:
        dataset = self.dataset
        if dataset is None:
            self.dataset = reader.open(reader.chance.choice(["auto", "lance"]))
            return
        if reader.chance.random() < 0.3:
            reader.doing = "refresh shared"
            if not self.refresh(reader, dataset):
                self.dataset = None
            return
        reader.doing = "stream shared"
        # One call each: between two another thread may refresh.
        total = pa.RecordBatchReader.from_stream(dataset.stream()).read_all()
        rows = common.check_rows(total["object_id"].to_pylist(), tensors(total).reshape(-1, WIDTH))
        check_writers(rows)
        reader.doing = "read shared"
        dataset[0], dataset[:], dataset.ids()
        found = dataset.find(total["object_id"].to_pylist()[:20])
        expect(found.dtype == np.int64 and len(found) == min(20, len(rows)), "find gives something else")
        reader.counts["shared"] += 1

    @staticmethod
    def refresh(reader: Reader, dataset) -> bool:
        life, _ = reader.now.oldest_allowed()
        try:
            dataset.refresh()
        except SchemaMismatchError:
            reader.counts["refused"] += 1
            return False
        except NotFoundError as error:
            reader.not_there(error, life)
        reader.counts["refreshed_shared"] += 1
        return True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("place", type=Path)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    seen, shared = Seen(), Shared()
    seeds = range(chosen.seed, chosen.seed + chosen.threads)
    threads = [Reader(chosen.place, chosen.seconds, seed, seen, shared) for seed in seeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tell("ended")


if __name__ == "__main__":
    main()
