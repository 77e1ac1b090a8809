"""Pictures of a folder that are read one by one, where all of them would not fit in memory."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from ganforge.builtin.datasets.folder_pictures import read_pixels, reason, shown
from ganforge.errors import DataError


def too_large(needed: int, memory: int | None) -> bool:
    """Tell whether so many bytes of pixels are more than half of the machine's memory, if that is known."""
    return memory is not None and needed > memory // 2


def machine_memory() -> int | None:
    """Return the bytes of memory that this machine has, or None where the system does not say.

    What is free at the moment would be another number in every run, and does not count what the system uses as a cache.
    """
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def fingerprint(root: Path, files: Sequence[tuple[Path, int]], *facts: object) -> str:
    """Return the SHA-256 of files' names below `root`, labels and sizes in bytes, and of whatever else decides pixels.

    The pictures themselves are not read: one that is changed and keeps its size is not noticed.
    """
    digest = hashlib.sha256(repr(facts).encode())
    for path, label in files:
        digest.update(os.fsencode(path.relative_to(root)) + f"\0{label} {path.stat().st_size}\0".encode())
    return digest.hexdigest()


class Pictures(TorchDataset[tuple[Tensor, int]]):
    """Decode each picture when it is asked for.

    files: paths below `root`, and labels. grey and size: as for `read_pixels`.
    """

    def __init__(self, root: Path, files: Sequence[tuple[Path, int]], *, grey: bool, size: int | None) -> None:
        self._root = root
        self._files = files
        self._grey = grey
        self._size = size

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self._files[index]
        try:
            with warnings.catch_warnings(action="ignore"):  # as where pictures are loaded: Pillow's, of odd metadata
                return read_pixels(path, grey=self._grey, size=self._size), label
        except Exception as error:  # damaged files make Pillow raise nearly anything
            raise DataError(
                f"{shown(str(path.relative_to(self._root)))} in {self._root}: {reason(error)}",
                fix="Repair or remove it and start anew, or pass --data.stream no: loading all skips such pictures.",
            ) from error
