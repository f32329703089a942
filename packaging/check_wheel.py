#!/usr/bin/env python3
"""Looks whether a wheel runs where its name says: at the symbols of glibc that its library asks for, and what is in it."""

import argparse
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# As they are in the checkout.
COPIES = {"rds/include/rds.h": "include/rds.h", "rds/include/rds.hpp": "include/rds.hpp", "licenses/LICENSE": "LICENSE",
          "licenses/THIRD-PARTY": "THIRD-PARTY"}
# Of the system; what else a library asks for may not be there.
ALLOWED = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libgcc_s.so.1", "ld-linux-x86-64.so.2",
           "ld-linux-aarch64.so.1"}


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--glibc", type=numbers, required=True, help="the latest that it may ask for")
    chosen = parser.parse_args()
    with zipfile.ZipFile(chosen.wheel) as wheel, tempfile.TemporaryDirectory() as directory:
        packed = {end: next((name for name in wheel.namelist() if name.endswith(end)), None) for end in ("rds/librds.so.0", *COPIES)}
        missing = [end for end, name in packed.items() if name is None]
        others = [end for end, file in COPIES.items() if packed[end] and wheel.read(packed[end]) != (ROOT / file).read_bytes()]
        library = wheel.extract("rds/librds.so.0", directory)
        output = subprocess.run(
            ["readelf", "--wide", "--dynamic", "--dyn-syms", "--version-info", library],
            capture_output=True, text=True, check=True,
        ).stdout
        size = Path(library).stat().st_size
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", output))
    asked = max(map(numbers, re.findall(r"\bGLIBC_([\d.]+)", output)))
    tag = re.search(r"manylinux_(\d+)_(\d+)", chosen.wheel.name)
    faults = [f"{end} is not in it" for end in missing] + [f"{end} is not that of the checkout" for end in others]
    faults += [f"it needs {name}" for name in sorted(needed - ALLOWED)]
    if asked > chosen.glibc:
        faults.append(f"it needs glibc {asked}")
    if tag is None or numbers(f"{tag[1]}.{tag[2]}") < asked:
        faults.append(f"its name does not say that it needs glibc {asked}")
    if faults:
        sys.exit(f"{chosen.wheel.name}: " + "; ".join(faults))
    megabytes = chosen.wheel.stat().st_size / 1e6
    print(f"{chosen.wheel.name}: glibc {'.'.join(map(str, asked))}, {megabytes:.1f} MB, its library {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
