"""Rows of a table as images of one shape."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import datasets
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from ganforge import ImageTensors
from ganforge.errors import DataError
from ganforge.image_files import Decoding, describe_error, read_header, read_pixels

#: Number of rows that decide whether a table is gray.
PROBED_ROWS = 64

Result = TypeVar("Result")


def probe_shape(images: datasets.Dataset, source: str, size: int | None, channels: int | None) -> tuple[int, int, int]:
    """Return channels, height and width of a table's images from its first rows. Raises DataError."""
    if len(images) == 0:
        raise DataError(f"{source} has no rows")
    count = min(len(images), PROBED_ROWS if channels is None else 1)
    headers = [_read(images, index, source, partial(read_header, upright=True)) for index in range(count)]
    channels = channels or (1 if all(header.gray for header in headers) else 3)
    return (channels, size, size) if size else (channels, headers[0].height, headers[0].width)


class Rows(TorchDataset[tuple[Tensor, int]]):
    """Map-style dataset that decodes the picture of a row when it is read.

    Args:
        images: Table of one column.
        labels: Classes, `(N,)` int64, or None.
        shape: Channels, height and width of all images.
        size: Side to which pictures are resized, or None.
        gray_is_guessed: Whether a color picture is an error, because only the first rows were read.
        source: The table, for messages.
    """

    def __init__(
        self,
        images: datasets.Dataset,
        labels: Tensor | None,
        *,
        shape: tuple[int, int, int],
        size: int | None,
        gray_is_guessed: bool,
        source: str,
    ) -> None:
        self._images = images
        self._labels = labels
        self._shape = shape
        self._size = size
        self._gray_is_guessed = gray_is_guessed
        self._source = source

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._pixels(index), 0 if self._labels is None else int(self._labels[index])

    def decode_all(self) -> ImageTensors:
        """Return all rows, decoded on all cores into one tensor. Raises DataError."""
        images = torch.empty((len(self), *self._shape), dtype=torch.uint8)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for index, pixels in enumerate(pool.map(self._pixels, range(len(self)))):
                images[index] = pixels
        return ImageTensors(images, self._labels)

    def _pixels(self, index: int) -> Tensor:
        channels, height, width = self._shape
        row = f"row {index} of {self._source}"
        read = partial(_read, self._images, index, self._source)
        if self._gray_is_guessed and not read(partial(read_header, upright=False)).gray:
            raise DataError(
                f"{row} has colors; the first rows have none", fix="pass --data.channels 3, or 1 to make all gray"
            )
        pixels = read(partial(read_pixels, decoding=Decoding(channels == 1, self._size)))
        if tuple(pixels.shape[1:]) != (height, width):
            raise DataError(
                f"{row} has {pixels.shape[2]}×{pixels.shape[1]} pixels; the first has {width}×{height}",
                fix="pass the side to resize them to, such as --data.size 64",
            )
        return pixels


def _read(images: datasets.Dataset, index: int, source: str, decode: Callable[[io.BytesIO], Result]) -> Result:
    """Return what `decode` reads from the picture of a row. Raises DataError."""
    (column,) = images.column_names
    encoded: dict[str, Any] = images[index][column] or {}
    content, path = encoded.get("bytes"), encoded.get("path")
    if content is None and path is None:
        raise DataError(f"row {index} of {source} holds no picture")
    try:
        return decode(io.BytesIO(Path(str(path)).read_bytes() if content is None else content))
    except Exception as error:  # damaged files make Pillow raise nearly any error
        file = f" ({path})" if path else ""
        raise DataError(
            f"row {index} of {source}{file} cannot be read: {describe_error(error)}",
            fix="replace the picture, or remove it",
        ) from error
