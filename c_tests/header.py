"""What rds.h declares, read from its text."""

import re
from dataclasses import dataclass
from pathlib import Path

FUNCTION = re.compile(
    r"(?P<comment>/\*\*(?:(?!\*/).)*\*/)\s*"
    r"(?:RDS_API\s+)?(?P<nodiscard>RDS_NODISCARD\s+)?"
    r"(?P<type>(?:const\s+)?(?:(?:struct|enum)\s+)?\w+(?:\s*\*+)?)\s*\b(?P<name>rds_\w+)\((?P<parameters>[^()]*)\);",
    re.DOTALL,
)
STRUCT = re.compile(r"typedef struct \w+ \{(?P<body>.*?)\n\} (?P<name>\w+);", re.DOTALL)
ENUM = re.compile(r"typedef enum \w+ \{(?P<body>.*?)\n\} (?P<name>\w+);", re.DOTALL)


@dataclass
class Parameter:
    name: str
    type: str

    def is_pointer(self) -> bool:
        return "*" in self.type or self.type.endswith("_callback")


@dataclass
class Function:
    name: str
    type: str
    nodiscard: bool
    parameters: list[Parameter]
    # Lines of the comment, without the stars.
    comment: list[str]


def without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


def comment_lines(comment: str) -> list[str]:
    body = comment.removeprefix("/**").removesuffix("*/")
    return [line.strip().removeprefix("*").strip() for line in body.strip().splitlines()]


def without_tags(text: str) -> str:
    """A type as programs write it: our own by the names of their typedefs."""
    return re.sub(r"\b(?:struct|enum)\s+(?=rds_)", "", " ".join(text.split()))


def parameters(text: str) -> list[Parameter]:
    result = []
    for part in without_tags(text).split(","):
        part = part.strip()
        if part not in ("", "void"):
            match = re.fullmatch(r"(.*?)(\w+)", part)
            result.append(Parameter(match.group(2), match.group(1).strip()))
    return result


def functions(text: str) -> list[Function]:
    return [
        Function(
            match["name"],
            without_tags(match["type"]),
            bool(match["nodiscard"]),
            parameters(match["parameters"]),
            comment_lines(match["comment"]),
        )
        for match in FUNCTION.finditer(text)
    ]


def declared(text: str) -> list[str]:
    """The names of all functions, with or without a comment."""
    code = re.sub(r"^#.*$", "", without_comments(text), flags=re.MULTILINE)
    return re.findall(r"\b(rds_\w+)\s*\([^()]*\)\s*;", code)


def structs(text: str) -> dict[str, list[str]]:
    """The names of the fields, by struct."""
    found = {}
    for match in STRUCT.finditer(text):
        declarations = without_comments(match["body"]).split(";")
        fields = [re.sub(r"\[\w+\]$", "", d.strip()) for d in declarations if d.strip()]
        found[match["name"]] = [re.search(r"(\w+)$", field).group(1) for field in fields]
    return found


def enums(text: str) -> dict[str, dict[str, int]]:
    """The values, by enum and name."""
    found = {}
    for match in ENUM.finditer(text):
        values = re.findall(r"(\w+)\s*=\s*(-?\d+)", without_comments(match["body"]))
        found[match["name"]] = {name: int(value) for name, value in values}
    return found


def macros(text: str) -> dict[str, str]:
    """What each macro stands for."""
    define = re.compile(r"^#define (\w+)\b *(.*)$", re.MULTILINE)
    return {name: value.strip() for name, value in define.findall(without_comments(text))}


def types(text: str) -> set[str]:
    """The names of all types: of typedefs, of callbacks, and of tags."""
    forms = (
        r"\n\} (\w+);",
        r"\btypedef \w[\w ]* (\w+);",
        r"\btypedef [\w ]+\(\*(\w+)\)\(",
        r"\b(?:struct|enum|union) (\w+) *[;{]",
    )
    code = without_comments(text)
    return {name for form in forms for name in re.findall(form, code)}


def pointers(path: Path) -> list[str]:
    """`function:parameter` for every pointer, `function:` where there is none."""
    result = []
    for function in functions(path.read_text(encoding="utf-8")):
        names = [p.name for p in function.parameters if p.is_pointer()]
        result += [f"{function.name}:{name}" for name in names or [""]]
    return result
