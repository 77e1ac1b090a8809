"""Folder of image files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import IO

from ganforge.errors import DataError
from ganforge.image_files.layout import MAX_LABELS_BYTES, SPLIT_NAME, Layout, arrange, is_hidden
from ganforge.image_files.source import ImageSource
from ganforge.utils.files import error_reason, read_limited

#: Kinds of folders that are not read.
LINKS, RUNS = "links to folders", "runs"
#: File of a run, whose samples do not become training pictures.
RUN_FILE = "run.toml"


class FolderSource(ImageSource):
    """Image files in a folder, at any depth.

    Links to folders are followed at the level of classes, not below.
    """

    @cached_property
    def layout(self) -> Layout:
        """Names below the folder; hidden files and folders are ignored silently."""
        ignored: Counter[str] = Counter()
        return arrange(self.path, self._names(ignored), ignored, self._read_labels)

    def open(self, name: str) -> IO[bytes]:
        """Return the file. Raises OSError, or ValueError for a pipe or device."""
        path = self.path / name
        # Opening a pipe that is named like a picture would wait forever.
        if path.exists() and not path.is_file():
            raise ValueError("not a regular file")
        # By its path, Pillow (13.0) maps an uncompressed TIFF into memory; of a turned one it exchanges the sides.
        return path.open("rb")

    def _read_labels(self, name: str) -> bytes:
        return read_limited(self.path / name, limit_bytes=MAX_LABELS_BYTES, fix="repair or remove it")

    def _names(self, ignored: Counter[str]) -> Iterator[str]:
        """Yield the names of all files, and count the links that are not followed."""
        folders = [(str(self.path), "", True)]
        while folders:
            folder, prefix, follow = folders.pop()
            try:
                entries = list(os.scandir(folder))
            except FileNotFoundError as error:
                raise DataError(f"no such folder: {folder}", fix="check --data.path") from error
            except NotADirectoryError as error:
                problem = f"{folder} is a file, not a folder of pictures"
                raise DataError(problem, fix="check --data.path") from error
            except OSError as error:
                raise DataError(f"{folder} cannot be read: {error_reason(error)}") from error
            if prefix and any(entry.name == RUN_FILE for entry in entries):
                ignored[RUNS] += 1
                continue
            for entry in entries:
                if is_hidden(entry.name):
                    continue
                if not _is_folder(entry):
                    yield prefix + entry.name
                elif entry.is_symlink() and not (follow and self._is_elsewhere(entry)):
                    ignored[LINKS] += 1
                else:
                    is_split = not prefix and SPLIT_NAME.fullmatch(entry.name.casefold()) is not None
                    folders.append((entry.path, f"{prefix}{entry.name}/", is_split))

    def _is_elsewhere(self, link: os.DirEntry[str]) -> bool:
        """Return whether a link leads neither to this folder nor to one around it."""
        return not self.path.resolve().is_relative_to(Path(link).resolve())


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
