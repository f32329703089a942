"""Readers are opened again and again, by threads of several processes, and used in every way, while runs append, flush,
commit and close, the table is overwritten or taken away, and vacuums, compactions and clean-ups run: none fails, no
value is wrong, each reader shows one version until it is refreshed, and no version ever shows other rows.

What was visible before a reader was opened it shows. It may say that there is no table only while there is none.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter

import common
import moments
import rds
from common import Child, expect

# Failures that are told of at the end.
TOLD = 5
CHANGES = {
    "a": ("append", 0.1), "b": ("append", 0.3), "o": ("replace", 1.0), "v": ("vacuum", 0.05), "l": ("pylance", 0.3),
}


class Heard:
    """What the children told."""

    def __init__(self, counts):
        self.counts, self.failures, self.versions = counts, [], {}

    def hear(self, who: str, lines) -> None:
        for word, *rest in lines:
            if word == "failure":
                failure = json.loads(" ".join(rest))
                self.failures.append(f"{who}: {failure['text']} ({' '.join(failure['where'])})")
            elif word == "version":
                version, found = tuple(map(int, rest[:2])), rest[2]
                if self.versions.setdefault(version, found) != found:
                    self.failures.append(f"{who}: version {version} shows other rows than to another process")
            elif word == "count":
                self.counts[rest[0]] += int(rest[1])
            elif word != "ended":
                self.counts[word] += 1


def start(chosen, place, chance) -> dict[str, Child]:
    def child(program: str, *arguments) -> Child:
        seconds, seed = ("--seconds", chosen.seconds), ("--seed", chance.randrange(1 << 30))
        return Child(place, *seconds, *seed, *arguments, program=program, log=place / "log")

    options = ["--older-than", chosen.older_than, *(["--unverified"] if chosen.unverified else [])]
    children = {
        name: child("changes_child.py", "--verb", verb, "--name", name, "--pause", pause, *options)
        for name, (verb, pause) in CHANGES.items()
        if verb not in chosen.without.split(",")
    }
    for number in range(chosen.processes):
        children[f"reader{number}"] = child("reads_child.py", "--threads", chosen.threads)
    return children


def run(chosen, place, counts) -> None:
    chance = random.Random(chosen.seed)
    now = moments.Moments(place)
    with rds.ResultDatasetWriter(now.table, mode="create") as writer:
        writer.write_batch(*common.batch("first", 0, 100))
    now.made()
    heard, children = Heard(counts), start(chosen, place, chance)
    end = time.monotonic() + 3 * chosen.seconds + 120
    alive = dict(children)
    while alive:
        for name, child in list(alive.items()):
            heard.hear(name, child.lines(0.02))
            if child.ended:
                heard.hear(name, child.finish())
                code = child.process.returncode
                expect(code == 0, f"{name} ended with {code}: {(place / 'log').read_text()[-2000:]}")
                del alive[name]
        expect(time.monotonic() < end, f"{', '.join(alive)} did not end")
    expect(not heard.failures, f"{len(heard.failures)} failures: " + "; ".join(first_of_each(heard.failures)))
    expect(common.read_lance(now.table) == common.read_rds(now.table), "Lance and librds read different rows")
    counts["versions"] += len(heard.versions)


def first_of_each(failures: list[str]) -> list[str]:
    """Of failures that differ in numbers only, the first, and how many there are."""
    kinds: Counter[str] = Counter()
    first: dict[str, str] = {}
    for failure in failures:
        kind = "".join(character for character in failure.partition(": ")[2][:160] if not character.isdigit())
        kinds[kind] += 1
        first.setdefault(kind, failure)
    return [f"{number} of `{first[kind]}`" for kind, number in kinds.most_common(TOLD)]


if __name__ == "__main__":
    needed = ("opened", "refreshed", "same", "auto", "lance", "rows", "shared", "appended", "replaced", "vacuumed")
    chosen_options = common.options(
        __doc__.splitlines()[0], seconds=10.0, processes=2, threads=2, older_than=1000, unverified=False, without="none"
    )
    left_out = {"append": "appended", "replace": "replaced", "vacuum": "vacuumed"}
    without = {left_out.get(verb) for verb in chosen_options.without.split(",")}
    common.program(run, chosen_options, *(name for name in needed if name not in without))
