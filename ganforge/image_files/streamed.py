"""Images that are read one by one, because all of them would not fit in memory."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from ganforge.errors import DataError
from ganforge.image_files.decoding import Decoding, describe_error
from ganforge.image_files.source import Broken, ImageSource, read_all

UNREADABLE_FIX = "repair or remove it and start again, or pass --data.stream no, which skips such pictures"


def equal_images(source: ImageSource, names: Sequence[str]) -> bool:
    """Return whether all encoded images are equal; most often the checksums of the first two differ."""
    checksum = source.identity(names[0])
    if any(source.identity(name) != checksum for name in names[1:]):
        return False
    first = source.read(names[0])
    return all(source.read(name) == first for name in names[1:])


def fingerprint(source: ImageSource, files: Sequence[tuple[str, int]], *facts: object) -> str:
    """Return the SHA-256 of names, labels and identities, see `ImageSource.identity`, and of other facts.

    Raises DataError for an image that cannot be read: an error may pass, and would have another fingerprint.
    """
    digest = hashlib.sha256(repr(facts).encode())
    identities = read_all(source.identity, [name for name, _ in files])
    for (name, label), (_, identity) in zip(files, identities, strict=True):
        if isinstance(identity, Broken):
            raise DataError(f"{name} in {source.path} cannot be read: {identity.reason}", fix=UNREADABLE_FIX)
        digest.update(os.fsencode(name) + f"\0{label} {identity}\0".encode())
    return digest.hexdigest()


class StreamedImages(TorchDataset[tuple[Tensor, int]]):
    """Map-style dataset that decodes an image when it is read; all may follow once more, mirrored."""

    def __init__(
        self, source: ImageSource, files: Sequence[tuple[str, int]], decoding: Decoding, *, mirror: bool = False
    ) -> None:
        self._source = source
        self._files = files
        self._decoding = decoding
        self._mirror = mirror

    def __len__(self) -> int:
        return len(self._files) * (2 if self._mirror else 1)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        mirrored, position = divmod(index, len(self._files))
        name, label = self._files[position]
        try:
            with warnings.catch_warnings(action="ignore"):  # Pillow's, of odd metadata
                pixels = self._source.pixels(name, self._decoding)
        except Exception as error:  # damaged files make Pillow raise nearly any error
            raise DataError(
                f"{name} in {self._source.path}: {describe_error(error)}",
                fix=UNREADABLE_FIX,
            ) from error
        return pixels.flip(-1) if mirrored else pixels, label


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
