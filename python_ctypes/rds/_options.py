"""Options of a constructor as librds has them: a number for a name, 0 for a default."""

from __future__ import annotations

from ._errors import InvalidArgumentError


def choice(name: str, value: str, choices: dict[str, int]) -> int:
    if value not in choices:
        raise InvalidArgumentError(f"{name} is {value!r}; {', '.join(map(repr, choices))} are possible")
    return choices[value]


def positive(name: str, value: int | None) -> int:
    if value is None:
        return 0
    if value < 1:
        raise InvalidArgumentError(f"{name} is {value}; it must be at least 1")
    return value
