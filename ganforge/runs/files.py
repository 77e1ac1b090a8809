"""Writing files so that a crash at any moment leaves the old or the new content, never half of one."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file's content: written beside it, synced, renamed. Raises OSError; the old content then remains."""
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename within a folder durable, where the system has a way to."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a line of JSON to a file. Raises OSError."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, allow_nan=True) + "\n")


def sync_file(path: Path) -> None:
    """Make what was appended durable, where the file exists."""
    if path.exists():
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return a file's rows, without a last line that a crash tore. A file that is not there has none."""
    rows: list[dict[str, Any]] = []
    if not path.exists():
        return rows
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def number_in(row: Mapping[str, Any], key: str) -> float:
    """Return a row's count or seconds, or 0 where it has none that is possible: a damaged file must not stop a run."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
        return 0.0
    return float(value)


def truncate_rows(path: Path, keep: Callable[[Mapping[str, Any]], bool]) -> None:
    """Rewrite a file with only the rows to keep, whole. Raises OSError."""
    if path.exists():
        rows = [row for row in read_rows(path) if keep(row)]
        write_atomically(path, "".join(json.dumps(row, allow_nan=True) + "\n" for row in rows))
