"""Interface of a path that holds images: their names, splits, labels, and encoded bytes on demand, on all cores."""

from __future__ import annotations

import os
import warnings
import weakref
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import IO, ClassVar, Generic, Protocol, TypeVar

from torch import Tensor

from ganforge.image_files.decoding import Decoding, Header, describe_error, read_header, read_pixels
from ganforge.image_files.layout import Layout

#: Images in work at the same time.
CHUNK = 64
#: Bytes of each part of a file of which a checksum is taken.
SAMPLED_BYTES = 4096
#: Limit of one encoded image; a larger member of an archive is not read.
MAX_IMAGE_BYTES = 1 << 28


class ImageSource(ABC):
    """Images of one path, each with a name that no other has.

    A source is pickled as its path, so that every worker opens the file for itself.

    Args:
        path: Folder or file. Nothing is read before it is needed.
    """

    #: Whether the images are stored as encoded files, which a conversion may copy.
    encoded: ClassVar[bool] = True

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[type[ImageSource], tuple[Path]]:
        return type(self), (self.path,)

    @cached_property
    @abstractmethod
    def layout(self) -> Layout:
        """Names and labels of all images by split, in order. Raises DataError for a path that cannot be read."""

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """Return an encoded image for reading; several threads may call this. Raises any error for a damaged one."""

    def identity(self, name: str) -> int:
        """Return a number that changes with an image: here the checksum of parts of the encoded one."""
        with self.open(name) as file:
            return sampled_checksum(file)

    def read(self, name: str) -> bytes:
        """Return an encoded image, or another file. Raises as `open` does."""
        with self.open(name) as file:
            return file.read()

    def header(self, name: str, *, upright: bool) -> Header:
        """Return the header of an image, see `read_header`."""
        with self.open(name) as file:
            return read_header(file, upright=upright)

    def pixels(self, name: str, decoding: Decoding) -> Tensor:
        """Return the pixels of an image, see `read_pixels`."""
        with self.open(name) as file:
            return read_pixels(file, decoding)


class Closable(Protocol):
    """Open file or archive."""

    def close(self) -> None:
        """Close it."""


Handle = TypeVar("Handle", bound=Closable)
Result = TypeVar("Result")


class PerProcess(Generic[Handle]):
    """Handle of a file that each process opens for itself: the position of an inherited one is shared.

    Args:
        opener: Function that opens the file.
    """

    def __init__(self, opener: Callable[[], Handle]) -> None:
        self._opener = opener
        self._opened: tuple[int, Handle] | None = None

    def get(self) -> Handle:
        """Return this process's handle."""
        opened = self._opened
        if opened is None or opened[0] != os.getpid():
            opened = self._opened = os.getpid(), self._opener()
            # Tracebacks refer to the source, so the garbage collector would close the parts of the handle in any order.
            weakref.finalize(self, opened[1].close)
        return opened[1]


@dataclass(frozen=True, slots=True)
class Broken:
    """Picture that cannot be read, and the reason."""

    name: str
    reason: str


def sampled_checksum(file: IO[bytes]) -> int:
    """Return the checksum of a file's length, and of its start, middle and end, which is all of a small one.

    An edit of a compressed picture nearly always changes its length or its end.
    """
    length = file.seek(0, os.SEEK_END)
    checksum = zlib.crc32(str(length).encode())
    for start in (0, (length - SAMPLED_BYTES) // 2, length - SAMPLED_BYTES):
        file.seek(max(0, start))
        checksum = zlib.crc32(file.read(SAMPLED_BYTES), checksum)
    return checksum


def read_all(work: Callable[[str], Result], names: Iterable[str]) -> Iterator[tuple[str, Result | Broken]]:
    """Yield names and results of `work` in order, or the reason why a picture is broken."""

    def guarded(name: str) -> Result | Broken:
        try:
            return work(name)
        except Exception as error:  # noqa: BLE001 - damaged files make Pillow raise nearly any error; all are shown
            return Broken(name, describe_error(error))

    iterator = iter(names)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while chunk := list(islice(iterator, CHUNK)):
            # Pillow warns of odd metadata, and of pictures half as large as those that it refuses.
            with warnings.catch_warnings(action="ignore"):
                results = list(pool.map(guarded, chunk))
            yield from zip(chunk, results, strict=True)
