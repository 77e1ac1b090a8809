"""Folder of image files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, NoReturn

from ganforge.errors import DataError
from ganforge.image_files.labels import MAX_LABELS_BYTES
from ganforge.image_files.layout import SPLIT_NAME, Layout, arrange
from ganforge.image_files.source import ImageSource
from ganforge.utils.files import read_limited

LINKS = "links to folders"


class FolderSource(ImageSource):
    """Image files in a folder, at any depth.

    Links to folders are followed at the level of classes, not below.
    """

    @cached_property
    def layout(self) -> Layout:
        """Names below the folder; hidden files and folders are ignored silently."""
        ignored: Counter[str] = Counter()
        return arrange(self.path, self._walk(ignored), ignored, self._read_labels)

    def open(self, name: str) -> IO[bytes]:
        """Return the file. Raises OSError, or ValueError for a pipe or device."""
        path = self.path / name
        # Opening a pipe that is named like a picture would wait forever.
        if path.exists() and not path.is_file():
            raise ValueError("not a regular file")
        # By its path, Pillow (13.0) maps an uncompressed TIFF into memory; of a turned one it exchanges the sides.
        return path.open("rb")

    def identity(self, name: str) -> int:
        """Return the length of the file: a changed picture of the same length goes unnoticed."""
        return (self.path / name).stat().st_size

    def _read_labels(self, name: str) -> bytes:
        return read_limited(self.path / name, limit_bytes=MAX_LABELS_BYTES, fix="Repair or remove it.")

    def _walk(self, ignored: Counter[str]) -> Iterator[str]:
        """Yield the names of all files, and count the links that are not followed."""
        try:
            entries = sorted(os.scandir(self.path), key=lambda entry: entry.name)
        except OSError as error:
            _refuse(error)
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if not entry.is_dir():
                yield entry.name
                continue
            may_be_split = SPLIT_NAME.fullmatch(entry.name.casefold()) is not None
            yield from _below(self.path / entry.name, entry.name, ignored, follow=may_be_split)


def _below(folder: Path, name: str, ignored: Counter[str], *, follow: bool) -> Iterator[str]:
    """Yield the names of all files below a folder; links to folders directly in it may be followed."""
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        below = name + parent.removeprefix(str(folder)).replace(os.sep, "/")
        folders[:] = [each for each in folders if not each.startswith(".")]
        for each in folders:
            if os.path.islink(os.path.join(parent, each)):  # noqa: PTH114, PTH118 - faster
                if follow and below == name:
                    yield from _below(folder / each, f"{name}/{each}", ignored, follow=False)
                else:
                    ignored[LINKS] += 1
        yield from (f"{below}/{each}" for each in files)


def _refuse(error: OSError) -> NoReturn:
    """Raise DataError for a folder that cannot be listed."""
    if isinstance(error, FileNotFoundError):
        raise DataError(f"no such folder: {error.filename}", fix="Check --data.path.") from error
    if isinstance(error, NotADirectoryError):
        raise DataError(f"{error.filename} is a file, not a folder of pictures", fix="Check --data.path.") from error
    raise DataError(f"{error.filename} cannot be read: {error.strerror or error}") from error
