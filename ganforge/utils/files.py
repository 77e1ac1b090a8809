"""Files: reading with limits, locks, atomic replacement, and rows of JSON that survive a crash."""

from __future__ import annotations

import errno
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from ganforge.errors import DataError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: Default limit of a file that is read; ganforge's own documents have some kilobytes.
MAX_BYTES = 1 << 24


class OutputError(OSError):
    """Failed write of one of ganforge's own files, as opposed to an OSError of a component."""


@contextmanager
def output_errors() -> Iterator[None]:
    """Raise OutputError for an OSError within the block."""
    try:
        yield
    except OSError as error:
        raise OutputError(error.errno, error.strerror or str(error), error.filename) from error


def read_file(path: str | Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the content of a regular file. Raises OSError as `open_regular` does."""
    with open_regular(path, max_bytes=max_bytes) as file:
        return file.read()


def read_limited(path: Path, *, limit_bytes: int, fix: str) -> bytes:
    """Return the content of a file that the user names. Raises DataError with the fix."""
    try:
        return read_file(path, max_bytes=limit_bytes)
    except (OSError, ValueError) as error:  # ValueError: a null byte in its name
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}", fix=fix) from error


def open_regular(path: str | Path, *, max_bytes: int = MAX_BYTES) -> BufferedReader:
    """Open a regular file for reading; nothing that another program could make endless is read or waited for.

    Raises:
        OSError: It does not exist, is not a regular file, is longer than `max_bytes`, or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    status = os.fstat(descriptor)
    regular = stat.S_ISREG(status.st_mode)
    if not regular or status.st_size > max_bytes:
        os.close(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        reason = f"it is longer than {max_bytes:,} bytes" if regular else "it is not a regular file"
        raise OSError(errno.EFBIG if regular else errno.EINVAL, reason, os.fspath(path))
    return open(descriptor, "rb")  # noqa: PTH123 - a descriptor has no path; the caller closes it


def is_locked(path: str | Path) -> bool:
    """Return whether a process holds the lock of a file; True on systems without file locks."""
    if fcntl is None:
        return True
    try:
        with open_regular(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


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


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder next to a folder; on success its files replace those of the same names in the folder.

    A new folder appears at once and whole. Raises OSError.
    """
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent) as parent:
        temporary = Path(parent) / folder.name
        temporary.mkdir()
        yield temporary
        if not folder.exists():
            temporary.rename(folder)
            return
        for file in sorted(path for path in temporary.rglob("*") if path.is_file()):
            target = folder / file.relative_to(temporary)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)


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
