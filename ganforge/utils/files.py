"""Writing files so that a crash at any moment leaves the old or the new content, never half of one."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

#: What is read at first where only the newest rows are asked for.
END_BYTES = 65_536
MOST_AT_ONCE = 1 << 16


def read_at_once(path: str) -> bytes:
    """Read a file without Python's layers, ten thousand times as fast as can be; a pipe in its place is not waited for.

    Raises OSError.
    """
    descriptor = _open(path)
    try:
        return _rest(descriptor)
    finally:
        os.close(descriptor)


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))


def _rest(descriptor: int) -> bytes:
    part = content = os.read(descriptor, MOST_AT_ONCE)
    while len(part) == MOST_AT_ONCE:
        part = os.read(descriptor, MOST_AT_ONCE)
        content += part
    return content


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file's content: written beside it, synced, renamed. Raises OSError; the old content then remains.

    What is there and is no ordinary file, such as a device, is left alone.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "it is no ordinary file", str(path))
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


def append_row(path: Path, row: Mapping[str, Any], *, torn: bool = False) -> None:
    """Add a line of JSON to a file, in one piece: another process may be adding to it. Raises OSError.

    torn: whether a crash may have torn the last line, so that a new one is begun first.
    """
    line = (json.dumps(row, allow_nan=True) + "\n").encode()
    with path.open("ab", buffering=0) as file:
        begun = torn and file.tell() and path.read_bytes()[-1:] != b"\n"
        rest = b"\n" + line if begun else line
        while rest:
            rest = rest[file.write(rest) :]


def sync_file(path: Path) -> None:
    """Make what was appended durable, where the file exists."""
    if path.exists():
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return a file's rows, without a last line that a crash tore. A file that is not there has none."""
    if not path.exists():
        return []
    return list(_rows(path.read_text(encoding="utf-8", errors="replace").splitlines()))


def _rows(lines: Iterable[str | bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            row = json.loads(line if isinstance(line, str) else line.decode())
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            yield row


def newest_rows(path: str | Path) -> Iterator[dict[str, Any]]:
    """Yield a file's rows, the last one first. Of a long file more than its end is read only if all of that was asked.

    A file that is not there, or cannot be read, has none.
    """
    try:
        descriptor = _open(os.fspath(path))
    except OSError:
        return
    try:
        newest, end = os.read(descriptor, END_BYTES), 0
        if len(newest) == END_BYTES:
            end = os.lseek(descriptor, 0, os.SEEK_END) - END_BYTES
            os.lseek(descriptor, end, os.SEEK_SET)
            newest = _rest(descriptor)
        if end:
            cut, _, newest = newest.partition(b"\n")
            end += len(cut) + 1
        yield from _rows(reversed(newest.split(b"\n")))
        if end:
            os.lseek(descriptor, 0, os.SEEK_SET)
            yield from _rows(reversed(_rest(descriptor)[:end].split(b"\n")))
    except OSError:
        return
    finally:
        os.close(descriptor)


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
