#!/usr/bin/env python3
"""Runs the fuzz targets from their seeds, several at once, and says how often each ran and what it found.

The seeds of a target are `<target>_seed_corpus.zip`, as OSS-Fuzz has them. With --keep, what a run reached beyond
them is added, and of all that the least that reaches as much is kept.
"""

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
TARGETS = re.findall(r'^name = "(\w+)"\npath = "fuzz_targets/', (HERE / "Cargo.toml").read_text(), re.MULTILINE)
MEGABYTES = 2048
# A finding too: an input that takes so many seconds.
SLOW = 10


def seeds(target: str) -> Path:
    return HERE / f"{target}_seed_corpus.zip"


def run(target: str, options: argparse.Namespace, place: Path) -> tuple[int, str]:
    """Runs a target; returns how often it ran, and what it said if it found something."""
    known, new = place / "known", place / "new"
    known.mkdir()
    new.mkdir()
    with zipfile.ZipFile(seeds(target)) as archive:
        archive.extractall(known)
    findings = options.findings.resolve()
    findings.mkdir(parents=True, exist_ok=True)
    command = [options.bin / target, new, known, f"-max_total_time={options.seconds}", f"-timeout={SLOW}",
               f"-rss_limit_mb={MEGABYTES}", "-print_final_stats=1", f"-artifact_prefix={findings}/{target}-"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    said = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    executions = int(said[1]) if said else 0
    if done.returncode or not executions:
        return executions, done.stderr
    if options.keep:
        keep(target, options, place, [known, new])
    return executions, ""


def keep(target: str, options: argparse.Namespace, place: Path, corpora: list[Path]) -> None:
    least = place / "least"
    least.mkdir()
    subprocess.run([options.bin / target, "-set_cover_merge=1", least, *corpora], check=True, capture_output=True)
    with zipfile.ZipFile(seeds(target), "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(least.iterdir()):
            # Of no date, so that the same seeds are the same file.
            archive.writestr(zipfile.ZipInfo(file.name), file.read_bytes(), zipfile.ZIP_DEFLATED)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True, help="where the built targets are")
    parser.add_argument("--seconds", type=int, default=10, help="for each target")
    parser.add_argument("--findings", type=Path, default=Path("build/fuzz"), help="where inputs go that found something")
    parser.add_argument("--keep", action="store_true", help="write the seeds anew")
    parser.add_argument("targets", nargs="*", default=TARGETS)
    options = parser.parse_args()
    total = failed = 0
    with tempfile.TemporaryDirectory() as places, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        def one(target: str) -> tuple[int, str]:
            place = Path(places, target)
            place.mkdir()
            return run(target, options, place)

        for target, (executions, finding) in zip(options.targets, pool.map(one, options.targets)):
            print(f"{target}: {executions:,} executions, {'a finding' if finding else 'no finding'}", flush=True)
            print(finding[-4000:], end="")
            total += executions
            failed += bool(finding)
    print(f"{total:,} executions")
    print(f"fuzz: {len(options.targets) - failed} passed, {failed} failed")
    return 1 if failed or not options.targets else 0


if __name__ == "__main__":
    sys.exit(main())
