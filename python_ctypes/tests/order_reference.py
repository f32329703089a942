"""The order of rows and the steps of an epoch in plain Python, written from the page that fixes them."""

from __future__ import annotations

import functools
import math

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(x):
    x ^= x >> 30
    x = x * 0xBF58476D1CE4E5B9 & MASK
    x ^= x >> 27
    x = x * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


class Permutation:
    def __init__(self, n, *key):
        self.n = n
        a = math.isqrt(max(n - 1, 0)) + 1
        self.a = a + a % 2
        self.b = -(-n // self.a)
        h = 0
        for part in key:
            h = mix(h + part + GOLDEN & MASK)
        rounds = 24 if n < 65536 else 8
        self.keys = [mix(h + (r + 1) * GOLDEN & MASK) for r in range(rounds)]

    def __call__(self, x):
        while self.n > 1:
            left, right = divmod(x, self.b)
            for r, key in enumerate(self.keys):
                if r % 2 == 0:
                    left = (left + (mix(right + key & MASK) * self.a >> 64)) % self.a
                else:
                    right = (right + (mix(left + key & MASK) * self.b >> 64)) % self.b
            x = left * self.b + right
            if x < self.n:
                break
        return x


@functools.lru_cache(maxsize=4096)
def shuffled(n, clump, *key):
    """The rows at all positions: whole clumps in a permuted order."""
    if clump == 1:
        permutation = Permutation(n, *key)
        return [permutation(x) for x in range(n)]
    clumps = -(-n // clump)
    permutation = Permutation(clumps, *key)
    return [
        row
        for place in range(clumps)
        for row in range(permutation(place) * clump, min((permutation(place) + 1) * clump, n))
    ]


def epoch_of(rows, order, clump, seed, epoch, table=0, number=0):
    """An epoch, or pass, of one table, of which `rows` are listed."""
    if order == "in_order":
        return list(rows)
    return [rows[at] for at in shuffled(len(rows), clump, seed, epoch, table, number)]


def counts(weights, x):
    """How many of the first x rows of a mixture are of each table."""
    sums = [sum(weights[:table]) for table in range(len(weights) + 1)]
    upto = [0] * len(weights) + [x]
    for table in range(len(weights) - 1, -1, -1):
        upto[table] = upto[table + 1] * sums[table] // sums[table + 1] if sums[table + 1] else 0
    return [upto[table + 1] - upto[table] for table in range(len(weights))]


def mixed(tables, schedule, epoch_rows, order, clump, seed, epoch):
    """(table, row) at all positions of an epoch; `schedule` is (epoch, consumed, weights) in order."""
    before, begin, known, found = [0] * len(tables), 0, None, []
    for p in range(epoch_rows):
        weights, since = [len(rows) for rows in tables], 0
        for of_epoch, consumed, given in schedule:
            if (of_epoch, consumed) <= (epoch, p):
                weights, since = given, consumed if of_epoch == epoch else 0
        if known is not None and since != begin:
            before = [b + c for b, c in zip(before, counts(known, since - begin))]
        known, begin = weights, since
        now, then = counts(weights, p - begin), counts(weights, p - begin + 1)
        (table,) = [table for table in range(len(tables)) if then[table] > now[table]]
        number, at = divmod(before[table] + now[table], len(tables[table]))
        found.append((table, epoch_of(tables[table], order, clump, seed, epoch, table, number)[at]))
    return found


def share(things, index, of):
    """What one of several takes."""
    return things[len(things) * index // of : len(things) * (index + 1) // of]


def step_of(rows, consumed, batch, tail):
    """The step behind so many rows of an epoch, whether each row fills it up, and what is consumed then."""
    left = len(rows) - consumed
    if left <= 0 or left < batch and tail == "drop":
        return None
    size = left if left < batch and tail == "short" else batch
    step = [(rows[p % len(rows)], p >= len(rows)) for p in range(consumed, consumed + size)]
    return step, min(consumed + batch, len(rows))
