#!/usr/bin/env python3
"""Writes attack_calls.h, which test_attack.c is compiled with: every function, parameter, struct and field that rds.h
declares, and what the header promises of them.

What it does not know ends it: a function, parameter or field of a new kind is attacked only after a line below says
what a right one is.
"""

import argparse
import re
import sys
from pathlib import Path

import header

ROOT = Path(__file__).resolve().parent.parent

# A right value of each parameter that is a number: rows and columns as attack_structs.h has them. Of a pointer's count
# it is how many elements there are.
NUMBERS = {
    "abi_version": "RDS_ABI_VERSION", "buffer": "0", "capacity": "3", "column": "0", "consumed": "0", "count": "3",
    "epoch": "0", "first_row": "1", "index": "0", "length": "4", "level": "RDS_LOG_ERROR", "out_bytes": "BULK_BYTES",
    "row": "1", "row_count": "2", "status": "1", "target_count": "3", "tensor_count": "3", "token_count": "1",
}
# Parameters that say how much memory there is behind another: a claim, which is true or impossible.
CLAIMS = {"capacity", "count", "length", "out_bytes", "target_count", "tensor_count", "token_count"}
# What `const char *` is, by its name.
TEXTS = {"id": "BYTES", "job": "TEXT", "key": "TEXT", "name": "TEXT", "path": "TEXT"}
OUTPUTS = {  # of one value, by type
    "const char **": "const char *", "int *": "int", "rds_loader **": "rds_loader *", "rds_position *": "rds_position",
    "rds_reader **": "rds_reader *", "rds_string *": "rds_string",
    "rds_token *": "rds_token", "rds_writer **": "rds_writer *", "size_t *": "size_t",
    "struct DLManagedTensorVersioned **": "struct DLManagedTensorVersioned *", "uint32_t *": "uint32_t",
    "uint64_t *": "uint64_t",
}
ARROW = {"struct ArrowArray": "ARRAY", "struct ArrowArrayStream": "STREAM", "struct ArrowSchema": "SCHEMA"}
CALLBACKS = {"rds_log_callback", "rds_part_callback", "rds_progress_callback", "rds_waiting_callback"}
HANDLES = {"rds_loader": "LOADER", "rds_reader": "READER", "rds_writer": "WRITER"}
# Elements of an array that have no struct_size.
PLAIN = {"rds_metadata", "rds_position", "rds_token", "uint64_t"}
# Fields that say how many there are behind a pointer, or how large.
FIELD_CLAIMS = {
    "bytes", "column_count", "count", "item_bytes", "length", "metadata_count", "other_count", "row_count",
    "target_count", "weight_count", "weights_count",
}
# What says how memory is to be read: only values that mean nothing are put there.
FIELD_MEANINGS = {("rds_ids", "kind")}
UNKNOWN_BITS = {"flags", "reserved"}
NUMBER_TYPES = {"int32_t", "int64_t", "size_t", "uint32_t", "uint64_t"}
# They make files, so they are called less often.
SLOW = {
    "rds_commit", "rds_commit_staged", "rds_flush", "rds_pack_parts", "rds_recover", "rds_vacuum", "rds_writer_abort",
    "rds_writer_close", "rds_writer_open", "rds_writer_stage",
}


def documented_statuses(function: header.Function, numbers: dict[str, int]) -> int:
    """Those that a line of @return names, as bits."""
    bits = 0
    for line in function.comment:
        if match := re.match(r"@return (RDS_\w+)", line):
            if match[1] not in numbers:
                raise RuntimeError(f"{function.name}: @return {match[1]} is no status")
            bits |= 1 << numbers[match[1]]
    return bits


def parameter_docs(function: header.Function) -> dict[str, str]:
    text = " ".join(function.comment)
    found = re.findall(r"@param\[[\w,]+\] (\w+) (.*?)(?= @param| @return)", text)
    return dict(found)


def null_is_fine(doc: str) -> bool:
    return bool(re.search(r"NULL (?:means|for none|for the|if the caller)|may be NULL", doc))


def after_failure(doc: str) -> str:
    """What becomes of an output, as its comment says, else as the conventions do."""
    if re.search(r"(?:NULL|0|nothing|released) on failure", doc):
        return "NOTHING"
    if "-1 on failure" in doc:
        return "MINUS_ONE"
    if "on success only" in doc:
        return "UNCHANGED"
    return "ANYTHING" if "room for" in doc else ""


