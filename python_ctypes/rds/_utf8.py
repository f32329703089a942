"""Offsets of strings in UTF-8, counted in characters and in bytes, all strings at once."""

from __future__ import annotations

import numpy as np


def _begins(data: np.ndarray) -> np.ndarray:
    """Whether a character begins at each byte: all bytes but 0b10xxxxxx begin one."""
    return (data & 0xC0) != 0x80


def byte_offsets(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Where the strings begin in bytes, from where they begin in characters."""
    positions = np.append(np.flatnonzero(_begins(data)), len(data))
    return positions[offsets]


def character_offsets(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Where the strings begin in characters, from where they begin in bytes."""
    characters = np.zeros(len(data) + 1, np.int64)
    np.cumsum(_begins(data), out=characters[1:])
    return characters[offsets]
