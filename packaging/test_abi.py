#!/usr/bin/env python3
"""Programs that were built with the header of the last release run with today's library.

`packaging/abi/rds.h` is that header. It is compared with today's by abidiff, as two libraries whose functions do nothing: all
that a program knows of librds is what the header says.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "c_tests"))

import header  # noqa: E402

RELEASED = HERE / "abi" / "rds.h"
# Each is a change that no program survives.
BREAKS = {
    "a field that changed its place": (
        r"(typedef struct rds_span \{.*?)(  uint64_t first_row;)(.*?)(  uint64_t row_count;)", r"\1\4\3\2"
    ),
    "a field that became narrower": (r"(typedef struct rds_tensor \{.*?)uint32_t dtype;", r"\1uint16_t dtype;"),
    "a constant that changed": (r"RDS_ERR_NOT_FOUND = (\d+)", r"RDS_ERR_NOT_FOUND = 1\1"),
    "a parameter that changed": (r"(rds_reader_get\([^)]*)uint64_t row", r"\1uint32_t row"),
    "a function that is gone": (r"RDS_API[^;]*\brds_flush\([^)]*\);", ""),
}


def run(*command, allow: bool = False, **more) -> subprocess.CompletedProcess:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **more)
    if done.returncode and not allow:
        sys.exit(f"{' '.join(map(str, command))} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def stub(text: str, name: str, work: Path) -> Path:
    """A library of the functions of a header."""
    (work / name).mkdir()
    (work / name / "rds.h").write_text(text)
    functions = header.functions(text)
    if len(functions) != len(header.declared(text)):
        sys.exit("not every function of the header is understood")
    code = ["#include <rds.h>"]
    for function in functions:
        parameters = ", ".join(f"{one.type} {one.name}" for one in function.parameters) or "void"
        code.append(f"{function.type} {function.name}({parameters}) {{ return ({function.type})0; }}")
    source, made = work / name / "stub.c", work / name / "librds.so"
    source.write_text("\n".join(code) + "\n")
    run("gcc", "-std=c11", "-w", "-g", "-fPIC", "-shared", f"-I{work / name}", source, "-o", made)
    return made


def differs(old: Path, new: Path) -> str:
    """What abidiff says; empty if every program goes on running."""
    done = run("abidiff", "--no-added-syms", old, new, allow=True)
    return f"{done.stdout}{done.stderr}" if done.returncode else ""


def as_known(text: str, released: str) -> str:
    """A header without the fields by which structs have grown at their ends: a library reads what the program has."""
    known = header.structs(released)

    def cut(struct: re.Match) -> str:
        fields = known.get(struct["name"], [])
        if not fields or fields[0] != "struct_size":
            return struct[0]
        body = header.without_comments(struct["body"])
        last = re.search(rf"\b{fields[-1]}(\[[^]]*\])?;", body)
        return struct[0].replace(struct["body"], body[: last.end()]) if last else struct[0]

    return header.STRUCT.sub(cut, text)


def checks(library: Path, work: Path):
    released, today = RELEASED.read_text(), (ROOT / "include" / "rds.h").read_text()
    old = stub(released, "released", work)
    yield "today's header keeps what the released one says", differs(old, stub(as_known(today, released), "today", work))
    for name, (pattern, by) in BREAKS.items():
        broken, count = re.subn(pattern, by, released, count=1, flags=re.DOTALL)
        if not count:
            yield f"{name} is found", "the header has no such place any more"
        else:
            made = stub(as_known(broken, released), name.replace(" ", "-"), work)
            yield f"{name} is found", "" if differs(old, made) else "abidiff saw nothing"
    grown, count = re.subn(r"\n\} rds_span;", "\n  uint64_t more;\n} rds_span;", released)
    grown = stub(as_known(grown, released), "grown", work)
    yield "a struct may grow at its end", differs(old, grown) if count else "the struct is gone"
    program = work / "program"
    shutil.copyfile(library, work / "librds.so.0")
    run("gcc", "-std=c11", f"-I{work / 'released'}", HERE / "consumers" / "consumer.c", work / "librds.so.0", "-o", program)
    done = run(program, work / "results", allow=True, env={**os.environ, "LD_LIBRARY_PATH": str(work)})
    yield "a program of the released header runs", "" if done.returncode == 0 else done.stdout + done.stderr


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", type=Path, required=True)
    chosen = parser.parse_args()
    passed = failed = 0
    with tempfile.TemporaryDirectory() as work:
        for name, fault in checks(chosen.library, Path(work)):
            passed, failed = passed + (not fault), failed + bool(fault)
            print(f"FAILED {name}: {fault}" if fault else f"ok {name}", flush=True)
    print(f"abi: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