def pointee(kind: str) -> str:
    return kind.removeprefix("const ").removesuffix("*").strip()


class Generator:
    def __init__(self, text: str):
        self.text = text
        bodies = {match["name"]: match["body"] for match in header.STRUCT.finditer(text)}
        self.sized = {name: body for name, body in bodies.items() if "size_t struct_size;" in body}
        self.plain = {name: body for name, body in bodies.items() if name not in self.sized}
        self.statuses = header.enums(text)["rds_status"]
        # Structs that are read, whose fields are spoilt.
        self.read: list[str] = []

    def parameter(self, function: header.Function, at: int) -> dict[str, str]:
        """The record of a parameter, by field."""
        parameter = function.parameters[at]
        kind, name, of = parameter.type, parameter.name, pointee(parameter.type)
        doc = parameter_docs(function).get(name)
        if doc is None:
            raise RuntimeError(f"{function.name}: no @param of {name}")
        out = name.startswith("out_")
        record = {"name": f'"{name}"', "elements": "1", "null_is_fine": str(int(null_is_fine(doc)))}
        following = function.parameters[at + 1].name if at + 1 < len(function.parameters) else ""
        if following in CLAIMS and "*" in kind:
            record["elements"] = NUMBERS[following]
            record["has_count"] = "1"
        if out and "*" in kind:
            after = after_failure(doc)
            is_set_first = kind in OUTPUTS or of in ARROW
            record["after_failure"] = after or ("NOTHING" if is_set_first else "UNCHANGED")
        if of in HANDLES and "**" not in kind:
            record["kind"] = HANDLES[of]
        elif kind == "const char *" and name in TEXTS:
            record["kind"] = TEXTS[name]
            record["make"] = f"text_of_{name}"
        elif of in self.sized:
            record["kind"] = "OUT_STRUCT" if out else "STRUCT"
            record["form"] = f"&form_{of}"
            if not out:
                self.reads(of)
        elif of in ARROW:
            record["kind"] = ("OUT_" if out else "") + ARROW[of]
            record["size"] = f"sizeof({of})"
        elif kind == "void *" and name == "out_data":
            record["kind"], record["size"] = "OUT_BULK", "1"
        elif kind == "void *" and name == "user_data":
            record["kind"] = "USER_DATA"
        elif out and kind in OUTPUTS:
            bulk = record["after_failure"] not in ("NOTHING", "MINUS_ONE")
            record["kind"] = "OUT_BULK" if bulk else "OUT_VALUE"
            record["size"] = f"sizeof({OUTPUTS[kind]})"
        elif of in PLAIN and "*" in kind:
            record["kind"], record["size"] = "PLAIN", f"sizeof({of})"
            record["form"] = f"&form_{of}"
            self.reads(of)
        elif kind in CALLBACKS:
            record["kind"] = "CALLBACK"
        elif kind in NUMBER_TYPES and name in NUMBERS:
            record["kind"] = "CLAIM" if name in CLAIMS else "NUMBER"
            record["size"], record["valid"] = f"sizeof({kind})", NUMBERS[name]
        else:
            raise RuntimeError(f"{function.name}: what is a right `{kind} {name}`? c_tests/attack.py does not know")
        if record.get("size", "").startswith("sizeof"):
            record["alignment"] = record["size"].replace("sizeof", "_Alignof")
        return record

    def reads(self, name: str) -> None:
        if name not in self.read:
            for _, kind, _ in self.fields(name):
                if pointee(kind) in self.sized or pointee(kind) in PLAIN - {"uint64_t"}:
                    self.reads(pointee(kind))
            self.read.append(name)

    def fields(self, struct: str) -> list[tuple[str, str, str]]:
        """Name, type and length of an array."""
        if struct == "uint64_t":
            return []
        body = header.without_tags(header.without_comments({**self.sized, **self.plain}[struct]))
        found = []
        for declaration in body.split(";"):
            if declaration.strip():
                match = re.fullmatch(r"(.*?)(\w+)(\[\w+\])?", declaration.strip())
                found.append((match[2], match[1].strip(), match[3] or ""))
        return found

    def field(self, struct: str, name: str, kind: str, array: str) -> str:
        of, form = pointee(kind), "NULL"
        if name == "struct_size":
            what = "SIZE"
        elif name in UNKNOWN_BITS:
            what = "UNKNOWN_BITS"
        elif (struct, name) in FIELD_MEANINGS:
            what = "MEANING"
        elif kind in NUMBER_TYPES:
            what = "FIELD_CLAIM" if name in FIELD_CLAIMS else "FIELD_NUMBER"
        elif kind == "const char *" and struct != "rds_string":
            what = "FIELD_TEXT"
        elif kind in CALLBACKS:
            what = "PROGRESS" if kind == "rds_progress_callback" else "WAITING"
        elif name == "user_data":
            what = "FIELD_USER_DATA"
        elif of in HANDLES:
            what = f"FIELD_{HANDLES[of]}"
        elif kind == "uint8_t" and array:
            what = "BYTES_HERE"
        elif of in self.sized or of in PLAIN - {"uint64_t"}:
            what, form = "NESTED", f"&form_{of}"
        elif of in {"uint32_t", "uint64_t", "int64_t"}:
            what = "NUMBERS_32" if of == "uint32_t" else "NUMBERS_64"
        elif of in {"void", "uint8_t"}:
            what = "MEMORY"
        else:
            raise RuntimeError(f"{struct}: how is `{kind} {name}` spoilt? c_tests/attack.py does not know")
        return f'{{"{name}", {what}, offsetof({struct}, {name}), sizeof((({struct} *)0)->{name}), {form}}}'

    def forms(self) -> list[str]:
        """The records of structs; those that are nested stand before what they are in."""
        lines = []
        for name in self.read:
            fields = [self.field(name, field, kind, array) for field, kind, array in self.fields(name)]
            if fields:
                lines.append(f"static const struct field fields_{name}[] = {{")
                lines += [f"    {field}," for field in fields]
                lines.append("};")
            lines.append(
                f'static const struct form form_{name} = {{"{name}", sizeof({name}), {int(name in self.sized)}, '
                f"{f'fields_{name}' if fields else 'NULL'}, {len(fields)}, make_{name}}};"
            )
        for name in self.sized:
            if name not in self.read:
                lines.append(f'static const struct form form_{name} = {{"{name}", sizeof({name}), 1, NULL, 0, NULL}};')
        return lines

    def call(self, function: header.Function) -> str:
        casts = ["" if p.type in NUMBER_TYPES else "(uintptr_t)" for p in function.parameters]
        values = [f"({p.type}){cast}v[{i}]" for i, (p, cast) in enumerate(zip(function.parameters, casts))]
        call = f"{function.name}({', '.join(values)})"
        unused = "" if values else "(void)v; "
        if function.nodiscard:
            return f"{{ {unused}return {call}; }}"
        if "*" in function.type:
            return f"{{ {unused}return {call} ? RDS_OK : RDS_ERR_INTERNAL; }}"
        return f"{{ {unused}(void){call}; return RDS_OK; }}"

    def functions(self) -> list[str]:
        thunks, records, table = [], [], []
        known = header.functions(self.text)
        if missing := set(header.declared(self.text)) - {function.name for function in known}:
            raise RuntimeError(f"rds.h: no comment before {', '.join(sorted(missing))}")
        for function in known:
            statuses = documented_statuses(function, self.statuses) if function.nodiscard else 1
            if not statuses:
                raise RuntimeError(f"{function.name}: no status is documented")
            if parameters := [self.parameter(function, i) for i in range(len(function.parameters))]:
                records.append(f"static const struct parameter parameters_{function.name}[] = {{")
                for record in parameters:
                    records.append("    {" + ", ".join(f".{field} = {value}" for field, value in record.items()) + "},")
                records.append("};")
            thunks.append(f"static rds_status call_{function.name}(const uint64_t *v) {self.call(function)}")
            table.append(
                f'    {{"{function.name}", {statuses:#x}u, {int(function.nodiscard)}, {int(function.name in SLOW)}, '
                f"call_{function.name}, {f'parameters_{function.name}' if parameters else 'NULL'}, {len(parameters)}}},"
            )
        return [*self.forms(), *thunks, *records, "static const struct function functions[] = {", *table, "};"]


def generate(path: Path = ROOT / "include" / "rds.h") -> str:
    lines = Generator(path.read_text(encoding="utf-8")).functions()
    return "\n".join(["/* Written by c_tests/attack.py from rds.h. */", *lines]) + "\n"


def write(directory: Path) -> None:
    """Puts the file where programs are compiled."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "attack_calls.h").write_text(generate(), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="where attack_calls.h is put")
    try:
        write(parser.parse_args().directory)
    except RuntimeError as error:
        sys.exit(f"attack.py: {error}")


if __name__ == "__main__":
    main()
