"""Pictures of a folder that are read one by one, because all of them would not fit in memory."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from ganforge.builtin.datasets.folder_pictures import Depth, describe_error, printable, read_pixels
from ganforge.errors import DataError


def too_large(required_bytes: int, memory: int | None) -> bool:
    """Return whether pixels take more than half of the machine's memory, if that is known."""
    return memory is not None and required_bytes > memory // 2


def machine_memory() -> int | None:
    """Return the bytes of memory of this machine, or None if the system does not report them.

    Free memory would be another number in every run, and does not count the system's caches.
    """
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def fingerprint(root: Path, files: Sequence[tuple[Path, int]], *facts: object) -> str:
    """Return the SHA-256 of the files' names below `root`, labels and sizes in bytes, and of other facts.

    The pictures are not read: a changed picture of the same size goes unnoticed.
    """
    digest = hashlib.sha256(repr(facts).encode())
    for path, label in files:
        digest.update(os.fsencode(path.relative_to(root)) + f"\0{label} {path.stat().st_size}\0".encode())
    return digest.hexdigest()


class Pictures(TorchDataset[tuple[Tensor, int]]):
    """Map-style dataset that decodes a picture when it is read.

    Args:
        root: The folder.
        files: Paths below `root`, and labels.
        gray: As for `read_pixels`.
        size: As for `read_pixels`.
        depth: As for `read_pixels`.
    """

    def __init__(
        self, root: Path, files: Sequence[tuple[Path, int]], *, gray: bool, size: int | None, depth: Depth
    ) -> None:
        self._root = root
        self._files = files
        self._gray = gray
        self._size = size
        self._depth = depth

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self._files[index]
        try:
            with warnings.catch_warnings(action="ignore"):  # Pillow's, of odd metadata
                return read_pixels(path, gray=self._gray, size=self._size, depth=self._depth), label
        except Exception as error:  # damaged files make Pillow raise nearly any error
            raise DataError(
                f"{printable(str(path.relative_to(self._root)))} in {self._root}: {describe_error(error)}",
                fix="Repair or remove it and start again, or pass --data.stream no, which skips such pictures.",
            ) from error
