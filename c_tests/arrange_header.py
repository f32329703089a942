#!/usr/bin/env python3
"""Writes include/rds.h: lets cbindgen declare what the Rust sources export, and arranges it.

cbindgen orders declarations by source file. A reader of the header wants them in order of use, each type
before what uses it. Besides, this step adds what follows from other places and would be written twice
otherwise: initialisers from the fields of structs, version macros from Cargo.toml, and the marks of
Doxygen from the labels that the comments in Rust have.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Headline -> what it holds, in order. Not named here, as they stand behind their struct: its initialiser,
# and flags whose comment begins with `that_struct.flags:`.
SECTIONS = {
    # First, as C has every enum complete before a function returns it.
    "Statuses and errors": """
        rds_status rds_status_name
        rds_last_error_message rds_last_error_status rds_error rds_last_error
    """,
    "Library and versions": """
        RDS_VERSION_MAJOR RDS_VERSION_MINOR RDS_VERSION_PATCH RDS_VERSION_STRING RDS_ABI_VERSION
        rds_version rds_abi_version rds_check_abi rds_build_info
    """,
    "Log and runtime": """
        rds_log_level rds_log_callback rds_set_log_callback
        rds_runtime_options rds_runtime_configure
    """,
    "Dtypes and batches": """
        rds_dtype RDS_MAX_NDIM
        rds_string rds_ids_kind rds_ids rds_tensor
    """,
    "Writers": """
        rds_writer
        rds_write_mode rds_durability rds_column_spec rds_metadata rds_waiting_callback
        rds_writer_options rds_writer_open
        rds_write_tensors rds_write_batch
        rds_progress_callback rds_write_stream_options rds_write_stream
        rds_flush rds_commit_options rds_commit_info rds_commit
        rds_writer_state RDS_FAILURE_BYTES rds_write_stats rds_writer_stats
        rds_token rds_writer_stage
        rds_writer_close rds_writer_abort
    """,
    "Tables": """
        rds_commit_staged_options rds_commit_staged
        rds_pack_parts_options rds_pack_parts
        rds_part_callback rds_list_parts
        rds_recover_options rds_recover_info rds_recover
        rds_vacuum_options rds_vacuum_info rds_vacuum
    """,
    "Readers": """
        rds_reader
        rds_access rds_reader_options rds_reader_open
        rds_reader_refresh rds_reader_clone rds_reader_close
        rds_table_form rds_table_info rds_reader_info
        rds_reader_column rds_column_info rds_reader_column_info
        rds_reader_metadata rds_reader_metadata_at
        rds_version_info rds_reader_versions
    """,
    "Rows": """
        rds_span rds_reader_span
        rds_reader_get rds_reader_read
        rds_rows rds_target rds_reader_gather
        rds_reader_read_range rds_reader_dlpack
    """,
    "Rows as Arrow": """
        rds_select_options rds_reader_schema rds_reader_take
        rds_stream_options rds_reader_stream
    """,
    "Ids": """
        rds_reader_id rds_reader_ids
        RDS_ROW_NONE rds_reader_find rds_reader_find_all
    """,
    "Loaders": """
        rds_loader
        rds_loader_order rds_loader_tail rds_loader_table rds_loader_weights rds_loader_options rds_loader_open
        rds_loader_batch rds_loader_next rds_loader_release
        RDS_POSITION_BYTES rds_position rds_loader_state rds_loader_seek
        rds_load_stats rds_loader_stats rds_loader_fd
        rds_loader_close
    """,
}

# The last line of after_includes in cbindgen.toml.
DECLARATIONS_BEGIN = "/* Declarations as cbindgen has them. */\n"
# cbindgen opens this for functions alone; after_includes has opened it for everything.
EXTERN_C_BEGIN = '#ifdef __cplusplus\nextern "C" {\n#endif // __cplusplus'
EXTERN_C_END = '#ifdef __cplusplus\n}  // extern "C"\n#endif  // __cplusplus'
GUARD_END = "#endif  /* RDS_H */"

# A comment, then one of: macro; struct or enum, opaque ones too; callback; function.
DECLARATION = re.compile(
    r"(?P<comment>/\*\*.*?\*/)\n"
    r"(?P<code>#define (?P<macro>\w+) (?P<value>\S+)"
    r"|typedef (?P<kind>struct|enum) (?P<type>\w+) .*;"
    r"|typedef \w+ \(\*(?P<callback>\w+)\)\(.*\);"
    r"|RDS_API\s[^(;]*?(?P<function>\w+)\([^()]*\);)",
    re.DOTALL,
)
FLAGS_OF = re.compile(r"/\*\*\n \* (\w+)\.flags: ")
LABEL = re.compile(r"^ \* (Ownership|Thread safety|Blocking): ", re.MULTILINE)


class Declarations:
    """What cbindgen wrote, by name, in its order."""

    def __init__(self):
        self.texts: dict[str, str] = {}
        # Names of what stands behind a struct, by the name of the struct.
        self.behind: dict[str, list[str]] = {}

    def add(self, name: str, text: str, struct: str = "") -> None:
        if name in self.texts:
            raise RuntimeError(f"{name} is declared twice")
        self.texts[name] = text
        if struct:
            self.behind.setdefault(struct, []).append(name)

    def read(self, text: str) -> None:
        match = DECLARATION.fullmatch(text)
        if not match:
            raise RuntimeError(f"no declaration behind its comment:\n{text}")
        comment, code = with_paragraphs(match["comment"]), match["code"]
        name = match["macro"] or match["type"] or match["callback"] or match["function"]
        flags_of = FLAGS_OF.match(comment)
        if match["macro"] and flags_of:
            # Unsigned, as the field is: `options.flags & ~RDS_X` then changes no sign.
            self.add(name, f"{comment}\n#define {name} {int(match['value'])}u", flags_of[1])
            return
        if match["function"]:
            code = code.replace("RDS_API\nRDS_NODISCARD\n", "RDS_API RDS_NODISCARD\n")
        self.add(name, f"{comment}\n{code}")
        if match["kind"] == "struct" and "size_t struct_size;" in code:
            self.add(f"{name.upper()}_INIT", initialiser(name, code), name)


def with_paragraphs(comment: str) -> str:
    """The labels of a comment as headlines of paragraphs, which Doxygen would run together otherwise."""
    return LABEL.sub(r" * @par \1\n * ", comment)


def initialiser(struct: str, code: str) -> str:
    """The macro that sets struct_size, and every other field to zero."""
    body = re.sub(r"/\*.*?\*/", "", code[code.index("{") + 1 : code.rindex("}")], flags=re.DOTALL)
    values = [f"sizeof({struct})"]
    for field in body.split(";")[1:-1]:
        if "[" in field:
            values.append("{0}")
        elif "*" in field or "_callback " in field:
            values.append("NULL")
        else:
            values.append("0")
    comment = f"An {struct} whose struct_size is set, with every other field at its default."
    return f"/**\n * {comment}\n */\n#define {struct.upper()}_INIT {{{', '.join(values)}}}"


def versions(cargo: str) -> dict[str, str]:
    """The version macros, from the text of Cargo.toml."""
    match = re.search(r'^version = "((\d+)\.(\d+)\.(\d+))"$', cargo, re.MULTILINE)
    if not match:
        raise RuntimeError("Cargo.toml: no version of three numbers")
    macros = {
        "MAJOR": ("Major version of the library that this header came with.", match[2]),
        "MINOR": ("Minor version of the library that this header came with.", match[3]),
        "PATCH": ("Patch version of the library that this header came with.", match[4]),
        "STRING": ("All three. rds_version() tells those of the library in use.", f'"{match[1]}"'),
    }
    return {
        f"RDS_VERSION_{part}": f"/**\n * {comment}\n */\n#define RDS_VERSION_{part} {value}"
        for part, (comment, value) in macros.items()
    }


def arrange(text: str, cargo: str) -> str:
    """The header, from what cbindgen wrote and the text of Cargo.toml."""
    head, found, rest = text.partition(DECLARATIONS_BEGIN)
    if not found:
        raise RuntimeError(f"cbindgen.toml: after_includes does not end with {DECLARATIONS_BEGIN}")
    declarations = Declarations()
    for name, macro in versions(cargo).items():
        declarations.add(name, macro)
    for block in re.split(r"\n{2,}", rest.strip()):
        if block not in (EXTERN_C_BEGIN, EXTERN_C_END, GUARD_END):
            declarations.read(block)

    parts = [re.sub(r"\n{3,}", "\n\n", head).rstrip()]
    placed = []
    for headline, names in SECTIONS.items():
        parts.append(f"/* ---- {headline} {'-' * (89 - len(headline))} */")
        for name in names.split():
            for each in [name, *declarations.behind.get(name, [])]:
                if each not in declarations.texts:
                    raise RuntimeError(f"section {headline}: nothing declares {each}")
                placed.append(each)
                parts.append(declarations.texts[each])
    if lost := declarations.texts.keys() - set(placed):
        raise RuntimeError(f"no section names {', '.join(sorted(lost))}")
    if twice := {name for name in placed if placed.count(name) > 1}:
        raise RuntimeError(f"sections name more than once {', '.join(sorted(twice))}")
    return "\n\n".join([*parts, EXTERN_C_END, GUARD_END]) + "\n"


def generate(cbindgen: str) -> str:
    """The header as it has to be."""
    command = [cbindgen, "--quiet", "--config", "cbindgen.toml", "."]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise RuntimeError(f"{cbindgen} is missing: give its path with --cbindgen") from error
    if done.returncode != 0:
        raise RuntimeError(f"cbindgen: exit code {done.returncode}\n{done.stderr.strip()}")
    return arrange(done.stdout, (ROOT / "Cargo.toml").read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cbindgen", default="cbindgen", help="path of cbindgen")
    parser.add_argument("--output", type=Path, default=ROOT / "include" / "rds.h")
    options = parser.parse_args()
    try:
        text = generate(options.cbindgen)
    except RuntimeError as error:
        sys.exit(f"arrange_header.py: {error}")
    options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
