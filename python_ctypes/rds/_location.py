"""Where a table lies: `lance_db/results.lance` in a result directory, or a path that ends in `.lance`."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit


def local_path(location: str | os.PathLike[str]) -> Path:
    """The path that a location names; librds refuses what has another scheme than `file`."""
    text = os.fspath(location)
    if text.startswith("file://"):
        return Path(unquote(urlsplit(text).path))
    return Path(text)


def is_local(location: str | os.PathLike[str]) -> bool:
    text = os.fspath(location)
    return "://" not in text or text.startswith("file://")


def table_path(location: str | os.PathLike[str]) -> Path:
    path = local_path(location)
    return path if path.suffix == ".lance" else path / "lance_db" / "results.lance"


def absolute(location: str | os.PathLike[str]) -> str:
    """The location, whatever the working directory will be."""
    text = os.fspath(location)
    return text if "://" in text else os.path.abspath(text)
