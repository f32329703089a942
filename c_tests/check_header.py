#!/usr/bin/env python3
"""Checks what include/rds.h promises: that it is fresh, documented, compiles everywhere, and agrees
with the exported symbols and with the layouts that programs were compiled with."""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import abi
import header

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SONAME = "librds.so.0"
WARNINGS = ["-Wall", "-Wextra", "-pedantic", "-Werror"]
LANGUAGES = {
    "C99": ["gcc", "-x", "c", "-std=c99"],
    "C11": ["gcc", "-x", "c", "-std=c11"],
    "C++17": ["g++", "-x", "c++", "-std=c++17"],
}
ARROW = '#include "arrow_c_abi.h"\n'
DLPACK = '#include "dlpack.h"\n'
RDS = '#include "rds.h"\n'
INCLUDES = {
    "alone": RDS,
    "twice": RDS + RDS,
    "after Arrow's own structs": ARROW + RDS,
    "before Arrow's own structs": RDS + ARROW,
    "after DLPack's own structs": DLPACK + RDS,
    "before DLPack's own structs": RDS + DLPACK,
}
DIRECTIONS = ("in", "out", "in,out")
SECTIONS = ("Ownership:", "Thread safety:", "Blocking:", "@since")
# What the header declares under other names than its own: the structs of the standards it speaks.
FOREIGN_TYPES = {"ArrowSchema", "ArrowArray", "ArrowArrayStream", "DLManagedTensorVersioned"}
PACKAGES = {"gcc": "gcc", "g++": "g++", "nm": "binutils", "readelf": "binutils"}


def run(command: list[str], **kwargs) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
            **kwargs,
        )
    except FileNotFoundError:
        tool = command[0]
        package = PACKAGES.get(tool)
        how = f"apt-get install {package}" if package else "give its path with --cbindgen"
        return 127, f"{tool} is missing: {how}"
    return done.returncode, done.stdout.strip()


# Each check returns what is wrong, line by line; nothing if all is well.


def fresh(cbindgen: str, path: Path) -> list[str]:
    verify = ["--quiet", "--config", "cbindgen.toml", "--verify", "--output", str(path), "."]
    code, text = run([cbindgen, *verify], cwd=ROOT)
    return [] if code == 0 else [f"cbindgen --verify: exit code {code}; run `make header`", text]


def exported(library: Path) -> list[str]:
    code, text = run(["nm", "-D", "--defined-only", "--format=posix", str(library)])
    if code != 0:
        raise RuntimeError(text)
    return sorted(line.split()[0] for line in text.splitlines())


def difference(what: str, got: list[str], expected_by: str, expected: list[str]) -> list[str]:
    wrong = [f"{name}: {what}, not {expected_by}" for name in sorted(set(got) - set(expected))]
    return wrong + [
        f"{name}: {expected_by}, not {what}" for name in sorted(set(expected) - set(got))
    ]


def symbols_are_golden(library: Path, golden: Path) -> list[str]:
    if not golden.exists():
        return [f"{golden} does not exist; write it with --write-symbols"]
    names = golden.read_text(encoding="utf-8").splitlines()
    wrong = [] if names == sorted(set(names)) else [f"{golden} is not sorted, or has a name twice"]
    return wrong + difference("exported", exported(library), f"in {golden.name}", names)


def symbols_are_ours(library: Path) -> list[str]:
    return [
        f"{name} is exported" for name in exported(library) if not re.match(r"rds_[a-z]", name)
    ]


def symbols_are_declared(library: Path, text: str) -> list[str]:
    return difference("exported", exported(library), "declared", header.declared(text))


def soname(library: Path) -> list[str]:
    code, text = run(["readelf", "-d", str(library)])
    if code != 0:
        return [text]
    names = re.findall(r"\(SONAME\).*\[(.*)\]", text)
    return [] if names == [SONAME] else [f"SONAME is {names}, expected {SONAME}"]


def check_parameters(function: header.Function) -> list[str]:
    wrong = []
    documented = []
    for line in function.comment:
        if line.startswith("@param"):
            match = re.match(r"@param\[([a-z,]+)\] (\w+) \S", line)
            if not match or match[1] not in DIRECTIONS:
                wrong.append(f"malformed: {line}")
            else:
                documented.append(match[2])
                if match[2].startswith("out_") and match[1] == "in" and match[2] != "out_bytes":
                    wrong.append(f"@param[in] {match[2]}: an output")
    names = [parameter.name for parameter in function.parameters]
    if documented != names:
        wrong.append(f"@param of {documented}, but the parameters are {names}")
    return wrong


def check_returns(function: header.Function) -> list[str]:
    returns = [line for line in function.comment if line.startswith("@return")]
    if function.type == "void":
        return []
    if not returns:
        return ["no @return"]
    if function.type != "rds_status" or not function.nodiscard:
        return []
    wrong = []
    statuses = []
    for line in returns:
        match = re.match(r"@return (\w+) \S", line)
        if not match or match[1] not in abi.ENUMS["rds_status"]:
            wrong.append(f"no status and its meaning: {line}")
        else:
            statuses.append(match[1])
    if "RDS_OK" not in statuses:
        wrong.append("no @return RDS_OK")
    wrong += [f"@return {s} more than once" for s in set(statuses) if statuses.count(s) > 1]
    return wrong


def check_comment(function: header.Function) -> list[str]:
    wrong = []
    brief = function.comment[0] if function.comment else ""
    if not re.match(r"[A-Z][a-z]", brief):
        wrong.append("does not begin with a line of what it does")
    for section in SECTIONS:
        found = [line for line in function.comment if line.startswith(section)]
        if len(found) != 1 or not found[0].removeprefix(section).strip():
            wrong.append(f"not one line that begins with {section}")
    return wrong + check_parameters(function) + check_returns(function)


