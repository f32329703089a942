"""tell rows, dtype, shape, version and size of results"""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from pathlib import Path

from .._location import table_path
from ._output import spec_text, write_json, write_pairs
from ._results import add_location, open_results


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_location(command)


def run(arguments: argparse.Namespace) -> None:
    with open_results(arguments.results) as dataset:
        info = dataset._snapshot.info
        dtype, shape = dataset.tensor_dtype, dataset.tensor_shape
    table = table_path(arguments.results)
    files, size = _files(table)
    tensor_bytes = info.rows * info.row_bytes
    committed = datetime.fromtimestamp(info.committed_at / 1e9, timezone.utc)
    if arguments.json:
        facts = {
            "table": str(table),
            "rows": info.rows,
            "dtype": info.dtype_name.decode(),
            "shape": shape,
            "version": info.version,
            "committed": committed.isoformat(),
            "mapped_rows": info.mapped_rows,
            "tensor_bytes": tensor_bytes,
            "files": files,
            "bytes_on_disk": size,
        }
        write_json(facts)
        return
    write_pairs(
        {
            "table": str(table),
            "rows": f"{info.rows:,}",
            "tensor": spec_text(dtype, shape),
            "version": f"{info.version}, committed {committed:%Y-%m-%d %H:%M:%S} UTC",
            "mapped": f"{info.mapped_rows:,} rows are read from mapped files, the others through Lance",
            "on disk": f"{size:,} bytes in {files:,} files, for {tensor_bytes:,} bytes of tensors",
        }
    )


def _files(table: Path) -> tuple[int, int]:
    sizes = [path.stat().st_size for path in table.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)
