#!/usr/bin/env python3
"""Installs librds, or takes it away again: one list of files for both."""

import argparse
import os
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSION = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]


def files(prefix: Path, libdir: Path, cmakedir: Path, dist: Path) -> dict[Path, Path | str]:
    """What becomes of each file: a copy of another, or a text."""
    share = prefix / "share"
    texts = {
        libdir / "pkgconfig" / "rds.pc": "rds.pc.in",
        cmakedir / "rdsConfig.cmake": "rdsConfig.cmake.in",
        cmakedir / "rdsConfigVersion.cmake": "rdsConfigVersion.cmake.in",
    }
    copies = {
        libdir / f"librds.so.{VERSION}": dist / "librds.so",
        libdir / "librds.a": dist / "librds.a",
        prefix / "include" / "rds.h": ROOT / "include" / "rds.h",
        prefix / "include" / "rds.hpp": ROOT / "include" / "rds.hpp",
        share / "man" / "man1" / "rds.1": ROOT / "packaging" / "man" / "rds.1",
        share / "man" / "man3" / "librds.3": ROOT / "packaging" / "man" / "librds.3",
        share / "doc" / "librds" / "LICENSE": ROOT / "LICENSE",
        share / "doc" / "librds" / "THIRD-PARTY": ROOT / "THIRD-PARTY",
        share / "doc" / "librds" / "CHANGELOG.md": ROOT / "CHANGELOG.md",
    }
    return copies | {at: filled(template, at.parent, prefix, libdir) for at, template in texts.items()}


def filled(template: str, directory: Path, prefix: Path, libdir: Path) -> str:
    text = (ROOT / "packaging" / template).read_text()
    values = {"VERSION": VERSION, "MAJOR": VERSION.split(".")[0]}
    values |= {"PREFIX": os.path.relpath(prefix, directory), "LIBDIR": os.path.relpath(libdir, directory)}
    return re.sub("@([A-Z]+)@", lambda found: values[found[1]], text)


def links(libdir: Path) -> dict[Path, str]:
    return {libdir / "librds.so.0": f"librds.so.{VERSION}", libdir / "librds.so": "librds.so.0"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--destdir", default="", help="stands before every path, and is in no file")
    parser.add_argument("--prefix", type=Path, required=True)
    parser.add_argument("--libdir", type=Path, required=True)
    parser.add_argument("--cmakedir", type=Path, required=True)
    parser.add_argument("--dist", type=Path, required=True, help="where librds.a and librds.so are")
    parser.add_argument("--remove", action="store_true")
    chosen = parser.parse_args()
    places = {"PREFIX": chosen.prefix, "LIBDIR": chosen.libdir, "CMAKEDIR": chosen.cmakedir}
    for name, place in places.items():
        if not place.is_absolute():
            parser.error(f"{name} is {place}; an absolute path is expected")
    put = lambda path: Path(f"{chosen.destdir}{path}")
    wanted = files(chosen.prefix, chosen.libdir, chosen.cmakedir, chosen.dist)
    linked = links(chosen.libdir)
    for path in map(put, [*wanted, *linked]):
        # Removed first: a program may have the old one mapped, and a link must not be written through.
        path.unlink(missing_ok=True)
    if chosen.remove:
        for directory in (chosen.cmakedir, chosen.prefix / "share" / "doc" / "librds"):
            if put(directory).is_dir() and not any(put(directory).iterdir()):
                put(directory).rmdir()
        return
    for path, source in wanted.items():
        path = put(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, Path):
            shutil.copyfile(source, path)
        else:
            path.write_text(source)
        path.chmod(0o755 if ".so" in path.name else 0o644)
    for path, target in linked.items():
        put(path).symlink_to(target)


if __name__ == "__main__":
    main()
