"""Rows of a table as images of one shape."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import datasets
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from ganforge import ImageTensors
from ganforge.errors import DataError
from ganforge_datasets.pictures import is_gray, to_pixels

#: Number of rows that decide whether a table is gray.
PROBED_ROWS = 64


def probe_shape(images: datasets.Dataset, source: str, size: int | None, channels: int | None) -> tuple[int, int, int]:
    """Return channels, height and width of a table's images from its first rows. Raises DataError."""
    if len(images) == 0:
        raise DataError(f"{source} has no rows")
    pictures = [
        _picture(images, index, source) for index in range(min(len(images), PROBED_ROWS if channels is None else 1))
    ]
    channels = channels or (1 if all(map(is_gray, pictures)) else 3)
    return (channels, size, size) if size else (channels, pictures[0].height, pictures[0].width)


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
        picture, row = _picture(self._images, index, self._source), f"row {index} of {self._source}"
        if self._gray_is_guessed and not is_gray(picture):
            raise DataError(
                f"{row} has colors; the first rows have none", fix="Pass --data.channels 3, or 1 to make all gray."
            )
        try:
            pixels = to_pixels(picture, channels, self._size)
        except ValueError as error:
            raise DataError(f"{row} cannot be used: {error}") from error
        if tuple(pixels.shape[1:]) != (height, width):
            raise DataError(
                f"{row} has {picture.width}×{picture.height} pixels; the first has {width}×{height}",
                fix="Pass the side to resize them to, such as --data.size 64.",
            )
        return pixels


def _picture(images: datasets.Dataset, index: int, source: str) -> Image.Image:
    """Return the picture of a row, decoded. Raises DataError."""
    (column,) = images.column_names
    try:
        picture = images[index][column]
    except Exception as error:  # damaged files make Pillow and pyarrow raise nearly any error
        words = " ".join(str(error).split()) or type(error).__name__
        encoded = images.cast_column(column, datasets.Image(decode=False))[index][column] or {}
        file = f" ({encoded['path']})" if encoded.get("path") else ""
        raise DataError(
            f"row {index} of {source}{file} cannot be read: {words}", fix="Replace the picture, or remove it."
        ) from error
    if not isinstance(picture, Image.Image):
        raise DataError(f"row {index} of {source} holds no picture")
    return picture
