"""The order of rows, and what follows from it, as order.md says it. Run, it prints results to test others with:

python docs/order.py > src/reader/loader/order_vectors.txt
"""

import struct
from itertools import accumulate
from math import isqrt

GOLDEN, MASK = 0x9E3779B97F4A7C15, 2**64 - 1


def mix(x):
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def digest(*numbers, h=0):
    for number in numbers:
        h = mix(h + number + GOLDEN & MASK)
    return h


def permuted(n, h, x, inverse=False):
    """What x becomes by the permutation of 0..n-1 with the hash h, or what becomes x."""
    if n < 2:
        return x
    a = isqrt(n - 1) + 1
    a += a % 2
    b = -(-n // a)
    rounds = range(24 if n < 65536 else 8)
    sign = -1 if inverse else 1
    while True:
        left, right = divmod(x, b)
        for r in reversed(rounds) if inverse else rounds:
            key = mix(h + (r + 1) * GOLDEN & MASK)
            if r % 2 == 0:
                left = (left + sign * (mix(right + key & MASK) * a >> 64)) % a
            else:
                right = (right + sign * (mix(left + key & MASK) * b >> 64)) % b
        x = left * b + right
        if x < n:
            return x


def shuffled(n, h, p, clump=1):
    """The row at position p; h is digest(seed, epoch, table, pass)."""
    blocks = -(-n // clump)
    last = n - (blocks - 1) * clump
    before = permuted(blocks, h, blocks - 1, inverse=True) * clump
    if before <= p < before + last:
        return (blocks - 1) * clump + p - before
    block, offset = divmod(p if p < before else p + clump - last, clump)
    return permuted(blocks, h, block) * clump + offset


def step(n, consumed, rows, tail):
    """The positions of the step behind so many rows; those from n on fill it up, and are of the rows at p mod n."""
    left = n - consumed
    if left >= rows or (left and tail == "pad"):
        return range(consumed, consumed + rows)
    return range(consumed, n) if tail == "short" else range(0)


def share(positions, part, parts):
    """The slice of one of so many ranks, or of one of so many workers of a rank."""
    size = len(positions)
    return positions[part * size // parts : (part + 1) * size // parts]


def counts(weights, x):
    """How many of the first x rows of a segment are of each table."""
    sums, found = [0, *accumulate(weights)], []
    for i in reversed(range(len(weights))):
        below = x * sums[i] // sums[i + 1] if sums[i + 1] else 0
        found.insert(0, x - below)
        x = below
    return found


def mixed(sizes, segments, p):
    """The table at position p, its pass, and the position in that; segments are (begin, weights), the first from 0."""
    had = [0] * len(sizes)
    for (begin, weights), (end, _) in zip(segments, [*segments[1:], (MASK, ())]):
        if p < end:
            before, after = counts(weights, p - begin), counts(weights, p - begin + 1)
            table = next(i for i in range(len(sizes)) if before[i] < after[i])
            return table, *divmod(had[table] + before[table], sizes[table])
        had = [sum(both) for both in zip(had, counts(weights, end - begin))]


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def state(seed, epoch, consumed, subsets, tables=(), clump=1, epoch_rows=0, segments=()):
    """Tables are (version, names of files); subsets a range or a list for each; clump is 0 for rows in order."""
    version = files = first = rows = 0
    for number, names in tables:
        bytes_ = [number for name in names for number in (len(name.encode()), *name.encode())]
        files = digest(number, *bytes_, 0, h=files)
    if tables:
        version, (name, *_) = tables[0]
        first = digest(len(name.encode()), *name.encode())
    for subset in subsets:
        is_range = isinstance(subset, range)
        rows = digest(*((1, subset.start, subset.stop) if is_range else (2, *subset)), h=rows)
    order = digest(clump)
    if len(subsets) > 1:
        order = digest(len(subsets), epoch_rows, h=order)
        for begin, weights in segments:
            order = digest(begin, *weights, h=order) if begin < consumed else order
    hashes = [number % 2**32 for number in (first, rows, order)]
    head = b"rdsL" + struct.pack("<BBHQQQQQIII", 1, not clump, 0, seed, epoch, consumed, version, files, *hashes)
    return head + struct.pack("<I", crc32c(head))


def vectors():
    yield "# The order of rows, see docs/order.md."
    yield "# n clump seed epoch table pass : the rows at the first 8 positions and the last 2"
    for n in 1, 2, 3, 5, 8, 9, 100, 65535, 65536, 10**6, 10**9, 2**40 + 7, 2**62:
        for given in (1, 0, 0, 0, 0), (1, 42, 7, 0, 0), (1, MASK, 1, 3, 2), (3, 42, 7, 0, 0):
            clump, *of_hash = given
            places = [*range(min(n, 8)), *range(max(n - 2, 0), n)]
            rows = [shuffled(n, digest(*of_hash), p, clump) for p in places]
            yield f"{n} {' '.join(map(str, given))} : {' '.join(map(str, rows))}"


if __name__ == "__main__":
    print("\n".join(vectors()))
