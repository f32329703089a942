#!/usr/bin/env python3
"""Checks what include/rds.h promises: that it is fresh, documented, compiles everywhere, and agrees
with the exported symbols and with the layouts that programs were compiled with; and that include/rds.hpp
compiles everywhere, and leaves no function out."""

import argparse
import difflib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import abi
import arrange_header
import header

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SONAME = "librds.so.0"
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]
LANGUAGES = {
    "C99": ["gcc", "-x", "c", "-std=c99"],
    "C11": ["gcc", "-x", "c", "-std=c11"],
    "C++17": ["g++", "-x", "c++", "-std=c++17"],
    "C++20": ["g++", "-x", "c++", "-std=c++20"],
}
CLANG = {
    f"{language} by clang": ["clang", *command[1:]] for language, command in LANGUAGES.items()
}
# Compilers of rds.hpp, by the language.
CPP = {f"C++{year}": ["g++", "-x", "c++", f"-std=c++{flag}"] for year, flag in ((17, 17), (20, 20), (23, "2b"))}
CPP_CLANG = {f"{language} by clang": ["clang++", *command[1:]] for language, command in CPP.items()}
EXCEPTIONS = {"": [], " without exceptions": ["-fno-exceptions", "-fno-rtti"]}
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
RDS_HPP = '#include "rds.hpp"\n'
DIRECTIONS = ("in", "out", "in,out")
# What the comment of every function has once, and how it begins.
SECTIONS = {
    "Ownership": r"^@par Ownership\n[^@\s]",
    "Thread safety": r"^@par Thread safety\n[^@\s]",
    "Blocking": r"^@par Blocking\n[^@\s]",
    "@since": r"^@since \S",
}
# What the header declares under other names than its own: the structs of the standards it speaks.
FOREIGN_TYPES = {"ArrowSchema", "ArrowArray", "ArrowArrayStream", "DLManagedTensorVersioned"}
PACKAGES = {
    "gcc": "gcc",
    "g++": "g++",
    "clang": "clang",
    "clang++": "clang",
    "doxygen": "doxygen",
    "nm": "binutils",
    "readelf": "binutils",
}
# What Doxygen is told; the rest is its defaults. HTML, for which it looks closest; XML, which can be read.
DOXYGEN = """
QUIET = YES
EXTRACT_ALL = NO
WARN_NO_PARAMDOC = YES
WARN_AS_ERROR = FAIL_ON_WARNINGS
OPTIMIZE_OUTPUT_FOR_C = YES
HAVE_DOT = NO
GENERATE_HTML = YES
GENERATE_LATEX = NO
GENERATE_XML = YES
"""


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
    fresh_lines = arrange_header.generate(cbindgen).splitlines()
    lines = path.read_text(encoding="utf-8").splitlines()
    changes = difflib.unified_diff(lines, fresh_lines, path.name, "what it should be", n=1, lineterm="")
    wrong = list(changes)[:20]
    return ["run `make header`", *wrong] if wrong else []


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
    for section, begin in SECTIONS.items():
        if len(re.findall(begin, "\n".join(function.comment), re.MULTILINE)) != 1:
            wrong.append(f"does not say once: {section}")
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


def hpp_compiles(command: list[str], source: str, include: Path) -> list[str]:
    includes = [f"-I{include}", f"-I{ROOT / 'include'}", f"-I{HERE / 'fixtures'}", f"-I{HERE}"]
    code, text = run([*command, *WARNINGS, "-Wshadow", "-O2", *includes, "-c", "-o", "/dev/null", "-"], input=source)
    return [] if code == 0 else text.splitlines()[:20]


def hpp_reaches(golden: Path) -> list[str]:
    """Each function is called, not only spoken of."""
    code = header.without_comments((ROOT / "include" / "rds.hpp").read_text(encoding="utf-8"))
    names = golden.read_text(encoding="utf-8").split()
    return [f"{name} is not called" for name in names if not re.search(rf"\b{name}\(", code)]


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
    other = re.compile(r"ARROW_|RDS_(H|API|NODISCARD|VERSION_\w+)$|\w+_INIT$")
    macros = {n: v for n, v in header.macros(text).items() if not other.match(n)}
    return differences(macros, abi.MACROS)


def names_are_ours(text: str) -> list[str]:
    """A name without our prefix is one that a program, or another header, may have too."""
    names = header.macros(text).keys() | header.types(text) - FOREIGN_TYPES
    ours = ("RDS_", "rds_", "ARROW_")
    return [f"{name} is declared" for name in sorted(names) if not name.startswith(ours)]


def hpp_reads_well_in_doxygen() -> list[str]:
    """Without a warning. What parameters are is said of the functions of rds.h."""
    settings = f"{DOXYGEN}WARN_NO_PARAMDOC = NO\nOPTIMIZE_OUTPUT_FOR_C = NO\nINPUT = {ROOT / 'include' / 'rds.hpp'}"
    with tempfile.TemporaryDirectory() as directory:
        code, output = run(["doxygen", "-"], input=f"{settings}\nWARN_IF_UNDOCUMENTED = NO\n", cwd=directory)
    return [f"doxygen: exit code {code}", *output.splitlines()[:20]] if code != 0 or output else []


def reads_well_in_doxygen(text: str) -> list[str]:
    """Without a warning, and with every function in it."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "rds.h").write_text(text, encoding="utf-8")
        code, output = run(["doxygen", "-"], input=f"{DOXYGEN}INPUT = rds.h", cwd=directory)
        if code != 0 or output:
            return [f"doxygen: exit code {code}", *output.splitlines()[:20]]
        xml = (Path(directory) / "xml" / "rds_8h.xml").read_text(encoding="utf-8")
    found = re.findall(r'<memberdef kind="function".*?<name>(\w+)</name>', xml, re.DOTALL)
    return difference("in Doxygen's output", found, "declared", header.declared(text))


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
        uses = (HERE / "fixtures" / "uses_hpp.cpp").read_text(encoding="utf-8")
        for language, command in CPP.items():
            for without, flags in EXCEPTIONS.items():
                full = [*command, *flags]
                yield f"rds.hpp compiles as {language}{without}", lambda: hpp_compiles(full, uses, include)
        for name, source in INCLUDES.items():
            source = source.replace(RDS, RDS_HPP)
            yield f"rds.hpp compiles {name}", lambda: hpp_compiles(CPP["C++17"], source, include)
    yield "rds.hpp reaches every function", lambda: hpp_reaches(options.symbols)
    yield "every struct is pinned", lambda: layout_is_pinned(text)
    yield "every enum value is pinned", lambda: values_are_pinned(text)
    yield "every macro is pinned", lambda: macros_are_pinned(text)
    yield "no name but ours is declared", lambda: names_are_ours(text)
    if options.doxygen:
        yield "it reads well in Doxygen", lambda: reads_well_in_doxygen(text)
        yield "rds.hpp reads well in Doxygen", hpp_reads_well_in_doxygen


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", type=Path, required=True, help="librds.so")
    parser.add_argument("--header", type=Path, default=ROOT / "include" / "rds.h")
    parser.add_argument("--symbols", type=Path, default=ROOT / "include" / "rds.symbols")
    parser.add_argument("--cbindgen", default="cbindgen", help="path of cbindgen")
    parser.add_argument("--clang", action="store_true", help="compile by clang too")
    parser.add_argument("--doxygen", action="store_true", help="run Doxygen too")
    parser.add_argument("--write-symbols", action="store_true", help="write --symbols and stop")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    options.header = options.header.resolve()
    if options.clang:
        LANGUAGES.update(CLANG)
        CPP.update(CPP_CLANG)
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
