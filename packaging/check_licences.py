#!/usr/bin/env python3
"""Looks whether THIRD-PARTY is of the crates that are linked: each is named, and no other; the texts that licences ask for
are in it. With --append it writes those that cargo-about does not find: notices, and licences of parts of a crate.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
THIRD_PARTY = ROOT / "THIRD-PARTY"
TARGETS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")
# Of what a crate was made of, and what it builds from C and assembly; [] where that is under the licence of the crate.
PARTS = {
    "blake3": [],
    "lance-linalg": [],
    "libm": ["LICENSE.txt"],
    "lz4-sys": ["liblz4/lib/LICENSE"],
    "parking": ["LICENSE-THIRD-PARTY"],
    "regex-syntax": ["src/unicode_tables/LICENSE-UNICODE"],
    "ring": ["src/polyfill/once_cell/LICENSE-MIT", "third_party/fiat/LICENSE"],
    "zstd-sys": ["zstd/LICENSE"],
}
RULE = "-" * 80


def cargo(*arguments: str) -> str:
    done = subprocess.run(["cargo", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"cargo {arguments[0]} exited with {done.returncode}")
    return done.stdout


def linked() -> dict[str, set[str]]:
    """The crates that each target links, as `name version`."""
    found = {}
    for target in TARGETS:
        lines = cargo("tree", "--locked", "-e", "normal", "--target", target, "--prefix", "none", "-f", "{p}").splitlines()
        found[target] = {re.sub(r"^(\S+) v(\S+).*", r"\1 \2", line) for line in lines if line} - {f"rds {own_version()}"}
    return found


def own_version() -> str:
    return re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]


def texts(crates: set[str]) -> tuple[dict[str, list[str]], list[str]]:
    """What else THIRD-PARTY has to have, with the crates that it is of, and what nobody has looked at."""
    described = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", TARGETS[0]))
    found, unknown = {}, []
    for package in sorted(described["packages"], key=lambda package: package["id"]):
        crate = f"{package['name']} {package['version']}"
        if crate not in crates:
            continue
        directory = Path(package["manifest_path"]).parent
        builds = [need["name"] for need in package["dependencies"] if need["kind"] == "build" and not need["optional"]]
        if "cc" in builds and package["name"] not in PARTS:
            unknown.append(f"{crate} is built from C: PARTS of {Path(__file__).name} is to say which licences that has")
        parts = [directory / part for part in PARTS.get(package["name"], [])]
        for path in [*sorted(directory.glob("NOTICE*")), *parts]:
            found.setdefault(path.read_text(encoding="utf-8").strip("\n"), []).append(crate)
    return found, unknown


def plain(text: str) -> str:
    return " ".join(text.split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--append", action="store_true")
    chosen = parser.parse_args()
    crates = linked()
    wanted, faults = texts(crates[TARGETS[0]])
    # Line ends as they are.
    written = THIRD_PARTY.read_bytes().decode()
    if chosen.append:
        for text, of in wanted.items():
            if plain(text) not in plain(written):
                written += "\n".join((RULE, "Besides, of:", *(f"  {crate}" for crate in of), "", text, "", ""))
        THIRD_PARTY.write_bytes(written.encode())
    named = set(re.findall(r"^  (\S+ \d\S*)$", written, re.MULTILINE))
    locked = set(map(" ".join, re.findall(r'name = "(.+)"\nversion = "(.+)"', (ROOT / "Cargo.lock").read_text())))
    faults += [f"{crate} is not named" for crate in sorted(set().union(*crates.values()) - named)]
    faults += [f"{crate} is named, and is not in Cargo.lock" for crate in sorted(named - locked)]
    missing = {text: of for text, of in wanted.items() if plain(text) not in plain(written)}
    faults += [f"a text of {', '.join(of[:3])} is not in it: {plain(text)[:70]}" for text, of in missing.items()]
    if faults:
        sys.exit("THIRD-PARTY; `make licences` writes it anew:\n" + "\n".join(f"  {fault}" for fault in faults))
    print(f"THIRD-PARTY names {len(named)} crates, and has {len(wanted)} notices and licences of parts")


if __name__ == "__main__":
    main()
