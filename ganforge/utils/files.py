"""Files of runs: atomic replacement, and rows of JSON that survive a crash."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Bytes at the end of a file that are read first if only the newest rows are needed.
TAIL_BYTES = 65_536
READ_BYTES = 1 << 16


def read_at_once(path: str) -> bytes:
    """Return a file's content without Python's buffering, fast enough for 10,000 files; pipes do not block.

    Raises:
        OSError: The file cannot be read.
    """
    descriptor = _open(path)
    try:
        return _rest(descriptor)
    finally:
        os.close(descriptor)


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))


def _rest(descriptor: int) -> bytes:
    part = content = os.read(descriptor, READ_BYTES)
    while len(part) == READ_BYTES:
        part = os.read(descriptor, READ_BYTES)
        content += part
    return content


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file's content: write a temporary file next to it, sync, rename.

    Raises:
        OSError: It cannot be written, or is not a regular file, such as a device; it is then unchanged.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "it is not a regular file", str(path))
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to a file; it replaces the file on success and is removed after an error.

    `tempfile` is not used, since its files are readable by their owner only.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make a rename within a folder durable; Windows has no way to."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append_row(path: Path, row: Mapping[str, Any], *, torn: bool = False) -> None:
    """Append a line of JSON to a file with one write, since other processes may append to it, too.

    Args:
        path: The file.
        row: Content of the line.
        torn: Whether the last line may be incomplete after a crash; the row then starts on a new line.

    Raises:
        OSError: The file cannot be written.
    """
    line = (json.dumps(row, allow_nan=True) + "\n").encode()
    with path.open("ab", buffering=0) as file:
        incomplete = torn and file.tell() and path.read_bytes()[-1:] != b"\n"
        rest = b"\n" + line if incomplete else line
        while rest:
            rest = rest[file.write(rest) :]


def sync_file(path: Path) -> None:
    """Make appended rows durable, if the file exists."""
    if path.exists():
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return a file's rows, without lines that are not JSON objects; none if the file does not exist."""
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
    """Yield a file's rows, the last one first; none if it cannot be read. The tail of a long file is read first."""
    try:
        descriptor = _open(os.fspath(path))
    except OSError:
        return
    try:
        newest, end = os.read(descriptor, TAIL_BYTES), 0
        if len(newest) == TAIL_BYTES:
            end = os.lseek(descriptor, 0, os.SEEK_END) - TAIL_BYTES
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
    """Return a row's count or seconds, or 0 if it has no valid one: a damaged file must not stop a run."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
        return 0.0
    return float(value)


def truncate_rows(path: Path, keep: Callable[[Mapping[str, Any]], bool]) -> None:
    """Rewrite a file atomically with the rows to keep. Raises OSError."""
    if path.exists():
        rows = [row for row in read_rows(path) if keep(row)]
        write_atomically(path, "".join(json.dumps(row, allow_nan=True) + "\n" for row in rows))
