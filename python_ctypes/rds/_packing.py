"""Which parts fill a file, while others are still written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

# What is before the JSON of a token, and behind it.
_HEAD, _SUM = 12, 4


class Span(NamedTuple):
    """Tokens of parts that follow each other, and how many rows of the first are in files before these."""

    tokens: list[bytes]
    first_row: int

    def grown(self, tokens: Sequence[bytes]) -> tuple[Span, Span]:
        """This one with the parts that come next, and what is left of that behind its last full file."""
        said = [json.loads(token[_HEAD:-_SUM]) for token in tokens]
        together = [*self.tokens, *(token for token, of in zip(tokens, said) if of["rows"])]
        rows = [json.loads(token[_HEAD:-_SUM])["rows"] for token in together]
        full = max([of["file_rows"] for of in said] or [0])
        filled = self.first_row + ((sum(rows) - self.first_row) // full * full if full else 0)
        first, before = 0, 0
        while first < len(rows) and before + rows[first] <= filled:
            before += rows[first]
            first += 1
        return Span(together, self.first_row), Span(together[first:], filled - before)
