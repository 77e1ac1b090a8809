"""Reading of files that the user names."""

from __future__ import annotations

from pathlib import Path

from ganforge.errors import DataError


def read_limited(path: Path, *, limit_bytes: int, fix: str) -> bytes:
    """Return the content of a file.

    Raises:
        DataError: It is not a file (a folder, a device, a pipe), is larger than the limit, or cannot be read.
    """
    try:
        if path.exists() and not path.is_file():
            raise DataError(f"{path} is not a file", fix=fix)
        with path.open("rb") as file:
            content = file.read(limit_bytes + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in its name
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}", fix=fix) from error
    if len(content) > limit_bytes:
        raise DataError(f"{path} is larger than {limit_bytes:,} bytes, and no such file is", fix=fix)
    return content
