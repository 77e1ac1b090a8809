"""Files: reading with limits, locks, atomic replacement, and rows of JSON that survive a crash."""

from __future__ import annotations

import errno
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any

from ganforge.errors import DataError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: Default limit of a file that is read; ganforge's own documents have some kilobytes.
MAX_BYTES = 1 << 24
#: Limit of a file of rows; a million rows of metrics.jsonl have 400 MB.
MAX_ROWS_BYTES = 1 << 30


def error_reason(error: Exception) -> str:
    """Return the message of an error, without its number and its path; its type if it has none."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


class OutputError(OSError):
    """Failed write of one of ganforge's own files, as opposed to an OSError of a component."""


@contextmanager
def output_errors() -> Iterator[None]:
    """Raise OutputError for an OSError within the block."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # such as one of safetensors, which has its number in its text
            raise OutputError(str(error)) from error
        raise OutputError(error.errno, error.strerror or str(error), error.filename) from error


def expanded(path: str | Path) -> Path:
    """Return a path with ~ replaced, or unchanged if no such user, or no home folder, exists."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises


def cache_folder() -> Path | None:
    """Return the folder of the user's cache of ganforge, or None if the user has no home folder."""
    import platformdirs  # noqa: PLC0415 - most commands need no cache

    try:
        folder = platformdirs.user_cache_path("ganforge")
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None  # early versions of platformdirs 4 keep the ~


def read_file(path: str | Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the content of a regular file; none of a kernel's file such as /proc/kmsg, which declares no length.

    Raises OSError as `open_regular` does.
    """
    with open_regular(path, max_bytes=max_bytes) as file:
        return file.read(os.fstat(file.fileno()).st_size)


def read_limited(path: Path, *, limit_bytes: int, fix: str) -> bytes:
    """Return the content of a file that the user names. Raises DataError with the fix."""
    try:
        return read_file(path, max_bytes=limit_bytes)
    except (OSError, ValueError) as error:  # ValueError: a null byte in its name
        raise DataError(f"{path} cannot be read: {error_reason(error)}", fix=fix) from error


def open_regular(path: str | Path, *, max_bytes: int = MAX_BYTES) -> BufferedReader:
    """Open a regular file for reading; nothing that another program could make endless is read or waited for.

    Raises:
        OSError: It does not exist, is not a regular file, is longer than `max_bytes`, or cannot be read.
    """
    descriptor = _open(path, os.O_RDONLY)
    if os.fstat(descriptor).st_size > max_bytes:
        os.close(descriptor)
        raise OSError(errno.EFBIG, f"it is longer than {max_bytes:,} bytes", os.fspath(path))
    return open(descriptor, "rb")  # noqa: PTH123 - a descriptor has no path; the caller closes it


def open_appending(path: str | Path) -> FileIO:
    """Open a regular file, or a new one, for appending and reading. Raises OSError for a pipe or a device."""
    descriptor = _open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    return open(descriptor, "ab+", buffering=0)  # noqa: PTH123 - as above


def _open(path: str | Path, flags: int) -> int:
    """Return the descriptor of a regular file, without waiting for the other end of a pipe."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0), 0o666)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))


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

    Text may have names of files that are not UTF-8; their bytes are written.

    Raises:
        OSError: It cannot be written, or is not a regular file, such as a device; it is then unchanged.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "it is not a regular file", str(path))
    data = content.encode(errors="surrogateescape") if isinstance(content, str) else content
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    sync(path.parent)


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

    A new folder appears at once and whole. In an existing one the earlier files are removed first, so that a kill
    leaves a part, never a mixture. Raises OSError.
    """
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent) as parent:
        temporary = Path(parent) / folder.name
        temporary.mkdir()
        yield temporary
        if not folder.exists():
            temporary.rename(folder)
            return
        files = sorted(path for path in temporary.rglob("*") if path.is_file())
        targets = {path: folder / path.relative_to(temporary) for path in files}
        for target in reversed(targets.values()):  # run.toml leaves before bundle.json and returns after it
            target.unlink(missing_ok=True)
        for file, target in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)


def sync(path: Path) -> None:
    """Make a file's content, or a rename within a folder, durable; Windows has no way to."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append_row(path: Path, row: Mapping[str, Any], *, torn: bool = False) -> None:
    """Append a line of JSON to a file with one write, since other processes may append to it, too. Raises OSError.

    The last line of a file that may be `torn` after a crash is ended first if it is incomplete.
    """
    rest = (json.dumps(row, allow_nan=True) + "\n").encode()
    with open_appending(path) as file:
        length = file.seek(0, os.SEEK_END)
        if torn and length:
            file.seek(length - 1)
            rest = rest if file.read(1) == b"\n" else b"\n" + rest
        while rest:
            rest = rest[file.write(rest) :]


def sync_file(path: Path) -> None:
    """Make appended rows durable, if the file exists."""
    if path.exists():
        with path.open("rb+") as file:
            os.fsync(file.fileno())