def documented(text: str) -> list[str]:
    functions = header.functions(text)
    names = [function.name for function in functions]
    wrong = [f"{name}: no comment" for name in header.declared(text) if name not in names]
    wrong += [] if functions else ["no function found"]
    for function in functions:
        wrong += [f"{function.name}: {line}" for line in check_comment(function)]
        if function.type == "rds_status" and not function.nodiscard:
            if function.name != "rds_last_error_status":
                wrong.append(f"{function.name}: a status that may be ignored")
    return wrong


def compiles(language: str, source: str, include: Path) -> list[str]:
    includes = [f"-I{include}", f"-I{HERE / 'fixtures'}", f"-I{HERE}"]
    command = [*LANGUAGES[language], *WARNINGS, *includes, "-c", "-o", "/dev/null", "-"]
    code, text = run(command, input=source)
    return [] if code == 0 else text.splitlines()[:20]


def macros_source(text: str) -> str:
    """Every INIT macro used as a program would. Structs that never grow have none."""
    lines = [RDS]
    for name, fields in header.structs(text).items():
        if fields[0] != "struct_size":
            continue
        macro = f"{name.upper()}_INIT"
        lines.append(f"size_t use_{name}(void);")
        lines.append(f"size_t use_{name}(void) {{ {name} it = {macro}; return it.struct_size; }}")
    return "\n".join(lines) + "\n"


def layout_source(language: str) -> str:
    keyword = "static_assert" if language == "C++17" else "_Static_assert"
    lines = [RDS, "#include <stddef.h>"]

    def pin(expression: str, value: int) -> None:
        lines.append(f'{keyword}({expression} == {value}, "{expression} is {value}");')

    for name, (size, fields) in abi.STRUCTS.items():
        pin(f"sizeof({name})", size)
        for field, offset in fields.items():
            pin(f"offsetof({name}, {field})", offset)
    for name, size in abi.ARROW_SIZES.items():
        pin(f"sizeof({name})", size)
    return "\n".join(lines) + "\n"


def differences(declared: dict, pinned: dict) -> list[str]:
    return [
        f"{name}: the header has {declared.get(name)}, abi.py has {pinned.get(name)}"
        for name in sorted(declared.keys() | pinned.keys())
        if declared.get(name) != pinned.get(name)
    ]


def layout_is_pinned(text: str) -> list[str]:
    pinned = {name: list(fields) for name, (_, fields) in abi.STRUCTS.items()}
    return differences(header.structs(text), pinned)


def values_are_pinned(text: str) -> list[str]:
    return differences(header.enums(text), abi.ENUMS)


def macros_are_pinned(text: str) -> list[str]:
    other = re.compile(r"ARROW_|RDS_H$|RDS_NODISCARD$|\w+_INIT$")
    macros = {n: v for n, v in header.macros(text).items() if not other.match(n)}
    return differences(macros, abi.MACROS)


def names_are_ours(text: str) -> list[str]:
    """A name without our prefix is one that a program, or another header, may have too."""
    names = header.macros(text).keys() | header.types(text) - FOREIGN_TYPES
    ours = ("RDS_", "rds_", "ARROW_")
    return [f"{name} is declared" for name in sorted(names) if not name.startswith(ours)]


def checks(options: argparse.Namespace, text: str):
    """What is checked, and how."""
    library, path = options.library, options.header
    yield "the header is fresh", lambda: fresh(options.cbindgen, path)
    yield "the symbols are the golden ones", lambda: symbols_are_golden(library, options.symbols)
    yield "no symbol but ours is exported", lambda: symbols_are_ours(library)
    yield "what is exported is declared", lambda: symbols_are_declared(library, text)
    yield f"the soname is {SONAME}", lambda: soname(library)
    yield "every function is documented", lambda: documented(text)
    # The compiler looks for a file of this name, whatever the one that is checked is called.
    with tempfile.TemporaryDirectory() as directory:
        include = Path(directory)
        (include / "rds.h").write_text(text, encoding="utf-8")
        for language in LANGUAGES:
            for name, source in INCLUDES.items():
                yield f"compiles as {language} {name}", lambda: compiles(language, source, include)
            source = macros_source(text)
            yield f"INIT macros in {language}", lambda: compiles(language, source, include)
        for language in ("C11", "C++17"):
            source = layout_source(language)
            yield f"layout in {language}", lambda: compiles(language, source, include)
    yield "every struct is pinned", lambda: layout_is_pinned(text)
    yield "every enum value is pinned", lambda: values_are_pinned(text)
    yield "every macro is pinned", lambda: macros_are_pinned(text)
    yield "no name but ours is declared", lambda: names_are_ours(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", type=Path, required=True, help="librds.so")
    parser.add_argument("--header", type=Path, default=ROOT / "include" / "rds.h")
    parser.add_argument("--symbols", type=Path, default=ROOT / "include" / "rds.symbols")
    parser.add_argument("--cbindgen", default="cbindgen", help="path of cbindgen")
    parser.add_argument("--write-symbols", action="store_true", help="write --symbols and stop")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    options.header = options.header.resolve()
    if not options.library.exists():
        sys.exit(f"{options.library} does not exist; build it first")
    if options.write_symbols:
        names = exported(options.library)
        options.symbols.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        print(f"{options.symbols}: {len(names)} symbols")
        return 0
    passed = failed = 0
    for name, check in checks(options, options.header.read_text(encoding="utf-8")):
        try:
            wrong = check()
        except RuntimeError as error:
            wrong = [str(error)]
        print(f"{'FAILED' if wrong else 'ok'} {name}")
        for line in wrong:
            print(f"    {line}")
        passed, failed = passed + (not wrong), failed + bool(wrong)
    print(f"header: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
