"""Images that are read one by one, because all of them would not fit in memory."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence

from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from ganforge.errors import DataError
from ganforge.image_files.decoding import Decoding, describe_error
from ganforge.image_files.source import ImageSource


def equal_images(source: ImageSource, names: Sequence[str]) -> bool:
    """Return whether all encoded images are equal; most often their lengths or checksums differ."""
    if len({source.identity(name) for name in names}) > 1:
        return False
    first = _content(source, names[0])
    return all(_content(source, name) == first for name in names[1:])


def _content(source: ImageSource, name: str) -> bytes:
    with source.open(name) as file:
        return file.read()


def fingerprint(source: ImageSource, files: Sequence[tuple[str, int]], *facts: object) -> str:
    """Return the SHA-256 of names, labels and identities, see `ImageSource.identity`, and of other facts."""
    digest = hashlib.sha256(repr(facts).encode())
    for name, label in files:
        digest.update(os.fsencode(name) + f"\0{label} {source.identity(name)}\0".encode())
    return digest.hexdigest()


class StreamedImages(TorchDataset[tuple[Tensor, int]]):
    """Map-style dataset that decodes an image when it is read.

    Args:
        source: Folder or file.
        files: Names and labels.
        decoding: Form of the pixels.
        mirror: Whether all images follow once more, mirrored.
    """

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
                fix="Repair or remove it and start again, or pass --data.stream no, which skips such pictures.",
            ) from error
        return pixels.flip(-1) if mirrored else pixels, label
