"""Pictures of a folder that are read one by one, because all of them would not fit in memory."""

from __future__ import annotations

import filecmp
import hashlib
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from ganforge.builtin.datasets.folder_pictures import Depth, describe_error, read_pixels
from ganforge.errors import DataError


def too_large(required_bytes: int, memory: int | None) -> bool:
    """Return whether pixels take more than half of the machine's memory, if that is known."""
    return memory is not None and required_bytes > memory // 2


def machine_memory() -> int | None:
    """Return the bytes of memory of this machine or container, or None if the system does not report them.

    Free memory would be another number in every run, and does not count the system's caches.
    """
    try:
        installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return min([installed, *container_limits()])


def container_limits(mounted: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> list[int]:
    """Return the memory limits of this process's control groups, in bytes: those of containers and batch systems.

    Args:
        mounted: Folder of the control groups, of version 1 or 2.
        membership: File with the groups of this process, as `ID:CONTROLLERS:PATH`.
    """
    limits: list[int] = []
    for line in _content(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, name = (mounted / "memory", "memory.limit_in_bytes") if controllers else (mounted, "memory.max")
        # A limit holds for all groups below; a container may see its own group as the top.
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            content = _content(folder / name).strip() if folder.is_relative_to(top) else ""
            if content.isdecimal():  # else "max", for no limit
                limits.append(int(content))
    return limits


def _content(path: Path) -> str:
    """Return the text of a file of the system, or "" if there is none."""
    try:
        return path.read_text()
    except OSError:
        return ""


def equal_files(paths: Sequence[Path]) -> bool:
    """Return whether all files have the same content; most often their sizes differ."""
    return len({path.stat().st_size for path in paths}) == 1 and all(
        filecmp.cmp(paths[0], path, shallow=False) for path in paths[1:]
    )


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
                f"{path.relative_to(self._root)} in {self._root}: {describe_error(error)}",
                fix="Repair or remove it and start again, or pass --data.stream no, which skips such pictures.",
            ) from error
